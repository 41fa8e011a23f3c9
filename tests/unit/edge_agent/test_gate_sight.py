"""The gate and what the vehicle below it says of itself: nothing, an end, or times of another clock."""

from math import inf, nan

import pytest

from edge_agent.gate import Gate
from edge_agent.limits import BLIND_HOLD_S, CONTROL_PERIOD_S, SAMPLE_MAX_AGE_S, VERDICT_PERIODS
from edge_agent.mission import Mission
from pitwall.domain.vehicle_state import MotionHold, VehicleStatus
from tests.unit.edge_agent.builders import (
    EPOCH,
    T0,
    VEHICLE,
    driving,
    fleet_stop,
    kinds,
    permitted,
    permitted_tick,
    release,
    releases,
    sample,
    verdict,
)

# The vehicle below the gate falls silent, swept across the limit


def on_a_good_link(moving: Gate, from_s: float, until_s: float) -> None:
    """Ticks and permits, but not a word of the vehicle itself."""
    steps = round((until_s - from_s) / CONTROL_PERIOD_S)
    for step in range(1, steps + 1):
        permitted_tick(moving, from_s + step * CONTROL_PERIOD_S)


@pytest.mark.parametrize(
    ("silent_s", "hold"),
    [
        (CONTROL_PERIOD_S, MotionHold.NONE),
        (CONTROL_PERIOD_S * VERDICT_PERIODS, MotionHold.NONE),
        (SAMPLE_MAX_AGE_S + 0.5, MotionHold.NONE),
        (BLIND_HOLD_S, MotionHold.NONE),
        (BLIND_HOLD_S + CONTROL_PERIOD_S, MotionHold.LINK_LOST),
        (60.0, MotionHold.LINK_LOST),
    ],
)
def test_a_vehicle_that_was_out_of_sight_does_not_drive_on_by_itself(silent_s: float, hold: MotionHold) -> None:
    moving = driving()
    on_a_good_link(moving, T0, T0 + silent_s)
    back_s = T0 + silent_s
    moving.sample(sample(back_s), back_s)
    assert moving.hold is hold
    assert verdict(moving.tick(back_s)).may_move == (hold is MotionHold.NONE)
    assert moving.hold_count == driving().hold_count + (hold is not MotionHold.NONE)


@pytest.mark.parametrize("ahead_s", [1e12, inf, nan])
def test_a_sample_of_another_clock_is_no_sight(ahead_s: float) -> None:
    moving = driving()
    moving.sample(sample(T0 + ahead_s), T0)
    assert not verdict(moving.tick(T0)).may_move
    assert moving.hold is MotionHold.LINK_LOST


def test_silence_that_no_tick_has_seen_is_found_by_the_sample_that_ends_it() -> None:
    moving = driving()
    permitted(moving, T0 + 1.9)
    back_s = T0 + BLIND_HOLD_S + 0.1
    effects = moving.sample(sample(back_s), back_s)
    assert moving.hold is MotionHold.LINK_LOST
    assert kinds(effects) == ["Apply", "ReportState"]
    assert not verdict(effects).may_move


def test_an_interface_that_is_gone_is_a_lost_link_at_once_and_takes_a_resume() -> None:
    moving = driving()
    effects = moving.cut_off(T0 + 0.1)
    assert kinds(effects) == ["Apply", "ReportState"]
    assert not verdict(effects).may_move
    permitted(moving, T0 + 0.3)
    moving.sample(sample(T0 + 0.3), T0 + 0.3)
    assert verdict(moving.tick(T0 + 0.3)).cause == "LINK_LOST"
    moving.resume(T0 + 0.3, "order x")
    assert verdict(moving.tick(T0 + 0.3)).may_move


def test_whoever_resumes_a_vehicle_that_nobody_sees_is_told_so() -> None:
    moving = driving()
    moving.cut_off(T0)
    late_s = T0 + SAMPLE_MAX_AGE_S + 0.1
    permitted(moving, late_s)
    with pytest.raises(ValueError, match="nothing to resume"):
        moving.resume(late_s, "order x")


def test_an_interface_that_comes_late_or_goes_in_boot_adds_no_hold_to_boot() -> None:
    booted = Gate(VEHICLE, EPOCH, Mission(VEHICLE, VehicleStatus.HAULING, seed=1), T0)
    on_a_good_link(booted, T0, T0 + 10)
    assert booted.cut_off(T0 + 10) == []
    booted.sample(sample(T0 + 10.1), T0 + 10.1)
    permitted(booted, T0 + 10.1)
    assert (booted.hold, booted.hold_count) == (MotionHold.BOOT, 1)


def test_silence_under_a_latch_is_a_lost_link_only_once_it_is_let_go() -> None:
    moving = driving()
    moving.merge(fleet_stop(), T0)
    assert moving.cut_off(T0 + 0.1) == []
    on_a_good_link(moving, T0, T0 + 10)
    moving.merge(releases(release("s1")), T0 + 10)
    permitted(moving, T0 + 10.1)
    assert moving.hold is MotionHold.LINK_LOST


@pytest.mark.parametrize(("age_s", "moves"), [(0, True), (SAMPLE_MAX_AGE_S, True), (SAMPLE_MAX_AGE_S + 0.01, False)])
def test_it_does_not_drive_blind(age_s: float, *, moves: bool) -> None:
    moving = driving()
    permitted(moving, T0 + 0.5)
    given = verdict(moving.tick(T0 + age_s))
    assert given.may_move == moves
    assert moving.hold is MotionHold.NONE
