"""The plain definition of the alert rules, by the stories whose steps people have written down."""

import pytest
from haul.telemetry.v1.alert_pb2 import AlertState
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.rules import RULES
from tests.integration.stream_stories import (
    LINK_STEPS,
    STORIES,
    Story,
    fleet_of_chance,
    link_story,
    point_stories,
)
from tests.support.alert_judge import CLEARED, ESCALATED, RAISED, Step, judged


def told(steps: list[Step]) -> list[tuple[str, str, int]]:
    """Rule, state and the sequence of the reading of each."""
    states: dict[int, str] = {number: name.removeprefix("ALERT_STATE_") for name, number in AlertState.items()}
    return [(step.alert_id.split(".")[1], states[step.state], step.sequence) for step in steps]


@pytest.mark.parametrize("story", [*STORIES, *point_stories()], ids=lambda story: story.name)
def test_a_story_has_the_steps_that_are_written_beside_it(story: Story) -> None:
    assert told(judged(story.readings, story.entries)) == list(story.steps)


def test_the_link_is_as_the_newest_session_has_it() -> None:
    steps = judged(link_story("LINK-1"), [])
    assert [
        (state, s.boot_epoch, s.sequence) for s, (_, state, _) in zip(steps, told(steps), strict=True)
    ] == LINK_STEPS


def test_every_rule_has_a_story_that_raises_it_or_is_swept() -> None:
    steps = judged((r for story in STORIES for r in story.readings), (e for story in STORIES for e in story.entries))
    by_chance = fleet_of_chance(1, 30, 40)
    steps += judged(by_chance.told, by_chance.entries) + judged(link_story("LINK-1"), [])
    assert {step.alert_id.split(".")[1] for step in steps} == {rule.name for rule in RULES}


@given(st.integers(0, 2**32))
def test_an_alert_is_raised_once_escalated_once_at_most_and_cleared_last(seed: int) -> None:
    fleet = fleet_of_chance(seed, 2, 30)
    of_alert: dict[str, list[int]] = {}
    for step in judged(fleet.told, fleet.entries):
        of_alert.setdefault(step.alert_id, []).append(step.state)
    wholes = ([RAISED], [RAISED, ESCALATED], [RAISED, CLEARED], [RAISED, ESCALATED, CLEARED])
    assert all(states in wholes for states in of_alert.values())
