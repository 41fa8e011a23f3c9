"""The gate, one rule at a time."""

import pytest

from edge_agent.effects import Apply, Effect, LatchRecord, PersistLatch, PersistState, ReportState, ReportStops
from edge_agent.limits import CONTROL_PERIOD_S
from edge_agent.stages import Stage
from pitwall.domain.permit import PermitDenial
from pitwall.domain.stop_set import POSITION_MAX_AGE_S, FleetScope, SetDelta, VehicleScope
from pitwall.domain.vehicle_state import MOVING, MotionHold, VehicleStatus
from tests.unit.edge_agent.builders import (
    INSIDE,
    OTHER,
    OUTSIDE,
    PIT,
    T0,
    TTL_S,
    VEHICLE,
    driving,
    fleet_stop,
    gate,
    kinds,
    of,
    permitted,
    permitted_tick,
    release,
    releases,
    sample,
    stop,
    stops,
    verdict,
)


def test_it_moves_with_everything_in_place() -> None:
    given = verdict(driving().tick(T0))
    assert given.may_move
    assert given.cause == ""


@pytest.mark.parametrize("status", VehicleStatus)
def test_only_statuses_that_drive_may_move(status: VehicleStatus) -> None:
    assert verdict(driving(status).tick(T0)).may_move == (status in MOVING)


def test_boot_denies_even_with_a_permit() -> None:
    booted = gate()
    permitted(booted, T0)
    given = verdict(booted.tick(T0))
    assert (given.may_move, given.cause) == (False, "BOOT")


def test_resume_needs_a_valid_permit() -> None:
    with pytest.raises(ValueError, match="permit"):
        gate().resume(T0, "order x")


def test_resume_engages_the_mission() -> None:
    assert driving().mission.engaged


def test_the_end_of_a_permit_in_boot_is_boot_still() -> None:
    booted = gate()
    permitted(booted, T0)
    booted.tick(T0 + TTL_S)
    assert (booted.hold, booted.hold_count) == (MotionHold.BOOT, 1)


def test_a_fed_permit_alone_moves_nothing_before_the_next_tick() -> None:
    moving = driving()
    assert not of(permitted(moving, T0 + 0.1), Apply)


# The permit, swept across its end


@pytest.mark.parametrize(("after_s", "moves"), [(0, True), (TTL_S - 0.001, True), (TTL_S, False), (TTL_S + 1, False)])
def test_a_permit_runs_from_the_sending_of_its_heartbeat(after_s: float, *, moves: bool) -> None:
    moving = driving()
    moving.sample(sample(T0 + after_s), T0 + after_s)
    assert verdict(moving.tick(T0 + after_s)).may_move == moves


def test_delay_makes_a_permit_shorter_never_longer() -> None:
    moving = driving()
    moving.tick(T0 + 0.1)
    sent = moving.heartbeats.newest
    moving.permit(sent, TTL_S, T0 + 1.5)
    assert moving.permit_until_s == T0 + 0.1 + TTL_S


@pytest.mark.parametrize(("left_s", "deadline_s"), [(0.1, 0.1), (0.3, 0.3), (0.4, 0.3), (2.0, 0.3)])
def test_a_verdict_dies_with_the_permit_and_after_three_periods_at_the_latest(left_s: float, deadline_s: float) -> None:
    moving = driving()
    at_s = T0 + TTL_S - left_s
    moving.sample(sample(at_s), at_s)
    assert verdict(moving.tick(at_s)).deadline_s == pytest.approx(at_s + deadline_s)


def test_the_end_of_a_permit_is_a_lost_link_that_a_new_permit_does_not_mend() -> None:
    moving = driving()
    late_s = T0 + TTL_S
    effects = moving.tick(late_s)
    assert moving.hold is MotionHold.LINK_LOST
    assert kinds(effects) == ["Apply", "ReportState"]
    permitted(moving, late_s)
    assert not verdict(moving.tick(late_s)).may_move


def test_an_end_that_fell_between_two_ticks_is_a_lost_link_too() -> None:
    moving = driving()
    moving.tick(T0 + TTL_S - 0.05)
    effects = moving.permit(moving.heartbeats.newest, TTL_S, T0 + TTL_S + 0.01)
    assert moving.hold is MotionHold.LINK_LOST
    assert not verdict(effects).may_move


def test_a_loop_that_slept_longer_than_its_permit_denies_though_an_answer_waits() -> None:
    """SIGSTOP for 5 s: on waking, the stream delivers permits for heartbeats from before."""
    moving = driving()
    moving.tick(T0 + 0.1)
    woken_s = T0 + 5
    moving.permit(moving.heartbeats.newest, TTL_S, woken_s)
    assert not verdict(moving.tick(woken_s)).may_move
    assert moving.hold is MotionHold.LINK_LOST


@pytest.mark.parametrize("denial", [PermitDenial.STOPPED, PermitDenial.OLD_SESSION])
def test_zero_time_takes_leave_away_at_once(denial: PermitDenial) -> None:
    moving = driving()
    moving.tick(T0 + 0.1)
    effects = moving.permit(moving.heartbeats.newest, 0.0, T0 + 0.1, denial)
    assert not verdict(effects).may_move
    assert moving.hold is MotionHold.LINK_LOST


def test_a_gateway_that_has_nothing_to_give_takes_nothing_away() -> None:
    moving = driving()
    permitted(moving, T0)
    until_s = moving.permit_until_s
    moving.tick(T0 + 0.1)
    assert moving.permit(moving.heartbeats.newest, 0.0, T0 + 0.1, PermitDenial.NO_MAJORITY) == []
    assert moving.permit_until_s == until_s, "and gives nothing either"
    moving.sample(sample(until_s), until_s)
    assert not verdict(moving.tick(until_s)).may_move
    assert moving.hold is MotionHold.LINK_LOST


def test_the_next_gateway_goes_on_where_one_without_a_majority_had_nothing() -> None:
    moving = driving()
    moving.tick(T0 + 0.4)
    moving.permit(moving.heartbeats.newest, 0.0, T0 + 0.5, PermitDenial.NO_MAJORITY)
    permitted(moving, T0 + 1.9)
    moving.sample(sample(T0 + 1.9), T0 + 1.9)
    assert verdict(moving.tick(T0 + 2.0)).may_move
    assert moving.hold is MotionHold.NONE


def test_a_permit_for_a_heartbeat_that_was_never_sent_does_nothing() -> None:
    booted = gate()
    booted.permit(999, TTL_S, T0)
    assert not booted.permit_valid(T0)


def test_without_a_permit_ever_there_is_no_link_to_lose() -> None:
    released = driving()
    released.merge(fleet_stop(), T0)
    released.merge(releases(release("s1")), T0)
    released.tick(T0 + 60)
    assert released.hold is MotionHold.NONE


def test_out_of_autonomous_mode_it_stands_at_once_and_back_in_it_moves_with_a_tick() -> None:
    moving = driving()
    assert not verdict(moving.set_autonomous(False, T0, "order x")).may_move
    assert not of(moving.set_autonomous(True, T0, "order y"), Apply)
    assert verdict(moving.tick(T0)).may_move


# Stops


def test_a_stop_brakes_first_writes_second_and_reports_third() -> None:
    effects = driving().merge(fleet_stop(), T0)
    assert kinds(effects) == ["Apply", "PersistLatch", "PersistState", "ReportStops", "ReportState"]
    assert not verdict(effects).may_move


def test_a_stop_that_comes_when_the_permit_has_just_run_out_keeps_that_order() -> None:
    moving = driving()
    effects = moving.merge(fleet_stop(), T0 + TTL_S)
    assert kinds(effects)[:3] == ["Apply", "PersistLatch", "PersistState"]
    moving.merge(releases(release("s1")), T0 + TTL_S)
    assert moving.hold is MotionHold.LINK_LOST


@pytest.mark.parametrize("scope", [FleetScope(), VehicleScope(frozenset({VEHICLE, OTHER}))])
def test_a_stop_for_it_latches(scope: FleetScope | VehicleScope) -> None:
    moving = driving()
    moving.merge(stops(stop("s1", scope)), T0)
    assert (moving.latched, moving.hold, moving.status) == (
        frozenset({"s1"}),
        MotionHold.STOPPED,
        VehicleStatus.EMERGENCY_STOP,
    )


def test_a_stop_for_others_does_not() -> None:
    moving = driving()
    moving.merge(stops(stop("s1", VehicleScope(frozenset({OTHER})))), T0)
    assert not moving.latched


@pytest.mark.parametrize("status", [VehicleStatus.MAINTENANCE, VehicleStatus.OFFLINE])
def test_a_parked_vehicle_is_latched_and_stays_parked(status: VehicleStatus) -> None:
    parked = gate(status)
    parked.merge(fleet_stop(), T0)
    assert (parked.hold, parked.status) == (MotionHold.STOPPED, status)


def test_a_stop_voids_answers_to_every_heartbeat_sent_before_it() -> None:
    moving = driving()
    moving.tick(T0 + 0.1)
    before = moving.heartbeats.newest
    moving.merge(fleet_stop(), T0 + 0.1)
    moving.merge(releases(release("s1")), T0 + 0.1)
    moving.permit(before, TTL_S, T0 + 0.2)
    assert not moving.permit_valid(T0 + 0.2)
    permitted(moving, T0 + 0.3)
    assert moving.permit_valid(T0 + 0.3)


def test_repeating_a_stop_changes_nothing() -> None:
    moving = driving()
    moving.merge(fleet_stop(), T0)
    holds = moving.hold_count
    assert moving.merge(fleet_stop(), T0) == []
    assert moving.hold_count == holds


def test_an_empty_set_does_not_release() -> None:
    """A restarted gateway must not un-latch anybody."""
    moving = driving()
    moving.merge(fleet_stop(), T0)
    moving.merge(SetDelta(), T0)
    assert moving.latched


def test_losing_the_permit_while_latched_is_no_lost_link() -> None:
    moving = driving()
    moving.merge(fleet_stop(), T0)
    moving.tick(T0 + 10)
    moving.merge(releases(release("s1")), T0 + 10)
    assert moving.hold is MotionHold.NONE


# Releases


def test_the_last_release_leads_to_maintenance_and_moves_nothing() -> None:
    moving = driving()
    moving.merge(fleet_stop("s1"), T0)
    moving.merge(fleet_stop("s2"), T0)
    moving.merge(releases(release("s1")), T0)
    assert (moving.hold, moving.status) == (MotionHold.STOPPED, VehicleStatus.EMERGENCY_STOP)
    effects = moving.merge(releases(release("s2")), T0)
    assert (moving.hold, moving.status) == (MotionHold.NONE, VehicleStatus.MAINTENANCE)
    assert not of(effects, Apply)
    permitted(moving, T0)
    assert not verdict(moving.tick(T0)).may_move


def test_a_release_for_other_vehicles_does_nothing_here() -> None:
    moving = driving()
    moving.merge(fleet_stop(), T0)
    moving.merge(releases(release("s1", vehicles=frozenset({OTHER}))), T0)
    assert moving.latched


def test_what_lay_beneath_the_latch_is_back_when_it_goes() -> None:
    booted = gate()
    booted.merge(fleet_stop(), T0)
    booted.merge(releases(release("s1")), T0)
    assert booted.hold is MotionHold.BOOT


def test_a_release_of_what_it_never_held_is_answered_too() -> None:
    moving = driving()
    effects = moving.merge(SetDelta((stop("z", PIT),), (release("z"),)), T0)
    (report,) = of(effects, ReportStops)
    assert [(p.stop_id, p.stage) for p in report.progress] == [("z", Stage.RELEASED)]


def test_a_release_that_comes_before_its_stop_lets_it_never_hold() -> None:
    moving = driving()
    moving.merge(releases(release("s1")), T0)
    moving.merge(fleet_stop(), T0)
    assert not moving.latched


# Zones


@pytest.mark.parametrize(
    ("where", "latched"),
    [(OUTSIDE, False), (INSIDE, True), (None, False)],
    ids=["outside", "inside", "unknown, but known a moment ago"],
)
def test_a_zone_is_judged_by_the_live_position(where: object, *, latched: bool) -> None:
    moving = driving()
    moving.merge(stops(stop("z", PIT)), T0)
    moving.sample(sample(T0 + 0.1, at=where), T0 + 0.1)  # type: ignore[arg-type]
    assert bool(moving.latched) == latched


@pytest.mark.parametrize(("age_s", "latched"), [(POSITION_MAX_AGE_S, False), (POSITION_MAX_AGE_S + 0.1, True)])
def test_a_position_that_grows_old_counts_as_inside(age_s: float, *, latched: bool) -> None:
    moving = driving()
    moving.merge(stops(stop("z", PIT)), T0)
    moving.tick(T0 + age_s)
    assert bool(moving.latched) == latched


def test_whoever_drives_into_a_stopped_zone_brakes_at_its_edge_and_is_held_wherever_it_rolls() -> None:
    moving = driving()
    moving.merge(stops(stop("z", PIT)), T0)
    effects = moving.sample(sample(T0 + 0.1, at=INSIDE), T0 + 0.1)
    assert kinds(effects) == ["Apply", "PersistLatch", "PersistState", "ReportStops", "ReportState"]
    moving.sample(sample(T0 + 0.2, at=OUTSIDE), T0 + 0.2)
    assert moving.latched == {"z"}


def test_a_zone_that_is_only_watched_is_written_down_too() -> None:
    (persist,) = of(driving().merge(stops(stop("z", PIT)), T0), PersistLatch)
    assert persist.record == LatchRecord(frozenset(), stops(stop("z", PIT)))


# Stages


def test_stages_are_measured_and_never_concluded() -> None:
    moving = driving()
    moving.merge(fleet_stop(), T0)
    rolling = moving.sample(sample(T0 + 0.1, speed_kph=20), T0 + 0.1)
    braking = moving.sample(sample(T0 + 0.2, speed_kph=20, braking=True), T0 + 0.2)
    unknown = moving.sample(sample(T0 + 0.3, speed_kph=None, braking=True), T0 + 0.3)
    standing = moving.sample(sample(T0 + 9, speed_kph=0, braking=True), T0 + 9)
    again = moving.sample(sample(T0 + 10, speed_kph=0, braking=True), T0 + 10)
    assert [_stages(e) for e in (rolling, braking, unknown, standing, again)] == [
        [],
        [Stage.BRAKING],
        [],
        [Stage.STANDSTILL],
        [],
    ]


def test_a_measurement_from_before_the_stop_proves_nothing() -> None:
    moving = driving()
    moving.merge(fleet_stop(), T0 + 0.1)
    assert _stages(moving.sample(sample(T0 + 0.05, speed_kph=0, braking=True), T0 + 0.1)) == []


def test_a_latch_on_disk_is_reported_once() -> None:
    moving = driving()
    moving.merge(fleet_stop(), T0)
    (report,) = of(moving.durable({"s1"}), ReportStops)
    assert report.progress[0].latched_durably
    assert moving.durable({"s1"}) == []


def _stages(effects: list[Effect]) -> list[Stage]:
    return [p.stage for report in of(effects, ReportStops) for p in report.progress]


# Across a restart


def test_a_brought_latch_holds_before_anybody_is_heard() -> None:
    booted = gate()
    effects = booted.restore(LatchRecord(frozenset({"s1"}), fleet_stop()), T0)
    assert (booted.hold, booted.status) == (MotionHold.STOPPED, VehicleStatus.EMERGENCY_STOP)
    assert of(effects, PersistState)
    booted.merge(releases(release("s1")), T0)
    assert booted.hold is MotionHold.BOOT


def test_what_was_brought_counts_is_known_to_be_on_disk_and_is_not_written_again() -> None:
    booted = gate()
    record = LatchRecord(frozenset({"s1"}), fleet_stop())
    assert not of(booted.restore(record, T0), PersistLatch)
    assert booted.hold_count == 2
    assert [(p.stop_id, p.latched_durably) for p in booted.stages.all()] == [("s1", True)]
    assert booted.merge(fleet_stop(), T0) == []
    assert booted.record == record


def test_a_zone_that_was_watched_is_watched_on() -> None:
    booted = gate()
    booted.restore(LatchRecord(frozenset(), stops(stop("z", PIT))), T0)
    booted.sample(sample(T0 + 0.1, at=INSIDE), T0 + 0.1)
    assert booted.latched == {"z"}


def test_a_latch_of_which_only_the_id_is_known_holds_and_can_be_released() -> None:
    booted = gate()
    booted.restore(LatchRecord(frozenset({"s1"})), T0)
    assert booted.latched == {"s1"}
    booted.merge(releases(release("s1")), T0)
    assert not booted.latched


def test_a_crash_between_release_and_status_ends_in_maintenance() -> None:
    booted = gate(VehicleStatus.EMERGENCY_STOP)
    booted.restore(LatchRecord(), T0)
    assert booted.status is VehicleStatus.MAINTENANCE


# Counting


def test_hold_count_counts_boot_each_resume_stop_release_and_lost_link() -> None:
    assert gate().hold_count == 1
    moving = driving()
    assert moving.hold_count == 2
    moving.merge(stops(stop("a"), stop("b")), T0)
    assert moving.hold_count == 4
    moving.merge(releases(release("a"), release("x")), T0)
    assert moving.hold_count == 5
    moving.merge(releases(release("b")), T0)
    assert moving.hold_count == 6
    permitted(moving, T0)
    moving.tick(T0 + TTL_S)
    assert moving.hold_count == 7


def test_every_tick_numbers_one_heartbeat_and_nothing_else_does() -> None:
    moving = gate()
    before = moving.heartbeats.newest
    moving.merge(fleet_stop(), T0)
    moving.sample(sample(T0), T0)
    moving.permit(1, TTL_S, T0)
    assert moving.heartbeats.newest == before
    moving.tick(T0 + CONTROL_PERIOD_S)
    assert moving.heartbeats.newest == before + 1


def test_a_lost_link_counts_once_however_long_it_lasts() -> None:
    moving = driving()
    for seconds in (2, 3, 4):
        moving.tick(T0 + seconds)
    assert moving.hold_count == driving().hold_count + 1


def test_a_stop_for_others_writes_no_latch_file() -> None:
    moving = driving()
    moving.merge(fleet_stop(), T0)
    assert not of(moving.merge(stops(stop("x", VehicleScope(frozenset({OTHER})))), T0), PersistLatch)


def test_a_leg_that_ends_is_reported_as_the_missions() -> None:
    idle = driving(VehicleStatus.IDLE)
    reports = []
    for tick in range(1, 620):
        now_s = T0 + tick * 0.1
        idle.sample(sample(now_s, speed_kph=0.0), now_s)
        reports += of(permitted_tick(idle, now_s), ReportState)
    assert [(r.snapshot.status, r.snapshot.cause) for r in reports][-1] == (VehicleStatus.ROUTING, "mission")


def test_a_state_is_reported_when_it_changes_and_not_otherwise() -> None:
    moving = driving()
    moving.tick(T0)
    assert not of(moving.tick(T0), ReportState)
    (report,) = of(moving.merge(fleet_stop(), T0), ReportState)
    assert report.snapshot.cause == "stop s1"
    assert report.snapshot.latched == {"s1"}
