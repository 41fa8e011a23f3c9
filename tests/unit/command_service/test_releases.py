"""The release book: asked for, agreed to, on a majority's disks, in force; each step once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from command_service.effects import approval
from command_service.releases import REQUEST_VALID, ReleaseBook
from tests.unit.command_service.samples import WHEN, release

ASKED, AGREED, OTHER = release(), release(approved_by="boss"), release("r", "another stop", approved_by="boss")
CONTENT = approval(AGREED).content


@pytest.mark.parametrize(("members", "needed"), [(("c1",), 1), (("c1", "c2", "c3"), 2), (tuple("abcde"), 3)])
def test_it_is_in_force_when_a_majority_has_the_approval(members: tuple[str, ...], needed: int) -> None:
    book = ReleaseBook(members)
    book.request(ASKED)
    book.approve(AGREED)
    for count, member in enumerate(members, 1):
        book.journaled("r", CONTENT, member)
        assert book.agreed() == ([AGREED] if count >= needed else [])
    entry = book.get("r")
    assert entry is not None
    assert (entry.in_force, entry.current) == (False, ASKED)
    book.enforce(AGREED)
    assert (entry.in_force, entry.current, book.agreed()) == (True, AGREED, [])


def test_a_disk_counts_once_and_a_strangers_never() -> None:
    book = ReleaseBook(("c1", "c2", "c3"))
    book.approve(AGREED)
    for member in ("c1", "c1", "c9"):
        book.journaled("r", CONTENT, member)
    assert book.agreed() == []


def test_nothing_is_in_force_that_nobody_agreed_to() -> None:
    book = ReleaseBook(("c1",))
    book.request(ASKED)
    book.journaled("r", CONTENT, "c1")
    book.journaled("unknown", CONTENT, "c1")
    assert book.agreed() == []


def test_asking_and_agreeing_count_once() -> None:
    book = ReleaseBook(("c1",))
    assert (book.request(ASKED), book.request(release(stop_ids="other"))) == (True, False)
    assert (book.approve(AGREED), book.approve(release(approved_by="another"))) == (True, False)
    book.journaled("r", CONTENT, "c1")
    assert book.agreed() == [AGREED]
    entry = book.get("r")
    assert entry is not None
    assert not entry.rival, "another person has agreed to the same"


# Two of one id


def test_a_disk_counts_for_what_is_on_it_and_for_no_other_of_that_id() -> None:
    book = ReleaseBook(("c1", "c2", "c3"))
    book.approve(AGREED)
    book.journaled("r", CONTENT, "c1")
    book.journaled("r", approval(OTHER).content, "c2")
    assert book.agreed() == []
    book.journaled("r", CONTENT, "c3")
    assert book.agreed() == [AGREED]


def test_the_first_that_was_agreed_to_stays_and_the_other_one_is_known_to_be_there() -> None:
    book = ReleaseBook(("c1", "c2", "c3"))
    book.approve(AGREED)
    assert not book.is_rival(replace(AGREED, approved_by="another"))
    assert not book.is_rival(replace(OTHER, approved_by=""))
    assert book.is_rival(OTHER)
    assert not book.approve(OTHER)
    entry = book.get("r")
    assert entry is not None
    assert (entry.rival, entry.approval) == (True, AGREED)


def test_one_that_nobody_agreed_to_makes_way_for_one_of_the_same_id() -> None:
    """Whoever looks must not see the one and get the other."""
    book = ReleaseBook(("c1", "c2", "c3"))
    book.request(ASKED)
    assert book.approve(OTHER)
    entry = book.get("r")
    assert entry is not None
    assert (entry.current.stop_ids, entry.current.approved_by) == (OTHER.stop_ids, "")


def test_the_one_that_a_majority_has_takes_the_place_of_the_other_one() -> None:
    book = ReleaseBook(("c1", "c2", "c3"))
    book.approve(AGREED)
    book.enforce(OTHER)
    entry = book.get("r")
    assert entry is not None
    assert (entry.rival, entry.in_force, entry.current) == (True, True, OTHER)
    assert book.is_rival(AGREED)


def test_those_that_wait_are_counted() -> None:
    book = ReleaseBook(("c1",))
    book.request(ASKED)
    assert book.waiting == 1
    book.enforce(AGREED)
    assert book.waiting == 0
    assert len(list(book.entries())) == 1


def test_a_request_is_on_disk_when_that_is_told() -> None:
    book = ReleaseBook(("c1",))
    book.request(ASKED)
    entry = book.get("r")
    assert entry is not None
    assert not entry.requested_on_disk
    book.request_journaled("unknown")
    book.request_journaled("r")
    assert entry.requested_on_disk


def test_it_is_forgotten_with_the_last_of_its_stops() -> None:
    book = ReleaseBook(("c1",))
    book.enforce(release("one", "s", approved_by="boss"))
    book.enforce(release("two", "s t", approved_by="boss"))
    book.forget(frozenset({"s"}))
    assert [entry.release.release_id for entry in book.entries()] == ["two"]


@pytest.mark.parametrize(
    ("after", "agreed", "expired"),
    [
        (timedelta(0), False, []),
        (-timedelta(hours=1), False, []),
        (REQUEST_VALID, False, []),
        (REQUEST_VALID + timedelta(seconds=1), False, ["r"]),
        # An approval that waits for the disk is no longer a request.
        (REQUEST_VALID + timedelta(seconds=1), True, []),
    ],
)
def test_a_request_that_nobody_agrees_to_expires(after: timedelta, agreed: bool, expired: list[str]) -> None:
    book = ReleaseBook(("c1",))
    book.request(ASKED)
    if agreed:
        book.approve(AGREED)
    assert book.expired(WHEN + after) == expired


def test_what_has_expired_may_be_asked_for_anew_and_what_is_in_force_never_expires() -> None:
    book = ReleaseBook(("c1",))
    book.request(ASKED)
    book.drop("r")
    book.drop("unknown")
    assert (book.waiting, book.get("r")) == (0, None)
    assert book.request(ASKED)
    book.enforce(AGREED)
    book.drop("r")
    assert book.expired(WHEN + 1000 * REQUEST_VALID) == []
    assert book.get("r") is not None
