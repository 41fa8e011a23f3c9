"""Orders: each reason to do nothing, at its limit."""

from dataclasses import replace

import pytest

from pitwall.domain.order import (
    InvalidEtag,
    LinkLossDrill,
    MotionEtag,
    Order,
    OrderKind,
    OrderOutcome,
    OrderResult,
    OwnMotion,
    RequestMemory,
    Resume,
    SetAutonomousMode,
    SetStatus,
    StartRoute,
    StopDrill,
    judge,
)
from pitwall.domain.vehicle_state import MotionHold, VehicleStatus

ETAG = MotionEtag(boot_epoch=7, connect_count=2, hold_count=3, heartbeat_number=500)
READY = OwnMotion(7, 2, 3, VehicleStatus.IDLE, MotionHold.NONE, permit_valid=True, latched=False)
BOOTED = replace(READY, motion_hold=MotionHold.BOOT)
SET_MAINTENANCE = SetStatus(VehicleStatus.MAINTENANCE)


DRIVING = replace(READY, status=VehicleStatus.HAULING, speed_kph=30.0, drills=True)


def reason(kind: OrderKind, own: OwnMotion, age: float | None = 0.0) -> str:
    outcome = judge(Order("id", kind), ETAG, own, age)
    return outcome.reason if outcome else "execute"


@pytest.mark.parametrize(
    ("kind", "own", "expected"),
    [
        (StartRoute("A"), READY, "execute"),
        (StartRoute("A"), replace(READY, boot_epoch=8), "REBOOTED"),
        (StartRoute("A"), replace(READY, connect_count=3), "RECONNECTED"),
        (StartRoute("A"), replace(READY, hold_count=4), "HELD_SINCE"),
        (StartRoute("A"), replace(READY, latched=True), "STOPPED"),
        (StartRoute("A"), BOOTED, "HELD"),
        (StartRoute("A"), replace(READY, motion_hold=MotionHold.LINK_LOST), "HELD"),
        (StartRoute("A"), replace(READY, status=VehicleStatus.MAINTENANCE), "NOT_IDLE"),
        (StartRoute("A"), replace(READY, permit_valid=False), "NO_PERMIT"),
        (Resume(), BOOTED, "execute"),
        (Resume(), replace(BOOTED, motion_hold=MotionHold.LINK_LOST), "execute"),
        (Resume(), READY, "NO_HOLD"),
        (Resume(), replace(BOOTED, latched=True), "STOPPED"),
        (Resume(), replace(BOOTED, permit_valid=False), "NO_PERMIT"),
        (Resume(), replace(BOOTED, sighted=False), "NO_SAMPLE"),
        (StartRoute("A"), replace(READY, sighted=False), "NO_SAMPLE"),
        (SetAutonomousMode(False), replace(READY, sighted=False), "execute"),
        (SET_MAINTENANCE, READY, "execute"),
        (SET_MAINTENANCE, replace(READY, permit_valid=False), "execute"),
        (SET_MAINTENANCE, replace(READY, status=VehicleStatus.HAULING), "ILLEGAL_TRANSITION"),
        (SET_MAINTENANCE, replace(READY, latched=True), "STOPPED"),
        (SetStatus(VehicleStatus.IDLE), replace(READY, status=VehicleStatus.EMERGENCY_STOP), "ILLEGAL_TRANSITION"),
        (SetAutonomousMode(False), READY, "execute"),
        (SetAutonomousMode(True), replace(READY, hold_count=4), "HELD_SINCE"),
    ],
)
def test_what_a_vehicle_does_with_an_order(kind: OrderKind, own: OwnMotion, expected: str) -> None:
    assert reason(kind, own) == expected


@pytest.mark.parametrize("kind", [LinkLossDrill("monthly"), StopDrill("s", "monthly")])
@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (DRIVING, "execute"),
        (replace(DRIVING, drills=False), "NO_CONSENT"),
        (replace(BOOTED, drills=False, latched=True), "NO_CONSENT"),
        (replace(DRIVING, drilling=True), "DRILL_UNDER_WAY"),
        (replace(DRIVING, motion_hold=MotionHold.LINK_LOST), "HELD"),
        (replace(DRIVING, motion_hold=MotionHold.STOPPED, latched=True), "HELD"),
        (replace(DRIVING, permit_valid=False), "NO_PERMIT"),
        (replace(DRIVING, sighted=False), "NO_SAMPLE"),
        (replace(DRIVING, speed_kph=0.0), "NOT_MOVING"),
        (replace(DRIVING, speed_kph=None), "SPEED_UNKNOWN"),
        (replace(DRIVING, hold_count=4), "HELD_SINCE"),
    ],
)
def test_who_takes_part_in_a_drill(kind: OrderKind, own: OwnMotion, expected: str) -> None:
    assert reason(kind, own) == expected


def test_a_vehicle_consents_to_nothing_that_it_was_not_told_to() -> None:
    refused = judge(Order("id", LinkLossDrill()), ETAG, replace(READY, speed_kph=30.0), 0.0)
    assert refused is not None
    assert "drills = true" in refused.message


@pytest.mark.parametrize(
    ("age", "expected"),
    [(0.0, "execute"), (9.99, "execute"), (10.0, "HEARTBEAT_TOO_OLD"), (None, "HEARTBEAT_UNKNOWN")],
)
def test_an_order_expires_by_the_vehicles_own_clock(age: float | None, expected: str) -> None:
    assert reason(Resume(), BOOTED, age) == expected
    outcome = judge(Order("id", Resume()), ETAG, BOOTED, age)
    assert outcome is None or outcome.result is OrderResult.EXPIRED


@pytest.mark.parametrize(("seconds", "taken"), [(0.99, False), (1, True), (60, True), (60.1, False)])
def test_expire_after_has_a_range(seconds: float, taken: bool) -> None:
    if taken:
        Order("id", Resume(), seconds)
    else:
        with pytest.raises(ValueError, match="expire_after must be 1 to 60 s"):
            Order("id", Resume(), seconds)


def test_an_etag_survives_its_text() -> None:
    assert MotionEtag.parse(ETAG.text()) == ETAG


@pytest.mark.parametrize("text", ["", "1-2-3", "1-2-3-4-5", "1-2-3-x", "1-2-3--4", "-1-2-3", "١-2-3-4", "9" * 99])
def test_what_is_no_etag_is_refused(text: str) -> None:
    with pytest.raises(InvalidEtag):
        MotionEtag.parse(text)


DONE = OrderOutcome(OrderResult.EXECUTED)


def test_a_repeat_gets_the_same_answer() -> None:
    memory = RequestMemory(10)
    memory.remember("a", DONE, 0)
    assert memory.recall("a") is DONE
    assert memory.recall("b") is None
    assert list(memory.items()) == [("a", 0, DONE)]


def test_the_oldest_answers_go_when_there_are_too_many() -> None:
    memory = RequestMemory(2)
    for at, name in enumerate("abc"):
        memory.remember(name, DONE, at)
    assert len(memory) == 2
    assert memory.recall("a") is None
    assert memory.recall("c") is DONE


@pytest.mark.parametrize(("later", "kept"), [(100.0, True), (100.1, False)])
def test_answers_are_kept_as_long_as_said(later: float, kept: bool) -> None:
    memory = RequestMemory(10, keep_s=100)
    memory.remember("a", DONE, 0)
    memory.remember("b", DONE, later)
    assert (memory.recall("a") is DONE) is kept


def test_a_later_answer_replaces_an_earlier_one() -> None:
    memory = RequestMemory(10)
    unknown = OrderOutcome(OrderResult.UNKNOWN, may_have_happened=True)
    memory.remember("a", unknown, 0)
    memory.remember("a", DONE, 1)
    assert memory.recall("a") is DONE
    assert len(memory) == 1
