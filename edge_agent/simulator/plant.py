"""All vehicles of the plant and when they are due: a step ten times a second each, a deadline at its moment.

Pure: time is passed in, seconds of CLOCK_BOOTTIME.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from edge_agent.simulator.plant_vehicle import PlantVehicle

#: Between two steps, and two samples, of a vehicle.
STEP_PERIOD_S: Final = 0.1
#: Vehicles are stepped in slices, spread over the period, so that a verdict never waits for all of them.
VEHICLES_PER_SLICE: Final = 100
MOST_SLICES: Final = 10


class Plant:
    """Call `wake` at `next_wake_s`, and before anything else after any sleep."""

    def __init__(self, vehicles: Sequence[PlantVehicle], now_s: float) -> None:
        self.vehicles = {vehicle.vehicle_id: vehicle for vehicle in vehicles}
        count = min(max(math.ceil(len(vehicles) / VEHICLES_PER_SLICE), 1), MOST_SLICES)
        self._slices = [list(vehicles[at::count]) for at in range(count)]
        self._slice_period_s = STEP_PERIOD_S / count
        self._turn = 0
        self._next_step_s = now_s + self._slice_period_s
        #: No vehicle that may move has an earlier deadline; some may have a later one.
        self._deadline_s = math.inf

    @property
    def next_wake_s(self) -> float:
        return min(self._next_step_s, self._deadline_s)

    def wake(self, now_s: float) -> list[PlantVehicle]:
        """The vehicles that have braked by themselves, then those that took a step."""
        touched = self.brake_overdue(now_s)
        if now_s >= self._next_step_s:
            touched += self._step(now_s)
        return touched

    def _step(self, now_s: float) -> list[PlantVehicle]:
        """One slice; all of them after a sleep of a whole period."""
        missed = int((now_s - self._next_step_s) / self._slice_period_s)
        slices = min(missed + 1, len(self._slices))
        stepped: list[PlantVehicle] = []
        for _ in range(slices):
            stepped += self._slices[self._turn]
            self._turn = (self._turn + 1) % len(self._slices)
        for vehicle in stepped:
            vehicle.advance(now_s)
        self._next_step_s += (missed + 1) * self._slice_period_s
        return stepped

    def brake_overdue(self, now_s: float) -> list[PlantVehicle]:
        """Those whose verdict has run out brake. Cheap while none can have."""
        if now_s < self._deadline_s:
            return []
        overdue = [vehicle for vehicle in self.vehicles.values() if vehicle.deadline_s <= now_s]
        for vehicle in overdue:
            vehicle.advance(now_s)
        self._deadline_s = min((vehicle.deadline_s for vehicle in self.vehicles.values()), default=math.inf)
        return overdue

    def watch(self, vehicles: Iterable[PlantVehicle]) -> None:
        """Their deadlines may have changed."""
        self._deadline_s = min([self._deadline_s, *(vehicle.deadline_s for vehicle in vehicles)])
