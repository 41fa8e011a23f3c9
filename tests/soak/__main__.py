"""`make soak [STEPS=N] [INTERLEAVINGS=N] [EVENTS=N] [FRAMES=N] [SEED=N]`: looks for what a test has no time for.

The state machines of the pure cores, N steps in all: rounds of some thousand steps, each by a seed of its own, each
machine in its turn. Interleavings of what can come to one vehicle, each by its seed. The model of the whole stop path,
one seed after the other, for N events. Changed frames through the gateway's own code, N in all. What fails is told with
the line that runs it again.
"""

import argparse
import logging
import os
import sys
import time
import traceback
from dataclasses import asdict, dataclass

from hypothesis import seed as seeded
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test
from rich.console import Console
from rich.table import Table

from tests.bench.figures import write
from tests.fuzz.target import ROUND as FRAMES_OF_A_SEED
from tests.fuzz.target import run as run_changed
from tests.model.__main__ import BUSY, HOURS, Tally, hash_seeded
from tests.model.__main__ import run as run_model
from tests.soak.interleavings import interleaving
from tests.support.machines import SOAK
from tests.unit.command_service.test_ledger_machine import LedgerMachine
from tests.unit.command_service.test_site_machine import SiteMachine, SiteOfFive
from tests.unit.domain.test_permit_machine import PermitMachine
from tests.unit.domain.test_stop_set_machine import StopSetMachine
from tests.unit.edge_agent.test_gate_machine import GateMachine
from tests.unit.edge_agent.test_order_machine import OrderMachine
from tests.unit.fleet_service.test_publication_machine import PublicationMachine
from tests.unit.ingest_gateway.test_leave_machine import LeaseMachine
from tests.unit.ingest_gateway.test_session_machine import SessionMachine

MACHINES: dict[str, type[RuleBasedStateMachine]] = {
    "stop-set": StopSetMachine,
    "lease": LeaseMachine,
    "permit": PermitMachine,
    "gate": GateMachine,
    "order": OrderMachine,
    "session": SessionMachine,
    "ledger": LedgerMachine,
    "site-of-three": SiteMachine,
    "site-of-five": SiteOfFive,
    "publication": PublicationMachine,
}
#: Runs of one seed, and steps in each. Hypothesis remembers all runs of a seed, so that a longer round costs memory.
ROUND, STEPS_PER_RUN = 100, 50

AGAIN = (
    "again: python -m tests.soak --steps={steps} --interleavings={interleavings} --events=0 --frames={frames} "
    "--seed={seed}"
)


@dataclass(slots=True)
class Row:
    """What one of them did, by how many seeds."""

    what: str
    count: int = 0
    seeds: int = 0
    took_s: float = 0.0


def counting(machine: type[RuleBasedStateMachine], row: Row) -> type[RuleBasedStateMachine]:
    """The same machine. An invariant is asked for after every step, so it counts them."""

    def count(self: RuleBasedStateMachine) -> None:
        row.count += 1

    return type(machine.__name__, (machine,), {"steps_are_counted": invariant()(count)})


def run_round(name: str, seed: int, row: Row) -> bool:
    """Whether all held."""
    begun_s = time.process_time()
    limits = settings(settings.get_profile(SOAK), max_examples=ROUND, stateful_step_count=STEPS_PER_RUN)
    row.seeds += 1
    try:
        run_state_machine_as_test(seeded(seed)(counting(MACHINES[name], row)), settings=limits)
    except Exception:  # noqa: BLE001 (whatever a machine finds)
        traceback.print_exc()
        print(AGAIN.format(steps=1, interleavings=0, frames=0, seed=seed), f"--machine={name}")
        return False
    finally:
        row.took_s += time.process_time() - begun_s
    return True


def run_machines(names: list[str], seed: int, steps: int) -> tuple[list[Row], bool]:
    rows, good = {name: Row(name) for name in names}, True
    while good and sum(row.count for row in rows.values()) < steps:
        for name in names:
            good = good and run_round(name, seed, rows[name])
        seed += 1
    return list(rows.values()), good


def run_interleavings(seed: int, count: int) -> tuple[list[Row], bool]:
    rows = Row("interleavings"), Row("  orders carried out"), Row("  stops that came"), Row("  of those, let go")
    begun_s = time.process_time()
    for one in range(seed, seed + count):
        try:
            machine = interleaving(one)
        except AssertionError:
            traceback.print_exc()
            print(AGAIN.format(steps=0, interleavings=1, frames=0, seed=one))
            return list(rows), False
        told = 1, len(machine.executed), len(machine.stopped), len(machine.stopped - machine.gate.latched)
        for row, number in zip(rows, told, strict=True):
            row.count, row.seeds = row.count + number, row.seeds + 1
    rows[0].took_s = time.process_time() - begun_s
    return list(rows), True


def run_events(seed: int, events: int) -> tuple[Row, bool]:
    tally, begun_s = Tally(), time.process_time()
    while tally.events < events and not tally.bad:
        run_model(seed, tally, BUSY, HOURS)
        seed += 1
    return Row("model: events", tally.events, tally.runs, time.process_time() - begun_s), not tally.bad


def run_frames(seed: int, frames: int) -> tuple[list[Row], bool]:
    """Changed frames; and how many of them were no frame any more, or ended their stream by another name."""
    logging.disable(logging.WARNING)  # what bad frames have to say
    rows = Row("changed frames"), Row("  taken"), Row("  no frame any more"), Row("  refused by name")
    begun_s = time.process_time()
    for one in range(seed, seed + -(-frames // FRAMES_OF_A_SEED)):
        try:
            came = run_changed(one)
        except Exception:  # noqa: BLE001 (whatever a gateway does with them)
            traceback.print_exc()
            print(AGAIN.format(steps=0, interleavings=0, frames=FRAMES_OF_A_SEED, seed=one))
            return list(rows), False
        taken, malformed = came["TAKEN"], came["MALFORMED_FRAME"]
        told = came.total(), taken, malformed, came.total() - taken - malformed
        for row, number in zip(rows, told, strict=True):
            row.count, row.seeds = row.count + number, row.seeds + 1
    rows[0].took_s = time.process_time() - begun_s
    return list(rows), True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000, help="of the state machines, in all")
    parser.add_argument("--interleavings", type=int, default=1_000_000, help="at one vehicle")
    parser.add_argument("--events", type=int, default=1_000_000, help="of the model")
    parser.add_argument("--frames", type=int, default=100_000, help="changed ones for the gateway")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--machine", choices=sorted(MACHINES), help="just this one")
    options = parser.parse_args()
    rows, good = run_machines([options.machine] if options.machine else list(MACHINES), options.seed, options.steps)
    if good:
        more, good = run_interleavings(options.seed, options.interleavings)
        rows += more
    if good:
        model, good = run_events(options.seed, options.events)
        rows.append(model)
    if good:
        changed, good = run_frames(options.seed, options.frames)
        rows += changed
    rows = [row for row in rows if row.seeds]
    show(rows, options.seed)
    write("soak", options.seed, ("hypothesis",), good=good, rows=[asdict(row) for row in rows])
    return not good


def show(rows: list[Row], seed: int) -> None:
    table = Table(
        "", "count", "seeds", "CPU s", "a second", title=f"soak, seeds from {seed} on, {os.cpu_count()} cores"
    )
    for row in rows:
        rate = f"{row.count / row.took_s:,.0f}" if row.took_s else ""
        table.add_row(row.what, f"{row.count:,}", f"{row.seeds:,}", f"{row.took_s:.0f}" if rate else "", rate)
    Console().print(table)


if __name__ == "__main__":
    hash_seeded("tests.soak")
    sys.exit(main())
