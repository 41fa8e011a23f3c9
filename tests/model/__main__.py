"""Runs the model: `python -m tests.model --seeds N [--seed S] [--hours H]`.

A seed that breaks a rule is shown with the line that runs it again. `--trace` tells the run; `--shrink` leaves out of
it what need not happen for the rule to break, which takes some hundred runs.
"""

import argparse
import os
import sys
import time

from tests.model.properties import Violation
from tests.model.world import World


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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many runs")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--hours", type=float, default=24.0, help="skipped in each run: nothing happens")
    parser.add_argument("--busy", type=float, default=30.0, help="how long things go wrong, in lives of a lease")
    parser.add_argument("--trace", action="store_true", help="tell what happens")
    parser.add_argument("--shrink", action="store_true", help="find the shortest story of each violation")
    options = parser.parse_args()
    begun_s, runs = time.process_time(), range(options.seed, options.seed + options.seeds)
    events = moved = latched = bad = 0
    true_s = idle_s = 0.0
    for seed in runs:
        world = World(seed, options.busy, hours=options.hours, log=options.trace)
        violation = broken(world)
        timeline, watch = world.timeline, world.watch
        events, true_s, idle_s = events + timeline.events, true_s + timeline.now_s, idle_s + timeline.idle_s
        moved, latched = moved + watch.movements, latched + watch.latchings
        if violation is not None:
            bad += 1
            print(f"seed {seed}: {violation}")
            again = f"--seeds 1 --seed {seed} --busy {options.busy:g} --hours {options.hours:g}"
            print(f"  again: python -m tests.model {again} --trace")
            if options.shrink:
                world = shrunk(seed, options.busy, options.hours, violation.rule)
        if world.story:
            print("\n".join(world.story))
    took_s = time.process_time() - begun_s
    print(
        f"{len(runs)} runs, {events:,} events, {true_s / 3600:.2f} h stepped through, {idle_s / 3600:.0f} h idle; "
        f"{took_s:.1f} s of CPU: {true_s / took_s:.0f} s a second, {events / took_s:,.0f} events a second; "
        f"{moved:,} verdicts to move, {latched:,} latches, {bad} violations"
    )
    return bad > 0


if __name__ == "__main__":
    if "PYTHONHASHSEED" not in os.environ:  # sets of ids have their order by it
        again = [sys.executable, "-m", "tests.model", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main())
