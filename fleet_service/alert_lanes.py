"""Which alerts of one rule at one vehicle are over, by what was told of the others. Pure.

A rule has one alert at a time. After a failure, or in a new version that began without state, the stream job may raise
the same thing under another alert_id, because it begins at another reading; of the one that it told before nothing more
comes. So an alert is over where another of its rule was raised later, or cleared later. *Later* is both by place
(boot_epoch, sequence) and by time: a clock that was set, or a new computer that counts its starts anew, ends nothing.

What is over stays so, whatever comes then, so order and repeats make no difference.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

#: Moments of which none is later than another. More than one takes a clock that was set back.
MAX_MOMENTS: Final = 8

#: The end of an alert_id.
_RAISED_AT: Final = re.compile(r".*\.(\d+)\.(\d+)", re.DOTALL)

#: (boot_epoch, sequence)
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Moment:
    """`place` and event_time of an observation."""

    place: Place
    event_ns: int

    def after(self, other: "Moment") -> bool:
        return self.place > other.place and self.event_ns >= other.event_ns


def place_of(alert_id: str) -> Place | None:
    """Where an alert was raised: its id ends so. None for an id of another make, which is compared with nothing."""
    found = _RAISED_AT.fullmatch(alert_id)
    return None if found is None else (int(found[1]), int(found[2]))


@dataclass(slots=True)
class Lane:
    """One rule at one vehicle, live."""

    _open: dict[str, Moment] = field(default_factory=dict)
    #: The latest; what is before one of them is over.
    _latest: list[Moment] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Nothing is open in it."""
        return not self._open

    def told(self, moments: Iterable[Moment]) -> None:
        """An alert was raised, or cleared, then."""
        for moment in moments:
            if moment in self._latest or any(known.after(moment) for known in self._latest):
                continue
            self._latest = [*(known for known in self._latest if not moment.after(known)), moment][-MAX_MOMENTS:]

    def opened(self, alert_id: str, raised: Moment) -> None:
        self._open[alert_id] = raised

    def closed(self, alert_id: str) -> None:
        self._open.pop(alert_id, None)

    def over(self) -> list[tuple[str, Moment]]:
        """Of the open ones: which are over, and since when at the latest."""
        found = ((alert_id, self._ended(raised)) for alert_id, raised in self._open.items())
        return [(alert_id, ended) for alert_id, ended in found if ended is not None]

    def _ended(self, raised: Moment) -> Moment | None:
        return min((m for m in self._latest if m.after(raised)), key=lambda m: m.event_ns, default=None)
