"""The stop path against an adversary, and the adversary against weaker stop paths."""

import pytest

from tests.model.mutants import MUTANTS, mutated
from tests.model.properties import Violation
from tests.model.world import World

#: Runs for which a test has time. `python -m tests.model` does as many as one likes.
SEEDS = 24
#: Runs within which a mutant has to be found.
WITHIN = 60
#: Actions that show a mutant sooner than others do.
OFTEN = {
    "one lease is enough": "siege",
    "leases before the exchange": "outage",
    "a lost journal is ignored": "amnesia",
    "a permit outlives its leases": "wall",
    "a lost link is forgiven": "wall",
    "zones are judged at issue alone": "ambush",
}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_breaks_the_rules_hold(seed: int) -> None:
    World(seed).run()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_weaker_reading_of_the_protocol_is_found(name: str) -> None:
    for seed in range(WITHIN):
        try:
            with mutated(name):
                World(seed, often=OFTEN.get(name, "stop"), members=3).run()
        except Violation:
            return
    pytest.fail(f"{WITHIN} runs, and none shows that {name}")
