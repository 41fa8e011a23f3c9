"""The control loop: ten times a second it judges every vehicle of the process, and it alone numbers heartbeats.

The fleet is cut into slices that spread over the period, so that frames of the stop path get in between. Each slice
reads the clock after waking: whoever slept longer than a permit finds it expired before anything moves. A vehicle whose
tick fails gets no verdict and brakes at the deadline of its last one.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from edge_agent.limits import CONTROL_PERIOD_S, SLICE_VEHICLES
from edge_agent.metrics import Counters
from edge_agent.moment import Moment
from pitwall import logs
from pitwall.clock import boottime_s

_log = logs.get(__name__)


class Ticked(Protocol):
    @property
    def vehicle_id(self) -> str: ...
    def tick(self, now: Moment) -> None: ...


class Gathering(Protocol):
    """Verdicts of one slice leave in one write."""

    def begin(self) -> None: ...
    def flush(self) -> None: ...


class ControlLoop:
    """`now` reads both clocks."""

    def __init__(
        self,
        vehicles: Sequence[Ticked],
        verdicts: Gathering,
        counters: Counters,
        now: Callable[[], Moment] = Moment.now,
    ) -> None:
        count = max(1, -(-len(vehicles) // SLICE_VEHICLES))
        self._slices = [tuple(vehicles[i::count]) for i in range(count)]
        self._verdicts, self._counters, self._now = verdicts, counters, now
        self._failed: set[str] = set()
        #: When a slice last ran, CLOCK_BOOTTIME.
        self.ticked_s = 0.0
        #: Seconds that one vehicle took in the slice before.
        self.vehicle_tick_s = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        step_s = CONTROL_PERIOD_S / len(self._slices)
        due_s = boottime_s()
        while True:
            for vehicles in self._slices:
                await asyncio.sleep(max(0.0, due_s - boottime_s()))
                now = self._now()
                self._counters.loop_late.record(max(0.0, now.s - due_s))
                self.tick(vehicles, now)
                # What was missed is missed: no burst of ticks after a stall.
                due_s = due_s + step_s if now.s < due_s + step_s else now.s + step_s

    def tick(self, vehicles: Sequence[Ticked], now: Moment) -> None:
        """One slice."""
        self._verdicts.begin()
        try:
            for vehicle in vehicles:
                try:
                    vehicle.tick(now)
                except Exception:  # noqa: BLE001  # one vehicle's fault must not stop the others' verdicts
                    self._fault(vehicle.vehicle_id)
        finally:
            self._verdicts.flush()
        self.ticked_s = now.s
        took_s = boottime_s() - now.s
        self.vehicle_tick_s = took_s / max(1, len(vehicles))
        self._counters.slice.record(took_s)

    def _fault(self, vehicle_id: str) -> None:
        self._counters.faults.add(1)
        if vehicle_id not in self._failed:
            self._failed.add(vehicle_id)
            _log.exception("tick failed; the vehicle brakes by itself", vehicle=vehicle_id)
