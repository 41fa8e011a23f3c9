"""What a session wants done. The session is pure: the hub and the stream carry these out."""

from dataclasses import dataclass, field
from enum import Enum

from haul.command.v1.order_pb2 import OrderOutcome
from haul.command.v1.stop_pb2 import StopProgress
from haul.link.v1.vehicle_link_service_pb2 import StatusReport
from haul.telemetry.v1.telemetry_pb2 import StatusChange

from ingest_gateway.intake import Intake
from pitwall.domain.stop_set import SetDelta


class Code(Enum):
    """How a stream ends. The values are names of gRPC's status codes."""

    OK = "OK"
    ABORTED = "ABORTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Close:
    """The stream ends. `reason` for programs, `message` for people, `fields` path -> what is wrong with it."""

    code: Code
    reason: str
    message: str
    fields: dict[str, str] = field(default_factory=dict)


class Illegal(Exception):
    """A frame that ends the stream."""

    def __init__(self, close: Close) -> None:
        super().__init__(close.message)
        self.close = close


def illegal(reason: str, field_name: str, text: str) -> Illegal:
    """A frame that breaks the protocol: names the field and what is wrong with it."""
    return Illegal(Close(Code.INVALID_ARGUMENT, reason, f"{field_name}: {text}", {field_name: text}))


@dataclass(frozen=True, slots=True)
class Opened:
    """Hello was good. To be done in this order: merge `brought`, find older sessions, send the set, welcome."""

    brought: SetDelta


@dataclass(frozen=True, slots=True)
class Brought:
    """Stops of the vehicle's own that began or ended."""

    delta: SetDelta


@dataclass(frozen=True, slots=True)
class Readings:
    """A batch that was taken in."""

    intake: Intake


@dataclass(frozen=True, slots=True)
class ReadingsDeclined:
    """A batch that was not taken, because too much is on its way. The vehicle has been asked to wait."""

    count: int


@dataclass(frozen=True, slots=True)
class Throttled:
    """The vehicle has been asked to wait with its readings."""

    reason: str


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The vehicle did not wait: nothing of it is to be read for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reported:
    """For the command services."""

    progress: tuple[StopProgress, ...] = ()
    status: StatusReport | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """For vehicle-status-change."""

    change: StatusChange


@dataclass(frozen=True, slots=True)
class OrderReported:
    """For the command services."""

    request_id: str
    outcome: OrderOutcome


@dataclass(frozen=True, slots=True)
class Lost:
    """Readings that the vehicle declares lost; `record` is its LostRange."""

    boot_epoch: int
    first: int
    last: int
    reason: str
    record: bytes


@dataclass(frozen=True, slots=True)
class LossDeclined:
    """A declared loss that was not taken, because too much is on its way."""


Effect = (
    Close
    | Opened
    | Brought
    | Readings
    | ReadingsDeclined
    | Throttled
    | HeldBack
    | Reported
    | Changed
    | OrderReported
    | Lost
    | LossDeclined
)
