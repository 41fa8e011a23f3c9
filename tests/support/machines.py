"""How far Hypothesis looks, and its state machines as tests. `make soak` takes the same machines for longer."""

from unittest import TestCase

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine

#: Names of profiles; `--hypothesis-profile` takes them.
USUAL, MUTATION, SOAK = "usual", "mutation", "soak"

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile(USUAL, max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_usual = settings.get_profile(USUAL)
# `make mutation` runs the tests once for each mutant, and wants to know just whether they fail.
settings.register_profile(MUTATION, _usual, max_examples=20, phases=[Phase.explicit, Phase.generate], database=None)
# `make soak` does not begin with what failed last: what it finds comes from its seeds alone.
settings.register_profile(SOAK, _usual, database=None)


def as_test(machine: type[RuleBasedStateMachine], *, runs: int, steps: int = 40) -> type[TestCase]:
    """So many runs of so many steps; fewer, or more, in the share of the profile that is loaded."""
    share = settings().max_examples / _usual.max_examples
    case = machine.TestCase
    case.settings = settings(max_examples=max(1, round(runs * share)), stateful_step_count=steps)
    return case
