"""When to recompute which windows: those that late readings were announced for, once their gap seems to have closed.

An announcement speaks for the readings of its vehicle that come within ANNOUNCED_AGAIN_S after it, so a window is done
with only where its last announcement was longer ago than that when the recompute began. Time is monotonic and passed
in. Offsets are those of late-windows' one partition; what is not mended is never settled.

A recompute reads all that has come since its oldest window, so one that fails may have begun too early, or have had too
much to do. The next one takes the newest windows alone, half as many; each that ends well, twice as many.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from flink_jobs.late_sql import ANNOUNCED_AGAIN_S
from flink_jobs.metrics_sql import LONG_WINDOW_S
from flink_jobs.timespans import MOST_SPAN_S, Span, merged, starts

#: After a recompute that failed; doubled with each that fails after it.
FIRST_RETRY_S: Final = 10.0
LAST_RETRY_S: Final = 600.0
#: Of one recompute, unless one has failed.
MOST_WINDOWS: Final = MOST_SPAN_S // LONG_WINDOW_S
#: Windows that wait: those of 20 days, and Kafka holds readings for 14. A wrong clock can name any since 1970.
MOST_PENDING: Final = 20 * MOST_WINDOWS
#: In the year 9999.
_LAST_START_S: Final = 253_402_300_500


@dataclass(slots=True)
class _Announced:
    """offset: the first that isn't mended. When its announcements came, the first that may force a recompute."""

    offset: int
    first_s: float
    last_s: float


@dataclass(slots=True)
class Mending:
    """quiet_s: nothing was announced for so long, so the gap has closed. longest_s: no window waits longer for that."""

    quiet_s: float
    longest_s: float
    announcements: int = 0
    recomputes: int = 0
    failures: int = 0
    windows_mended: int = 0
    windows_given_up: int = 0
    _pending: dict[int, _Announced] = field(default_factory=dict)
    _next_offset: int = 0
    _failures_in_a_row: int = 0
    _most_windows: int = MOST_WINDOWS
    _not_before_s: float = -math.inf

    def __post_init__(self) -> None:
        if not ANNOUNCED_AGAIN_S <= self.quiet_s <= self.longest_s:
            raise ValueError(f"quiet_s {self.quiet_s:g} must be at least {ANNOUNCED_AGAIN_S}, and at most longest_s")

    def begins(self, offset: int) -> None:
        """All before it is mended."""
        self._next_offset = offset

    def announced(self, start_s: int, offset: int, now_s: float) -> list[int]:
        """A long window that is out, or will be, lacks readings. Raises ValueError where none begins there.

        Returns which is given up for it, where too many wait: the oldest, whose readings are gone first.
        """
        self._next_offset = offset + 1
        if not 0 <= start_s <= _LAST_START_S or start_s % LONG_WINDOW_S:
            raise ValueError(f"no window of {LONG_WINDOW_S} s begins at {start_s}")
        self.announcements += 1
        self._pending.setdefault(start_s, _Announced(offset, now_s, now_s)).last_s = now_s
        return self.give_up(0) if len(self._pending) > MOST_PENDING else []

    def due(self, now_s: float) -> list[Span]:
        """What to recompute now; empty while it is better to wait."""
        if not self._pending or now_s < self._not_before_s:
            return []
        is_quiet = now_s - max(each.last_s for each in self._pending.values()) >= self.quiet_s
        if not is_quiet and now_s - min(each.first_s for each in self._pending.values()) < self.longest_s:
            return []
        newest_first = self._most_windows < MOST_WINDOWS
        return merged(sorted(self._pending, reverse=newest_first)[: self._most_windows])

    def done(self, spans: Iterable[Span], windows_mended: int, began_s: float, now_s: float) -> None:
        """A recompute of these has ended that began then. What was due and isn't among them is tried again later."""
        self.recomputes += 1
        self.windows_mended += windows_mended
        self._failures_in_a_row = 0
        self._take_more()
        for start_s in starts(spans):
            known = self._pending.get(start_s)
            if known is not None and known.last_s + ANNOUNCED_AGAIN_S < began_s:
                del self._pending[start_s]
            elif known is not None:
                known.first_s = now_s
        self._not_before_s = now_s + FIRST_RETRY_S

    def postponed(self, now_s: float) -> None:
        """None of them is out yet. Of more, some may be."""
        self._take_more()
        self._not_before_s = now_s + self.quiet_s

    def failed(self, now_s: float) -> None:
        self.failures += 1
        self._not_before_s = now_s + min(FIRST_RETRY_S * 2.0**self._failures_in_a_row, LAST_RETRY_S)
        self._failures_in_a_row += 1
        self._most_windows = max(1, min(self._most_windows, len(self._pending)) // 2)

    def give_up(self, since_s: int) -> list[int]:
        """The readings of the oldest are gone, and of all that begin before ``since_s``. Returns where they began."""
        gone = [start_s for start_s in self._pending if start_s < since_s] or [min(self._pending)]
        for start_s in gone:
            del self._pending[start_s]
        self.windows_given_up += len(gone)
        return gone

    def _take_more(self) -> None:
        self._most_windows = min(2 * self._most_windows, MOST_WINDOWS)

    @property
    def settled(self) -> int:
        """The offset up to which nothing is left to be mended."""
        return min((each.offset for each in self._pending.values()), default=self._next_offset)

    def samples(self) -> tuple[tuple[str, str, str, float], ...]:
        """As flink_jobs.status.Sample has them."""
        return (
            ("late_windows_total", "counter", "Announcements of windows that lack late readings.", self.announcements),
            ("unmended_windows", "gauge", "Windows of 5 minutes that were announced and wait.", len(self._pending)),
            ("recomputes_total", "counter", "Recomputes of windows that have ended well.", self.recomputes),
            ("failed_recomputes_total", "counter", "Recomputes that have failed; each is tried again.", self.failures),
            ("mended_windows_total", "counter", "Windows that got a higher revision.", self.windows_mended),
            ("given_up_windows_total", "counter", "Windows whose readings are gone.", self.windows_given_up),
        )
