"""Leases, and a process that sleeps."""

import pytest

from ingest_gateway.leave import Leave
from pitwall.domain.permit import PermitDenial, PermitTerms

TERMS = PermitTerms(lease_ttl_s=2.0, permit_ttl_s=2.0)
ONE, THREE = ("c-1",), ("c-1", "c-2", "c-3")


def with_lease(members: tuple[str, ...] = ONE, now_s: float = 0.0) -> Leave:
    leave = Leave(members, TERMS, now_s)
    number = leave.beat(now_s)
    for member in members:
        leave.granted(member, number, TERMS.lease_ttl_s, now_s)
    return leave


def ttl(leave: Leave, now_s: float, *, holds: bool = False, newest: bool = True) -> tuple[float, PermitDenial]:
    return leave.answer(now_s, holds=holds, newest=newest)


def test_without_a_lease_nobody_may_move() -> None:
    assert ttl(Leave(ONE, TERMS, 0.0), 0.0) == (0.0, PermitDenial.NO_MAJORITY)


def test_a_permit_is_never_longer_than_what_is_left_of_the_lease() -> None:
    leave = with_lease()
    assert ttl(leave, 0.5) == (1.5, PermitDenial.NONE)
    assert ttl(leave, 1.999)[0] == pytest.approx(0.001)
    assert ttl(leave, 2.0) == (0.0, PermitDenial.NO_MAJORITY)


def test_a_lease_runs_from_its_beat_and_not_from_its_arrival() -> None:
    leave = Leave(ONE, TERMS, 0.0)
    number = leave.beat(0.0)
    leave.granted("c-1", number, 2.0, 1.5)
    assert ttl(leave, 1.5) == (0.5, PermitDenial.NONE)


def test_a_majority_is_needed_and_enough() -> None:
    leave = Leave(THREE, TERMS, 0.0)
    number = leave.beat(0.0)
    leave.granted("c-1", number, 2.0, 0.1)
    assert ttl(leave, 0.1) == (0.0, PermitDenial.NO_MAJORITY)
    leave.granted("c-3", number, 2.0, 0.1)
    assert ttl(leave, 0.1) == (1.9, PermitDenial.NONE)


def test_a_refusal_leaves_what_was_given_to_its_own_end() -> None:
    """An exchange of sets that is not done yet, for example, right after a link came back."""
    leave = with_lease()
    leave.granted("c-1", leave.beat(0.1), 0.0, 0.1)
    assert ttl(leave, 0.2) == (TERMS.lease_ttl_s - 0.2, PermitDenial.NONE)
    leave.granted("c-1", leave.beat(1.9), 0.0, 1.9)
    assert ttl(leave, TERMS.lease_ttl_s) == (0.0, PermitDenial.NO_MAJORITY)


@pytest.mark.parametrize(
    ("holds", "newest", "denial"),
    [(True, True, PermitDenial.STOPPED), (True, False, PermitDenial.STOPPED), (False, False, PermitDenial.OLD_SESSION)],
)
def test_a_stop_or_a_newer_session_denies(holds: bool, newest: bool, denial: PermitDenial) -> None:
    assert ttl(with_lease(), 0.1, holds=holds, newest=newest) == (0.0, denial)


def test_after_a_sleep_nothing_counts_until_a_beat_from_after_it_is_answered() -> None:
    leave = Leave(ONE, TERMS, 0.0)
    assert (leave.sleeps, leave.last_sleep_s) == (0, 0.0)
    before = leave.beat(0.0)
    assert ttl(leave, 30.0) == (0.0, PermitDenial.NO_MAJORITY)
    assert (leave.sleeps, leave.last_sleep_s) == (1, 30.0)
    leave.granted("c-1", before, 60.0, 30.0)  # longer than any honest lease: the sleep alone is the reason
    assert ttl(leave, 30.0) == (0.0, PermitDenial.NO_MAJORITY)
    leave.granted("c-1", leave.beat(30.1), 2.0, 30.2)
    assert ttl(leave, 30.2)[1] is PermitDenial.NONE
    leave.beat(40.2)
    assert leave.sleeps == 2
    assert leave.last_sleep_s == pytest.approx(10.0)


@pytest.mark.parametrize("look", ["beat", "granted", "remaining_s", "answer"])
def test_every_look_at_the_clock_finds_the_sleep(look: str) -> None:
    leave = with_lease()
    match look:
        case "beat":
            leave.beat(5.0)
        case "granted":
            leave.granted("c-1", 1, 2.0, 5.0)
        case "remaining_s":
            leave.remaining_s(5.0)
        case _:
            ttl(leave, 5.0)
    assert leave.sleeps == 1


def test_a_pause_shorter_than_a_lease_is_no_sleep() -> None:
    leave = with_lease()
    leave.beat(2.0)
    assert leave.sleeps == 0
