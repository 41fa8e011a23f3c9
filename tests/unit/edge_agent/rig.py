"""A mission and its vehicle under a made-up clock: what agent and plant do between them, without either process."""

from dataclasses import dataclass

from edge_agent.mission import Mission
from edge_agent.simulator.models import model_of
from edge_agent.simulator.plant_vehicle import PlantVehicle
from edge_agent.simulator.road import Road
from edge_agent.simulator.schedule import schedule
from edge_agent.simulator.truck import Truck
from edge_agent.vehicle import VehicleSample, Verdict
from edge_agent.vehicle_wire import FAULT_NAMES, QUANTITY_NAMES
from pitwall.domain.vehicle_state import MOVING, VehicleStatus

VEHICLE = "KOMATSU-930E-001"
ROADS = {seed: Road(seed) for seed in range(3)}
START_S = 1_000.0


def truck(vehicle_id: str = VEHICLE, *, seed: int = 1, time_scale: float = 1.0, start_m: float = 0.0) -> Truck:
    return Truck(vehicle_id, model_of(vehicle_id), ROADS[seed % 3], seed=seed, start_m=start_m, time_scale=time_scale)


def verdict(
    status: VehicleStatus = VehicleStatus.ROUTING,
    *,
    may_move: bool = True,
    deadline_s: float = START_S + 0.3,
    cause: str = "",
    boot_epoch: int = 7,
    sequence: int = 0,
    slowing: bool = False,
) -> Verdict:
    return Verdict(may_move, deadline_s, status, cause, boot_epoch, sequence, slowing)


def sample_of(vehicle: PlantVehicle) -> VehicleSample:
    faults = frozenset(name for bit, name in enumerate(FAULT_NAMES) if vehicle.fault_bits >> bit & 1)
    return VehicleSample(vehicle.measured_s, vehicle.body.braking, faults, *vehicle.body.quantities())


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of a run."""

    at_s: float
    status: VehicleStatus
    values: dict[str, float]


class Rig:
    """A resumed vehicle whose permit never ends, or as `permitted` has it."""

    def __init__(self, vehicle_id: str = VEHICLE, *, seed: int = 1, time_scale: float = 1.0, faults: bool = False):
        self.now_s = START_S
        self.mission = Mission(vehicle_id, VehicleStatus.IDLE, seed=seed, time_scale=time_scale)
        self.mission.engage()
        self.truck = truck(vehicle_id, seed=seed, time_scale=time_scale)
        planned = schedule(vehicle_id, seed=seed, time_scale=time_scale) if faults else iter(())
        self.vehicle = PlantVehicle(vehicle_id, self.truck, planned, self.now_s)
        self.permitted = True

    def step(self, since_s: float = 0.1) -> Moment:
        self.now_s += since_s
        self.vehicle.advance(self.now_s)
        self.mission.tick(self.now_s, self.permitted, sample_of(self.vehicle))
        status = self.mission.status
        self.vehicle.apply(
            verdict(
                status,
                may_move=self.permitted and status in MOVING,
                deadline_s=self.now_s + max(0.3, 2 * since_s),
                slowing=self.mission.slowing,
            ),
            self.now_s,
        )
        values = dict(zip(QUANTITY_NAMES, self.vehicle.body.quantities(), strict=True))
        return Moment(self.now_s - START_S, status, values)

    def run(self, lasts_s: float, step_s: float = 0.1) -> list[Moment]:
        return [self.step(step_s) for _ in range(round(lasts_s / step_s))]
