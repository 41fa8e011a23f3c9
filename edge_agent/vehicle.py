"""The edge between the agent and its vehicle: samples come up, verdicts go down.

What stands below may be a simulator, a recording or later a CAN bus; it is a process of its own. The agent decides
whether the vehicle may move and says so in verdicts. Each verdict dies at its deadline, and then whatever stands below
brakes by itself: so a frozen, hung or dead agent stops its vehicle too.

All times here are seconds of CLOCK_BOOTTIME, which both processes share and which counts suspension.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pitwall.domain.geo import Position
from pitwall.domain.vehicle_state import VehicleStatus

if TYPE_CHECKING:  # what stands below needs none of the agent's messages
    from edge_agent.moment import Moment

#: The vehicle's own reason to stop that a person on the ground makes. In `VehicleSample.faults` while it is pressed in.
LOCAL_STOP_BUTTON: Final = "LOCAL_STOP_BUTTON"
#: The one that it finds in itself: it can't drive, or not safely. Its status is ERROR until somebody has looked.
DRIVE_FAULT: Final = "DRIVE_FAULT"

#: What every vehicle below this edge reaches once it brakes, laden too. For the bound that operators see.
LOWEST_DECELERATION_MPS2: Final = 2.5


class VehicleSample(NamedTuple):
    """What the vehicle measures at one moment. Ten a second for each vehicle: a tuple takes a quarter of the time.

    Quantities are named as the fields of haul.telemetry.v1.Reading; None is unknown.
    """

    #: When it was measured.
    measured_s: float
    #: The service brake is applied, measured and not ordered. Slowing by the retarder is not braking.
    braking: bool
    #: The vehicle's own reasons not to move, for example LOCAL_STOP_BUTTON. Empty: none.
    faults: frozenset[str] = frozenset()
    speed_kph: float | None = None
    payload_tons: float | None = None
    engine_temperature_celsius: float | None = None
    engine_rpm: float | None = None
    fuel_level_percent: float | None = None
    battery_level_percent: float | None = None
    battery_volts: float | None = None
    brake_pressure_psi: float | None = None
    tire_pressure_front_left_psi: float | None = None
    tire_pressure_front_right_psi: float | None = None
    tire_pressure_rear_left_psi: float | None = None
    tire_pressure_rear_right_psi: float | None = None
    latitude_degrees: float | None = None
    longitude_degrees: float | None = None
    altitude_meters: float | None = None
    heading_degrees: float | None = None

    @property
    def position(self) -> Position | None:
        """Where it is; None when either coordinate is unknown."""
        if self.latitude_degrees is None or self.longitude_degrees is None:
            return None
        return Position(self.latitude_degrees, self.longitude_degrees)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's word to the vehicle. It replaces the one before and holds until its deadline."""

    may_move: bool
    #: When the vehicle brakes by itself, unless a newer verdict has come: min(end of permit, now + 3 control periods).
    deadline_s: float
    #: What the vehicle is at; tells the plant what to do with its leave to move.
    status: VehicleStatus
    #: Why, in a few words, for the plant's log.
    cause: str
    boot_epoch: int
    #: Of the last reading that was generated; 0 before the first.
    sequence: int
    #: The mission wants it to slow by the retarder and stand, before it goes on to something done standing.
    slowing: bool = False


class VehicleInterface(Protocol):
    """One vehicle, seen from the agent."""

    #: Called with each new sample and the moment at which it came, in the agent's event loop. None: nobody listens.
    on_sample: "Callable[[VehicleSample, Moment], None] | None"

    #: Called when the connection to the vehicle has ended, in the same loop: it brakes by itself. None: nobody listens.
    on_gone: Callable[[], None] | None

    @property
    def sample(self) -> VehicleSample | None:
        """The latest one, however old; None before the first. Judge its age by `measured_s`."""
        ...

    def apply(self, verdict: Verdict) -> None:
        """Hands the verdict to the vehicle at once. Never blocks and never raises for a lost connection.

        A verdict that can't be handed over is dropped, not kept: the vehicle brakes at the deadline of the last one
        that it has, and the next tick brings a newer one.
        """
        ...
