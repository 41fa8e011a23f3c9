"""What a vehicle costs the control loop: a thousand of them have to fit into half a core at ten ticks a second."""

import time
from collections.abc import Callable

from edge_agent.agent import Brought
from edge_agent.control_loop import ControlLoop
from edge_agent.downlink import PermitCame
from edge_agent.hosted import HostedVehicle
from edge_agent.limits import CONTROL_PERIOD_S
from edge_agent.metrics import Counters
from edge_agent.moment import Moment
from edge_agent.outbox_commands import Command
from edge_agent.vehicle import VehicleSample, Verdict
from edge_agent.vehicle_wire import pack_verdict
from pitwall.domain.permit import PermitDenial
from pitwall.domain.vehicle_state import VehicleStatus
from tests.unit.edge_agent.builders import EPOCH, T0, VEHICLE, agent, moment, sample

FLEET = 200
TICKS = 10
#: Half a core for 1,000 vehicles, ten times a second.
BUDGET_S = 0.5 / (1_000 / CONTROL_PERIOD_S)


class Everything:
    """Vehicle, disks and verdicts that take what they are given."""

    sample: VehicleSample | None = None

    def __init__(self) -> None:
        self.on_sample: Callable[[VehicleSample, Moment], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self.last: Verdict | None = None

    def apply(self, verdict: Verdict) -> None:
        pack_verdict(1, verdict)
        self.last = verdict

    def save_latch(self, *_: object) -> None: ...
    def save_state(self, *_: object) -> None: ...
    def put_reading(self, _: Command) -> bool:
        return True

    def begin(self) -> None: ...
    def flush(self) -> None: ...


def test_a_vehicle_tick_stays_within_its_budget() -> None:
    counters, all_of_it = Counters.make(), Everything()
    vehicles = [_vehicle(all_of_it, counters) for _ in range(FLEET)]
    loop = ControlLoop(vehicles, all_of_it, counters)
    costs = [_cost_s(vehicles, loop, T0 + run * TICKS * CONTROL_PERIOD_S) for run in range(5)]
    assert all_of_it.last is not None
    assert all_of_it.last.may_move, "a vehicle that stands costs less"
    print(f"{min(costs) * 1e6:.1f} µs of CPU a vehicle-tick, samples, permits and readings included")
    assert min(costs) < BUDGET_S


def _vehicle(all_of_it: Everything, counters: Counters) -> HostedVehicle:
    made, _ = agent(Brought(EPOCH, VehicleStatus.HAULING))
    vehicle = HostedVehicle(VEHICLE, made, all_of_it, all_of_it, counters, lambda _denial, _now_s: False)
    vehicle.tick(moment())
    _permit(vehicle, T0)
    made.gate.resume(T0, "test")
    return vehicle


def _permit(vehicle: HostedVehicle, now_s: float) -> None:
    number = vehicle.agent.gate.heartbeats.newest
    vehicle.do(vehicle.agent.receive(PermitCame(number, 2.0, PermitDenial.NONE), moment(now_s)))


def _cost_s(vehicles: list[HostedVehicle], loop: ControlLoop, from_s: float) -> float:
    """CPU seconds of one vehicle in one period, its sample, its permits and its readings included."""
    began_s = time.thread_time()
    for tick in range(TICKS):
        now = moment(from_s + tick * CONTROL_PERIOD_S)
        measured = sample(now.s, fuel_level_percent=50.0, engine_rpm=1500.0, payload_tons=280.0)
        for vehicle in vehicles:
            vehicle.do(vehicle.agent.sampled(measured, now))
            if tick % 4 == 0:
                _permit(vehicle, now.s)
        loop.tick(vehicles, now)
    return (time.thread_time() - began_s) / (TICKS * len(vehicles))
