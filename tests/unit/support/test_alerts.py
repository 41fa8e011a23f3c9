"""The quick oracle comes to the same steps as the plain definition of the rules."""

from collections.abc import Iterable

import pytest
from haul.telemetry.v1.alert_pb2 import AlertState
from haul.telemetry.v1.telemetry_pb2 import Reading
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.rules import RULES
from flink_jobs.watched import Observed
from tests.integration.stream_stories import STORIES, Story, fleet_of_chance, point_stories
from tests.support import alerts
from tests.support.alert_judge import judged


def plainly(readings: Iterable[Reading]) -> set[alerts.Step]:
    names = {int(number): name.removeprefix("ALERT_STATE_") for name, number in AlertState.items()}
    return {(s.alert_id, names[s.state]) for s in judged(readings, [])}


@pytest.mark.parametrize("story", [*STORIES, *point_stories()], ids=lambda story: story.name)
def test_of_the_stories(story: Story) -> None:
    assert alerts.expected(story.readings) == plainly(story.readings)


@given(st.integers(0, 2**32))
def test_of_fleets_of_chance(seed: int) -> None:
    readings = [told for told in fleet_of_chance(seed, 2, 40).told if isinstance(told, Reading)]
    assert alerts.expected(readings) == plainly(readings)


def test_it_has_every_rule_about_readings_that_needs_no_registry() -> None:
    """Those others raise nothing where the registry knows nothing, as in the fleets that are judged by it."""
    raised: set[str] = set()
    for seed in range(30):  # each is a fleet of its own: its vehicles have the same names as the next one's
        readings = [told for told in fleet_of_chance(seed, 3, 40).told if isinstance(told, Reading)]
        raised |= {alert_id.split(".")[1] for alert_id, _ in plainly(readings)}
    assert raised == set(alerts.RULES) <= {rule.name for rule in RULES if rule.observed is Observed.READING}
