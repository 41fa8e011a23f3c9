"""Makes the vehicles that the settings name."""

from edge_agent.fleet import REPLAY_VEHICLE_ID, fleet_ids
from edge_agent.simulator.config import PlantSettings
from edge_agent.simulator.models import model_of
from edge_agent.simulator.plant_vehicle import PlantVehicle
from edge_agent.simulator.replay import ReplayVehicle, read_recording
from edge_agent.simulator.road import Road
from edge_agent.simulator.schedule import schedule
from edge_agent.simulator.truck import Truck


def build_vehicles(settings: PlantSettings, now_s: float) -> list[PlantVehicle]:
    """Trucks stand spread along the road. Raises InvalidRecording."""
    road = Road(settings.seed)
    ids = fleet_ids(settings.fleet)
    vehicles = [
        _truck(settings, road, vehicle_id, road.length_m * at / len(ids), now_s) for at, vehicle_id in enumerate(ids)
    ]
    if settings.replay is not None:
        body = ReplayVehicle(read_recording(settings.replay))
        vehicles.append(PlantVehicle(REPLAY_VEHICLE_ID, body, iter(()), now_s))
    return vehicles


def _truck(settings: PlantSettings, road: Road, vehicle_id: str, start_m: float, now_s: float) -> PlantVehicle:
    body = Truck(
        vehicle_id,
        model_of(vehicle_id),
        road,
        seed=settings.seed,
        start_m=start_m,
        time_scale=settings.time_scale,
    )
    faults = schedule(vehicle_id, seed=settings.seed, time_scale=settings.time_scale) if settings.faults else iter(())
    return PlantVehicle(vehicle_id, body, faults, now_s)
