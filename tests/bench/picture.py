"""`python -m tests.bench.picture`: what the picture costs in time, on a whole stack of its own."""

import sys

import uvloop

from tests.bench import fleet_questions, sample_to_alert, sample_to_watcher
from tests.bench.figures import publish
from tests.integration.stacks import RunningStack, running

SEED = 1
VEHICLES = 50


def measure(stack: RunningStack) -> None:
    """Prints and writes all of it. The stack has the fleet service and the stream jobs."""
    for name, one in (
        ("sample-to-watcher", sample_to_watcher),
        ("fleet-questions", fleet_questions),
        ("sample-to-alert", sample_to_alert),
    ):
        publish(name, uvloop.run(one.measure(stack)), seed=stack.options.seed)


def main() -> int:
    with running("bench-picture", vehicles=VEHICLES, rate_hz=1.0, seed=SEED, command_services=3) as stack:
        measure(stack)
    return 0


if __name__ == "__main__":
    sys.exit(main())
