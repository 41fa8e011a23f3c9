"""Orders that may set a vehicle in motion: they expire, do nothing in another state than the one seen, run once.

An order carries the etag of the motion state that the operator saw: the vehicle's boot, its session, its count of
whatever stops, releases, holds and orders have changed, and its newest heartbeat at that moment. The vehicle compares
the first three with its own and takes the age of the heartbeat from its own memory, so no clock of a server and no
delay on the way can make an old order look new.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from pitwall.domain.drill import DrillReaction
from pitwall.domain.permit import HEARTBEAT_MEMORY_S
from pitwall.domain.vehicle_state import Cause, IllegalTransition, MotionHold, VehicleStatus, transition

MIN_EXPIRE_AFTER_S, MAX_EXPIRE_AFTER_S, DEFAULT_EXPIRE_AFTER_S = 1.0, 60.0, 10.0
#: How long an answer is remembered for whoever repeats a request, seconds.
REQUEST_MEMORY_S = 86_400.0

assert MAX_EXPIRE_AFTER_S <= HEARTBEAT_MEMORY_S


class InvalidEtag(ValueError):
    """The text is no etag of a motion state."""


@dataclass(frozen=True, slots=True)
class MotionEtag:
    """The motion state that an operator saw."""

    boot_epoch: int
    connect_count: int
    hold_count: int
    heartbeat_number: int

    def text(self) -> str:
        return f"{self.boot_epoch}-{self.connect_count}-{self.hold_count}-{self.heartbeat_number}"

    @classmethod
    def parse(cls, text: str) -> "MotionEtag":
        parts = text.split("-")
        if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and len(part) <= 20 for part in parts):
            raise InvalidEtag(f"etag {text[:80]!r} is not one of GetMotionState or ListMotionStates")
        return cls(*map(int, parts))


@dataclass(frozen=True, slots=True)
class SetStatus:
    status: VehicleStatus


@dataclass(frozen=True, slots=True)
class StartRoute:
    route: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Ends the hold BOOT or LINK_LOST."""


@dataclass(frozen=True, slots=True)
class SetAutonomousMode:
    enabled: bool


@dataclass(frozen=True, slots=True)
class LinkLossDrill:
    """Takes no permits, as if the link were gone, and measures how it brakes when the last one has run out."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class StopDrill:
    """Measures how it brakes for this stop, which is issued as any other one is."""

    stop_id: str
    reason: str = ""


OrderKind = SetStatus | StartRoute | Resume | SetAutonomousMode | LinkLossDrill | StopDrill


@dataclass(frozen=True, slots=True)
class Order:
    """`expire_after_s`: how old the heartbeat in the etag may be when the vehicle executes, 1 to 60 s."""

    request_id: str
    kind: OrderKind
    expire_after_s: float = DEFAULT_EXPIRE_AFTER_S
    issued_by: str = ""

    def __post_init__(self) -> None:
        if not MIN_EXPIRE_AFTER_S <= self.expire_after_s <= MAX_EXPIRE_AFTER_S:
            raise ValueError(
                f"expire_after must be {MIN_EXPIRE_AFTER_S:g} to {MAX_EXPIRE_AFTER_S:g} s, "
                f"not {self.expire_after_s:g} s"
            )


class OrderResult(IntEnum):
    """The numbers are those of haul.command.v1."""

    EXECUTED = 1
    REJECTED = 2
    EXPIRED = 3
    UNKNOWN = 4
    UNAVAILABLE = 5


@dataclass(frozen=True, slots=True)
class OrderOutcome:
    """`reason` is for programs (UPPER_SNAKE_CASE), `message` for people. `reaction`: of a drill that is over."""

    result: OrderResult
    reason: str = ""
    message: str = ""
    may_have_happened: bool = False
    reaction: DrillReaction | None = None


@dataclass(frozen=True, slots=True)
class OwnMotion:
    """The vehicle's own state at the moment of judging."""

    boot_epoch: int
    connect_count: int
    hold_count: int
    status: VehicleStatus
    motion_hold: MotionHold
    permit_valid: bool
    latched: bool
    #: It has measured itself of late.
    sighted: bool = True
    #: None: unknown.
    speed_kph: float | None = None
    #: Its configuration consents to drills.
    drills: bool = False
    #: One is under way.
    drilling: bool = False


#: Reasons that mean: the state is no longer the one that the operator saw. The caller's error is then ABORTED.
STALE_REASONS = frozenset({"REBOOTED", "RECONNECTED", "HELD_SINCE"})


def judge(order: Order, etag: MotionEtag, own: OwnMotion, heartbeat_age_s: float | None) -> OrderOutcome | None:
    """The outcome of an order that must do nothing, or None: execute it."""
    return _stale(etag, own) or _expired(order, heartbeat_age_s) or _refused(order.kind, own)


def _stale(etag: MotionEtag, own: OwnMotion) -> OrderOutcome | None:
    if etag.boot_epoch != own.boot_epoch:
        return _rejected("REBOOTED", "the vehicle has started anew since you looked; look again")
    if etag.connect_count != own.connect_count:
        return _rejected("RECONNECTED", "the vehicle has reconnected since you looked; look again")
    if etag.hold_count != own.hold_count:
        return _rejected("HELD_SINCE", "a stop, a release, a hold or an order has come since you looked; look again")
    return None


def _expired(order: Order, heartbeat_age_s: float | None) -> OrderOutcome | None:
    if heartbeat_age_s is None:
        return OrderOutcome(
            OrderResult.EXPIRED, "HEARTBEAT_UNKNOWN", "the vehicle remembers no such heartbeat; look again"
        )
    if heartbeat_age_s >= order.expire_after_s:
        late = f"{heartbeat_age_s:.1f} s after you looked, more than {order.expire_after_s:g} s"
        return OrderOutcome(OrderResult.EXPIRED, "HEARTBEAT_TOO_OLD", f"the order came {late}; look again")
    return None


def _refused(kind: OrderKind, own: OwnMotion) -> OrderOutcome | None:
    match kind:
        case Resume():
            return _resume_refused(own)
        case StartRoute():
            return _start_route_refused(own)
        case LinkLossDrill() | StopDrill():
            return _drill_refused(own)
        case SetStatus(status):
            try:
                transition(own.status, status, Cause.ORDER)
            except IllegalTransition as error:
                return _rejected("ILLEGAL_TRANSITION", str(error))
            if own.latched:
                return _rejected("STOPPED", "a stop has hold of the vehicle; release it first")
    return None


def _resume_refused(own: OwnMotion) -> OrderOutcome | None:
    if own.latched:
        return _rejected("STOPPED", "a stop has hold of the vehicle; release it first")
    if own.motion_hold not in (MotionHold.BOOT, MotionHold.LINK_LOST):
        return _rejected("NO_HOLD", f"there is no hold to end: motion_hold is {own.motion_hold.name}")
    return _leave_missing(own)


def _leave_missing(own: OwnMotion) -> OrderOutcome | None:
    if not own.permit_valid:
        return _rejected("NO_PERMIT", "the vehicle has no valid permit; see why its gateway gives none")
    if not own.sighted:
        return _rejected("NO_SAMPLE", "the vehicle itself gives no measurements; see whether its interface runs")
    return None


def _drill_refused(own: OwnMotion) -> OrderOutcome | None:
    """Consent first, whatever else is in the way."""
    if not own.drills:
        return _rejected("NO_CONSENT", "it takes no part in drills; `drills = true` in its agent's settings consents")
    if own.drilling:
        return _rejected("DRILL_UNDER_WAY", "it is in a drill now; wait for its end")
    if own.motion_hold is not MotionHold.NONE:
        return _rejected("HELD", f"motion_hold is {own.motion_hold.name}; there is no leave to move that could end")
    return _leave_missing(own) or _not_moving(own)


def _not_moving(own: OwnMotion) -> OrderOutcome | None:
    if own.speed_kph is None:
        return _rejected("SPEED_UNKNOWN", "its speed is not known: nothing measured; have it looked at")
    if own.speed_kph == 0:
        return _rejected("NOT_MOVING", "not moving: nothing measured; drill it while it drives")
    return None


def _start_route_refused(own: OwnMotion) -> OrderOutcome | None:
    if own.latched:
        return _rejected("STOPPED", "a stop has hold of the vehicle; release it first")
    if own.motion_hold is not MotionHold.NONE:
        return _rejected("HELD", f"motion_hold is {own.motion_hold.name}; RESUME it first")
    if own.status is not VehicleStatus.IDLE:
        return _rejected("NOT_IDLE", f"a route starts from IDLE, not from {own.status.name}")
    return _leave_missing(own)


def _rejected(reason: str, message: str) -> OrderOutcome:
    return OrderOutcome(OrderResult.REJECTED, reason, message)


class RequestMemory:
    """Answers given, by request id, so that a repeat gets the same one. Bounded by count and by age."""

    def __init__(self, capacity: int, keep_s: float = REQUEST_MEMORY_S) -> None:
        self._capacity, self._keep_s = capacity, keep_s
        self._answers: OrderedDict[str, tuple[float, OrderOutcome]] = OrderedDict()

    def remember(self, request_id: str, outcome: OrderOutcome, now_s: float) -> None:
        """Keeps the answer; the oldest go first when there are too many. A later answer replaces an earlier one."""
        self._answers.pop(request_id, None)
        self._answers[request_id] = (now_s, outcome)
        while len(self._answers) > self._capacity or self._oldest_s() < now_s - self._keep_s:
            self._answers.popitem(last=False)

    def _oldest_s(self) -> float:
        return next(iter(self._answers.values()))[0]

    def recall(self, request_id: str) -> OrderOutcome | None:
        found = self._answers.get(request_id)
        return found[1] if found else None

    def __len__(self) -> int:
        return len(self._answers)

    def items(self) -> Iterator[tuple[str, float, OrderOutcome]]:
        """Oldest first."""
        return ((request_id, at_s, outcome) for request_id, (at_s, outcome) in self._answers.items())
