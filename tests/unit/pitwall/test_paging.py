"""Pages: all items once, in order, whatever the size; a token that isn't its query's own is refused."""

import base64
import json
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitwall.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, InvalidPage, PageRequest
from pitwall.wire import MAX_NUMBER

KINDS = (int, str)
Item = tuple[int, str]

ITEMS = st.sets(
    st.tuples(st.integers(0, 5), st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=4))
)


def key(item: Item) -> Item:
    return item


def asked(size: int = 0, token: str = "", query: str = "q") -> PageRequest:
    return PageRequest.parse(size, token, query, KINDS)


def forged(*content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


OWN = crc32(b"q")


@given(ITEMS, st.integers(1, 7), st.booleans())
def test_the_pages_together_are_everything_in_order(items: set[Item], size: int, newest_first: bool) -> None:
    found: list[Item] = []
    token = ""
    while True:
        page = asked(size, token).choose(items, key, newest_first=newest_first)
        found += page.items
        token = page.next_token
        if not token:
            break
        assert len(page.items) == size
    assert found == sorted(items, reverse=newest_first)


def test_of_what_was_found_the_one_too_many_is_cut_off() -> None:
    page = asked(2).cut([(1, "a"), (2, "b"), (3, "c")], key)
    assert list(page.items) == [(1, "a"), (2, "b")]
    assert asked(2, page.next_token).after == (2, "b")
    assert asked(3).cut([(1, "a"), (2, "b"), (3, "c")], key).next_token == ""


def test_what_comes_and_goes_between_two_pages_disturbs_neither() -> None:
    items = [(number, "") for number in range(0, 10, 2)]
    first = asked(2).choose(items, key)
    rest = [item for item in items if item not in first.items[1:]] + [(1, ""), (5, "")]
    second = asked(9, first.next_token).choose(rest, key)
    assert [number for number, _ in second.items] == [4, 5, 6, 8]


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        (0, DEFAULT_PAGE_SIZE),
        (1, 1),
        (MAX_PAGE_SIZE, MAX_PAGE_SIZE),
        (MAX_PAGE_SIZE + 1, MAX_PAGE_SIZE),
        (2**31 - 1, MAX_PAGE_SIZE),
    ],
)
def test_the_size_of_a_page(size: int, taken: int) -> None:
    assert asked(size).size == taken


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidPage, match="is -1") as refused:
        asked(-1)
    assert refused.value.field == "page_size"


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "é",
        "AAAA",
        "A" * 600,
        forged(),
        forged(OWN),
        forged(OWN + 1, 1, "a"),
        forged(OWN, "1", "a"),
        forged(OWN, 1, 2),
        forged(OWN, 1.0, "a"),
        forged(OWN, True, "a"),
        forged(OWN, None, "a"),
        forged(OWN, [1], "a"),
        forged(OWN, 1, "a", "b"),
        forged(OWN, MAX_NUMBER + 1, "a"),
        forged(OWN, -MAX_NUMBER - 1, "a"),
        forged(OWN, 1, "a\x00"),
        forged(OWN, 1, "\ud800"),
        base64.urlsafe_b64encode(b'{"a": 1}').decode(),
        base64.urlsafe_b64encode(b"[" * 300).decode(),
    ],
)
def test_a_token_of_nobody_is_refused(token: str) -> None:
    with pytest.raises(InvalidPage, match="page_token") as refused:
        asked(token=token)
    assert refused.value.field == "page_token"


def test_a_token_is_bound_to_its_query() -> None:
    token = asked(query="ListVehicles status = IDLE").token((MAX_NUMBER, "é"))
    assert asked(token=token, query="ListVehicles status = IDLE").after == (MAX_NUMBER, "é")
    with pytest.raises(InvalidPage, match="page_token"):
        asked(token=token, query="ListVehicles")
