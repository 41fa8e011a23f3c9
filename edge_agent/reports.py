"""What waits to go up besides readings, in lanes: stops first.

The lanes outlive a stream only where nothing else says the same: answers to orders and lost ranges stay, progress and
state are told anew at the start of each session.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.effects import ReportOrder, StateSnapshot
from edge_agent.limits import MAX_LOST_RANGES, MAX_LOST_UNDER_WAY, MAX_QUEUED_REPORTS
from edge_agent.stages import Progress
from pitwall.domain.sequence import SequenceRange
from pitwall.domain.stop_set import SetDelta


@dataclass(frozen=True, slots=True)
class Lost:
    """Readings that were given up, and why (UPPER_SNAKE_CASE)."""

    boot_epoch: int
    range: SequenceRange
    reason: str


class Reports:
    """One vehicle's reports. Of each kind the oldest go first when there are too many."""

    def __init__(self) -> None:
        self.progress: deque[Progress] = deque(maxlen=MAX_QUEUED_REPORTS)
        self.own = SetDelta()
        self.states: deque[StateSnapshot] = deque(maxlen=MAX_QUEUED_REPORTS)
        self.answers: deque[ReportOrder] = deque(maxlen=MAX_QUEUED_REPORTS)
        self._lost: deque[Lost] = deque(maxlen=MAX_LOST_RANGES)
        self._lost_sent = 0

    def session_began(self, progress: Iterable[Progress]) -> None:
        """Hello has told the state and the own stops; progress is told whole."""
        self.progress = deque(progress, maxlen=MAX_QUEUED_REPORTS)
        self.own = SetDelta()
        self.states.clear()
        self.tell_lost_again()

    def share(self, own: SetDelta) -> None:
        self.own = SetDelta(self.own.stops + own.stops, self.own.releases + own.releases)

    def take_stops(self) -> tuple[tuple[Progress, ...], SetDelta] | None:
        """Everything about stops at once."""
        if not self.progress and not self.own:
            return None
        taken = tuple(self.progress), self.own
        self.progress.clear()
        self.own = SetDelta()
        return taken

    # Lost ranges are kept until they are acknowledged, and told once in each session and after each Throttle

    def lose(self, lost: Lost) -> None:
        """A range next to the one before is one with it, unless that one has been told already."""
        before = self._lost[-1] if len(self._lost) > self._lost_sent else None
        if before is not None and _adjoins(before, lost):
            self._lost[-1] = Lost(lost.boot_epoch, SequenceRange(before.range.first, lost.range.last), lost.reason)
            return
        if len(self._lost) == MAX_LOST_RANGES:
            self._lost_sent = max(0, self._lost_sent - 1)
        self._lost.append(lost)

    @property
    def tells_lost(self) -> bool:
        """Whether there is a loss to be told now."""
        return self._lost_sent < min(len(self._lost), MAX_LOST_UNDER_WAY)

    def tell_lost_again(self) -> None:
        """What has no ack may have been declined."""
        self._lost_sent = 0

    def take_lost(self) -> Lost | None:
        if not self.tells_lost:
            return None
        self._lost_sent += 1
        return self._lost[self._lost_sent - 1]

    def lost_known(self, boot_epoch: int, ranges: Iterable[SequenceRange]) -> list[Lost]:
        """An ack that covers a lost range says that it is known. Returns those."""
        taken = tuple(ranges)
        known = [lost for lost in self._lost if lost.boot_epoch == boot_epoch and _covered(lost.range, taken)]
        for lost in known:
            self._lost_sent -= list(self._lost).index(lost) < self._lost_sent
            self._lost.remove(lost)
        return known


def _adjoins(before: Lost, lost: Lost) -> bool:
    same = (before.boot_epoch, before.reason) == (lost.boot_epoch, lost.reason)
    return same and before.range.last + 1 == lost.range.first


def _covered(wanted: SequenceRange, by: Iterable[SequenceRange]) -> bool:
    return any(r.first <= wanted.first and wanted.last <= r.last for r in by)
