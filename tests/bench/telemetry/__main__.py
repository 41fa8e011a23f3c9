"""`python -m tests.bench.telemetry [PART...]`: one gateway process under load, on a Kafka of its own.

The parts: `producer`, the limit: a bare producer of the same records; `load`: as much as goes through, by vehicles and
readings in a batch; `paced`: how long acks take at 10,000 readings a second of 1,000 vehicles, two every 200 ms as
an agent sends them, or five or ten where it gathers for longer; `memory`: of 1,000 connected vehicles and of each
further one; `growth`: of memory over some minutes of readings. Without any: all of them.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import uvloop

from deploy.local.options import Server
from pitwall.kafka_topics import ensure_topics
from tests.bench.figures import figure, write
from tests.bench.telemetry import bare, memory, table
from tests.bench.telemetry.load import Cell, names, site
from tests.integration.stacks import RunningStack, running

VEHICLES = (10, 200, 1_000)
BATCHES = (100, 10, 1)
SETTLE_S = 3.0
MEASURED_S = 8.0
#: Kafka's JVM compiles what it runs often for half a minute, which takes one of two cores for a third of a second at a
#: time, and acks wait for it.
PACED_SETTLE_S = 40.0
PACED_MEASURED_S = 20.0
PACED_VEHICLES = 1_000
#: Readings in a batch, and seconds between two of them.
PACES = ((2, 0.2), (5, 0.5), (10, 1.0))
SEED = 1


@dataclass
class Results:
    """Whatever was measured; what was not is empty."""

    producer: list[tuple[str, bare.Produced]] = field(default_factory=list)
    load: list[Cell] = field(default_factory=list)
    paced: list[tuple[str, Cell]] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)


def _producer(stack: RunningStack, results: Results, _: argparse.Namespace) -> None:
    for what, reports in (("bare producer", False), ("bare producer, a report per record", True)):
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=bare.run, args=(stack.kafka_bootstrap, MEASURED_S, reports, theirs), daemon=True)
        process.start()
        theirs.close()
        results.producer.append((what, ours.recv()))
        process.join()


def _load(stack: RunningStack, results: Results, _: argparse.Namespace) -> None:
    for vehicles in VEHICLES:
        for batch in BATCHES:
            results.load.append(uvloop.run(_cell(stack, vehicles, batch)))


def _paced(stack: RunningStack, results: Results, _: argparse.Namespace) -> None:
    for batch, every_s in PACES:
        cell = uvloop.run(_cell(stack, PACED_VEHICLES, batch, every_s, PACED_SETTLE_S, PACED_MEASURED_S))
        results.paced.append((f"{PACED_VEHICLES} vehicles, {batch} readings every {every_s:g} s", cell))


async def _cell(
    stack: RunningStack,
    vehicles: int,
    batch: int,
    every_s: float = 0.0,
    settle_s: float = SETTLE_S,
    measured_s: float = MEASURED_S,
) -> Cell:
    async with site(stack, vehicles) as gateway, gateway.load(names(vehicles), batch, every_s) as load:
        load.go()
        cell = await load.measure(settle_s, measured_s)
    table.tell(cell)
    return cell


def _memory(stack: RunningStack, results: Results, _: argparse.Namespace) -> None:
    results.memory |= uvloop.run(memory.of_vehicles(stack))


def _growth(stack: RunningStack, results: Results, options: argparse.Namespace) -> None:
    results.memory |= uvloop.run(memory.growth(stack, options.minutes, options.pace))


PARTS: dict[str, Callable[[RunningStack, Results, argparse.Namespace], None]] = {
    "producer": _producer,
    "load": _load,
    "paced": _paced,
    "memory": _memory,
    "growth": _growth,
}


def run(
    parts: Sequence[str] = tuple(PARTS),
    minutes: float = memory.GROWTH_MINUTES,
    pace: memory.Pace = memory.Pace(),  # noqa: B008  # frozen
) -> None:
    results, options = Results(), argparse.Namespace(minutes=minutes, pace=pace)
    nothing: dict[str, object] = {"vehicles": 0, "gateways": 0, "command_services": 1, "picture": False}
    try:
        with running("bench-telemetry", servers=frozenset({Server.KAFKA}), **nothing) as stack:
            ensure_topics(stack.kafka_bootstrap)
            for part in parts:
                PARTS[part](stack, results, options)
    finally:
        _publish(results)


def _publish(results: Results) -> None:
    """Also where a part has failed: what was measured before it is good."""
    table.show(results.producer, results.load, results.paced, results.memory)
    write(
        "telemetry-load",
        SEED,
        ("grpcio", "protobuf", "confluent-kafka", "uvloop"),
        producer=[{"what": what} | asdict(one) for what, one in results.producer],
        load=[_told(cell) for cell in results.load],
        paced=[{"what": what} | _told(cell) for what, cell in results.paced],
        memory=results.memory,
    )


def _told(cell: Cell) -> dict[str, object]:
    """With the latencies in short."""
    told: dict[str, object] = {name: value for name, value in asdict(cell).items() if name != "latencies_s"}
    return told | {"ack": asdict(figure("from a batch's sending to its ack", cell.latencies_s))}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.telemetry", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--minutes", type=float, default=memory.GROWTH_MINUTES, help="of growth; 60 for the hour")
    usual = memory.Pace()
    parser.add_argument("--vehicles", type=int, default=usual.vehicles, help="of growth")
    parser.add_argument("--batch", type=int, default=usual.batch, help="of growth: readings in one")
    parser.add_argument("--every", type=float, default=usual.every_s, help="of growth: seconds from batch to batch")
    options = parser.parse_args()
    run(options.parts or tuple(PARTS), options.minutes, memory.Pace(options.vehicles, options.batch, options.every))
    return 0


if __name__ == "__main__":
    sys.exit(main())
