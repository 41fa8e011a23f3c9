"""Orders at the vehicle: judged, written down, judged again, done at most once."""

from collections.abc import Callable

import pytest

from edge_agent.effects import Apply, Effect, RecordOrder, RememberAnswer, ReportOrder
from edge_agent.gate import Gate
from edge_agent.limits import MAX_PENDING_ORDERS, SAMPLE_MAX_AGE_S
from edge_agent.orders import INTERRUPTED, OrderDesk
from pitwall.domain.order import (
    MotionEtag,
    Order,
    OrderKind,
    OrderOutcome,
    OrderResult,
    RequestMemory,
    Resume,
    SetAutonomousMode,
    SetStatus,
    StartRoute,
)
from pitwall.domain.vehicle_state import MotionHold, VehicleStatus
from tests.unit.edge_agent.builders import (
    EPOCH,
    T0,
    TTL_S,
    driving,
    fleet_stop,
    gate,
    kinds,
    of,
    permitted,
    release,
    releases,
    sample,
    verdict,
)

CONNECT = 3


def etag(of_gate: Gate) -> MotionEtag:
    """What an operator sees now."""
    return MotionEtag(EPOCH, CONNECT, of_gate.hold_count, of_gate.heartbeats.newest)


def desk(of_gate: Gate) -> OrderDesk:
    return OrderDesk(of_gate, RequestMemory(100))


def give(
    at: OrderDesk, of_gate: Gate, kind: OrderKind, *, request_id: str = "q1", seen: MotionEtag | None = None
) -> list[Effect]:
    return at.receive(Order(request_id, kind), seen or etag(of_gate), CONNECT, T0)


def done(at: OrderDesk, now_s: float = T0, *, request_id: str = "q1", ok: bool = True) -> list[Effect]:
    return at.recorded(request_id, CONNECT, now_s, ok=ok)


def outcome(effects: list[Effect]) -> OrderOutcome:
    (report,) = of(effects, ReportOrder)
    return report.outcome


def held() -> Gate:
    """In BOOT with a permit: what a RESUME is for."""
    booted = gate(VehicleStatus.IDLE)
    permitted(booted, T0)
    return booted


def test_an_order_is_on_disk_before_it_has_any_effect() -> None:
    booted = held()
    at = desk(booted)
    assert give(at, booted, Resume()) == [RecordOrder("q1")]
    before = booted.hold
    assert outcome(done(at)).result is OrderResult.EXECUTED
    assert (before, booted.hold) == (MotionHold.BOOT, MotionHold.NONE)


def test_a_disk_that_takes_nothing_means_that_nothing_happens() -> None:
    booted = held()
    at = desk(booted)
    give(at, booted, Resume())
    refused = outcome(done(at, ok=False))
    assert (refused.result, refused.reason, refused.may_have_happened) == (
        OrderResult.REJECTED,
        "NOT_RECORDED",
        False,
    )
    assert booted.hold is MotionHold.BOOT


def test_a_stop_that_comes_while_the_disk_works_wins() -> None:
    booted = held()
    at = desk(booted)
    give(at, booted, Resume())
    booted.merge(fleet_stop(), T0)
    assert outcome(done(at)).reason == "HELD_SINCE"
    booted.merge(releases(release("s1")), T0)
    assert booted.hold is MotionHold.BOOT


def test_a_permit_that_runs_out_while_the_disk_works_wins() -> None:
    booted = held()
    at = desk(booted)
    give(at, booted, Resume())
    booted.tick(T0 + TTL_S)
    assert outcome(done(at, T0 + TTL_S)).reason == "NO_PERMIT"


def test_whoever_repeats_a_request_gets_the_same_answer_and_no_second_effect() -> None:
    booted = held()
    at = desk(booted)
    give(at, booted, Resume())
    first = outcome(done(at))
    booted.merge(fleet_stop(), T0)
    again = give(at, booted, Resume())
    assert again == [ReportOrder("q1", first)]


def test_a_repeat_while_the_disk_works_is_one_order() -> None:
    booted = held()
    at = desk(booted)
    give(at, booted, Resume())
    assert give(at, booted, Resume()) == []
    assert len(of(done(at), ReportOrder)) == 1
    assert done(at) == []


def test_after_a_restart_in_between_the_answer_is_that_nobody_knows() -> None:
    booted = held()
    memory = RequestMemory(100)
    memory.remember("q1", INTERRUPTED, T0)
    answer = outcome(give(OrderDesk(booted, memory), booted, Resume()))
    assert (answer.result, answer.may_have_happened) == (OrderResult.UNKNOWN, True)
    assert booted.hold is MotionHold.BOOT


STALE = [
    ("another boot", {"boot_epoch": EPOCH - 1}, "REBOOTED"),
    ("an earlier session", {"connect_count": CONNECT - 1}, "RECONNECTED"),
    ("before a hold", {"hold_count": 0}, "HELD_SINCE"),
    ("a heartbeat that was never sent", {"heartbeat_number": 99}, "HEARTBEAT_UNKNOWN"),
]


@pytest.mark.parametrize(("change", "reason"), [row[1:] for row in STALE], ids=[row[0] for row in STALE])
def test_an_order_from_another_state_does_nothing(change: dict[str, int], reason: str) -> None:
    booted = held()
    seen = etag(booted)
    fields = {name: getattr(seen, name) for name in MotionEtag.__slots__} | change
    effects = give(desk(booted), booted, Resume(), seen=MotionEtag(**fields))
    assert outcome(effects).reason == reason
    assert kinds(effects) == ["RememberAnswer", "ReportOrder"]


@pytest.mark.parametrize(("after_s", "reason"), [(9.9, ""), (10.0, "HEARTBEAT_TOO_OLD")])
def test_an_order_expires_by_the_vehicles_own_clock(after_s: float, reason: str) -> None:
    booted = held()
    at = desk(booted)
    seen = etag(booted)
    for step in range(1, 100):
        permitted(booted, T0 + step * 0.1)
    booted.permit(booted.heartbeats.newest, 2.0, T0 + 9.9)
    effects = at.receive(Order("q1", SetAutonomousMode(False)), seen, CONNECT, T0 + after_s)
    assert (outcome(effects).reason if reason else kinds(effects)) == (reason or ["RecordOrder"])


def stopped_and_released(of_gate: Gate) -> None:
    of_gate.merge(fleet_stop(), T0)
    of_gate.merge(releases(release("s1")), T0)


def released(of_gate: Gate) -> None:
    of_gate.merge(releases(release("s1")), T0)


#: What came between the look and the order, to a vehicle in that status, that a stop had hold of or not.
BETWEEN: list[tuple[str, VehicleStatus, bool, Callable[[Gate], object], OrderKind]] = [
    ("a stop and its release", VehicleStatus.IDLE, False, stopped_and_released, StartRoute("A")),
    ("a release", VehicleStatus.MAINTENANCE, True, released, SetStatus(VehicleStatus.IDLE)),
    ("a release", VehicleStatus.MAINTENANCE, True, released, SetAutonomousMode(False)),
    (
        "another's order to stand by",
        VehicleStatus.IDLE,
        False,
        lambda g: g.set_autonomous(False, T0, "order x"),
        StartRoute("A"),
    ),
    (
        "out of autonomous mode and back",
        VehicleStatus.IDLE,
        False,
        lambda g: [g.set_autonomous(False, T0, "order x"), g.set_autonomous(True, T0, "order y")],
        StartRoute("A"),
    ),
    (
        "into MAINTENANCE, which an operator may not end",
        VehicleStatus.IDLE,
        False,
        lambda g: g.set_status(VehicleStatus.MAINTENANCE, T0, "order x"),
        SetStatus(VehicleStatus.OFFLINE),
    ),
    ("a lost link", VehicleStatus.IDLE, False, lambda g: g.cut_off(T0), SetStatus(VehicleStatus.OFFLINE)),
    (
        "a lost link, and a RESUME",
        VehicleStatus.IDLE,
        False,
        lambda g: [g.cut_off(T0), g.resume(T0, "order x")],
        StartRoute("A"),
    ),
]


@pytest.mark.parametrize(
    ("status", "latched", "between", "kind"),
    [row[1:] for row in BETWEEN],
    ids=[f"{row[0]}, {type(row[4]).__name__}" for row in BETWEEN],
)
def test_an_order_whose_author_has_not_seen_what_came_between_does_nothing(
    status: VehicleStatus, *, latched: bool, between: Callable[[Gate], object], kind: OrderKind
) -> None:
    seen_gate = driving(status)
    if latched:
        seen_gate.merge(fleet_stop(), T0)
    seen = etag(seen_gate)
    between(seen_gate)
    effects = give(desk(seen_gate), seen_gate, kind, seen=seen)
    assert outcome(effects).reason == "HELD_SINCE"


def test_an_order_that_waits_for_the_disk_does_nothing_after_a_release() -> None:
    made = driving(VehicleStatus.MAINTENANCE)
    made.merge(fleet_stop(), T0)
    at = desk(made)
    give(at, made, SetAutonomousMode(False))
    released(made)
    assert outcome(done(at)).reason == "HELD_SINCE"
    assert made.autonomous


def test_what_the_mission_does_by_itself_makes_no_order_old() -> None:
    made = driving(VehicleStatus.IDLE)
    seen = etag(made)
    made.mission.order(VehicleStatus.ROUTING)
    assert etag(made) == seen
    made.set_autonomous(True, T0, "order x")  # it was
    assert etag(made) == seen


def test_a_vehicle_that_nobody_sees_is_not_resumed() -> None:
    booted = held()
    at_s = T0 + SAMPLE_MAX_AGE_S + 0.1
    effects = desk(booted).receive(Order("q1", Resume()), etag(booted), CONNECT, at_s)
    assert outcome(effects).reason == "NO_SAMPLE"


def test_what_waits_for_a_hung_disk_is_given_up_when_it_is_too_late() -> None:
    booted = held()
    at = desk(booted)
    give(at, booted, Resume())
    booted.sample(sample(T0 + 1.9), T0 + 1.9)
    assert at.expire(CONNECT, T0 + 1.9) == []
    assert outcome(at.expire(CONNECT, T0 + 10)).result is OrderResult.EXPIRED
    assert done(at, T0 + 11) == []
    assert booted.hold is MotionHold.BOOT


def test_no_more_than_so_many_wait_for_the_disk() -> None:
    booted = held()
    at = desk(booted)
    for n in range(MAX_PENDING_ORDERS):
        give(at, booted, SetAutonomousMode(True), request_id=f"q{n}")
    refused = give(at, booted, SetAutonomousMode(True), request_id="one more")
    assert outcome(refused).reason == "BUSY"


# What each kind does


def test_start_route_takes_an_idle_vehicle_on_its_way() -> None:
    idle = driving(VehicleStatus.IDLE)
    at = desk(idle)
    give(at, idle, StartRoute("north"))
    done(at)
    assert idle.status is VehicleStatus.ROUTING
    assert verdict(idle.tick(T0)).may_move


def test_out_of_maintenance_it_takes_two_orders_to_move() -> None:
    moving = driving()
    moving.merge(fleet_stop(), T0)
    moving.merge(releases(release("s1")), T0)
    permitted(moving, T0)
    at = desk(moving)
    give(at, moving, SetStatus(VehicleStatus.IDLE), request_id="q1")
    done(at, request_id="q1")
    assert moving.status is VehicleStatus.IDLE
    assert not verdict(moving.tick(T0)).may_move
    give(at, moving, StartRoute(""), request_id="q2")
    done(at, request_id="q2")
    assert verdict(moving.tick(T0)).may_move


def test_a_status_that_the_table_forbids_is_refused() -> None:
    moving = driving()
    assert outcome(give(desk(moving), moving, SetStatus(VehicleStatus.DUMPING))).reason == "ILLEGAL_TRANSITION"


def test_out_of_autonomous_mode_it_brakes_before_it_answers() -> None:
    moving = driving()
    at = desk(moving)
    give(at, moving, SetAutonomousMode(False))
    effects = done(at)
    assert isinstance(effects[0], Apply)
    assert not verdict(effects).may_move
    assert of(effects, RememberAnswer)
