"""What a vehicle may be doing, and what may change it.

A status says what the vehicle is at: idle, driving a route, under the shovel. It moves along the mission by itself
(cause MISSION), by order (ORDER), by its own fault (FAULT). A stop takes every status in which a vehicle is at work to
EMERGENCY_STOP; MAINTENANCE and OFFLINE stay as they are, because a parked vehicle stays parked, and the latch holds it
all the same. A release leads to MAINTENANCE and never further: leaving that takes an order of its own.

Whether it may *move* is another question, which the gate answers from permit, latches and MotionHold.
The numbers are those of haul.telemetry.v1; a test compares them.
"""

from enum import Enum, IntEnum, auto


class VehicleStatus(IntEnum):
    IDLE = 1
    ROUTING = 2
    LOADING = 3
    HAULING = 4
    DUMPING = 5
    RETURNING = 6
    MAINTENANCE = 7
    OFFLINE = 8
    EMERGENCY_STOP = 9
    ERROR = 10


class SubStatus(IntEnum):
    NONE = 0
    WAITING = 1
    READY = 2
    ACCELERATING = 3
    CRUISING = 4
    DECELERATING = 5
    POSITIONING = 6
    RECEIVING = 7
    VERIFYING = 8


class MotionHold(IntEnum):
    NONE = 1
    BOOT = 2
    LINK_LOST = 3
    STOPPED = 4


class Connectivity(IntEnum):
    CONNECTED = 1
    LOST = 2


class Cause(Enum):
    """Who wants the status changed."""

    MISSION = auto()
    ORDER = auto()
    STOP = auto()
    RELEASE = auto()
    FAULT = auto()


class IllegalTransition(ValueError):
    """The table has no such transition. Nothing has changed."""

    def __init__(self, current: VehicleStatus, requested: VehicleStatus, cause: Cause) -> None:
        self.current, self.requested, self.cause = current, requested, cause
        allowed = sorted(status.name for status in reachable(current, cause))
        super().__init__(
            f"{current.name} -> {requested.name} by {cause.name} is not allowed; "
            f"from {current.name} it leads to {', '.join(allowed) or 'nothing'}"
        )


_S = VehicleStatus

#: Statuses in which the vehicle is at work on its mission.
WORKING = frozenset({_S.ROUTING, _S.LOADING, _S.HAULING, _S.DUMPING, _S.RETURNING})

#: Statuses in which it may drive, given permit and no hold. LOADING: it positions itself under the shovel.
MOVING = frozenset({_S.ROUTING, _S.LOADING, _S.HAULING, _S.RETURNING})

#: Statuses that a stop leaves as they are.
PARKED = frozenset({_S.MAINTENANCE, _S.OFFLINE})

_MISSION = {
    (_S.IDLE, _S.ROUTING),
    (_S.ROUTING, _S.LOADING),
    (_S.LOADING, _S.HAULING),
    (_S.HAULING, _S.DUMPING),
    (_S.DUMPING, _S.RETURNING),
    (_S.DUMPING, _S.IDLE),
    (_S.RETURNING, _S.IDLE),
}
_ORDER = {
    (_S.IDLE, _S.ROUTING),
    (_S.IDLE, _S.MAINTENANCE),
    (_S.MAINTENANCE, _S.IDLE),
    (_S.IDLE, _S.OFFLINE),
    (_S.MAINTENANCE, _S.OFFLINE),
    (_S.OFFLINE, _S.IDLE),
    (_S.ERROR, _S.MAINTENANCE),
}

TRANSITIONS: dict[Cause, frozenset[tuple[VehicleStatus, VehicleStatus]]] = {
    Cause.MISSION: frozenset(_MISSION),
    Cause.ORDER: frozenset(_ORDER),
    Cause.STOP: frozenset((s, _S.EMERGENCY_STOP) for s in _S if s not in PARKED | {_S.EMERGENCY_STOP}),
    Cause.RELEASE: frozenset({(_S.EMERGENCY_STOP, _S.MAINTENANCE)}),
    Cause.FAULT: frozenset((s, _S.ERROR) for s in _S if s is not _S.ERROR),
}

#: Orders that only a supervisor or maintainer may give: they take a vehicle out of these.
GUARDED = frozenset({_S.MAINTENANCE, _S.ERROR})


def reachable(current: VehicleStatus, cause: Cause) -> frozenset[VehicleStatus]:
    """Where this cause may lead from here."""
    return frozenset(after for before, after in TRANSITIONS[cause] if before is current)


def transition(current: VehicleStatus, requested: VehicleStatus, cause: Cause) -> VehicleStatus:
    """Returns `requested`, or raises IllegalTransition."""
    if (current, requested) not in TRANSITIONS[cause]:
        raise IllegalTransition(current, requested, cause)
    return requested


def stopped(current: VehicleStatus) -> VehicleStatus:
    """What a stop makes of it."""
    return _S.EMERGENCY_STOP if (current, _S.EMERGENCY_STOP) in TRANSITIONS[Cause.STOP] else current


def released(current: VehicleStatus) -> VehicleStatus:
    """What the release of the last latch makes of it. Never a status in which it moves."""
    return _S.MAINTENANCE if current is _S.EMERGENCY_STOP else current
