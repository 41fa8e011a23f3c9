"""From EmergencyStop to RECEIVED and BRAKING: one vehicle at a time, while it drives."""

import time
from collections.abc import Iterator

from haul.command.v1 import command_service_pb2 as api
from haul.command.v1.stop_pb2 import STOP_STAGE_BRAKING, STOP_STAGE_RECEIVED, Scope, VehicleList

from pitwall.ids import uuid7
from tests.bench.driving_fleet import CALL_TIMEOUT_S, DrivingFleet
from tests.bench.figures import Figure, figure
from tests.integration.stacks import RunningStack
from tests.support.commands import command_service
from tests.support.plant import Plant

STOPS = 1_000
#: Between two stops, seconds: sending vehicles on their way is work too, for the same servers.
PAUSE_S = 0.5


def measure(stack: RunningStack, vehicle_ids: list[str], stops: int = STOPS) -> list[Figure]:
    """RECEIVED and BRAKING as told to the operator, and braking by the vehicle's own log."""
    plant, fleet = Plant(stack.places.plant), DrivingFleet(stack, vehicle_ids)
    received: list[float] = []
    braking: list[float] = []
    stopped: list[tuple[str, float]] = []
    with command_service(stack.home, stack.address("command-1")) as operator:
        for _ in range(stops):
            time.sleep(PAUSE_S)
            vehicle_id, stop_id = fleet.driving(), uuid7()
            scope = Scope(vehicles=VehicleList(vehicle_ids=[vehicle_id]))
            request = api.EmergencyStopRequest(stop_id=stop_id, scope=scope, reason="bench")
            issued_t = time.monotonic()
            call = operator.EmergencyStop(request, timeout=CALL_TIMEOUT_S)
            stages = dict(_stages(call))
            call.cancel()
            received.append(stages[STOP_STAGE_RECEIVED] - issued_t)
            braking.append(stages[STOP_STAGE_BRAKING] - issued_t)
            stopped.append((vehicle_id, issued_t))
            fleet.recover(vehicle_id, stop_id)
    fleet.close()
    return [
        figure("EmergencyStop to RECEIVED, told to the operator", received),
        figure("EmergencyStop to BRAKING, told to the operator", braking),
        figure("EmergencyStop to braking, in the vehicle's own log", [_braked(plant, *one) for one in stopped]),
    ]


def _braked(plant: Plant, vehicle_id: str, issued_t: float) -> float:
    """Looked up when all is over, so that reading files delays no stop."""
    line = plant.wait(vehicle_id, "it brakes", lambda line: line.brake and not line.permitted, since_t=issued_t)
    return line.t - issued_t


def _stages(call: Iterator[api.EmergencyStopResponse]) -> Iterator[tuple[int, float]]:
    """When each stage was first told, until BRAKING is; a stage that was skipped was told with the next one."""
    missing = [STOP_STAGE_RECEIVED, STOP_STAGE_BRAKING]
    for response in call:
        told_t = time.monotonic()
        for vehicle in response.vehicles:
            while missing and vehicle.stage >= missing[0]:
                yield missing.pop(0), told_t
        if not missing:
            return
