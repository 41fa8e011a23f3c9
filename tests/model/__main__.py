"""Runs the model: `python -m tests.model --seeds N [--seed S] [--hours H]`.

A seed that breaks a rule is shown with the line that runs it again. `--trace` tells the run; `--shrink` leaves out of
it what need not happen for the rule to break, which takes some hundred runs.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass

from tests.model.properties import Violation
from tests.model.world import World

#: Of a run where nothing is said: how long things go wrong, in lives of a lease, and hours skipped.
BUSY, HOURS = 30.0, 24.0


def hash_seeded(module: str) -> None:
    """Starts the program anew where sets, of ids for one, would have another order in each run."""
    if "PYTHONHASHSEED" not in os.environ:
        again = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})


def broken(world: World) -> Violation | None:
    """Runs it."""
    try:
        world.run()
    except Violation as violation:
        return violation
    return None


def shrunk(seed: int, busy: float, hours: float, rule: str) -> World:
    """The run with as few actions as still break the rule."""
    left_out: set[int] = set()
    numbers = [action.number for action in World(seed, busy).plan]
    size = len(numbers)
    while size:
        size //= 2
        for first in range(0, len(numbers), max(1, size)):
            less = left_out | set(numbers[first : first + max(1, size)])
            violation = None if less == left_out else broken(World(seed, busy, less, hours=hours))
            left_out = less if violation is not None and violation.rule == rule else left_out
    world = World(seed, busy, left_out, hours=hours, log=True)
    broken(world)
    return world


@dataclass(slots=True)
class Tally:
    """Of many runs."""

    runs: int = 0
    events: int = 0
    true_s: float = 0.0
    idle_s: float = 0.0
    moved: int = 0
    latched: int = 0
    bad: int = 0

    def add(self, world: World) -> None:
        timeline, watch = world.timeline, world.watch
        self.runs += 1
        self.events += timeline.events
        self.true_s += timeline.now_s
        self.idle_s += timeline.idle_s
        self.moved += watch.movements
        self.latched += watch.latchings


def run(seed: int, tally: Tally, busy: float, hours: float, *, trace: bool = False, shrink: bool = False) -> None:
    """One seed. Says how a violation is seen again."""
    world = World(seed, busy, hours=hours, log=trace)
    violation = broken(world)
    tally.add(world)
    if violation is not None:
        tally.bad += 1
        print(f"seed {seed}: {violation}")
        print(f"  again: python -m tests.model --seeds 1 --seed {seed} --busy {busy:g} --hours {hours:g} --trace")
        if shrink:
            world = shrunk(seed, busy, hours, violation.rule)
    if world.story:
        print("\n".join(world.story))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many runs")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--hours", type=float, default=HOURS, help="skipped in each run: nothing happens")
    parser.add_argument("--busy", type=float, default=BUSY, help="how long things go wrong, in lives of a lease")
    parser.add_argument("--trace", action="store_true", help="tell what happens")
    parser.add_argument("--shrink", action="store_true", help="find the shortest story of each violation")
    options = parser.parse_args()
    begun_s, tally = time.process_time(), Tally()
    for seed in range(options.seed, options.seed + options.seeds):
        run(seed, tally, options.busy, options.hours, trace=options.trace, shrink=options.shrink)
    took_s = time.process_time() - begun_s
    print(
        f"{tally.runs} runs, {tally.events:,} events, {tally.true_s / 3600:.2f} h stepped through, "
        f"{tally.idle_s / 3600:.0f} h idle; {took_s:.1f} s of CPU: {tally.true_s / took_s:.0f} s a second, "
        f"{tally.events / took_s:,.0f} events a second; "
        f"{tally.moved:,} verdicts to move, {tally.latched:,} latches, {tally.bad} violations"
    )
    return tally.bad > 0


if __name__ == "__main__":
    hash_seeded("tests.model")
    sys.exit(main())
