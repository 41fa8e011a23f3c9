"""Leave to move: leases from command services to a gateway, permits from a gateway to a vehicle.

Both run from the moment when the numbered beat that they answer was sent, on the clock of whoever sent it
(CLOCK_BOOTTIME, seconds): delay makes them shorter, never longer, and no two clocks are ever compared. A gateway holds
leave while leases from a majority of command services are unexpired, and permits no longer than that; a majority that
has journaled a stop shares a member with every such majority, so one lease after a stop is issued nobody permits
against it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import inf

#: Allowed range of both times to live, seconds.
MIN_TTL_S, MAX_TTL_S = 0.5, 10.0
#: Two clocks that count seconds differ by less than this share.
CLOCK_RATE_ERROR = 0.01
#: A beat or heartbeat older than this, seconds, is forgotten: the longest an order may be valid.
HEARTBEAT_MEMORY_S = 60.0
#: Beats remembered at most: 60 s of them at 20 a second, twice the control loop's rate.
HEARTBEAT_MEMORY = 1_200
#: Command services that a site may have.
SITE_SIZES = (1, 3, 5)

assert MAX_TTL_S <= HEARTBEAT_MEMORY_S


def majority(members: int) -> int:
    """How many of so many members any two majorities of which share one."""
    return members // 2 + 1


@dataclass(frozen=True, slots=True)
class PermitTerms:
    """The times that bound how long a vehicle may move against a stop, seconds."""

    lease_ttl_s: float = 2.0
    permit_ttl_s: float = 2.0
    control_period_s: float = 0.1

    def __post_init__(self) -> None:
        for name in ("lease_ttl_s", "permit_ttl_s"):
            if not MIN_TTL_S <= getattr(self, name) <= MAX_TTL_S:
                raise ValueError(f"{name} must be {MIN_TTL_S} to {MAX_TTL_S} s, not {getattr(self, name)}")
        if not 0 < self.control_period_s <= self.permit_ttl_s / 5:
            raise ValueError(f"control_period_s must be at most a fifth of permit_ttl_s, not {self.control_period_s}")

    @property
    def brakes_within_s(self) -> float:
        """From the moment a stop is issued, or the path breaks, to braking, whatever fails."""
        return (self.lease_ttl_s + self.control_period_s) * (1 + CLOCK_RATE_ERROR)


class HeartbeatLog:
    """Numbers beats and remembers when each was sent."""

    __slots__ = ("_newest", "_sent_s")

    def __init__(self) -> None:
        self._newest = 0
        self._sent_s: deque[float] = deque(maxlen=HEARTBEAT_MEMORY)  # of the newest ones, in order

    def beat(self, now_s: float) -> int:
        """A new number, sent no earlier than now."""
        self._newest += 1
        self._sent_s.append(now_s)
        return self._newest

    @property
    def newest(self) -> int:
        """0 before the first."""
        return self._newest

    def sent_s(self, number: int) -> float | None:
        """When it was sent; None where it never was, or too long ago to remember."""
        back = self._newest - number
        return self._sent_s[-1 - back] if 0 <= back < len(self._sent_s) else None

    def age_s(self, number: int, now_s: float) -> float | None:
        sent = self.sent_s(number)
        return None if sent is None or now_s - sent > HEARTBEAT_MEMORY_S else now_s - sent


class PermitHolder:
    """The vehicle's side of a permit."""

    __slots__ = ("_log", "_number", "_until_s", "_void_before")

    def __init__(self, log: HeartbeatLog) -> None:
        self._log = log
        self._number = 0
        self._until_s = -inf
        self._void_before = 0

    def grant(self, number: int, ttl_s: float) -> bool:
        """Takes an answer to a heartbeat. The newest heartbeat wins; a void or unknown one does nothing.

        Returns whether it was taken. A ttl of 0 takes leave away at once.
        """
        sent = self._log.sent_s(number)
        if sent is None or number < self._number or number <= self._void_before:
            return False
        self._number = number
        self._until_s = sent + ttl_s if ttl_s > 0 else -inf
        return True

    def void(self) -> None:
        """A stop was accepted: leave is gone, and answers to heartbeats sent until now count for nothing."""
        self._void_before = self._log.newest
        self._until_s = -inf

    @property
    def until_s(self) -> float:
        """When leave ends; -inf where there is none."""
        return self._until_s

    def valid(self, now_s: float) -> bool:
        return now_s < self._until_s


class LeaseBook:
    """The gateway's side of leases: one from each command service, and what a majority of them allows."""

    def __init__(self, members: Sequence[str]) -> None:
        if len(members) not in SITE_SIZES or len(set(members)) < len(members):
            raise ValueError(f"a site has 1, 3 or 5 different command services, not {list(members)}")
        self._log = HeartbeatLog()
        self._until_s = dict.fromkeys(members, -inf)

    def beat(self, now_s: float) -> int:
        return self._log.beat(now_s)

    def grant(self, member: str, number: int, ttl_s: float) -> None:
        """Takes a lease. A later one never shortens an earlier one; 0 is a refusal, which gives and takes nothing.

        What was given before ends by its own time, as it does where the member falls silent; no bound needs more.
        """
        sent = self._log.sent_s(number)
        if sent is not None and ttl_s > 0:
            self._until_s[member] = max(self._until_s[member], sent + ttl_s)

    def drop(self, member: str) -> None:
        """The exchange with this member has to be done anew before its lease counts again."""
        self._until_s[member] = -inf

    def majority_until_s(self) -> float:
        """Until when a majority of leases is unexpired; -inf where there never was one."""
        return sorted(self._until_s.values())[-majority(len(self._until_s))]

    def remaining_s(self, now_s: float) -> float:
        """How long a permit written now may last; 0 without a majority."""
        return max(0.0, self.majority_until_s() - now_s)


class PermitDenial(IntEnum):
    """Why a permit has no time in it. The numbers are those of haul.link.v1."""

    NONE = 0
    STOPPED = 1
    NO_MAJORITY = 2
    OLD_SESSION = 3


def permit_ttl_s(
    terms: PermitTerms, book: LeaseBook, now_s: float, *, holds: bool, newest: bool
) -> tuple[float, PermitDenial]:
    """What a gateway answers to a heartbeat: the time to live in seconds, or 0 and why.

    `holds`: a stop applies to the vehicle, or it says that one has hold of it. `newest`: this is its newest session.
    """
    if holds:
        return 0.0, PermitDenial.STOPPED
    if not newest:
        return 0.0, PermitDenial.OLD_SESSION
    remaining = book.remaining_s(now_s)
    if remaining <= 0:
        return 0.0, PermitDenial.NO_MAJORITY
    return min(terms.permit_ttl_s, remaining), PermitDenial.NONE
