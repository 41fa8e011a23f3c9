"""The control loop: every vehicle each period, in one write a slice, whatever one of them does."""

import asyncio

import pytest

from edge_agent.control_loop import ControlLoop
from edge_agent.limits import CONTROL_PERIOD_S, SLICE_VEHICLES
from edge_agent.metrics import Counters
from edge_agent.moment import Moment
from pitwall.clock import boottime_s
from tests.unit.edge_agent.builders import moment


class Vehicle:
    def __init__(self, number: int, log: list[str], *, fails: bool = False) -> None:
        self.vehicle_id, self._log, self._fails = f"V-{number}", log, fails
        self.ticked_s: list[float] = []
        self._reached: tuple[int, asyncio.Event] | None = None

    async def ticks(self, count: int) -> None:
        """Until it has been ticked so often; the test's timeout bounds it."""
        self._reached = count, asyncio.Event()
        await self._reached[1].wait()

    def tick(self, now: Moment) -> None:
        self._log.append(self.vehicle_id)
        self.ticked_s.append(now.s)
        if self._reached and len(self.ticked_s) >= self._reached[0]:
            self._reached[1].set()
        if self._fails:
            raise RuntimeError("a fault in the program")


class Verdicts:
    def __init__(self, log: list[str]) -> None:
        self._log = log

    def begin(self) -> None:
        self._log.append("begin")

    def flush(self) -> None:
        self._log.append("flush")


def test_verdicts_of_a_slice_leave_in_one_write() -> None:
    log: list[str] = []
    vehicles = [Vehicle(n, log) for n in range(3)]
    ControlLoop(vehicles, Verdicts(log), Counters.make()).tick(vehicles, moment())
    assert log == ["begin", "V-0", "V-1", "V-2", "flush"]


def test_one_vehicles_fault_takes_no_verdict_from_the_others() -> None:
    log: list[str] = []
    vehicles = [Vehicle(0, log, fails=True), Vehicle(1, log)]
    ControlLoop(vehicles, Verdicts(log), Counters.make()).tick(vehicles, moment())
    assert log == ["begin", "V-0", "V-1", "flush"]


@pytest.mark.alone
async def test_every_vehicle_is_ticked_each_period_and_slices_spread_over_it() -> None:
    log: list[str] = []
    vehicles = [Vehicle(n, log) for n in range(2 * SLICE_VEHICLES + 1)]
    loop = asyncio.create_task(ControlLoop(vehicles, Verdicts(log), Counters.make()).run())
    await vehicles[-1].ticks(6)
    loop.cancel()
    counts = {len(vehicle.ticked_s) for vehicle in vehicles}
    assert max(counts) - min(counts) <= 1
    assert len({vehicle.ticked_s[0] for vehicle in vehicles}) == 3
    first, *_, last = vehicles[0].ticked_s
    assert (last - first) / (len(vehicles[0].ticked_s) - 1) >= CONTROL_PERIOD_S * 0.99


@pytest.mark.alone
async def test_after_a_stall_the_clock_is_read_anew_and_nothing_is_made_up_for() -> None:
    log: list[str] = []
    vehicle = Vehicle(0, log)
    loop = asyncio.create_task(ControlLoop([vehicle], Verdicts(log), Counters.make()).run())
    await vehicle.ticks(2)
    stalled_until_s = boottime_s() + 5 * CONTROL_PERIOD_S
    while boottime_s() < stalled_until_s:
        pass  # the event loop hangs
    before = len(vehicle.ticked_s)
    await vehicle.ticks(before + 3)
    loop.cancel()
    first, _, third = vehicle.ticked_s[before : before + 3]
    assert first >= stalled_until_s
    assert third - first >= 1.9 * CONTROL_PERIOD_S
