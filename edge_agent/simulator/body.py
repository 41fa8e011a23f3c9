"""What the plant drives: anything with brakes that measures itself."""

from dataclasses import dataclass
from typing import Final, Protocol

from edge_agent.simulator.faults import FaultKind
from pitwall.domain.vehicle_state import VehicleStatus

#: One step of a body is never longer; a longer wait is cut into several.
LONGEST_STEP_S: Final = 0.5
#: After a longer sleep of the plant only so much of it is simulated; every vehicle has come to rest by then.
LONGEST_CATCH_UP_S: Final = 10.0

#: Quantities of a sample, in the order in which bodies give them and the socket carries them.
UNKNOWN: Final = float("nan")


@dataclass(frozen=True, slots=True)
class Drive:
    """What the vehicle is to do. Without leave to move it brakes, whatever the rest says."""

    may_move: bool
    status: VehicleStatus | None
    #: Slow by the retarder, and stand.
    slowing: bool = False


class Body(Protocol):
    """One vehicle's physics, or a recording of them. Pure: the same calls give the same values."""

    @property
    def speed_kph(self) -> float:
        """Never negative, and exactly 0 at a stand."""
        ...

    @property
    def braking(self) -> bool:
        """The service brake is applied."""
        ...

    def advance(self, since_s: float, drive: Drive) -> None:
        """Lets so many seconds pass. Does as `drive` says."""
        ...

    def quantities(self) -> tuple[float, ...]:
        """In the order of pitwall.domain.units.QUANTITIES; UNKNOWN (NaN) where it isn't measured."""
        ...

    def start_fault(self, kind: FaultKind) -> None:
        """Raises FaultImpossible where the body can't have it."""
        ...

    def end_fault(self, kind: FaultKind) -> None:
        """Nothing happens when it hasn't begun."""
        ...

    @property
    def active_faults(self) -> frozenset[FaultKind]:
        """Begun and not ended."""
        ...


class FaultImpossible(ValueError):
    """This body can't have that fault; the text says why."""


def steps(since_s: float) -> list[float]:
    """The span cut into steps that a body takes."""
    left_s = min(max(since_s, 0.0), LONGEST_CATCH_UP_S)
    whole, rest_s = divmod(left_s, LONGEST_STEP_S)
    return [LONGEST_STEP_S] * int(whole) + ([rest_s] if rest_s > 0 else [])
