"""One vehicle's agent as a whole: what happens when, and in which order."""

import pytest
from haul.telemetry.v1.telemetry_pb2 import MOTION_HOLD_BOOT

from edge_agent.agent import Brought, VehicleAgent
from edge_agent.downlink import OrderCame, OrderUnreadable, PermitCame, SetCame
from edge_agent.effects import (
    Apply,
    LatchRecord,
    PersistLatch,
    PersistState,
    RecordOrder,
    ReportOrder,
    ReportState,
    ShareOwn,
    StoreReading,
)
from edge_agent.limits import MAX_HELLO_SET_BYTES, OWN_STOP_CLEAR_S, SAMPLE_MAX_AGE_S
from edge_agent.vehicle import DRIVE_FAULT, LOCAL_STOP_BUTTON
from pitwall.domain.order import LinkLossDrill, MotionEtag, Order, OrderKind, OrderResult, Resume, SetStatus, StopDrill
from pitwall.domain.permit import PermitDenial
from pitwall.domain.stop_set import SetDelta, VehicleScope
from pitwall.domain.vehicle_state import MotionHold, VehicleStatus
from tests.unit.edge_agent.builders import (
    EPOCH,
    INSIDE,
    OTHER,
    PIT,
    T0,
    TTL_S,
    VEHICLE,
    WALL,
    agent,
    fleet_stop,
    kinds,
    moment,
    of,
    release,
    releases,
    sample,
    stop,
    stops,
    verdict,
)

PRESSED = frozenset({LOCAL_STOP_BUTTON})
BROKEN = frozenset({DRIVE_FAULT})


# Start


def test_it_starts_held_and_says_so() -> None:
    made, effects = agent()
    assert kinds(effects) == ["PersistState", "ReportState"]
    assert made.gate.hold is MotionHold.BOOT
    assert not verdict(made.tick(moment())).may_move


def test_where_it_is_counts_before_any_zone_does() -> None:
    watching = LatchRecord(frozenset(), stops(stop("z", PIT)))
    outside, _ = agent(Brought(EPOCH, latch=watching))
    inside, _ = agent(Brought(EPOCH, latch=watching), first=sample(at=INSIDE))
    nowhere, _ = agent(Brought(EPOCH, latch=watching), first=sample(at=None))
    assert [bool(made.gate.latched) for made in (outside, inside, nowhere)] == [False, True, True]


@pytest.mark.parametrize("status", [VehicleStatus.MAINTENANCE, VehicleStatus.OFFLINE, VehicleStatus.HAULING])
def test_the_status_survives_a_restart(status: VehicleStatus) -> None:
    assert agent(Brought(EPOCH, status))[0].gate.status is status


# Hello


def test_hello_says_who_it_is_and_what_holds_it() -> None:
    made, _ = agent(Brought(EPOCH, latch=LatchRecord(frozenset({"s1"}), fleet_stop())))
    made.connecting()
    made.connecting()
    hello = made.hello(moment())
    assert (hello.vehicle_id, hello.boot_epoch, hello.connect_count) == (VEHICLE, EPOCH, 2)
    assert [s.stop_id for s in hello.stop_set.stops] == ["s1"]
    assert list(hello.status.latched_stop_ids) == ["s1"]
    assert hello.clock.monotonic_nanos == T0 * 1e9
    assert hello.lowest_deceleration_mps2 > 0


def test_hello_brings_zones_and_own_withdrawals_along() -> None:
    made, _ = agent()
    made.receive(SetCame(stops(stop("z", PIT))), moment())
    made.sampled(sample(T0, faults=PRESSED), moment(T0))
    made.sampled(sample(T0 + 1), moment(T0 + 1))
    made.sampled(sample(T0 + 1 + OWN_STOP_CLEAR_S), moment(T0 + 1 + OWN_STOP_CLEAR_S))
    hello = made.hello(moment(T0 + 3))
    assert [s.stop_id for s in hello.stop_set.stops] == ["z"]
    assert [r.issuing_vehicle_id for r in hello.stop_set.releases] == [VEHICLE]


def test_a_hello_that_would_be_too_large_keeps_the_latches() -> None:
    many = VehicleScope(frozenset({VEHICLE} | {f"{OTHER}{n:04d}" for n in range(2_000)}))
    zones = tuple(stop(f"a-zone-{n:04d}", PIT) for n in range(6_000))
    made, _ = agent()
    made.receive(SetCame(SetDelta((*zones, *(stop(f"s{n}", many) for n in range(3))))), moment())
    hello = made.hello(moment())
    assert hello.stop_set.ByteSize() <= MAX_HELLO_SET_BYTES
    brought = [s.stop_id for s in hello.stop_set.stops]
    assert brought[:3] == ["s0", "s1", "s2"]
    assert 1_000 < len(brought) < 6_003


# Own stops


def test_the_button_brakes_first_and_is_shared_last() -> None:
    made, _ = agent()
    effects = made.sampled(sample(T0, faults=PRESSED), moment())
    assert kinds([e for e in effects if not isinstance(e, StoreReading)]) == [
        "Apply",
        "PersistLatch",
        "PersistState",
        "ReportStops",
        "ReportState",
        "ShareOwn",
    ]
    (shared,) = of(effects, ShareOwn)
    assert made.gate.latched == {shared.delta.stops[0].stop_id}


def test_the_button_let_go_leads_to_maintenance_and_moves_nothing() -> None:
    made, _ = agent()
    made.sampled(sample(T0, faults=PRESSED), moment())
    made.sampled(sample(T0 + 1), moment(T0 + 1))
    effects = made.sampled(sample(T0 + 2), moment(T0 + 2))
    assert not made.gate.latched
    assert made.gate.status is VehicleStatus.MAINTENANCE
    assert not of(effects, Apply)
    assert of(effects, PersistLatch)


def test_a_release_by_people_of_a_button_still_pressed_stops_it_anew() -> None:
    made, _ = agent()
    (shared,) = of(made.sampled(sample(T0, faults=PRESSED), moment()), ShareOwn)
    made.receive(SetCame(releases(release(shared.delta.stops[0].stop_id))), moment())
    effects = made.sampled(sample(T0 + 0.1, faults=PRESSED), moment(T0 + 0.1))
    assert isinstance(effects[0], Apply)
    assert made.gate.latched


# Readings


def test_a_fault_of_the_drive_is_an_own_stop_and_an_error_that_outlasts_it() -> None:
    made, _ = agent(Brought(EPOCH, VehicleStatus.HAULING))
    effects = made.sampled(sample(T0 + 0.1, faults=BROKEN), moment(T0 + 0.1))
    assert kinds(effects)[0] == "Apply", "it brakes first"
    assert (made.gate.status, made.gate.hold) == (VehicleStatus.ERROR, MotionHold.STOPPED)
    assert [stop.reason for share in of(effects, ShareOwn) for stop in share.delta.stops] == [DRIVE_FAULT]
    assert of(effects, PersistState)[-1].status is VehicleStatus.ERROR
    made.sampled(sample(T0 + 1), moment(T0 + 1))
    made.sampled(sample(T0 + 1 + OWN_STOP_CLEAR_S), moment(T0 + 1 + OWN_STOP_CLEAR_S))
    assert (made.gate.status, made.gate.latched) == (VehicleStatus.ERROR, frozenset())
    made.gate.set_status(VehicleStatus.MAINTENANCE, T0 + 3, "order x")


def test_an_error_is_one_still_after_a_restart_while_its_stop_holds() -> None:
    made, _ = agent(Brought(EPOCH, VehicleStatus.HAULING))
    made.sampled(sample(T0 + 0.1, faults=BROKEN), moment(T0 + 0.1))
    again, _ = agent(Brought(EPOCH + 1, made.gate.status, latch=made.gate.record), first=sample(faults=BROKEN))
    assert again.gate.latched == made.gate.latched
    assert again.gate.status is VehicleStatus.ERROR
    assert not of(again.sampled(sample(T0 + 0.2, faults=BROKEN), moment(T0 + 0.2)), ShareOwn)
    assert again.gate.status is VehicleStatus.ERROR


def test_a_latch_for_a_fault_whose_status_was_never_written_is_an_error_after_a_restart() -> None:
    made, _ = agent(Brought(EPOCH, VehicleStatus.HAULING))
    made.sampled(sample(T0 + 0.1, faults=BROKEN), moment(T0 + 0.1))
    again, effects = agent(Brought(EPOCH + 1, VehicleStatus.HAULING, latch=made.gate.record))
    assert again.gate.status is VehicleStatus.ERROR
    assert of(effects, PersistState)[-1].status is VehicleStatus.ERROR


def test_the_button_is_no_error() -> None:
    made, _ = agent(Brought(EPOCH, VehicleStatus.HAULING))
    made.sampled(sample(T0 + 0.1, faults=PRESSED), moment(T0 + 0.1))
    assert made.gate.status is VehicleStatus.EMERGENCY_STOP


def readings(count: int, rate_hz: float, jitter_s: float = 0.0) -> list[int]:
    """Sequences of the readings out of so many samples, ten a second."""
    made, _ = agent(rate_hz=rate_hz)
    taken = []
    for n in range(count):
        at_s = T0 + n * 0.1 + (jitter_s if n % 2 else 0.0)
        taken += of(made.sampled(sample(at_s), moment(at_s)), StoreReading)
    return [store.reading.sequence for store in taken]


@pytest.mark.parametrize(("rate_hz", "expected"), [(1, 10), (2, 20), (5, 50), (10, 100)])
def test_the_rate_is_kept_and_sequences_have_no_gap(rate_hz: float, expected: int) -> None:
    assert readings(100, rate_hz) == list(range(1, expected + 1))


@pytest.mark.parametrize("jitter_s", [0.02, -0.02])
def test_jitter_does_not_halve_the_rate(jitter_s: float) -> None:
    assert len(readings(100, 10, jitter_s)) >= 99


def test_a_reading_says_what_is_known_and_leaves_out_what_is_not() -> None:
    made, _ = agent()
    (store,) = of(made.sampled(sample(T0, speed_kph=None, fuel_level_percent=0.0), moment(T0 + 0.05)), StoreReading)
    reading = store.reading
    assert not reading.HasField("speed_kph")
    assert reading.HasField("fuel_level_percent")
    assert reading.fuel_level_percent == 0
    assert (reading.vehicle_id, reading.boot_epoch, reading.sequence) == (VEHICLE, EPOCH, 1)
    assert reading.monotonic_nanos == T0 * 1e9
    assert (WALL - reading.event_time.ToDatetime(tzinfo=WALL.tzinfo)).total_seconds() == pytest.approx(0.05, abs=1e-3)


def test_without_samples_readings_go_on_with_a_state_and_no_quantities() -> None:
    made, _ = agent()
    made.sampled(sample(T0), moment(T0))
    late_s = T0 + 1 + SAMPLE_MAX_AGE_S
    assert not of(made.tick(moment(late_s - 0.1)), StoreReading)
    (store,) = of(made.tick(moment(late_s)), StoreReading)
    assert store.reading.sequence == 2
    assert not store.reading.HasField("speed_kph")
    assert store.reading.motion_hold == MOTION_HOLD_BOOT


def test_the_verdict_names_the_last_sequence() -> None:
    made, _ = agent()
    made.sampled(sample(T0), moment(T0))
    assert verdict(made.tick(moment(T0))).sequence == 1


# The stream


def test_a_resume_by_the_etag_of_hello_runs_once_it_is_on_disk() -> None:
    made, _ = agent(Brought(EPOCH, VehicleStatus.HAULING))
    made.connecting()
    made.tick(moment())
    made.receive(PermitCame(1, 2.0, PermitDenial.NONE), moment())
    order = Order("q1", Resume())
    etag = MotionEtag(EPOCH, 1, made.hello(moment()).status.hold_count, 1)
    assert made.receive(OrderCame(order, etag), moment()) == [RecordOrder("q1")]
    effects = made.recorded("q1", moment(), ok=True)
    (answer,) = of(effects, ReportOrder)
    assert answer.outcome.result is OrderResult.EXECUTED
    (state,) = of(effects, ReportState)
    assert state.snapshot.cause == "order q1"
    assert verdict(made.tick(moment())).may_move


def test_an_order_from_the_session_before_does_nothing() -> None:
    made, _ = agent()
    made.connecting()
    etag = MotionEtag(EPOCH, 1, 1, 0)
    made.connecting()
    (answer,) = of(made.receive(OrderCame(Order("q1", Resume()), etag), moment()), ReportOrder)
    assert answer.outcome.reason == "RECONNECTED"


def test_an_order_that_comes_before_the_tick_that_sees_the_link_lost_finds_it_lost() -> None:
    made, _ = agent(Brought(EPOCH, VehicleStatus.IDLE))
    made.connecting()
    made.tick(moment())
    made.receive(PermitCame(1, 2.0, PermitDenial.NONE), moment())
    made.gate.resume(T0, "order q0")
    etag = MotionEtag(EPOCH, 1, made.gate.hold_count, 1)
    late = moment(T0 + 2)
    effects = made.receive(OrderCame(Order("q1", SetStatus(VehicleStatus.MAINTENANCE)), etag), late)
    assert isinstance(effects[0], Apply)
    (answer,) = of(effects, ReportOrder)
    assert answer.outcome.reason == "HELD_SINCE"


def test_an_order_that_waits_for_a_hung_disk_is_given_up_by_a_tick() -> None:
    made, _ = agent()
    made.connecting()
    made.tick(moment())
    order = Order("q1", SetStatus(VehicleStatus.MAINTENANCE))
    made.receive(OrderCame(order, MotionEtag(EPOCH, 1, made.gate.hold_count, 1)), moment())
    assert not of(made.tick(moment(T0 + 9.9)), ReportOrder)
    (answer,) = of(made.tick(moment(T0 + 10)), ReportOrder)
    assert answer.outcome.result is OrderResult.EXPIRED


# Drills


def permit(made: VehicleAgent, at_s: float, ttl_s: float = TTL_S) -> PermitCame:
    """A tick, and the answer to its heartbeat."""
    made.tick(moment(at_s))
    return PermitCame(made.gate.heartbeats.newest, ttl_s, PermitDenial.NONE)


def drilled(kind: OrderKind, *, drills: bool = True) -> tuple[VehicleAgent, ReportOrder]:
    """One that drives is given a drill, and answers."""
    made, _ = agent(Brought(EPOCH, VehicleStatus.HAULING), drills=drills)
    made.connecting()
    made.receive(permit(made, T0), moment())
    made.gate.resume(T0, "order q0")
    etag = MotionEtag(EPOCH, 1, made.gate.hold_count, made.gate.heartbeats.newest)
    effects = made.receive(OrderCame(Order("q1", kind), etag), moment())
    (answer,) = of(effects or [], ReportOrder) or of(made.recorded("q1", moment(), ok=True), ReportOrder)
    return made, answer


def test_a_vehicle_that_has_not_consented_refuses_and_drives_on() -> None:
    made, answer = drilled(LinkLossDrill(), drills=False)
    assert (answer.outcome.result, answer.outcome.reason) == (OrderResult.REJECTED, "NO_CONSENT")
    made.receive(permit(made, T0 + 1), moment(T0 + 1))
    made.sampled(sample(T0 + 2), moment(T0 + 2))
    assert verdict(made.tick(moment(T0 + TTL_S + 0.1))).may_move


def test_in_a_drill_of_the_links_loss_permits_give_no_leave_until_it_stands() -> None:
    made, answer = drilled(LinkLossDrill())
    assert (answer.outcome.result, answer.outcome.reaction) == (OrderResult.EXECUTED, None)
    made.receive(permit(made, T0 + 1), moment(T0 + 1))
    made.sampled(sample(T0 + 1.9, speed_kph=31.0), moment(T0 + 1.9))
    assert verdict(made.tick(moment(T0 + 1.95))).may_move
    assert not verdict(made.tick(moment(T0 + TTL_S))).may_move
    assert made.gate.hold is MotionHold.LINK_LOST
    made.sampled(sample(T0 + 2.1, braking=True), moment(T0 + 2.1))
    made.receive(permit(made, T0 + 3), moment(T0 + 3))
    assert not made.gate.permit_valid(T0 + 3)
    (told,) = of(made.sampled(sample(T0 + 5, speed_kph=0.0, braking=True), moment(T0 + 5)), ReportOrder)
    assert told.request_id == "q1"
    assert told.outcome.reaction is not None
    assert told.outcome.reaction.speed_kph == 31.0
    # From here on RESUME ends it, as ever.
    made.receive(permit(made, T0 + 5.1), moment(T0 + 5.1))
    assert made.gate.permit_valid(T0 + 5.2)
    assert not verdict(made.tick(moment(T0 + 5.2))).may_move


def test_what_a_gateway_takes_away_in_a_drill_is_taken_away() -> None:
    made, _ = drilled(LinkLossDrill())
    effects = made.receive(permit(made, T0 + 0.5, ttl_s=0.0), moment(T0 + 0.5))
    assert not verdict(effects).may_move


def test_a_stop_in_a_drill_of_the_links_loss_latches_at_once() -> None:
    made, _ = drilled(LinkLossDrill())
    effects = made.receive(SetCame(fleet_stop()), moment(T0 + 0.5))
    assert kinds(effects)[0] == "Apply"
    assert not verdict(effects).may_move
    (told,) = of(effects, ReportOrder)
    assert told.outcome.reason == "OTHER_CAUSE"
    assert not made.takes_no_permits


def test_a_zone_that_it_drives_into_ends_a_drill_before_its_brakes_are_measured() -> None:
    made, _ = drilled(LinkLossDrill())
    made.receive(SetCame(stops(stop("z", PIT))), moment())
    (told,) = of(made.sampled(sample(T0 + 0.1, at=INSIDE), moment(T0 + 0.1)), ReportOrder)
    assert told.outcome.reason == "OTHER_CAUSE"


def test_a_drill_of_a_stop_is_told_once_it_stands_and_once_more_to_who_repeats_it() -> None:
    made, answer = drilled(StopDrill("s1"))
    assert answer.outcome.result is OrderResult.EXECUTED
    made.receive(SetCame(fleet_stop()), moment(T0 + 0.5))
    made.sampled(sample(T0 + 0.55, braking=True), moment(T0 + 0.55))
    (told,) = of(made.sampled(sample(T0 + 4, speed_kph=0.0, braking=True), moment(T0 + 4)), ReportOrder)
    assert told.outcome.reaction is not None
    again = OrderCame(Order("q1", StopDrill("s1")), MotionEtag(EPOCH, 1, 1, 1))
    assert made.receive(again, moment(T0 + 9)) == [told]


def test_one_drill_at_a_time() -> None:
    made, _ = drilled(StopDrill("s1"))
    etag = MotionEtag(EPOCH, 1, made.gate.hold_count, made.gate.heartbeats.newest)
    (refused,) = of(made.receive(OrderCame(Order("q2", LinkLossDrill()), etag), moment()), ReportOrder)
    assert refused.outcome.reason == "DRILL_UNDER_WAY"
    assert not made.takes_no_permits


# What it brought


def test_out_of_autonomous_mode_it_starts_so() -> None:
    made, _ = agent(Brought(EPOCH, autonomous=False))
    assert not made.gate.autonomous


def test_an_own_stop_that_was_brought_is_withdrawn_when_its_reason_is_gone() -> None:
    brought = LatchRecord(frozenset({"own"}), stops(stop("own", own=True, reason=LOCAL_STOP_BUTTON)))
    made, _ = agent(Brought(EPOCH, latch=brought))
    made.sampled(sample(T0), moment(T0))
    made.sampled(sample(T0 + OWN_STOP_CLEAR_S), moment(T0 + OWN_STOP_CLEAR_S))
    assert not made.gate.latched


def test_an_order_that_can_not_be_read_is_answered() -> None:
    made, _ = agent()
    (answer,) = of(made.receive(OrderUnreadable("q1", "kind: is empty"), moment()), ReportOrder)
    assert (answer.outcome.result, answer.outcome.reason) == (OrderResult.REJECTED, "INVALID_ORDER")


def test_a_latch_on_disk_is_told() -> None:
    made, _ = agent()
    made.receive(SetCame(fleet_stop()), moment())
    assert kinds(made.latch_durable({"s1"})) == ["ReportStops"]
