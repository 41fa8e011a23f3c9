"""How much the job keeps, and how long a checkpoint of it takes, by the number of vehicles."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pitwall.kafka_topics import REGISTRY
from tests.bench.streams import fleet, topic
from tests.bench.streams.reading import await_readings
from tests.bench.streams.site import RunningJob, Site
from tests.bench.streams.submit import Part
from tests.integration.stream_job import await_until

VEHICLES = (100, 1_000, 10_000)
#: Of readings: a window of a minute is over, one of each length is open, and every rule has seen a minute.
SECONDS = 100
_READ_WITHIN_S = 240.0
_CHECKPOINTS_WITHIN_S = 60.0
#: After the last reading, so that none has a part of the reading to do.
_CHECKPOINTS = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes in a checkpoint, milliseconds from its trigger to its end, and bytes by task."""

    vehicles: int
    state_bytes: int
    checkpoint_ms: float
    by_task: Mapping[str, int]


def measure(where: Site) -> Iterator[Kept]:
    tours = fleet.profiles()
    for vehicles in VEHICLES:
        name = f"bench-state-{vehicles}"
        where.skip(name)
        topic.fill(where.bootstrap, fleet.registered(vehicles), REGISTRY)
        filled, _ = topic.fill(where.bootstrap, fleet.records(vehicles, topic.begin_s(time.time()), SECONDS, tours))
        with where.job(name, "tests.bench.streams.submit", Part.WHOLE) as job:
            yield _kept(job, vehicles, filled)


def _kept(job: RunningJob, vehicles: int, filled: int) -> Kept:
    for _ in await_readings(f"{vehicles} vehicles", filled, lambda: job.readings_read, _READ_WITHIN_S):
        pass
    since_ms = time.time() * 1000
    await_until("checkpoints", lambda: len(_after(job, since_ms)) >= _CHECKPOINTS, _CHECKPOINTS_WITHIN_S, lambda: "")
    done = _after(job, since_ms)
    durations = sorted(float(one["end_to_end_duration"]) for one in done)
    newest = max(done, key=lambda one: int(one["id"]))
    by_task = _by_task(job, int(newest["id"]))
    return Kept(vehicles, int(newest["state_size"]), durations[len(durations) // 2], by_task)


def _after(job: RunningJob, since_ms: float) -> list[Mapping[str, float]]:
    """Complete checkpoints that began after then."""
    history = job.rest("/checkpoints")["history"]
    assert isinstance(history, list)
    return [one for one in history if one["status"] == "COMPLETED" and one["trigger_timestamp"] > since_ms]


def _by_task(job: RunningJob, checkpoint: int) -> dict[str, int]:
    tasks, vertices = job.rest(f"/checkpoints/details/{checkpoint}")["tasks"], job.rest("")["vertices"]
    assert isinstance(tasks, Mapping)
    assert isinstance(vertices, list)
    return {vertex["name"]: int(tasks[vertex["id"]]["state_size"]) for vertex in vertices if vertex["id"] in tasks}
