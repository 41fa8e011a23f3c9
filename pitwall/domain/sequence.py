"""Sequences of readings as ranges: what is there, what is missing."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SequenceRange:
    """Both ends inclusive; sequences count from 1."""

    first: int
    last: int

    def __post_init__(self) -> None:
        _check(self.first, self.last)

    def __len__(self) -> int:
        return self.last - self.first + 1


def _check(first: int, last: int) -> None:
    if not 1 <= first <= last:
        raise ValueError(f"a range runs from 1 or more up to its last: {first}..{last}")


class RangeSet:
    """A set of sequences, kept as few disjoint ranges with gaps between them."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def add(self, first: int, last: int | None = None) -> None:
        """Adds one sequence or a range of them."""
        last = first if last is None else last
        _check(first, last)
        if self._lasts and first == self._lasts[-1] + 1:
            self._lasts[-1] = last  # the common case: in order
            return
        # Whatever overlaps or adjoins melts into one.
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def discard(self, first: int, last: int | None = None) -> None:
        """Takes one sequence or a range out, as far as it is there."""
        last = first if last is None else last
        _check(first, last)
        low = bisect_left(self._lasts, first)
        high = bisect_right(self._firsts, last)
        if low >= high:
            return
        kept = [(self._firsts[low], first - 1), (last + 1, self._lasts[high - 1])]
        kept = [(a, b) for a, b in kept if a <= b]
        self._firsts[low:high] = [a for a, _ in kept]
        self._lasts[low:high] = [b for _, b in kept]

    def __contains__(self, sequence: int) -> bool:
        at = bisect_right(self._firsts, sequence) - 1
        return at >= 0 and sequence <= self._lasts[at]

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def ranges(self) -> tuple[SequenceRange, ...]:
        """Ascending, disjoint, none adjoining another."""
        return tuple(SequenceRange(a, b) for a, b in zip(self._firsts, self._lasts, strict=True))

    @property
    def last(self) -> int:
        """The highest sequence; 0 where the set is empty."""
        return self._lasts[-1] if self._lasts else 0

    @property
    def fragments(self) -> int:
        """How many disjoint ranges it takes."""
        return len(self._firsts)

    @property
    def count(self) -> int:
        """Sequences in the set."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def missing(self, first: int, last: int) -> tuple[SequenceRange, ...]:
        """What of first..last is not in the set."""
        gaps: list[SequenceRange] = []
        next_expected = first
        for a, b in zip(self._firsts, self._lasts, strict=True):
            if b < next_expected:
                continue
            if a > last:
                break
            if a > next_expected:
                gaps.append(SequenceRange(next_expected, a - 1))
            next_expected = b + 1
        if next_expected <= last:
            gaps.append(SequenceRange(next_expected, last))
        return tuple(gaps)
