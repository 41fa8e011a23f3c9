"""Identifiers: the bits of RFC 9562, one spelling only, growing whatever the clock does."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitwall.ids import EXAMPLE, InvalidId, is_uuid7, parse_uuid7, uuid7


def test_a_new_identifier_is_version_7_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(uuid7())
    after = time.time_ns() // 1_000_000
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert before <= made.int >> 80 <= after + 1


def test_identifiers_grow_within_a_process() -> None:
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_identifiers_grow_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    assert uuid7() > newer


def test_threads_never_get_the_same_one() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [one for many in pool.map(lambda _: [uuid7() for _ in range(500)], range(8)) for one in many]
    assert len(set(made)) == 4_000


def test_parsing_gives_the_one_spelling() -> None:
    assert parse_uuid7(EXAMPLE) == EXAMPLE
    assert parse_uuid7(EXAMPLE.upper()) == EXAMPLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stop-1",
        EXAMPLE[:-1],
        EXAMPLE + "0",
        EXAMPLE.replace("-", ""),
        "{" + EXAMPLE + "}",
        "urn:uuid:" + EXAMPLE,
        "123e4567-e89b-42d3-a456-426614174000",  # version 4
        "01928c5e-7b6a-7c3d-0e4f-a1b2c3d4e5f6",  # not this variant
        " " + EXAMPLE,
    ],
)
def test_anything_else_is_refused_and_named(text: str) -> None:
    assert not is_uuid7(text)
    with pytest.raises(InvalidId) as error:
        parse_uuid7(text)
    assert repr(text) in str(error.value)
    assert error.value.text == text


@given(st.text(max_size=60))
def test_no_text_breaks_the_check(text: str) -> None:
    assert is_uuid7(text) in (True, False)
