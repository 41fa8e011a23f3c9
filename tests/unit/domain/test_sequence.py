"""RangeSet against a plain set of numbers, which is the specification."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitwall.domain.sequence import RangeSet, SequenceRange

SPAN = st.tuples(st.integers(1, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))
STEPS = st.lists(st.tuples(st.sampled_from(["add", "discard"]), SPAN), max_size=30)


def run(steps: list[tuple[str, tuple[int, int]]]) -> tuple[RangeSet, set[int]]:
    ranges, numbers = RangeSet(), set[int]()
    for verb, (first, last) in steps:
        getattr(ranges, verb)(first, last)
        span = set(range(first, last + 1))
        numbers = numbers | span if verb == "add" else numbers - span
    return ranges, numbers


@given(STEPS)
def test_holds_the_same_numbers_as_a_set(steps: list[tuple[str, tuple[int, int]]]) -> None:
    ranges, numbers = run(steps)
    assert {n for n in range(1, 60) if n in ranges} == numbers
    assert ranges.count == len(numbers)
    assert ranges.last == max(numbers, default=0)
    assert ranges.fragments == len(ranges.ranges())
    assert bool(ranges) == bool(numbers)


@given(STEPS)
def test_ranges_are_few_ascending_and_apart(steps: list[tuple[str, tuple[int, int]]]) -> None:
    found = run(steps)[0].ranges()
    for before, after in pairwise(found):
        assert before.last + 1 < after.first


@given(STEPS, SPAN)
def test_missing_is_the_rest(steps: list[tuple[str, tuple[int, int]]], span: tuple[int, int]) -> None:
    ranges, numbers = run(steps)
    missing = {n for gap in ranges.missing(*span) for n in range(gap.first, gap.last + 1)}
    assert missing == set(range(span[0], span[1] + 1)) - numbers


@pytest.mark.parametrize(("first", "last"), [(0, 1), (-1, -1), (5, 4)])
def test_a_range_runs_from_one_and_forwards(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="a range runs from 1"):
        SequenceRange(first, last)
    with pytest.raises(ValueError, match="a range runs from 1"):
        RangeSet().add(first, last)
    with pytest.raises(ValueError, match="a range runs from 1"):
        RangeSet().discard(first, last)


def test_length_counts_both_ends() -> None:
    assert len(SequenceRange(3, 5)) == 3
