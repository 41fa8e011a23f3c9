"""What is missing of one boot_epoch of one vehicle. Pure; times are nanoseconds since 1970 and come in with each call.

Sequences are contiguous from 1, so whatever lies between those that have come is missing until it comes, is rejected or
is declared lost. Only what is not simply there is kept: a vehicle of which nothing was ever missing costs two numbers.

Several may say something of one sequence, in any order and more than once; the strongest word counts, so the order
makes no difference. Arrived is stronger than rejected (the reading is in dead-letter-topic), that is stronger than
declared lost, and that stronger than nothing heard.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

#: A gap that is filled so soon after it was found leaves no trace: readings overtake each other at each reconnect.
BRIEF_NS: Final = 10 * 1_000_000_000


class GapState(IntEnum):
    """Numbers of haul.fleet.v1.GapState."""

    OPEN = 1
    FILLED = 2
    LOST = 3
    REJECTED = 4


_STRENGTH: Final = {GapState.OPEN: 0, GapState.LOST: 1, GapState.REJECTED: 2, GapState.FILLED: 3}


@dataclass(frozen=True, slots=True)
class Gap:
    """Readings `first` to `last`, both inclusive, that did not come when they should have.

    `after_ns`: when the reading right in front of it was sampled. `before_ns`: the one right behind it, or when it was
    known that the vehicle had made the gap's last one. 0 where that is unknown; where another gap adjoins, it means
    nothing: see `placed`. `approximate`: some of these are there, and it is no longer known which.
    """

    first: int
    last: int
    state: GapState
    found_ns: int
    reason: str = ""
    closed_ns: int = 0
    after_ns: int = 0
    before_ns: int = 0
    approximate: bool = False

    @property
    def count(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where in time a stretch of gaps lies, from the reading in front of all of it to the one behind all of it."""

    first: int
    last: int
    after_ns: int
    before_ns: int

    def time_of(self, sequence: int) -> int:
        """When that one was sampled, had they come evenly between the two readings; 0 where neither is known."""
        if not (self.after_ns and self.before_ns):
            return self.after_ns or self.before_ns
        steps = self.last - self.first + 2
        return self.after_ns + max(0, self.before_ns - self.after_ns) * (sequence - self.first + 1) // steps


def placed(gaps: Iterable[Gap]) -> Iterator[tuple[Gap, Place]]:
    """Each gap that is not filled, with the place of the stretch that it is in. Ascending."""
    stretch: list[Gap] = []
    for gap in filter(_unfilled, gaps):
        if stretch and stretch[-1].last + 1 < gap.first:
            yield from _placed(stretch)
            stretch = []
        stretch.append(gap)
    yield from _placed(stretch)


def _placed(stretch: Sequence[Gap]) -> Iterator[tuple[Gap, Place]]:
    if stretch:
        front, back = stretch[0], stretch[-1]
        place = Place(front.first, back.last, front.after_ns, back.before_ns)
        for gap in stretch:
            yield gap, place


@dataclass(frozen=True, slots=True)
class Run:
    """Readings that came one right behind the other. `first_ns`, `last_ns`: when its ends were sampled.

    `came_ns`: when the gateway took the first of them; `received_ns`: the last.
    """

    first: int
    last: int
    first_ns: int
    last_ns: int
    came_ns: int
    received_ns: int


@dataclass(frozen=True, slots=True)
class _Word:
    """What is said of a range. `found_ns`: when it made known what lies before it; `time_ns`: when all was said."""

    state: GapState
    time_ns: int
    found_ns: int
    reason: str = ""


class Epoch:
    """`floor`: nothing is claimed of what is below it. `last`: the highest sequence that the vehicle has made, as far
    as is known. `first_ns`, `last_ns`: when the lowest and the highest that have come were sampled; 0 where none has.
    `heard_ns`: when anything was last said of it.
    """

    __slots__ = ("_gaps", "first_ns", "floor", "heard_ns", "last", "last_ns")

    def __init__(self, floor: int = 1, gaps: Sequence[Gap] = ()) -> None:
        self.floor, self.last = floor, floor - 1
        self.first_ns = self.last_ns = self.heard_ns = 0
        self._gaps = list(gaps)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Ascending, disjoint."""
        return tuple(self._gaps)

    # What is heard. Each returns whether `gaps` has changed.

    def arrived(self, run: Run) -> bool:
        """They are in vehicle-telemetry."""
        self.heard_ns = max(self.heard_ns, run.received_ns)
        self.first_ns = min(self.first_ns or run.first_ns, run.first_ns)
        if run.first == self.last + 1 and not (self._gaps and self._gaps[-1].last == self.last):
            self.last, self.last_ns = run.last, run.last_ns  # the way of a healthy vehicle
            return False
        changed = self._say(run.first, run.last, _Word(GapState.FILLED, run.received_ns, run.came_ns))
        if run.last == self.last:
            self.last_ns = run.last_ns
        return self._neighbour(run) or changed

    def rejected(self, first: int, last: int, reason: str, time_ns: int) -> bool:
        """They are in dead-letter-topic."""
        return self._say(first, last, _Word(GapState.REJECTED, time_ns, time_ns, reason))

    def lost(self, first: int, last: int, reason: str, time_ns: int) -> bool:
        """The vehicle has given them up."""
        return self._say(first, last, _Word(GapState.LOST, time_ns, time_ns, reason))

    def told(self, last: int, time_ns: int) -> bool:
        """The vehicle had made as many by then."""
        self.heard_ns = max(self.heard_ns, time_ns)
        return last > self.last and self._open(last, time_ns, time_ns)

    # Limits

    def drop_filled(self, keep: int) -> bool:
        """All of what is filled but so many that were closed last."""
        filled = sorted((g for g in self._gaps if g.state is GapState.FILLED), key=lambda g: g.closed_ns)
        gone = {g.first for g in filled[: max(0, len(filled) - keep)]}
        self._gaps = [g for g in self._gaps if g.first not in gone]
        return bool(gone)

    def settle(self) -> None:
        """Claims nothing any more of what was up to now; what comes is judged as ever."""
        self.floor, self._gaps = self.last + 1, []

    def coarsen(self, most: int) -> int:
        """Makes one gap of neighbours, the closest first, until there are at most so many.

        What lies between them is then shown as missing though it is there. Returns how many those are.
        """
        self.drop_filled(0)
        gaps, overstated = self._gaps, 0
        distances = sorted(range(1, len(gaps)), key=lambda i: gaps[i].first - gaps[i - 1].last)
        joined = set(distances[: max(0, len(gaps) - max(1, most))])
        result: list[Gap] = []
        for i, gap in enumerate(gaps):
            if i in joined:
                overstated += gap.first - result[-1].last - 1
                gap = _joined(result.pop(), gap)
            result.append(gap)
        self._gaps = result
        return overstated

    # Within

    def _say(self, first: int, last: int, word: _Word) -> bool:
        self.heard_ns = max(self.heard_ns, word.time_ns)
        changed = False
        if first > self.last + 1:
            changed = self._open(first - 1, word.found_ns, word.time_ns)
        known = self.last
        changed = self._replace(first, last, word) or changed
        if last > known:
            changed = self._extend(known + 1, last, word) or changed
        return changed

    def _open(self, last: int, found_ns: int, before_ns: int) -> bool:
        self._append(Gap(self.last + 1, last, GapState.OPEN, found_ns, after_ns=self.last_ns, before_ns=before_ns))
        self.last = last
        return True

    def _extend(self, first: int, last: int, word: _Word) -> bool:
        """By what is beyond all that is known."""
        self.last = last
        if word.state is GapState.FILLED:
            return False
        neighbours = (self.last_ns, word.time_ns)
        self._append(Gap(first, last, word.state, word.found_ns, word.reason, word.time_ns, *neighbours))
        return True

    def _neighbour(self, run: Run) -> bool:
        """A reading that has come bounds the gap in front of it and the one behind it in time.

        All of the stretch in front of it was known to be missing by then.
        """
        before = self.gaps
        behind = bisect_left(self._gaps, run.last + 1, key=lambda g: g.first)
        if behind < len(before) and before[behind].first == run.last + 1 and _unfilled(before[behind]):
            self._gaps[behind] = replace(before[behind], after_ns=run.last_ns)
        at, last = bisect_left(self._gaps, run.first, key=lambda g: g.first) - 1, run.first - 1
        if at >= 0 and before[at].last == last and _unfilled(before[at]):
            self._gaps[at] = replace(before[at], before_ns=run.first_ns)
        while at >= 0 and before[at].last == last and _unfilled(before[at]):
            self._gaps[at] = replace(self._gaps[at], found_ns=min(before[at].found_ns, run.came_ns))
            at, last = at - 1, before[at].first - 1
        return self.gaps != before

    def _append(self, gap: Gap) -> None:
        self._gaps[-1:] = _melted([*self._gaps[-1:], gap])

    def _replace(self, first: int, last: int, word: _Word) -> bool:
        """Of what is known, whatever is weaker."""
        low = bisect_left(self._gaps, first, key=lambda g: g.last)
        high, pieces, changed = low, list[Gap](), False
        while high < len(self._gaps) and self._gaps[high].first <= last:
            gap = self._gaps[high]
            weaker = _STRENGTH[gap.state] < _STRENGTH[word.state]
            pieces += _split(gap, max(first, gap.first), min(last, gap.last), word) if weaker else [gap]
            changed = changed or weaker
            high += 1
        if changed:
            start, end = max(0, low - 1), high + 1
            self._gaps[start:end] = _melted([*self._gaps[start:low], *pieces, *self._gaps[high:end]])
        return changed


def _split(gap: Gap, first: int, last: int, word: _Word) -> list[Gap]:
    """The gap with these of it, which are within it, said otherwise."""
    pieces = []
    if gap.first < first:
        pieces.append(replace(gap, last=first - 1))
    if word.state is not GapState.FILLED:
        neighbours = (gap.after_ns, gap.before_ns)
        pieces.append(Gap(first, last, word.state, gap.found_ns, word.reason, word.time_ns, *neighbours))
    elif gap.state is not GapState.OPEN or word.time_ns - gap.found_ns >= BRIEF_NS:
        pieces.append(Gap(first, last, GapState.FILLED, gap.found_ns, closed_ns=word.time_ns))
    if last < gap.last:
        pieces.append(replace(gap, first=last + 1))
    return pieces


def _unfilled(gap: Gap) -> bool:
    return gap.state is not GapState.FILLED


def _melted(gaps: Sequence[Gap]) -> list[Gap]:
    """Neighbours of which the same is said are one."""
    result: list[Gap] = []
    for gap in gaps:
        if result and _alike(result[-1], gap):
            gap = _joined(result.pop(), gap)
        result.append(gap)
    return result


def _alike(gap: Gap, following: Gap) -> bool:
    said, then = ((g.state, g.reason, g.approximate) for g in (gap, following))
    return said == then and gap.last + 1 == following.first


def _joined(gap: Gap, following: Gap) -> Gap:
    """One gap for both and what is between them. Of two that differ, the weaker word counts: more may be missing."""
    weaker = min(gap, following, key=lambda g: _STRENGTH[g.state])
    return Gap(
        gap.first,
        following.last,
        weaker.state,
        min(gap.found_ns, following.found_ns),
        weaker.reason,
        0 if weaker.state is GapState.OPEN else max(gap.closed_ns, following.closed_ns),
        gap.after_ns,
        following.before_ns,
        gap.approximate or following.approximate or gap.last + 1 < following.first,
    )
