"""When which windows are recomputed, and what is settled then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.late_sql import ANNOUNCED_AGAIN_S
from flink_jobs.mending import FIRST_RETRY_S, LAST_RETRY_S, MOST_PENDING, MOST_WINDOWS, Mending
from flink_jobs.timespans import Span, starts

QUIET_S, LONGEST_S = 60.0, 600.0
A, B, C = 3_000, 3_300, 9_000


def mending(*announced: tuple[int, int, float]) -> Mending:
    """Of announcements: window, offset, time."""
    made = Mending(QUIET_S, LONGEST_S)
    for start_s, offset, at_s in announced:
        made.announced(start_s, offset, at_s)
    return made


def test_nothing_is_due_until_nothing_was_late_for_a_while() -> None:
    under_way = mending((A, 0, 100), (C, 1, 130), (B, 2, 140))
    assert under_way.due(140 + QUIET_S - 0.1) == []
    assert under_way.due(140 + QUIET_S) == [Span(A, B + 300), Span(C, C + 300)]


def test_a_gap_that_does_not_close_is_not_waited_for_for_ever() -> None:
    under_way = mending()
    for second in range(int(LONGEST_S)):
        under_way.announced(A, second, second)
        assert under_way.due(second) == []
    under_way.announced(A, 600, LONGEST_S)
    assert under_way.due(LONGEST_S) == [Span(A, B)]


def test_what_was_mended_is_settled_and_not_due_again() -> None:
    under_way = mending((A, 5, 0), (B, 6, 1), (A, 7, 2))
    assert under_way.settled == 5
    under_way.done(under_way.due(70), 4, began_s=70, now_s=90)
    assert (under_way.due(1_000), under_way.settled) == ([], 8)
    assert (under_way.recomputes, under_way.windows_mended, under_way.announcements) == (1, 4, 3)


@pytest.mark.parametrize(
    ("announced_s", "is_left"),
    [
        pytest.param(70 - ANNOUNCED_AGAIN_S - 0.1, False, id="its readings had all come when the recompute began"),
        pytest.param(70 - ANNOUNCED_AGAIN_S + 0.1, True, id="more may have come after it began"),
        pytest.param(80, True, id="announced while it ran"),
    ],
)
def test_a_window_is_done_with_only_if_what_was_announced_had_come(announced_s: float, is_left: bool) -> None:
    under_way = mending((A, 5, 0), (A, 6, announced_s))
    under_way.done([Span(A, B)], 1, began_s=70, now_s=90)
    assert under_way.due(1_000) == ([Span(A, B)] if is_left else [])
    assert under_way.settled == (5 if is_left else 7)


def test_what_is_not_out_yet_stays_due_and_does_not_spin() -> None:
    under_way = mending((A, 0, 0), (B, 1, 0))
    under_way.done([Span(A, B)], 2, began_s=70, now_s=90)
    assert under_way.due(90) == []
    assert under_way.due(90 + FIRST_RETRY_S) == [Span(B, B + 300)]
    under_way.postponed(100)
    assert under_way.due(100 + QUIET_S - 0.1) == []
    assert under_way.due(100 + QUIET_S) == [Span(B, B + 300)]
    assert (under_way.failures, under_way.settled) == (0, 1)


def test_failures_are_tried_again_ever_later_until_one_ends_well() -> None:
    under_way, now_s, waits = mending((A, 0, 0)), 100.0, []
    for _ in range(9):
        under_way.failed(now_s)
        waits.append(next(wait for wait in range(1, 1_000) if under_way.due(now_s + wait)))
        now_s += waits[-1]
    assert waits == [10, 20, 40, 80, 160, 320, LAST_RETRY_S, LAST_RETRY_S, LAST_RETRY_S]
    assert under_way.failures == 9
    under_way.done([], 0, now_s, now_s)
    under_way.failed(now_s)
    assert under_way.due(now_s + FIRST_RETRY_S)


def test_after_failures_the_newest_windows_have_their_turn_first_ever_fewer() -> None:
    under_way, now_s, taken = mending(*((n * 300, n, 0.0) for n in range(10))), 100.0, []
    for _ in range(5):
        taken.append(under_way.due(now_s))
        under_way.failed(now_s)
        now_s += LAST_RETRY_S
    assert taken == [[Span(begin * 300, 3_000)] for begin in (0, 5, 8, 9, 9)]


def test_one_that_is_too_old_for_ever_keeps_no_other_from_being_mended() -> None:
    too_old = 0
    under_way, now_s = mending(*((n * 300, n, 0.0) for n in range(10))), 100.0
    for turn in range(20):
        spans = under_way.due(now_s)
        if too_old in starts(spans):
            under_way.failed(now_s)
            under_way.announced(90_000 + turn * 300, 10 + turn, now_s)
        else:
            under_way.done(spans, 1, now_s, now_s)
        now_s += LAST_RETRY_S
    assert len(under_way._pending) <= 3
    assert under_way.settled == 0


def test_those_that_are_not_out_yet_hold_up_no_older_ones_after_a_failure() -> None:
    under_way = mending((A, 0, 0), (B, 1, 0), (C, 2, 0))
    under_way.failed(100)
    assert under_way.due(200) == [Span(C, C + 300)]
    under_way.postponed(200)
    assert under_way.due(300) == [Span(B, B + 300), Span(C, C + 300)]


def test_after_enough_that_ended_well_a_recompute_is_as_long_as_ever() -> None:
    under_way = mending(*((n * 300, n, 0.0) for n in range(MOST_WINDOWS + 10)))
    under_way.failed(100)
    assert under_way.due(200) == [Span((MOST_WINDOWS // 2 + 10) * 300, (MOST_WINDOWS + 10) * 300)]
    under_way.done([], 0, 200, 200)
    assert under_way.due(300) == [Span(0, MOST_WINDOWS * 300)]


def test_windows_whose_readings_are_gone_are_given_up_all_at_once() -> None:
    under_way = mending((B, 0, 0), (A, 1, 0), (C, 2, 0))
    assert sorted(under_way.give_up(B + 1)) == [A, B]
    assert (under_way.due(100), under_way.settled) == ([Span(C, C + 300)], 2)
    assert under_way.give_up(0) == [C], "one at least"
    assert (under_way.due(100), under_way.settled, under_way.windows_given_up) == ([], 3, 3)


def test_so_many_windows_wait_and_no_more() -> None:
    under_way = mending(*((n * 300, n, 0.0) for n in range(1, MOST_PENDING + 1)))
    assert under_way.windows_given_up == 0
    assert under_way.announced(0, 9_000, 0.0) == [0], "older than all that wait"
    assert under_way.announced(9_000_000, 9_001, 0.0) == [300]
    assert under_way.announced(9_000_000, 9_002, 0.0) == []
    assert (len(under_way._pending), under_way.windows_given_up) == (MOST_PENDING, 2)


def test_a_recompute_is_bounded_and_begins_with_the_oldest() -> None:
    under_way = mending(*((n * 300, MOST_WINDOWS + 9 - n, 0.0) for n in range(MOST_WINDOWS + 10)))
    assert under_way.due(100) == [Span(0, MOST_WINDOWS * 300)]


@pytest.mark.parametrize("start_s", [-300, 1, 301, 253_402_300_800])
def test_what_is_no_window_is_refused_and_settled(start_s: int) -> None:
    under_way = mending()
    with pytest.raises(ValueError, match="no window"):
        under_way.announced(start_s, 8, 0)
    assert (under_way.due(1_000), under_way.settled) == ([], 9)


@pytest.mark.parametrize("times", [(ANNOUNCED_AGAIN_S - 1, 600), (60, 59)])
def test_times_that_would_leave_readings_out_are_refused(times: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="quiet_s"):
        Mending(*times)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40), st.booleans()), max_size=60))
def test_no_late_reading_is_left_out_whatever_comes_when(events: list[tuple[int, int, bool]]) -> None:
    """Late readings: a window, seconds after the one before, whether what is due is recomputed in between.

    As the stream has it, one is announced unless its window was within ANNOUNCED_AGAIN_S.
    """
    under_way, now_s = Mending(10, 50), 0.0
    told_s: dict[int, float] = {}
    unmended: set[int] = set()
    for offset, (number, wait_s, is_run) in enumerate(events):
        start_s, now_s = number * 300, now_s + wait_s
        if is_run and (spans := under_way.due(now_s)):
            under_way.done(spans, 0, began_s=now_s, now_s=now_s)
            unmended -= set(starts(spans))
        if start_s not in told_s or now_s - told_s[start_s] > ANNOUNCED_AGAIN_S:
            under_way.announced(start_s, offset, now_s)
            told_s[start_s] = now_s
        unmended.add(start_s)
    now_s += 1_000
    spans = under_way.due(now_s)
    assert set(starts(spans)) >= unmended
    under_way.done(spans, 0, began_s=now_s, now_s=now_s)
    assert under_way.due(now_s + 1_000) == []
