"""What a truck's insides do while it works: engine, fuel, batteries, brake circuit, tyres.

Every value follows what drives it with a lag of its own. The lags are solved implicitly, so that a long step is as
stable as a short one.
"""

import random
from typing import Final

from edge_agent.simulator.body import FaultImpossible
from edge_agent.simulator.faults import LAG_S, PUSHED_TO, FaultKind
from edge_agent.simulator.models import Model
from pitwall.domain.units import mps_to_kph
from pitwall.domain.vehicle_state import VehicleStatus

_S = VehicleStatus

AMBIENT_CELSIUS: Final = 15.0
#: Coolant of an engine that idles, and what full power adds. Normal is 80 to 95 °C.
IDLE_COOLANT_CELSIUS: Final = 82.0
FULL_LOAD_COOLANT_RISE: Final = 11.0
COOLANT_LAG_S: Final = 60.0
#: A switched-off engine cools slowly.
COOLING_DOWN_LAG_S: Final = 3_600.0

IDLE_RPM: Final = 700.0
FULL_LOAD_RPM: Final = 1_900.0
RPM_LAG_S: Final = 1.0
#: Fans, compressor and retarder blowers take so much even at a stand.
IDLE_EFFORT: Final = 0.05

IDLE_BURN_LITERS_PER_HOUR: Final = 25.0
FULL_LOAD_BURN_LITERS_PER_HOUR: Final = 420.0
#: A parked vehicle below this is refuelled, by a fast-fill bowser, up to that.
REFUEL_BELOW_PERCENT: Final = 30.0
REFUEL_UP_TO_PERCENT: Final = 95.0
REFUEL_LITERS_PER_MINUTE: Final = 1_000.0
#: The engine is shut down before it sucks air; normal driving never gets near it.
RESERVE_PERCENT: Final = 18.0

CHARGED_PERCENT: Final = 96.0
CHARGING_LAG_S: Final = 900.0
#: The isolator opens before the batteries can't crank any more.
ISOLATED_PERCENT: Final = 60.0
SELF_DISCHARGE_PERCENT_PER_S: Final = 0.2 / 3_600

FULL_BRAKE_PSI: Final = 2_400.0
BRAKE_LAG_S: Final = 0.12
RELEASED_BELOW_PSI: Final = 1.0

#: A cold 53/80R63 tyre.
COLD_TIRE_PSI: Final = 96.0
COLD_TIRE_SPREAD_PSI: Final = 2.0
TIRE_LAG_S: Final = 600.0
#: A tyre at 60 km/h is so much warmer than one at rest, a laden one this much more.
TIRE_SPEED_RISE_CELSIUS: Final = 25.0
TIRE_LOAD_RISE_CELSIUS: Final = 15.0
#: Cold pressure is set at 20 °C; a gas follows its absolute temperature.
COLD_TIRE_KELVIN: Final = 293.15

#: The value that a fault pushes, by its place in `quantities`; tyres by wheel.
_PUSHED: Final = {
    FaultKind.OVERHEATING: 0,
    FaultKind.LOW_FUEL: 2,
    FaultKind.LOW_BATTERY: 3,
}
_FIRST_WHEEL: Final = 6
_WHEELS: Final = 4


class Machine:
    """The insides of one truck. Fractions of full effort, load and braking come in; measured values come out."""

    def __init__(self, model: Model, chance: random.Random) -> None:
        self._percent_per_liter = 100 / model.tank_liters
        self._coolant = chance.uniform(82, 86)
        self._rpm = IDLE_RPM
        self._fuel = chance.uniform(45, 95)
        self._refuelling = False
        self._battery = chance.uniform(85, 97)
        self._running = True
        self._brake_psi = FULL_BRAKE_PSI / 3
        self._tire_rise = 0.0
        self._cold_psi = [
            COLD_TIRE_PSI + chance.uniform(-COLD_TIRE_SPREAD_PSI, COLD_TIRE_SPREAD_PSI) for _ in range(_WHEELS)
        ]
        self._wheel = chance.randrange(_WHEELS)
        #: How far each fault has pushed its value, 0 to 1, and where that is heading.
        self._pushed: dict[FaultKind, float] = {}
        self._active: set[FaultKind] = set()

    def step(
        self,
        since_s: float,
        *,
        effort: float,
        speed_mps: float,
        load_share: float,
        brake_share: float,
        status: VehicleStatus | None,
    ) -> None:
        """`effort`: share of the engine's power; `brake_share`: of full brake pressure."""
        self._running = status is not _S.OFFLINE
        effort = max(effort, IDLE_EFFORT) if self._running else 0.0
        self._run_engine(since_s, effort)
        self._use_fuel(since_s, effort, parked=brake_share > 0 and speed_mps == 0 and status is not _S.DUMPING)
        self._charge(since_s)
        self._brake_psi += (brake_share * FULL_BRAKE_PSI - self._brake_psi) * since_s / (BRAKE_LAG_S + since_s)
        if brake_share == 0 and self._brake_psi < RELEASED_BELOW_PSI:
            self._brake_psi = 0.0
        rise = TIRE_SPEED_RISE_CELSIUS * mps_to_kph(speed_mps) / 60 + TIRE_LOAD_RISE_CELSIUS * load_share
        self._tire_rise += (rise - self._tire_rise) * since_s / (TIRE_LAG_S + since_s)
        if self._pushed:
            self._push(since_s)

    def _run_engine(self, since_s: float, effort: float) -> None:
        if self._running:
            coolant, lag_s = IDLE_COOLANT_CELSIUS + FULL_LOAD_COOLANT_RISE * effort, COOLANT_LAG_S
            rpm = IDLE_RPM + (FULL_LOAD_RPM - IDLE_RPM) * effort
        else:
            coolant, lag_s, rpm = AMBIENT_CELSIUS, COOLING_DOWN_LAG_S, 0.0
        self._coolant += (coolant - self._coolant) * since_s / (lag_s + since_s)
        self._rpm += (rpm - self._rpm) * since_s / (RPM_LAG_S + since_s)
        if not self._running and self._rpm < 1:
            self._rpm = 0.0

    def _use_fuel(self, since_s: float, effort: float, *, parked: bool) -> None:
        if self._running:
            burn = IDLE_BURN_LITERS_PER_HOUR + FULL_LOAD_BURN_LITERS_PER_HOUR * effort
            self._fuel -= burn / 3_600 * since_s * self._percent_per_liter
        if parked and self._fuel < REFUEL_BELOW_PERCENT:
            self._refuelling = True
        self._refuelling = self._refuelling and parked and self._fuel < REFUEL_UP_TO_PERCENT
        if self._refuelling:
            self._fuel += REFUEL_LITERS_PER_MINUTE / 60 * since_s * self._percent_per_liter
        self._fuel = min(max(self._fuel, RESERVE_PERCENT), 100.0)

    def _charge(self, since_s: float) -> None:
        if self._running:
            self._battery += (CHARGED_PERCENT - self._battery) * since_s / (CHARGING_LAG_S + since_s)
        else:
            self._battery = max(self._battery - SELF_DISCHARGE_PERCENT_PER_S * since_s, ISOLATED_PERCENT)

    def _push(self, since_s: float) -> None:
        for kind, share in list(self._pushed.items()):
            goal = 1.0 if kind in self._active else 0.0
            share += (goal - share) * since_s / (LAG_S + since_s)
            if goal == 0 and share < 1e-4:
                del self._pushed[kind]
            else:
                self._pushed[kind] = share

    def quantities(self) -> tuple[float, ...]:
        """Coolant °C, rpm, fuel %, battery %, battery V, brake psi, tyres psi front left, right, rear left, right."""
        gas = 1 + self._tire_rise / COLD_TIRE_KELVIN
        one, two, three, four = self._cold_psi
        values = [
            self._coolant,
            self._rpm,
            self._fuel,
            self._battery,
            0.0,
            self._brake_psi,
            one * gas,
            two * gas,
            three * gas,
            four * gas,
        ]
        for kind, share in self._pushed.items():
            at = _PUSHED.get(kind, _FIRST_WHEEL + self._wheel)
            values[at] += (PUSHED_TO[kind] - values[at]) * share
        # A 24 V system: 23 V empty to 25.6 V full, and the alternator adds to that while it charges.
        values[4] = 23.0 + 0.026 * values[3] + (2.2 if self._running and values[3] > 25 else 0.0)
        return tuple(values)

    def start_fault(self, kind: FaultKind) -> None:
        """Raises FaultImpossible for one that isn't of the insides."""
        if kind not in PUSHED_TO:
            raise FaultImpossible(f"{kind.value} isn't a fault of the machine")
        self._active.add(kind)
        self._pushed.setdefault(kind, 0.0)

    def end_fault(self, kind: FaultKind) -> None:
        self._active.discard(kind)

    @property
    def active_faults(self) -> frozenset[FaultKind]:
        return frozenset(self._active)


assert not set(_PUSHED) - set(PUSHED_TO)
