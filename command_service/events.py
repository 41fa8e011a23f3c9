"""What the journal holds, as plain objects."""

from dataclasses import dataclass

from command_service.progress import Stage
from pitwall.domain.order import Order, OrderOutcome
from pitwall.domain.stop_set import Release, Stop


@dataclass(frozen=True, slots=True)
class StopIssued:
    """A stop is in the set. Also one that a vehicle or a gateway brought along."""

    stop: Stop


@dataclass(frozen=True, slots=True)
class StageReached:
    """A word about one stage of a stop; of all its vehicles where the record names none (ISSUED).

    `reached_ns`: by the clock of whoever said so, nanoseconds since 1970.
    """

    stop_id: str
    stage: Stage
    reached_ns: int
    latched_durably: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    release: Release


@dataclass(frozen=True, slots=True)
class ReleaseApproved:
    """Somebody has agreed to it. It is in force once a majority has that on disk."""

    release: Release


@dataclass(frozen=True, slots=True)
class ReleaseInForce:
    """It takes effect. Also one that a vehicle, a gateway or a peer brought along, for whom it does already."""

    release: Release


@dataclass(frozen=True, slots=True)
class ReleaseExpired:
    """Nobody approved a requested release in time."""

    release_id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order at one vehicle. `outcome` None: it is on its way."""

    vehicle_id: str
    outcome: OrderOutcome | None
    event_ns: int = 0


@dataclass(frozen=True, slots=True)
class OrderRecorded:
    """An order, with the outcomes that are new in this record."""

    order: Order
    issued_ns: int
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that was turned down."""

    method: str
    reason: str
    message: str


Event = (
    StopIssued
    | StageReached
    | ReleaseRequested
    | ReleaseApproved
    | ReleaseInForce
    | ReleaseExpired
    | OrderRecorded
    | Refused
)


@dataclass(frozen=True, slots=True)
class Record:
    """One entry. `actor`: who asked for it, or the URI of the vehicle or gateway that reported it."""

    event_ns: int
    actor: str
    event: Event
    vehicle_id: str = ""
