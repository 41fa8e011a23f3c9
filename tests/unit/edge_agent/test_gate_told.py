"""What the gate tells, word by word: verdicts with their causes, states with their times, records for the disk."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_agent.effects import Effect, LatchRecord, PersistLatch, PersistState, ReportState, ReportStops, StateSnapshot
from edge_agent.gate import Gate
from edge_agent.limits import BLIND_HOLD_S, SAMPLE_MAX_AGE_S, SET_TRIM_AT
from edge_agent.mission import Mission
from edge_agent.stages import Progress, Stage
from edge_agent.vehicle import Verdict
from pitwall.domain.permit import PermitDenial
from pitwall.domain.stop_set import POSITION_MAX_AGE_S, SetDelta, VehicleScope
from pitwall.domain.vehicle_state import MotionHold, SubStatus, VehicleStatus
from tests.unit.edge_agent.builders import (
    EPOCH,
    OTHER,
    PIT,
    T0,
    TTL_S,
    VEHICLE,
    driving,
    fleet_stop,
    gate,
    of,
    permitted,
    release,
    releases,
    sample,
    stop,
    stops,
    verdict,
)

THEIRS = stops(stop("theirs", VehicleScope(frozenset({OTHER}))))


def booted(status: VehicleStatus = VehicleStatus.HAULING) -> Gate:
    """Has been told nothing yet."""
    return Gate(VEHICLE, EPOCH, Mission(VEHICLE, status, seed=1), T0)


def reported(effects: list[Effect]) -> StateSnapshot:
    (report,) = of(effects, ReportState)
    return report.snapshot


# Verdicts


def test_a_verdict_says_all_that_the_vehicle_needs() -> None:
    moving = driving()
    assert moving.verdict(T0) == Verdict(True, T0 + 0.3, VehicleStatus.HAULING, "", EPOCH, 0, slowing=False)
    moving.sequence, moving.mission.slowing = 7, True
    assert moving.verdict(T0) == Verdict(True, T0 + 0.3, VehicleStatus.HAULING, "", EPOCH, 7, slowing=True)


def latched(made: Gate) -> None:
    made.merge(stops(stop("s2"), stop("s1")), T0)


def unpermitted(made: Gate) -> None:
    latched(made)
    made.merge(releases(release("s1", "s2")), T0)


@pytest.mark.parametrize(
    ("make", "happens", "after_s", "cause"),
    [
        (driving, lambda made: None, 0.0, ""),
        (lambda: driving(VehicleStatus.IDLE), lambda made: None, 0.0, "IDLE"),
        (driving, latched, 0.0, "STOPPED s1"),
        (gate, lambda made: permitted(made, T0), 0.0, "BOOT"),
        (driving, lambda made: made.cut_off(T0), 0.0, "LINK_LOST"),
        (driving, unpermitted, 0.0, "NO_PERMIT"),
        (driving, lambda made: made.set_autonomous(False, T0, "order x"), 0.0, "MANUAL"),
        (driving, lambda made: permitted(made, T0 + 0.5), SAMPLE_MAX_AGE_S + 0.1, "BLIND"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_verdict_says_why_not(
    make: Callable[[], Gate], happens: Callable[[Gate], object], after_s: float, cause: str
) -> None:
    made = make()
    happens(made)
    given = made.verdict(T0 + after_s)
    assert (given.may_move, given.cause) == (not cause, cause)
    assert given.deadline_s == pytest.approx(T0 + after_s + 0.3)


# States


def test_a_vehicle_that_has_just_started_stands_in_boot_since_then() -> None:
    begun = StateSnapshot(VehicleStatus.HAULING, SubStatus.NONE, MotionHold.BOOT, 1, frozenset(), "boot", T0)
    assert booted().snapshot() == begun
    assert booted().sample(sample(T0), T0) == []
    effects = booted().restore(LatchRecord(), T0 + 1)
    assert effects == [PersistState(VehicleStatus.HAULING, True), ReportState(replace(begun, at_s=T0 + 1))]


def test_a_vehicle_that_was_latched_says_so_of_its_start() -> None:
    made = booted()
    effects = made.restore(LatchRecord(frozenset({"s1"}), fleet_stop()), T0 + 1)
    assert reported(effects) == StateSnapshot(
        VehicleStatus.EMERGENCY_STOP, SubStatus.NONE, MotionHold.STOPPED, 2, frozenset({"s1"}), "boot", T0 + 1
    )
    assert made.stages.all() == (Progress("s1", Stage.RECEIVED, T0 + 1, latched_durably=True),)


def test_an_error_that_a_latch_holds_is_an_error_still() -> None:
    made = booted(VehicleStatus.ERROR)
    made.restore(LatchRecord(frozenset({"s1"}), fleet_stop()), T0)
    assert (made.status, made.hold) == (VehicleStatus.ERROR, MotionHold.STOPPED)


def test_what_was_released_while_it_was_away_is_let_go_at_its_start() -> None:
    made = booted()
    effects = made.restore(LatchRecord(frozenset({"s1"}), SetDelta(fleet_stop().stops, (release("s1"),))), T0)
    assert (made.latched, made.status) == (frozenset(), VehicleStatus.MAINTENANCE)
    assert of(effects, ReportStops) == [ReportStops((Progress("s1", Stage.RELEASED, T0),))]


def test_every_change_is_reported_with_its_cause_its_count_and_its_time() -> None:
    made, late_s = driving(), T0 + TTL_S
    told = [
        reported(made.merge(fleet_stop("s1"), T0 + 0.1)),
        reported(made.merge(releases(release("s1")), T0 + 0.2)),
        reported(made.set_status(VehicleStatus.IDLE, T0 + 0.3, "order 1")),
        reported(made.set_autonomous(False, T0 + 0.4, "order 2")),
        reported(made.set_autonomous(True, T0 + 0.5, "order 3")),
        reported(made.fail(T0 + 0.6, "DRIVE_FAULT")),
    ]
    permitted(made, T0 + 0.7)
    told.append(reported(made.tick(late_s + 0.7)))
    permitted(made, late_s + 0.8)
    made.sample(sample(late_s + 0.8), late_s + 0.8)
    told.append(reported(made.resume(late_s + 0.8, "order 4")))
    told.append(reported(made.cut_off(late_s + 0.9)))
    assert [(one.cause, one.hold_count, round(one.at_s - T0, 1)) for one in told] == [
        ("stop s1", 3, 0.1),
        ("release r-s1", 4, 0.2),
        ("order 1", 5, 0.3),
        ("order 2", 6, 0.4),
        ("order 3", 7, 0.5),
        ("DRIVE_FAULT", 8, 0.6),
        ("permit ran out", 9, TTL_S + 0.7),
        ("order 4", 10, TTL_S + 0.8),
        ("vehicle interface gone", 11, TTL_S + 0.9),
    ]
    assert made.snapshot() == told[-1]


def test_a_silent_interface_is_named_as_the_cause() -> None:
    made = driving()
    permitted(made, T0 + 1.9)
    assert reported(made.tick(T0 + BLIND_HOLD_S + 0.1)).cause == "vehicle interface silent"


def test_a_fault_counts_once_and_whoever_orders_what_is_so_changes_nothing() -> None:
    made = driving()
    made.fail(T0, "DRIVE_FAULT")
    count = made.hold_count
    assert made.fail(T0, "DRIVE_FAULT") == []
    assert made.set_autonomous(True, T0, "order x") == []
    assert (made.status, made.hold_count) == (VehicleStatus.ERROR, count)


def test_out_of_autonomous_mode_is_on_disk_too() -> None:
    assert of(driving().set_autonomous(False, T0, "x"), PersistState) == [PersistState(VehicleStatus.HAULING, False)]


def test_a_step_within_a_leg_is_reported_without_a_cause() -> None:
    made = driving()
    made.tick(T0)
    made.sample(sample(T0 + 0.1, speed_kph=30.0), T0 + 0.1)
    made.tick(T0 + 0.1)
    assert made.snapshot().sub_status is SubStatus.CRUISING
    made.sample(sample(T0 + 0.2, speed_kph=0.0), T0 + 0.2)
    now = reported(made.tick(T0 + 0.2))
    assert (now.sub_status, now.cause, now.at_s) == (SubStatus.DECELERATING, "", T0 + 0.2)


def test_a_permit_that_ran_out_in_a_watched_zone_is_reported_by_the_tick_that_finds_it() -> None:
    made = driving()
    made.merge(stops(stop("z", PIT)), T0)
    effects = made.tick(T0 + TTL_S)
    assert reported(effects).hold is MotionHold.LINK_LOST
    assert verdict(effects).cause == "LINK_LOST"


def test_stops_for_others_change_nothing_here() -> None:
    made = driving()
    made.tick(T0)
    assert made.merge(THEIRS, T0) == []
    assert made.mission.engaged
    assert reported(booted().merge(THEIRS, T0)).cause == ""


def test_a_set_that_brings_nothing_new_is_not_judged_anew() -> None:
    """That is for the control loop, in every period."""
    made, late_s = gate(), T0 + POSITION_MAX_AGE_S + 0.1
    made.merge(stops(stop("z", PIT)), T0)
    assert made.merge(stops(stop("z", PIT)), late_s) == []
    made.tick(late_s)
    assert made.latched == {"z"}


@pytest.mark.parametrize(
    ("ttl_s", "until_s"), [(-1.0, T0 + TTL_S), (0.0, T0 + TTL_S), (0.5, T0 + 0.6), (1.0, T0 + 1.1)]
)
def test_an_answer_with_time_in_it_counts_whatever_else_it_says(ttl_s: float, until_s: float) -> None:
    made = driving()
    made.tick(T0 + 0.1)
    made.permit(made.heartbeats.newest, ttl_s, T0 + 0.1, PermitDenial.NO_MAJORITY)
    assert made.permit_until_s == pytest.approx(until_s)


def test_nobody_resumes_what_is_latched_whoever_permits_it() -> None:
    made = driving()
    made.merge(fleet_stop(), T0)
    permitted(made, T0 + 0.1)
    assert made.permit_valid(T0 + 0.1)
    with pytest.raises(ValueError, match="hold is STOPPED, permit until"):
        made.resume(T0 + 0.1, "order x")


# Stops


def test_a_stop_is_told_as_received_at_its_time_and_a_release_at_its_own() -> None:
    made = driving()
    assert of(made.merge(fleet_stop(), T0 + 0.1), ReportStops) == [
        ReportStops((Progress("s1", Stage.RECEIVED, T0 + 0.1),))
    ]
    assert of(made.merge(releases(release("s1")), T0 + 0.2), ReportStops) == [
        ReportStops((Progress("s1", Stage.RELEASED, T0 + 0.2),))
    ]


@pytest.mark.parametrize(("vehicle", "told"), [(VEHICLE, True), (OTHER, False)])
def test_a_release_is_answered_by_the_vehicles_that_it_names(vehicle: str, *, told: bool) -> None:
    effects = driving().merge(releases(release("s9", vehicles=frozenset({vehicle}))), T0)
    assert bool(of(effects, ReportStops)) is told


# Records


def test_a_record_holds_what_has_hold_and_what_is_watched_and_own_withdrawals() -> None:
    made = driving()
    (persist,) = of(made.merge(fleet_stop(), T0), PersistLatch)
    assert persist.record == LatchRecord(frozenset({"s1"}), fleet_stop())
    withdrawn = replace(release("mine"), issuing_vehicle_id=VEHICLE)
    (persist,) = of(made.merge(releases(release("theirs"), withdrawn), T0), PersistLatch)
    assert persist.record == LatchRecord(frozenset({"s1"}), SetDelta(fleet_stop().stops, (withdrawn,)))
    assert made.record == persist.record


def test_the_set_is_trimmed_at_its_limit_and_never_of_own_withdrawals() -> None:
    made = driving()
    withdrawn = replace(release("mine"), issuing_vehicle_id=VEHICLE)
    made.merge(releases(withdrawn, *(release(f"s{number}") for number in range(1, SET_TRIM_AT))), T0)
    assert len(made.stops.snapshot().releases) == SET_TRIM_AT
    made.merge(releases(release("one more")), T0)
    assert len(made.stops.snapshot().releases) < SET_TRIM_AT
    assert made.record.carried.releases == (withdrawn,)
