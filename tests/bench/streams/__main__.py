"""`python -m tests.bench.streams [PART...]`: the stream jobs on a Kafka and a Flink of their own.

The parts: `throughput`: alerts, both metrics, and all of it, from a topic with millions of readings; `beside`: the same
readings by a PyFlink job with a Python function and by a loop in Python; `profile`: where the time of the whole job
goes; `latency`: from sample to alert at 1,000 readings a second; `state`: its size, and the time of a checkpoint, by
vehicles. Without any: all of them.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from pitwall.kafka_topics import REGISTRY
from tests.bench.figures import Figure, write
from tests.bench.streams import fleet, latency, state, table, throughput, topic
from tests.bench.streams.profile import Spent
from tests.bench.streams.reading import Read
from tests.bench.streams.site import Site, site
from tests.bench.streams.state import Kept

VEHICLES = 1_000
#: A reading a second of each vehicle: three million.
SECONDS = 3_000
SEED = 1


@dataclass
class Results:
    """Whatever was measured; what was not is empty."""

    reads: list[Read] = field(default_factory=list)
    spent: list[Spent] = field(default_factory=list)
    latency: list[Figure] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)


class Readings:
    """The topic is written when the first part needs it."""

    def __init__(self, where: Site, seconds: int) -> None:
        self._where, self._seconds, self._count = where, seconds, 0

    def count(self) -> int:
        if not self._count:
            topic.fill(self._where.bootstrap, fleet.registered(VEHICLES), REGISTRY)
            begin_s = topic.begin_s(time.time())
            records = fleet.records(VEHICLES, begin_s, self._seconds, fleet.profiles())
            self._count, took_s = topic.fill(self._where.bootstrap, records)
            print(f"{self._count:,} readings written in {took_s:.1f} s", flush=True)
        return self._count


def _throughput(where: Site, readings: Readings, results: Results) -> None:
    for one in throughput.ours(where, readings.count()):
        results.reads.append(one)
        table.tell(one)


def _beside(where: Site, readings: Readings, results: Results) -> None:
    for one in throughput.beside(where, readings.count()):
        results.reads.append(one)
        table.tell(one)


def _profile(where: Site, readings: Readings, results: Results) -> None:
    results.spent.append(throughput.profiled(where, readings.count()))


def _latency(where: Site, _: Readings, results: Results) -> None:
    results.latency += latency.measure(where)


def _state(_: Site, __: Readings, results: Results) -> None:
    """On a site of its own, where the registry knows no others; the fewest first."""
    with site("bench-state") as where:
        results.kept += state.measure(where)


PARTS: dict[str, Callable[[Site, Readings, Results], None]] = {
    "throughput": _throughput,
    "beside": _beside,
    "profile": _profile,
    "latency": _latency,
    "state": _state,
}


def run(parts: Sequence[str] = tuple(PARTS), seconds: int = SECONDS) -> None:
    results = Results()
    try:
        with site("bench-streams") as where:
            readings = Readings(where, seconds)
            for part in parts:
                PARTS[part](where, readings, results)
    finally:
        _publish(results)


def _publish(results: Results) -> None:
    """Also where a part has failed: what was measured before it is good."""
    table.show(results.reads, results.spent, results.latency, results.kept)
    write("streams", SEED, ("protobuf", "confluent-kafka"), **asdict(results))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.streams", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of readings, one a second of each vehicle")
    options = parser.parse_args()
    run(options.parts or tuple(PARTS), options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
