"""What the pure parts of the agent want done. Whoever runs them does so in the order in which they stand.

That order is a promise: brake first, write to disk second, tell others third.
"""

from dataclasses import dataclass, field

from haul.telemetry.v1.telemetry_pb2 import Reading

from edge_agent.stages import Progress
from edge_agent.vehicle import Verdict
from pitwall.domain.order import OrderOutcome
from pitwall.domain.stop_set import SetDelta
from pitwall.domain.vehicle_state import MotionHold, SubStatus, VehicleStatus


@dataclass(frozen=True, slots=True)
class Apply:
    """Hand the verdict to the vehicle, now."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class LatchRecord:
    """What of the set must survive: the stops that have hold of the vehicle, the zones that it watches."""

    latched: frozenset[str] = frozenset()
    carried: SetDelta = field(default_factory=SetDelta)


@dataclass(frozen=True, slots=True)
class PersistLatch:
    """Write the latch file; then tell the agent that these latches are on disk."""

    record: LatchRecord


@dataclass(frozen=True, slots=True)
class PersistState:
    """Write the status, so that a vehicle in MAINTENANCE is still there after a restart."""

    status: VehicleStatus
    autonomous: bool


@dataclass(frozen=True, slots=True)
class RecordOrder:
    """Write that this order may happen, and tell the agent when that is on disk. Only then does it happen."""

    request_id: str


@dataclass(frozen=True, slots=True)
class RememberAnswer:
    """Write the final answer; nobody waits for it."""

    request_id: str
    outcome: OrderOutcome


@dataclass(frozen=True, slots=True)
class ReportStops:
    """How far the vehicle is with its stops."""

    progress: tuple[Progress, ...]


@dataclass(frozen=True, slots=True)
class ShareOwn:
    """The vehicle's own stops that began, and those that it withdrew."""

    delta: SetDelta


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """What the vehicle is doing. `at_s`: since when."""

    status: VehicleStatus
    sub_status: SubStatus
    hold: MotionHold
    hold_count: int
    latched: frozenset[str]
    cause: str
    at_s: float


@dataclass(frozen=True, slots=True)
class ReportState:
    """Something in the snapshot has changed."""

    snapshot: StateSnapshot


@dataclass(frozen=True, slots=True)
class ReportOrder:
    """Answer an order."""

    request_id: str
    outcome: OrderOutcome


@dataclass(frozen=True, slots=True)
class StoreReading:
    """Put a new reading into the outbox."""

    reading: Reading


Effect = (
    Apply
    | PersistLatch
    | PersistState
    | RecordOrder
    | RememberAnswer
    | ReportStops
    | ShareOwn
    | ReportState
    | ReportOrder
    | StoreReading
)


#: Brake, write, tell. StoreReading comes with neither.
_RANK: dict[type[Effect], int] = {Apply: 0, PersistLatch: 1, PersistState: 2, RecordOrder: 2, RememberAnswer: 2}
_TELL = 3


def in_order(effects: list[Effect]) -> list[Effect]:
    """Brake first, write second, tell third; within each as they came. Of several verdicts the last one counts."""
    if len(effects) < 2:
        return effects
    last = next((e for e in reversed(effects) if isinstance(e, Apply)), None)
    kept = [e for e in effects if e is last or not isinstance(e, Apply)]
    return sorted(kept, key=lambda effect: _RANK.get(type(effect), _TELL))
