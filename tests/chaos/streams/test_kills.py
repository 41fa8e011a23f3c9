"""Task managers and job managers killed under 3,000 readings a second: every alert and every window is right."""

import http.client
import os
import random
import time
from collections.abc import Iterable

import pytest
from confluent_kafka import Message
from haul.telemetry.v1.alert_pb2 import Alert

from pitwall.kafka_topics import ALERTS
from tests.chaos.line import say
from tests.chaos.streams.feed import Arrivals, Feed, arrivals, fed
from tests.chaos.streams.judge import await_windows
from tests.integration.stream_job import StreamJob, await_until, get, stream_job
from tests.integration.stream_windows import recomputed
from tests.support.alerts import expected
from tests.support.streams import alert_troubles, over, repeats, step
from tests.support.topics import readings, records

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(2_400)]

VEHICLES = tuple(f"CHAOS-{number:04d}" for number in range(1, 1_001))
OTHERS = tuple(f"OTHER-{number:04d}" for number in range(1, 51))
PER_S = 3_000
#: The task manager so often, and then the job manager.
KILLS = {
    "flink-taskmanager": int(os.environ.get("PITWALL_TEST_TASK_MANAGER_KILLS", "10")),
    "flink-jobmanager": int(os.environ.get("PITWALL_TEST_JOB_MANAGER_KILLS", "3")),
}
#: As in production, but for this: a job that fails too often is given up, and here it is killed more often than one
#: fails by itself; and what a restart has dropped is mended soon.
SETTINGS = {"checkpoint_interval_s": 3.0, "patience_s": 20.0, "idle_timeout_s": 5.0, "restart_attempts": 50}
MEND_QUIET_S = 10.0
NOTICED_WITHIN_S = 40.0
RECOVERS_WITHIN_S = 180.0
RECOVERED_P95_S = float(os.environ.get("PITWALL_TEST_RECOVERED_P95_S", "40"))
WINDOWS_WITHIN_S = 180.0
SEED = int(os.environ.get("PITWALL_TEST_SEED", "1"))


def test_nothing_is_missed_doubled_or_wrong_whoever_is_killed() -> None:
    choose = random.Random(SEED)
    with stream_job(**SETTINGS, mend_quiet_s=MEND_QUIET_S) as job, arrivals(job.bootstrap) as came:
        feed = Feed(job.bootstrap, VEHICLES, PER_S, SEED)
        with fed(feed):
            await_until("alerts flow", lambda: len(came.at_s) > 0, RECOVERS_WITHIN_S, job.told)
            back_s = {name: [_killed(job, name, came, choose) for _ in range(times)] for name, times in KILLS.items()}
        told = _judged(job, time.time())
    for name, each in back_s.items():
        say(f"{name} killed {len(each)} times at {PER_S:,} readings/s: back after {_figures(each)}")
    say(f"{feed.sent:,} records, {told}; seed {SEED}")
    assert _p95([one for each in back_s.values() for one in each]) <= RECOVERED_P95_S


def _killed(job: StreamJob, name: str, came: Arrivals, choose: random.Random) -> float:
    """At any moment between two checkpoints. Seconds until alerts flow again."""
    job.await_checkpoint()
    time.sleep(choose.uniform(0, 3))  # the moment is the test's parameter, and nothing tells of it
    killed_s = time.monotonic()
    job.stack.kill(name)
    await_until("it is noticed", lambda: not _healthy(job), NOTICED_WITHIN_S, job.told)
    await_until("the job runs again", lambda: _healthy(job), RECOVERS_WITHIN_S, job.told)
    runs_s = time.monotonic()
    await_until("alerts flow again", lambda: came.at_s[-1] > runs_s, RECOVERS_WITHIN_S, job.told)
    return came.back_s(killed_s)


def _healthy(job: StreamJob) -> bool:
    return get(job.metrics_address, "/healthz")[0] == http.client.OK


def _judged(job: StreamJob, over_s: float) -> str:
    """Vehicles drive on, so that time does, until all windows that were over by then are out and right."""
    raw = list(readings(job.bootstrap))
    windows, steps = recomputed(raw, fleet=True), expected(raw)
    with fed(Feed(job.bootstrap, OTHERS, len(OTHERS), SEED)):
        found = await_windows(job, windows, over_s, WINDOWS_WITHIN_S)
    job.tail(ALERTS.name).until("all alerts", lambda r: len({step(a) for a in _ours(r)}) >= len(steps))
    job.await_checkpoint()
    told = _ours(records(job.bootstrap, ALERTS.name))
    assert alert_troubles(steps, told) == []
    mended = sum(1 for window in found if window.revision > 1)
    return (
        f"{len(raw):,} records: {len(steps):,} steps of alerts right, {repeats(told)} told again; "
        f"{len(over(windows, over_s)):,} windows right, the fleet's too, {mended} of them by a recompute"
    )


def _ours(found: Iterable[Message]) -> list[Alert]:
    """Without those of who keeps time going afterwards."""
    alerts = (Alert.FromString(record.value() or b"") for record in found)
    return [alert for alert in alerts if alert.vehicle_id in VEHICLES]


def _figures(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"p50 {ordered[len(ordered) // 2]:.1f} s, p95 {_p95(ordered):.1f} s, at most {ordered[-1]:.1f} s"


def _p95(seconds: list[float]) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
