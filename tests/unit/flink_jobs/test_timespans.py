"""Spans of time: whole long windows, from what people write."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.timespans import MOST_SPAN_S, InvalidSpan, Span, around, merged, starts

NOON = 1_764_504_000  # 2025-11-30T12:00:00Z


@pytest.mark.parametrize(
    ("begin", "end", "span"),
    [
        pytest.param("2025-11-30T12:00:00Z", "2025-11-30T12:05:00Z", (0, 300), id="a whole window"),
        pytest.param("2025-11-30T12:04:59Z", "2025-11-30T12:05:01Z", (0, 600), id="a part of two windows"),
        pytest.param("2025-11-30T13:00:00+01:00", str(NOON + 1), (0, 300), id="another zone, and seconds"),
        pytest.param(str(NOON + 300), "2025-11-30T12:10:00.001Z", (300, 900), id="a millisecond too much"),
    ],
)
def test_a_span_is_widened_to_whole_windows(begin: str, end: str, span: tuple[int, int]) -> None:
    assert around(begin, end, NOON + 3_600) == Span(NOON + span[0], NOON + span[1])


@pytest.mark.parametrize(
    ("begin", "end", "reason"),
    [
        pytest.param("yesterday", str(NOON), "from: 'yesterday' is no time; write it as", id="words"),
        pytest.param(str(NOON - 1), "2025-11-30T12:00:00", "to: '2025-11-30T12:00:00' is no time", id="no zone"),
        pytest.param(str(NOON - 1), "9" * 30, "to: 9+ is not over", id="a number beyond all times"),
        pytest.param(str(NOON), str(NOON), "must be later than from", id="no length"),
        pytest.param(str(NOON), str(NOON - 1), "must be later than from", id="backwards"),
        pytest.param(str(NOON), str(NOON + 3_601), "is not over", id="the future"),
        pytest.param(str(NOON - MOST_SPAN_S), str(NOON + 1), "more than 24 h before", id="too long"),
        pytest.param("-5", str(NOON), "from: '-5' is no time", id="before 1970"),
    ],
)
def test_what_is_no_span_is_refused_with_the_mend(begin: str, end: str, reason: str) -> None:
    with pytest.raises(InvalidSpan, match=reason):
        around(begin, end, NOON + 3_600)


@pytest.mark.parametrize("ends", [(0, 299), (1, 300), (300, 300), (300, 0), (-300, 0)])
def test_a_span_is_of_whole_windows(ends: tuple[int, int]) -> None:
    with pytest.raises(InvalidSpan):
        Span(*ends)


@given(st.sets(st.integers(0, 40).map(lambda n: n * 300)))
def test_merged_spans_hold_the_same_windows_and_none_adjoins_another(windows: set[int]) -> None:
    spans = merged(windows)
    assert starts(spans) == sorted(windows)
    assert all(one.end_s < other.begin_s for one, other in pairwise(spans))
