"""One vehicle of the plant: it does what the verdict says while the verdict lasts, and brakes by itself afterwards.

Pure: time is passed in, seconds of CLOCK_BOOTTIME. It starts braked, and stays so until a verdict lets it move.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_agent.simulator.body import Body, Drive
from edge_agent.simulator.fault_clock import FaultClock
from edge_agent.simulator.faults import FaultKind
from edge_agent.simulator.schedule import ScheduledFault
from edge_agent.vehicle import DRIVE_FAULT, LOCAL_STOP_BUTTON, Verdict
from edge_agent.vehicle_wire import fault_bits
from pitwall.domain.vehicle_state import VehicleStatus

#: No verdict is believed for longer, whatever its deadline says: three control periods of 100 ms, and slack.
LONGEST_VERDICT_S: Final = 1.0

CAUSE_NO_AGENT: Final = "no agent yet"
CAUSE_EXPIRED: Final = "the verdict's deadline has passed"
CAUSE_LATE: Final = "the verdict came after its deadline"
CAUSE_AGENT_GONE: Final = "the agent's connection has ended"
CAUSE_BUTTON: Final = "the local stop button is pressed"

_BUTTON_BITS: Final = fault_bits({LOCAL_STOP_BUTTON})
_DRIVE_BITS: Final = fault_bits({DRIVE_FAULT})


@dataclass(frozen=True, slots=True)
class PlantState:
    """What the plant's log says of a vehicle, but for the time."""

    speed_kph: float
    brake: bool
    permitted: bool
    #: None before the first verdict.
    status: VehicleStatus | None
    cause: str
    boot_epoch: int
    sequence: int


class PlantVehicle:
    """Between the socket and the body."""

    def __init__(self, vehicle_id: str, body: Body, faults: Iterator[ScheduledFault], now_s: float) -> None:
        self.vehicle_id, self.body = vehicle_id, body
        self.fault_clock = FaultClock(body, faults)
        #: When the vehicle brakes by itself; only while it may move.
        self.deadline_s = math.inf
        self.button = False
        self._broken_until_s = -math.inf
        self._may_move = False
        self._slowing = False
        self._status: VehicleStatus | None = None
        self._cause = CAUSE_NO_AGENT
        self._boot_epoch = 0
        self._sequence = 0
        self._drive = Drive(may_move=False, status=None)
        self._now_s = now_s
        self._set_drive()

    @property
    def permitted(self) -> bool:
        """It may move: by the verdict, and by itself."""
        return self._may_move and not self.button

    def advance(self, now_s: float) -> None:
        """Lets the time up to now pass. Within it the vehicle brakes from its deadline on."""
        if now_s <= self._now_s:
            return
        if self.deadline_s <= now_s:
            self._pass(self.deadline_s)
            self._deny(CAUSE_EXPIRED)
        self._pass(now_s)

    def _pass(self, now_s: float) -> None:
        since_s = now_s - self._now_s
        if since_s > 0:
            self.fault_clock.turn(now_s)
            self.body.advance(since_s, self._drive)
            self._now_s = now_s

    def apply(self, verdict: Verdict, now_s: float) -> bool:
        """Takes the verdict's word. True when the vehicle has been moving by leave and brakes from now on."""
        self.advance(now_s)
        before = self.permitted
        self._status, self._cause, self._slowing = verdict.status, verdict.cause, verdict.slowing
        self._boot_epoch, self._sequence = verdict.boot_epoch, verdict.sequence
        if verdict.may_move and verdict.deadline_s > now_s:
            self._may_move = True
            self.deadline_s = min(verdict.deadline_s, now_s + LONGEST_VERDICT_S)
            self._set_drive()
        else:
            self._deny(CAUSE_LATE if verdict.may_move else verdict.cause)
        if self.permitted:
            self.fault_clock.begin(now_s)
        return before and not self.permitted

    def leave(self, now_s: float) -> bool:
        """The agent has gone. True when the vehicle brakes from now on."""
        self.advance(now_s)
        before = self.permitted
        self._deny(CAUSE_AGENT_GONE)
        return before

    def press(self, pressed: bool, now_s: float) -> None:
        """The local stop button: pressed in, the vehicle brakes whatever the verdict says."""
        self.advance(now_s)
        self.button = pressed
        self._set_drive()

    def break_down(self, now_s: float, lasts_s: float) -> None:
        """Its drive fails, for so long; 0: it is mended."""
        self.advance(now_s)
        self._broken_until_s = now_s + lasts_s

    @property
    def broken(self) -> bool:
        """It finds that its drive is at fault, says so, and leaves it to the gate to stop it."""
        return self._now_s < self._broken_until_s

    def start_fault(self, kind: FaultKind, now_s: float, lasts_s: float) -> None:
        """By hand. Raises FaultImpossible."""
        self.advance(now_s)
        self.fault_clock.start_by_hand(kind, now_s, lasts_s)

    def _deny(self, cause: str) -> None:
        self._may_move, self._cause = False, cause
        self.deadline_s = math.inf
        self._set_drive()

    def _set_drive(self) -> None:
        self._drive = Drive(self.permitted, self._status, self._slowing)
        # The brakes answer at once, not with the next step.
        self.body.advance(0.0, self._drive)

    def state(self) -> PlantState:
        return PlantState(
            speed_kph=self.body.speed_kph,
            brake=self.body.braking,
            permitted=self.permitted,
            status=self._status,
            cause=CAUSE_BUTTON if self.button else self._cause,
            boot_epoch=self._boot_epoch,
            sequence=self._sequence,
        )

    @property
    def measured_s(self) -> float:
        """When what the body says was true."""
        return self._now_s

    @property
    def fault_bits(self) -> int:
        return (_DRIVE_BITS if self.broken else 0) | (_BUTTON_BITS if self.button else 0)
