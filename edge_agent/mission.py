"""What an autonomous vehicle does by itself: idle, drive to the shovel, load, haul, dump, return, again.

Stands for the on-board mission computer. It is pure: time is passed in, and chance comes from the seed, so the same
seed, vehicle and ticks give the same mission. It says what the vehicle *wants* to do; whether it may move, the gate
says, and the mission's time stands still while it may not.
"""

import random
from dataclasses import dataclass
from typing import Final

from edge_agent.vehicle import VehicleSample
from pitwall.domain.units import kph_to_mps
from pitwall.domain.vehicle_state import (
    WORKING,
    Cause,
    SubStatus,
    VehicleStatus,
    released,
    stopped,
    transition,
)

_S = VehicleStatus


@dataclass(frozen=True, slots=True)
class Phase:
    """One leg of the cycle. Seconds at time scale 1."""

    shortest_s: float
    longest_s: float
    next: VehicleStatus


PHASES: Final[dict[VehicleStatus, Phase]] = {
    _S.IDLE: Phase(30, 60, _S.ROUTING),
    _S.ROUTING: Phase(60, 120, _S.LOADING),
    _S.LOADING: Phase(90, 150, _S.HAULING),
    _S.HAULING: Phase(120, 180, _S.DUMPING),
    _S.DUMPING: Phase(60, 90, _S.RETURNING),
    _S.RETURNING: Phase(60, 120, _S.IDLE),
}
#: Legs that end standing: the vehicle slows before it goes on.
DRIVING: Final = frozenset({_S.ROUTING, _S.HAULING, _S.RETURNING})

#: Within LOADING: moving up to the shovel, then taking the load; what is left is weighing.
POSITIONING_S: Final = 8.0
RECEIVING_S: Final = 64.0
#: Within DUMPING: raising the body and letting go of the load.
TIPPING_S: Final = 45.0
#: How the retarder slows a vehicle in normal driving.
RETARDER_MPS2: Final = 1.0

#: A tick counts for at most so much, so that an agent that was asleep doesn't skip a leg.
LONGEST_TICK_S: Final = 1.0
#: A leg that is over waits so long for the vehicle to stand; then it goes on all the same.
LONGEST_WAIT_S: Final = 30.0
#: Change of speed from which a hauling vehicle counts as accelerating or decelerating.
STEADY_MPS2: Final = 0.15

assert PHASES[_S.LOADING].shortest_s > POSITIONING_S + RECEIVING_S
assert PHASES[_S.DUMPING].shortest_s > TIPPING_S
# From the fastest leg, 60 km/h, the retarder gets it to a stand within the wait.
assert kph_to_mps(60) / RETARDER_MPS2 < LONGEST_WAIT_S


def leg_duration_s(seed: int, vehicle_id: str, leg: int, status: VehicleStatus, time_scale: float) -> float:
    """How long the leg with that number (from 0, since the agent's start) lasts; infinite where nothing follows."""
    phase = PHASES.get(status)
    if phase is None:
        return float("inf")
    chance = random.Random(f"{seed}/{vehicle_id}/{leg}/{status.name}")  # noqa: S311 (repeatable, not secret)
    return chance.uniform(phase.shortest_s, phase.longest_s) / time_scale


class Mission:
    """One vehicle's mission. The one place in the agent that holds its status."""

    __slots__ = (
        "_duration_s",
        "_elapsed_s",
        "_leg",
        "_rate_mps2",
        "_running",
        "_sample",
        "_seed",
        "_ticked_s",
        "_time_scale",
        "_vehicle_id",
        "engaged",
        "slowing",
        "status",
    )

    def __init__(self, vehicle_id: str, status: VehicleStatus, *, seed: int, time_scale: float = 1.0) -> None:
        """Not engaged: at boot nothing goes on by itself. `time_scale` 10 makes every leg ten times shorter."""
        if not time_scale > 0:
            raise ValueError(f"time_scale is {time_scale}; it must be above 0")
        self._vehicle_id, self._seed, self._time_scale = vehicle_id, seed, time_scale
        self._leg = -1
        self._ticked_s: float | None = None
        self._sample: VehicleSample | None = None
        self._rate_mps2 = 0.0
        self._running = False
        self.engaged = False
        self._begin(status)

    def _begin(self, status: VehicleStatus) -> None:
        self.status = status
        #: Slow by the retarder, so as to stand when the leg is over. Goes into the verdict.
        self.slowing = False
        self._leg += 1
        self._elapsed_s = 0.0
        self._duration_s = leg_duration_s(self._seed, self._vehicle_id, self._leg, status, self._time_scale)

    # What people and the stop path make of it

    def engage(self) -> None:
        """RESUME: go on from here. A vehicle that is parked, stopped or in error has nothing to go on with."""
        self.engaged = self.status in PHASES

    def order(self, requested: VehicleStatus) -> None:
        """SET_STATUS; START_ROUTE is ROUTING. Raises IllegalTransition and changes nothing."""
        self._begin(transition(self.status, requested, Cause.ORDER))
        self.engaged = requested in WORKING

    def stop(self) -> None:
        """A stop is latched."""
        self.engaged = False
        if stopped(self.status) is not self.status:
            self._begin(stopped(self.status))

    def release(self) -> None:
        """The last latch has gone. Nothing moves by this."""
        self.engaged = False
        if released(self.status) is not self.status:
            self._begin(released(self.status))

    def fail(self) -> None:
        """The vehicle has found a fault in itself. Raises IllegalTransition when it is in ERROR already."""
        self._begin(transition(self.status, _S.ERROR, Cause.FAULT))
        self.engaged = False

    # What it does by itself

    def tick(self, now_s: float, may_run: bool, sample: VehicleSample | None) -> VehicleStatus | None:
        """Lets time pass. Returns the new status when a leg has ended.

        `may_run`: no hold, nothing latched, a permit that is valid. `sample` is the latest one.
        """
        since_s = 0.0 if self._ticked_s is None else min(max(now_s - self._ticked_s, 0.0), LONGEST_TICK_S)
        self._ticked_s = now_s
        self._running = may_run and self.engaged
        if sample is not None and sample is not self._sample:
            self._watch(sample)
        if not self._running:
            return None
        self._elapsed_s += since_s
        # Once slowing, it slows until the leg is over: no hovering about the limit.
        self.slowing = self.slowing or self._must_slow
        if not self._is_over:
            return None
        self._begin(transition(self.status, PHASES[self.status].next, Cause.MISSION))
        return self.status

    @property
    def _is_over(self) -> bool:
        late_s = self._elapsed_s - self._duration_s
        if late_s < 0:
            return False
        return self.status not in DRIVING or self._speed_mps == 0 or late_s >= LONGEST_WAIT_S

    @property
    def _must_slow(self) -> bool:
        if self.status not in DRIVING:
            return False
        return self._duration_s - self._elapsed_s <= self._speed_mps / RETARDER_MPS2

    @property
    def sub_status(self) -> SubStatus:
        """The finer step within the status; NONE where it has none."""
        if self.status is _S.IDLE:
            return SubStatus.READY if self.engaged else SubStatus.WAITING
        if self.status is _S.LOADING:
            return self._loading_step()
        if self.status is _S.HAULING:
            return self._hauling_step()
        return SubStatus.NONE

    def _loading_step(self) -> SubStatus:
        elapsed_s = self._elapsed_s * self._time_scale
        if elapsed_s < POSITIONING_S:
            return SubStatus.POSITIONING
        return SubStatus.RECEIVING if elapsed_s < POSITIONING_S + RECEIVING_S else SubStatus.VERIFYING

    def _hauling_step(self) -> SubStatus:
        if not self._running:
            return SubStatus.DECELERATING if self._speed_mps > 0 else SubStatus.NONE
        if self.slowing or self._rate_mps2 < -STEADY_MPS2:
            return SubStatus.DECELERATING
        if self._rate_mps2 > STEADY_MPS2 or self._speed_mps == 0:
            return SubStatus.ACCELERATING
        return SubStatus.CRUISING

    @property
    def _speed_mps(self) -> float:
        """Unknown counts as standing: the mission only waits for it, it proves nothing by it."""
        if self._sample is None or self._sample.speed_kph is None:
            return 0.0
        return kph_to_mps(self._sample.speed_kph)

    def _watch(self, sample: VehicleSample) -> None:
        before_s = sample.measured_s if self._sample is None else self._sample.measured_s
        before_mps = self._speed_mps
        self._sample = sample
        since_s = sample.measured_s - before_s
        if since_s > 0:
            # Smoothed over about a second, so that one sample doesn't flip the sub-status.
            weight = min(1.0, since_s)
            self._rate_mps2 += weight * ((self._speed_mps - before_mps) / since_s - self._rate_mps2)
