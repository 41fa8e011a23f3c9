"""May a vehicle move? The gateway's leases, and the clock that they are held against.

Every answer takes the time at which it is written. A process that was stopped or suspended for longer than a lease
finds its leases expired, because it could not beat meanwhile; it drops them besides, so that even a lease that was
still on its way counts only if it answers a beat from after the waking.
"""

from collections.abc import Sequence
from math import inf

from pitwall.domain.permit import LeaseBook, PermitDenial, PermitTerms, permit_ttl_s


class Leave:
    """One gateway's. All times are CLOCK_BOOTTIME, seconds."""

    def __init__(self, members: Sequence[str], terms: PermitTerms, now_s: float) -> None:
        self._book = LeaseBook(members)
        self._members, self._terms = tuple(members), terms
        self._awake_s = now_s
        self._first_beat_awake: float = 0  # inf: no beat has been sent since the waking
        #: How often this process has found itself asleep.
        self.sleeps = 0
        self.last_sleep_s = 0.0

    def beat(self, now_s: float) -> int:
        """The number of a beat that is sent to all command services, no earlier than now."""
        asleep = self._look(now_s)
        number = self._book.beat(now_s)
        if asleep:
            self._first_beat_awake = number
        return number

    def granted(self, member: str, beat_number: int, ttl_s: float, now_s: float) -> None:
        """A lease that answers a beat. 0 seconds: refused."""
        self._look(now_s)
        if beat_number >= self._first_beat_awake:
            self._book.grant(member, beat_number, ttl_s)

    def remaining_s(self, now_s: float) -> float:
        """How long leave would last; 0 without a majority."""
        self._look(now_s)
        return self._book.remaining_s(now_s)

    def answer(self, now_s: float, *, holds: bool, newest: bool) -> tuple[float, PermitDenial]:
        """What to write into a permit now: seconds, or 0 and why."""
        self._look(now_s)
        return permit_ttl_s(self._terms, self._book, now_s, holds=holds, newest=newest)

    def _look(self, now_s: float) -> bool:
        """Whether it has slept too long since the last look, or is not fully awake: no beat sent since."""
        slept_s, self._awake_s = now_s - self._awake_s, now_s
        if slept_s <= self._terms.lease_ttl_s:
            return self._first_beat_awake == inf
        self.sleeps += 1
        self.last_sleep_s = slept_s
        for member in self._members:
            self._book.drop(member)
        self._first_beat_awake = inf
        return True
