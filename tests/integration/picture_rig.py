"""A whole stack with its picture, and what is broken and asked in it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from confluent_kafka import Producer

from pitwall.kafka_topics import DEAD_LETTER, TELEMETRY
from tests.integration.stacks import RunningStack, running
from tests.integration.stream_job import get
from tests.support.fault_schedule import printed_schedule, wrong_alerts
from tests.support.picture import View, await_none, fleet_view, not_young, out_of_date
from tests.support.plant import Plant
from tests.support.topics import records
from tests.support.windows import wrong_windows

#: From a kill until the picture is again that of the moment.
RECOVERS_WITHIN_S = 30.0
#: … and until alerts and windows come again: a machine that is busy takes its time to plan the job anew.
STREAMS_WITHIN_S = 120.0
#: Until what was sampled is judged, and a window that is over can be asked for: 5 s for those that come late, a
#: checkpoint, and once `idle_timeout_s` where a partition falls silent.
SETTLES_WITHIN_S = 90.0
NO_CHECKPOINT = ["the stream job has made no checkpoint since"]

_COLUMNS = "t_s,rpm(190),kmh(84),coolantC(110),fuel%(96),battV(168),prim kPa(1087),sec kPa(1088)"


def short_recording(path: Path) -> Path:
    """20 s of a machine that creeps about; what its fourth second doesn't have is unknown."""
    rows = [f"{t / 10},{700 + t},{t % 50 / 5},{40 + t / 10},56,27.5,800,805" for t in range(200)]
    rows[40:50] = [f"{t / 10},,,,,,," for t in range(40, 50)]
    path.write_text("\n".join((_COLUMNS, *rows)) + "\n")
    return path


@dataclass(frozen=True, slots=True)
class Picture:
    """Methods that say what is wrong return sentences, none where all is right."""

    stack: RunningStack
    view: View
    #: When `up` returned, CLOCK_MONOTONIC seconds.
    up_s: float

    @property
    def plant(self) -> Plant:
        return Plant(self.stack.places.plant)

    def out_of_date(self) -> list[str]:
        return out_of_date(self.view, self.plant, self.stack.options.vehicle_ids)

    def kill(self, process: str) -> None:
        """Returns when the picture is again that of the moment, and alerts and windows come again. Prints how long."""
        begun_s, begun_ms = time.monotonic(), time.time() * 1000
        self.stack.kill(process)
        young_s = streams_s = 0.0
        while old := not_young(self.view, self.stack.options.vehicle_ids) or self._no_checkpoint_since(begun_ms):
            streams_s = time.monotonic() - begun_s
            assert streams_s < STREAMS_WITHIN_S, old[:20]
            # What was shown stays young for a moment: what counts is the last time that it wasn't.
            young_s = young_s if old == NO_CHECKPOINT else streams_s
            time.sleep(0.1)
        print(f"\n{process} killed: all young after {young_s:.1f} s, alerts and windows come after {streams_s:.1f} s")
        assert young_s < RECOVERS_WITHIN_S
        await_none(self.out_of_date, 10)
        self.stack.await_healthy(within_s=60)

    def await_checkpoint(self) -> None:
        """The stream job runs: it has made a checkpoint that was begun later than now."""
        begun_ms = time.time() * 1000
        await_none(lambda: self._no_checkpoint_since(begun_ms), STREAMS_WITHIN_S)

    def _no_checkpoint_since(self, begun_ms: float) -> list[str]:
        """A checkpoint that began later and is complete: by then all of the job has worked again."""
        address = self.stack.address("flink")
        status, body = get(address, "/jobs/overview")
        jobs = json.loads(body)["jobs"] if status == HTTPStatus.OK else []
        for job in jobs:
            status, body = get(address, f"/jobs/{job['jid']}/checkpoints")
            latest = json.loads(body)["latest"]["completed"] if status == HTTPStatus.OK else None
            if latest is not None and latest["trigger_timestamp"] > begun_ms:
                return []
        return NO_CHECKPOINT

    def faults_over_s(self) -> float:
        """When the first fault of every vehicle has been cleared for a while, seconds since 1970."""
        firsts: dict[str, float] = {}
        for fault in printed_schedule(self.stack.places):
            firsts[fault.vehicle_id] = min(fault.cleared_by_s, firsts.get(fault.vehicle_id, fault.cleared_by_s))
        assert len(firsts) == self.stack.options.vehicles, "not every vehicle has moved"
        return max(firsts.values()) + 3

    def wrong_alerts(self, until_s: float) -> list[str]:
        return wrong_alerts(printed_schedule(self.stack.places), self.view.alerts(), until_s)

    def wrong_windows(self, until_s: float) -> list[str]:
        return wrong_windows(self.view, self.plant, self.stack.kafka_bootstrap, until_s)

    def await_exact(self) -> None:
        """What was sampled until now is exact in alerts and windows, after a while; alerts once more, for late ones."""
        until_s = time.time()
        await_none(lambda: self.wrong_alerts(until_s), SETTLES_WITHIN_S)
        await_none(lambda: self.wrong_windows(until_s), SETTLES_WITHIN_S)
        assert self.wrong_alerts(until_s) == []

    def send(self, poison: list[bytes]) -> None:
        """Durable in vehicle-telemetry when this returns."""
        producer = Producer({"bootstrap.servers": self.stack.kafka_bootstrap})
        for record in poison:
            producer.produce(TELEMETRY.name, record, b"POISON")
        assert producer.flush(30) == 0

    def dead_letters(self) -> int:
        return sum(1 for _ in records(self.stack.kafka_bootstrap, DEAD_LETTER.name))

    def counted(self, process: str, metric: str) -> float:
        """The sum of a metric over its labels, as Prometheus would see it; 0 where there is none yet."""
        lines = get(self.stack.address(f"{process}-metrics"), "/metrics")[1].decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0].split(" ")[0] == metric)


@contextmanager
def picture(name: str, **options: object) -> Iterator[Picture]:
    """options: those of StackOptions."""
    with running(name, **options) as stack:
        up_s = time.monotonic()
        with fleet_view(stack.home, stack.address("fleet-1").replace("127.0.0.1", "localhost")) as view:
            yield Picture(stack, view, up_s)
