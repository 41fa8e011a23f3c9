"""A drill at the vehicle: what it measures, and what shows nothing. The times are those of its own measurements."""

from collections.abc import Callable

import pytest

from edge_agent.drill import Drill
from edge_agent.gate import Gate
from edge_agent.limits import BLIND_HOLD_S, DRILL_LASTS_S, DRILL_STOP_WAIT_S
from pitwall.domain.order import LinkLossDrill, OrderOutcome, StopDrill
from pitwall.domain.stop_set import SetDelta
from pitwall.domain.vehicle_state import MotionHold
from tests.unit.edge_agent.builders import (
    T0,
    TTL_S,
    driving,
    fleet_stop,
    release,
    releases,
    sample,
    stop,
    stops,
)

DRILL_STOP: SetDelta = stops(stop("s1"))
OTHER_STOP: SetDelta = fleet_stop("s2")
KINDS = [LinkLossDrill(), StopDrill("s1")]


def begun(kind: LinkLossDrill | StopDrill) -> tuple[Gate, Drill]:
    gate = driving()
    drill = Drill(gate)
    drill.begin("q", kind, T0)
    return gate, drill


def looked(gate: Gate, drill: Drill, at_s: float) -> OrderOutcome | None:
    """A tick."""
    gate.tick(at_s)
    return _outcome(drill.look(at_s))


def measured(gate: Gate, drill: Drill, at_s: float, speed_kph: float | None, braking: bool) -> OrderOutcome | None:
    made = sample(at_s, speed_kph=speed_kph, braking=braking)
    gate.sample(made, at_s)
    return _outcome(drill.look(at_s) or drill.measured(made))


def _outcome(ended: tuple[str, OrderOutcome] | None) -> OrderOutcome | None:
    if ended is None:
        return None
    assert ended[0] == "q"
    return ended[1]


def reaction(outcome: OrderOutcome | None) -> tuple[float | None, ...]:
    """Speed, until braking, until standstill."""
    assert outcome is not None
    assert outcome.reaction is not None
    found = outcome.reaction
    return found.speed_kph, found.braking_after_s, found.standstill_after_s


def test_the_loss_of_the_link_is_measured_from_the_last_permit() -> None:
    gate, drill = begun(LinkLossDrill())
    assert drill.takes_no_permits
    assert measured(gate, drill, T0 + 1, 31.0, False) is None
    assert measured(gate, drill, T0 + TTL_S - 0.05, 32.0, False) is None
    assert looked(gate, drill, T0 + TTL_S) is None
    assert gate.hold is MotionHold.LINK_LOST
    assert measured(gate, drill, T0 + TTL_S + 0.05, 31.5, True) is None
    assert drill.takes_no_permits, "until it stands: nobody resumes it half-way"
    ended = measured(gate, drill, T0 + 6.0, 0.0, True)
    assert reaction(ended) == pytest.approx((32.0, TTL_S + 0.05, 6.0))
    assert not drill.under_way


def test_brakes_that_are_measured_before_the_next_tick_count() -> None:
    """The vehicle brakes by itself at the deadline of its last verdict; the gate looks a moment later."""
    gate, drill = begun(LinkLossDrill())
    measured(gate, drill, T0 + 1.9, 32.0, False)
    assert measured(gate, drill, T0 + TTL_S + 0.01, 32.0, True) is None
    ended = measured(gate, drill, T0 + 6.0, 0.0, True)
    assert reaction(ended) == pytest.approx((32.0, TTL_S + 0.01, 6.0))


def test_a_stop_is_measured_from_the_moment_when_it_took_hold() -> None:
    gate, drill = begun(StopDrill("s1"))
    assert not drill.takes_no_permits
    assert measured(gate, drill, T0 + 0.4, 33.0, False) is None
    gate.merge(DRILL_STOP, T0 + 0.5)
    assert drill.look(T0 + 0.5) is None
    assert measured(gate, drill, T0 + 0.52, 32.9, True) is None
    ended = measured(gate, drill, T0 + 4.5, 0.0, True)
    assert reaction(ended) == pytest.approx((33.0, 0.02, 4.0))


@pytest.mark.parametrize("kind", KINDS)
def test_rolling_through_0_without_brakes_is_no_standstill(kind: LinkLossDrill | StopDrill) -> None:
    gate, drill = begun(kind)
    gate.merge(DRILL_STOP if isinstance(kind, StopDrill) else SetDelta(), T0 + 0.1)
    drill.look(T0 + 0.1)
    looked(gate, drill, T0 + TTL_S)
    assert measured(gate, drill, T0 + TTL_S + 0.1, 20.0, True) is None
    assert measured(gate, drill, T0 + 4.0, 0.0, False) is None
    assert measured(gate, drill, T0 + 5.0, 0.0, True) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_who_comes_to_stand_by_himself_has_shown_nothing(kind: LinkLossDrill | StopDrill) -> None:
    gate, drill = begun(kind)
    ended = measured(gate, drill, T0 + 0.1, 0.0, True)
    assert ended is not None
    assert (ended.reason, reaction(ended)) == ("NOT_MOVING", (0.0, None, None))
    assert not drill.takes_no_permits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("sentence", "happens"),
    [
        ("another stop", lambda gate: gate.merge(OTHER_STOP, T0 + 0.1)),
        ("the connection to the vehicle has ended", lambda gate: gate.cut_off(T0 + 0.1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_something_else_has_stopped_shows_nothing(
    kind: LinkLossDrill | StopDrill, sentence: str, happens: Callable[[Gate], object]
) -> None:
    gate, drill = begun(kind)
    happens(gate)
    ended = measured(gate, drill, T0 + 0.15, 29.0, True)
    assert ended is not None, sentence
    assert ended.reason == "OTHER_CAUSE"
    assert reaction(ended)[1:] == (None, None)


@pytest.mark.parametrize("kind", KINDS)
def test_brakes_of_another_cause_are_not_those_of_the_drill(kind: LinkLossDrill | StopDrill) -> None:
    gate, drill = begun(kind)
    gate.set_autonomous(False, T0 + 0.1, "order q2")
    ended = measured(gate, drill, T0 + 0.2, 29.0, True)
    assert ended is not None
    assert ended.reason == "OTHER_CAUSE"


def test_a_vehicle_that_loses_sight_of_itself_measures_nothing() -> None:
    gate, drill = begun(StopDrill("s1"))
    ended = looked(gate, drill, T0 + BLIND_HOLD_S + 0.1)
    assert ended is not None
    assert ended.reason == "OTHER_CAUSE"


def test_a_speed_that_is_not_known_is_no_zero() -> None:
    gate, drill = begun(StopDrill("s1"))
    measured(gate, drill, T0 + 0.1, None, False)
    gate.merge(DRILL_STOP, T0 + 0.2)
    ended = measured(gate, drill, T0 + 0.3, None, True)
    assert ended is not None
    assert ended.reason == "SPEED_UNKNOWN"


def test_a_stop_that_does_not_come_is_not_waited_for_for_ever() -> None:
    gate, drill = begun(StopDrill("s1"))
    for tenth in range(1, int(DRILL_STOP_WAIT_S * 10) + 1):
        at_s = T0 + tenth / 10
        gate.sample(sample(at_s), at_s)
        gate.permit(gate.heartbeats.newest, TTL_S, at_s)
        assert looked(gate, drill, at_s) is None
    ended = _outcome(drill.look(T0 + DRILL_STOP_WAIT_S + 0.1))
    assert ended is not None
    assert ended.reason == "NO_STOP_CAME"


@pytest.mark.parametrize("later_kph", [28.0, 0.0], ids=["rolls on", "comes to stand by itself"])
def test_a_vehicle_without_brakes_says_so_when_its_time_is_over(later_kph: float) -> None:
    gate, drill = begun(StopDrill("s1"))
    gate.merge(DRILL_STOP, T0 + 0.1)
    drill.look(T0 + 0.1)
    over_s = T0 + 0.1 + DRILL_LASTS_S
    assert measured(gate, drill, over_s - 0.1, later_kph, False) is None
    ended = measured(gate, drill, over_s + 0.1, later_kph, False)
    assert ended is not None
    assert (ended.reason, reaction(ended)) == ("", (30.0, None, None))


def test_a_second_stop_while_it_brakes_changes_nothing() -> None:
    gate, drill = begun(StopDrill("s1"))
    gate.merge(DRILL_STOP, T0 + 0.1)
    drill.look(T0 + 0.1)
    measured(gate, drill, T0 + 0.2, 29.0, True)
    gate.merge(OTHER_STOP, T0 + 0.3)
    gate.merge(releases(release("s1")), T0 + 0.4)
    assert drill.look(T0 + 0.4) is None
    assert reaction(measured(gate, drill, T0 + 4.1, 0.0, True)) == pytest.approx((30.0, 0.1, 4.0))
