"""A haul truck: what moves it, what slows it, what it carries.

It slows with the retarder in normal driving and brakes with the service brake when it is denied; so a brake that is
applied always means that somebody has stopped it or that it is parked.
"""

import random
from typing import Final

from edge_agent.mission import DRIVING, POSITIONING_S, RECEIVING_S, RETARDER_MPS2, TIPPING_S
from edge_agent.simulator.body import Drive, steps
from edge_agent.simulator.faults import (
    LIMITS,
    OVERLOADED_SHARE,
    OVERSPEED_KPH,
    OVERSPEED_LASTS_S,
    OVERSPEED_MPS2,
    OVERSPEED_SEEN_S,
    FaultKind,
)
from edge_agent.simulator.machine import Machine
from edge_agent.simulator.models import Model
from edge_agent.simulator.road import Road
from edge_agent.vehicle import LOWEST_DECELERATION_MPS2
from pitwall.domain.units import kph_to_mps, mps_to_kph
from pitwall.domain.vehicle_state import VehicleStatus

_S = VehicleStatus

GRAVITY_MPS2: Final = 9.81
#: Of the tyres on a kept haul road, share of the weight.
ROLLING_RESISTANCE: Final = 0.015
#: What the tyres and the drive's torque allow, however light it is.
TRACTION_MPS2: Final = 0.8
#: The service brake, empty; fully laden it reaches LOWEST_DECELERATION_MPS2.
SERVICE_BRAKE_MPS2: Final = 3.0
#: Below this it stands: 1 mm/s.
STANDING_MPS: Final = 0.001

#: Cruising speed per status, km/h: in a tight bend and on the straight.
CRUISE_KPH: Final[dict[VehicleStatus, tuple[float, float]]] = {
    _S.ROUTING: (33.0, 56.0),
    _S.HAULING: (23.0, 38.0),
    _S.RETURNING: (33.0, 56.0),
}
#: Moving up to the shovel.
CREEP_MPS: Final = kph_to_mps(4)

assert LOWEST_DECELERATION_MPS2 <= SERVICE_BRAKE_MPS2
assert RETARDER_MPS2 < LOWEST_DECELERATION_MPS2
assert CRUISE_KPH.keys() == DRIVING
assert all(fast < LIMITS[FaultKind.OVERSPEED].cleared_at for _, fast in CRUISE_KPH.values())


class Truck:
    """Implements Body. Everything random about it comes from the seed and its id."""

    def __init__(self, vehicle_id: str, model: Model, road: Road, *, seed: int, start_m: float, time_scale: float):
        self._chance = random.Random(f"{seed}/{vehicle_id}/truck")  # noqa: S311 (repeatable, not secret)
        self._model, self._road, self._time_scale = model, road, time_scale
        self._machine = Machine(model, self._chance)
        self._at_m = start_m % road.length_m
        #: Drivers differ, and so do tuned controllers.
        self._pace = self._chance.uniform(0.9, 1.0)
        self._speed_mps = 0.0
        self._payload_tons = 0.0
        self._load_tons = self._draw_load()
        self._loading_s = 0.0
        self._braking = True
        #: Seconds beyond the speed limit so far; None: no such fault.
        self._overspeed_s: float | None = None
        self._overloaded = False

    def _draw_load(self) -> float:
        return self._chance.uniform(self._model.lowest_payload_tons, self._model.highest_payload_tons)

    @property
    def speed_kph(self) -> float:
        return mps_to_kph(self._speed_mps)

    @property
    def braking(self) -> bool:
        return self._braking

    def advance(self, since_s: float, drive: Drive) -> None:
        self._braking = not drive.may_move
        for step_s in steps(since_s):
            self._step(step_s, drive)

    def _step(self, since_s: float, drive: Drive) -> None:
        before = self._speed_mps
        point = self._road.near(self._at_m)
        if drive.may_move:
            self._end_overspeed(OVERSPEED_SEEN_S if drive.slowing else OVERSPEED_LASTS_S)
            after, effort = self._drive(since_s, drive, point.grade, point.ease)
        else:
            self._end_overspeed(0.0)
            after, effort = max(before - self._brake_mps2 * since_s, 0.0), 0.0
        if after < STANDING_MPS and not (drive.may_move and after > before):
            after = 0.0
        self._speed_mps = after
        self._at_m = (self._at_m + (before + after) / 2 * since_s) % self._road.length_m
        self._handle_load(since_s, drive)
        self._machine.step(
            since_s,
            effort=effort,
            speed_mps=after,
            load_share=self._load_share,
            brake_share=self._brake_share,
            status=drive.status,
        )

    @property
    def _load_share(self) -> float:
        return self._payload_tons / self._model.highest_payload_tons

    @property
    def _brake_mps2(self) -> float:
        return SERVICE_BRAKE_MPS2 - (SERVICE_BRAKE_MPS2 - LOWEST_DECELERATION_MPS2) * self._load_share

    @property
    def _brake_share(self) -> float:
        """Of full brake pressure: all of it while it slows, a third to hold."""
        if not self._braking:
            return 0.0
        return 1.0 if self._speed_mps > 0 else 1 / 3

    def _drive(self, since_s: float, drive: Drive, grade: float, ease: float) -> tuple[float, float]:
        """The new speed, m/s, and the share of the engine's power that it takes."""
        before, target = self._speed_mps, self._target_mps(since_s, drive, ease)
        if target <= before:
            return max(target, before - RETARDER_MPS2 * since_s), 0.0
        mass_kg = self._model.empty_mass_kg + 1_000 * self._payload_tons
        resistance_mps2 = GRAVITY_MPS2 * (grade + ROLLING_RESISTANCE)
        if self._overspeed_s is not None and drive.status in DRIVING:
            drive_mps2 = OVERSPEED_MPS2
        else:
            available_mps2 = self._model.wheel_power_w / (mass_kg * max(before, 1.0))
            drive_mps2 = min(TRACTION_MPS2, available_mps2 - resistance_mps2)
        after = min(target, max(before + drive_mps2 * since_s, 0.0))
        pull_mps2 = (after - before) / since_s + resistance_mps2
        power_w = mass_kg * max(pull_mps2, 0.0) * after
        return after, min(power_w / self._model.wheel_power_w, 1.0)

    def _target_mps(self, since_s: float, drive: Drive, ease: float) -> float:
        if drive.slowing and not self._overspeed_s:
            return 0.0
        if drive.status is _S.LOADING:
            # It must have stopped again when the load comes.
            left_s = POSITIONING_S / self._time_scale - self._loading_s
            return CREEP_MPS if left_s > CREEP_MPS / RETARDER_MPS2 + 0.5 else 0.0
        cruise = CRUISE_KPH.get(drive.status) if drive.status is not None else None
        if cruise is None:
            return 0.0
        if self._overspeed_s is not None:
            return self._run_away(since_s)
        slow, fast = cruise
        return kph_to_mps(slow + (fast - slow) * ease * self._pace)

    def _run_away(self, since_s: float) -> float:
        """The speed of an overspeed fault."""
        assert self._overspeed_s is not None
        if LIMITS[FaultKind.OVERSPEED].raises(self.speed_kph):
            self._overspeed_s += since_s
        return kph_to_mps(OVERSPEED_KPH)

    def _end_overspeed(self, least_s: float) -> None:
        """Where the vehicle has been too fast, and for so long; one that hasn't been yet gets so on its next leg."""
        if self._overspeed_s and self._overspeed_s >= least_s:
            self._overspeed_s = None

    def _handle_load(self, since_s: float, drive: Drive) -> None:
        if drive.status is _S.LOADING and drive.may_move:
            self._loading_s += since_s
            if self._loading_s * self._time_scale >= POSITIONING_S and self._speed_mps == 0:
                self._take_load(since_s)
        else:
            self._loading_s = 0.0 if drive.status is not _S.LOADING else self._loading_s
        if drive.status is _S.DUMPING and self._speed_mps == 0:
            self._tip(since_s)

    def _take_load(self, since_s: float) -> None:
        """The shovel needs a little less than the mission gives it, so that no load is left short."""
        rate = self._load_tons / (0.9 * RECEIVING_S) * self._time_scale
        self._payload_tons = min(self._payload_tons + rate * since_s, self._load_tons)

    def _tip(self, since_s: float) -> None:
        if self._payload_tons == 0:
            return
        rate = self._model.highest_payload_tons / TIPPING_S * self._time_scale
        self._payload_tons = max(self._payload_tons - rate * since_s, 0.0)
        if self._payload_tons == 0:
            self._load_tons = self._draw_load()

    def quantities(self) -> tuple[float, ...]:
        overload_tons = self._model.rated_payload_tons * OVERLOADED_SHARE
        return (
            self.speed_kph,
            overload_tons if self._overloaded else self._payload_tons,
            *self._machine.quantities(),
            *self._road.place(self._at_m),
        )

    def start_fault(self, kind: FaultKind) -> None:
        if kind is FaultKind.OVERSPEED:
            self._overspeed_s = 0.0
        elif kind is FaultKind.OVERLOAD:
            self._overloaded = True
        else:
            self._machine.start_fault(kind)

    def end_fault(self, kind: FaultKind) -> None:
        if kind is FaultKind.OVERSPEED:
            self._overspeed_s = None
        elif kind is FaultKind.OVERLOAD:
            self._overloaded = False
        else:
            self._machine.end_fault(kind)

    @property
    def active_faults(self) -> frozenset[FaultKind]:
        own = {FaultKind.OVERSPEED: self._overspeed_s is not None, FaultKind.OVERLOAD: self._overloaded}
        return self._machine.active_faults | {kind for kind, active in own.items() if active}
