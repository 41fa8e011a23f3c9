"""Leases and permits: sweeps across each limit, and the two properties that everything rests on."""

from itertools import permutations
from math import inf

import pytest

from pitwall.domain.permit import (
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


@pytest.mark.parametrize(
    ("terms", "bound_s"),
    [(PermitTerms(), 2.1 * 1.01), (PermitTerms(2, 2, 0.1), 2.1 * 1.01), (PermitTerms(8, 2, 0.4), 8.4 * 1.01)],
)
def test_the_bound_that_operators_see(terms: PermitTerms, bound_s: float) -> None:
    assert terms.brakes_within_s == pytest.approx(bound_s)


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


def test_a_minute_of_beats_at_twice_the_loops_rate_is_remembered_and_no_more() -> None:
    log = beaten(*(number / 20 for number in range(60 * 20)))
    assert log.sent_s(1) == 0
    log.beat(60)
    assert log.sent_s(1) is None
    assert log.sent_s(2) == 1 / 20


def test_a_permit_runs_from_the_heartbeat_however_late_it_comes() -> None:
    holder = PermitHolder(beaten(100.0))
    assert holder.grant(1, 2.0)
    assert holder.valid(101.99)
    assert not holder.valid(102.0)
    assert holder.until_s == 102.0


def test_without_a_permit_there_is_no_leave() -> None:
    assert not PermitHolder(beaten(100.0)).valid(-1e9)
    assert PermitHolder(beaten()).until_s == -inf


def test_the_newest_heartbeat_wins() -> None:
    holder = PermitHolder(beaten(100.0, 101.0))
    assert holder.grant(2, 0)
    assert not holder.grant(1, 10.0)
    assert not holder.valid(101.0)


def test_an_answer_to_a_heartbeat_never_sent_does_nothing() -> None:
    holder = PermitHolder(beaten(100.0))
    assert not holder.grant(2, 2.0)
    assert not holder.valid(100.0)


def test_a_denial_takes_leave_away_at_once() -> None:
    holder = PermitHolder(beaten(100.0, 100.1))
    holder.grant(1, 2.0)
    holder.grant(2, 0.0)
    assert not holder.valid(100.2)


def test_a_second_answer_to_the_newest_heartbeat_counts() -> None:
    """A gateway has said no, and the vehicle was released meanwhile."""
    holder = PermitHolder(beaten(100.0))
    holder.grant(1, 0.0)
    assert holder.grant(1, 2.0)
    assert holder.valid(100.1)


def test_what_answers_a_heartbeat_from_before_a_stop_is_void() -> None:
    log = beaten(100.0)
    holder = PermitHolder(log)
    holder.grant(1, 2.0)
    holder.void()
    assert not holder.valid(100.0)
    assert not holder.grant(1, 2.0)
    log.beat(100.2)
    assert holder.grant(2, 2.0)
    assert holder.valid(100.3)


@pytest.mark.parametrize("count", range(9))
def test_a_site_has_one_three_or_five_command_services(count: int) -> None:
    members = [f"command-{i}" for i in range(count)]
    if count in (1, 3, 5):
        assert LeaseBook(members).majority_until_s() == -inf
    else:
        with pytest.raises(ValueError, match="1, 3 or 5"):
            LeaseBook(members)


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


@pytest.mark.parametrize(("ttl_s", "until_s"), [(0.0, -inf), (0.5, 100.5), (1.0, 101.0), (10.0, 110.0)])
def test_a_lease_lasts_as_long_as_granted_and_a_refusal_is_none(ttl_s: float, until_s: float) -> None:
    book = LeaseBook("a")
    book.grant("a", book.beat(100.0), ttl_s)
    assert book.majority_until_s() == until_s


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
