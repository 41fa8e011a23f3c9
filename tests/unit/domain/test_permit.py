"""Leases and permits: sweeps across each limit, and the two properties that everything rests on."""

from itertools import permutations
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitwall.domain.permit import (
    HEARTBEAT_MEMORY,
    HeartbeatLog,
    LeaseBook,
    PermitDenial,
    PermitHolder,
    PermitTerms,
    majority,
    permit_ttl_s,
)

TERMS = PermitTerms()


def beaten(*times: float) -> HeartbeatLog:
    log = HeartbeatLog()
    for time in times:
        log.beat(time)
    return log


@pytest.mark.parametrize(("members", "needed"), [(1, 1), (3, 2), (5, 3)])
def test_any_two_majorities_share_a_member(members: int, needed: int) -> None:
    assert majority(members) == needed
    assert 2 * needed > members


@pytest.mark.parametrize("name", ["lease_ttl_s", "permit_ttl_s"])
@pytest.mark.parametrize(("seconds", "taken"), [(0.49, False), (0.5, True), (10, True), (10.01, False)])
def test_terms_have_a_range(name: str, seconds: float, taken: bool) -> None:
    if taken:
        assert getattr(PermitTerms(**{name: seconds}), name) == seconds
    else:
        with pytest.raises(ValueError, match=name):
            PermitTerms(**{name: seconds})


@pytest.mark.parametrize(("period", "taken"), [(0, False), (0.4, True), (0.41, False)])
def test_the_control_period_fits_the_permit(period: float, taken: bool) -> None:
    if taken:
        PermitTerms(control_period_s=period)
    else:
        with pytest.raises(ValueError, match="control_period_s"):
            PermitTerms(control_period_s=period)


def test_the_bound_that_operators_see() -> None:
    assert PermitTerms(2, 2, 0.1).brakes_within_s == pytest.approx(2.1 * 1.01)


def test_heartbeats_are_numbered_from_one_and_age() -> None:
    log = beaten(10.0, 10.1)
    assert log.newest == 2
    assert log.sent_s(1) == 10.0
    assert log.age_s(2, 12.1) == pytest.approx(2.0)


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_heartbeat_that_was_never_sent_has_no_age(number: int) -> None:
    assert beaten(1, 2).age_s(number, 2) is None


def test_nothing_was_sent_before_the_first() -> None:
    assert HeartbeatLog().newest == 0
    assert HeartbeatLog().sent_s(0) is None


@pytest.mark.parametrize(("age", "known"), [(60.0, True), (60.1, False)])
def test_heartbeats_are_forgotten_after_a_minute(age: float, known: bool) -> None:
    assert (beaten(0).age_s(1, age) is not None) is known


def test_the_memory_of_heartbeats_is_bounded() -> None:
    log = beaten(*range(HEARTBEAT_MEMORY + 1))
    assert log.sent_s(1) is None
    assert log.sent_s(2) == 1


def test_a_permit_runs_from_the_heartbeat_however_late_it_comes() -> None:
    holder = PermitHolder(beaten(100.0))
    assert holder.grant(1, 2.0, now_s=101.9)
    assert holder.valid(101.99)
    assert not holder.valid(102.0)
    assert holder.until_s == 102.0


def test_without_a_permit_there_is_no_leave() -> None:
    assert not PermitHolder(beaten(100.0)).valid(-1e9)
    assert PermitHolder(beaten()).until_s == -inf


def test_the_newest_heartbeat_wins() -> None:
    holder = PermitHolder(beaten(100.0, 101.0))
    assert holder.grant(2, 0, 101.0)
    assert not holder.grant(1, 10.0, 101.0)
    assert not holder.valid(101.0)


def test_an_answer_to_a_heartbeat_never_sent_does_nothing() -> None:
    holder = PermitHolder(beaten(100.0))
    assert not holder.grant(2, 2.0, 100.0)
    assert not holder.valid(100.0)


def test_a_denial_takes_leave_away_at_once() -> None:
    holder = PermitHolder(beaten(100.0, 100.1))
    holder.grant(1, 2.0, 100.0)
    holder.grant(2, 0.0, 100.2)
    assert not holder.valid(100.2)


def test_what_answers_a_heartbeat_from_before_a_stop_is_void() -> None:
    log = beaten(100.0)
    holder = PermitHolder(log)
    holder.grant(1, 2.0, 100.0)
    holder.void()
    assert not holder.valid(100.0)
    assert not holder.grant(1, 2.0, 100.1)
    log.beat(100.2)
    assert holder.grant(2, 2.0, 100.3)
    assert holder.valid(100.3)


@given(
    st.lists(st.floats(0, 5), min_size=1, max_size=8).map(sorted),
    st.lists(st.tuples(st.integers(0, 9), st.floats(0, 3), st.floats(0, 10)), max_size=12),
    st.floats(0, 20),
)
def test_no_delay_makes_leave_longer(beats: list[float], answers: list[tuple[int, float, float]], now: float) -> None:
    """Whatever answers come, in any order and however late: leave ends one granted ttl after some real heartbeat."""
    holder = PermitHolder(beaten(*beats))
    for number, ttl, at in answers:
        holder.grant(number, ttl, at)
    if holder.valid(now):
        assert any(now < beats[n - 1] + ttl for n, ttl, _ in answers if 1 <= n <= len(beats))


@pytest.mark.parametrize("count", [0, 2, 4, 6])
def test_a_site_has_an_odd_number_of_command_services(count: int) -> None:
    with pytest.raises(ValueError, match="1, 3 or 5"):
        LeaseBook([f"command-{i}" for i in range(count)])


def test_members_are_different() -> None:
    with pytest.raises(ValueError, match="different"):
        LeaseBook(["a", "a", "b"])


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_the_majority_lasts_as_long_as_its_second_longest_lease(order: tuple[str, ...]) -> None:
    book = LeaseBook("abc")
    number = book.beat(100.0)
    for member, ttl in zip(order, (1.0, 2.0, 3.0), strict=True):
        book.grant(member, number, ttl)
    assert book.majority_until_s() == 102.0
    assert book.remaining_s(101.5) == pytest.approx(0.5)
    assert book.remaining_s(102.5) == 0.0


def test_one_lease_of_three_is_not_enough() -> None:
    book = LeaseBook("abc")
    book.grant("a", book.beat(100.0), 2.0)
    assert book.remaining_s(100.0) == 0.0


def test_a_lease_runs_from_the_beat() -> None:
    book = LeaseBook("a")
    number = book.beat(100.0)
    book.beat(101.0)
    book.grant("a", number, 2.0)
    assert book.majority_until_s() == 102.0


def test_neither_an_older_answer_nor_a_refusal_shortens_a_lease() -> None:
    book = LeaseBook("a")
    first, second = book.beat(100.0), book.beat(101.0)
    book.grant("a", second, 2.0)
    book.grant("a", first, 2.0)
    assert book.majority_until_s() == 103.0
    third = book.beat(101.5)
    book.grant("a", third, 0.0)
    assert book.majority_until_s() == 103.0
    assert book.remaining_s(103.0) == 0.0


def test_a_dropped_member_has_no_lease() -> None:
    book = LeaseBook("a")
    book.grant("a", book.beat(100.0), 2.0)
    book.drop("a")
    assert book.majority_until_s() == -inf


def test_an_answer_to_a_beat_never_sent_is_no_lease() -> None:
    book = LeaseBook("a")
    book.grant("a", 1, 2.0)
    assert book.remaining_s(0.0) == 0.0


def book_until(until_s: float) -> LeaseBook:
    book = LeaseBook("a")
    book.grant("a", book.beat(until_s - 2.0), 2.0)
    return book


@pytest.mark.parametrize(
    ("until_s", "holds", "newest", "answer"),
    [
        (102.0, False, True, (2.0, PermitDenial.NONE)),
        # Never longer than the gateway's own leave.
        (100.5, False, True, (0.5, PermitDenial.NONE)),
        (100.0, False, True, (0.0, PermitDenial.NO_MAJORITY)),
        (99.0, False, True, (0.0, PermitDenial.NO_MAJORITY)),
        (102.0, True, True, (0.0, PermitDenial.STOPPED)),
        (102.0, False, False, (0.0, PermitDenial.OLD_SESSION)),
        # The stop is named first, whatever else is wrong.
        (99.0, True, False, (0.0, PermitDenial.STOPPED)),
    ],
)
def test_what_a_gateway_answers(until_s: float, holds: bool, newest: bool, answer: tuple[float, PermitDenial]) -> None:
    assert permit_ttl_s(TERMS, book_until(until_s), 100.0, holds=holds, newest=newest) == answer
