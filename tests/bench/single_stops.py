"""From EmergencyStop to RECEIVED and BRAKING: one vehicle at a time, while it drives."""

import queue
import threading
import time
from collections.abc import Iterator

import grpc
from haul.command.v1 import command_service_pb2 as api
from haul.command.v1.command_service_pb2_grpc import CommandServiceStub
from haul.command.v1.order_pb2 import Order, SetStatus, StartRoute
from haul.command.v1.stop_pb2 import STOP_STAGE_BRAKING, STOP_STAGE_RECEIVED, Scope, VehicleList
from haul.telemetry.v1.telemetry_pb2 import VEHICLE_STATUS_IDLE

from pitwall.ids import uuid7
from tests.bench.figures import Figure, figure
from tests.support.plant import Plant

STOPS = 1_000
CALL_TIMEOUT_S = 15.0
STANDS_WITHIN_S = 30.0
DRIVES_WITHIN_S = 180.0
#: Between two looks at vehicles that do not drive, seconds.
LOOK_AGAIN_S = 0.02
#: A released vehicle has its next permit after a heartbeat, seconds.
PERMIT_WITHIN_S = 5.0
#: Refused for the state that the vehicle was in at that moment.
_AGAIN = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED)


class Fleet:
    """Vehicles that drive, get stopped, and are sent on their way again by workers."""

    def __init__(
        self, plant: Plant, vehicle_ids: list[str], operator: CommandServiceStub, supervisor: CommandServiceStub
    ):
        self._plant, self._operator, self._supervisor = plant, operator, supervisor
        self._driving: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stopped: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        for vehicle_id in vehicle_ids:
            self._driving.put(vehicle_id)
        self._workers = [threading.Thread(target=self._recover, daemon=True) for _ in vehicle_ids]
        for worker in self._workers:
            worker.start()

    def driving(self) -> str:
        """The next vehicle that drives; the others wait their turn."""
        deadline = time.monotonic() + DRIVES_WITHIN_S
        while time.monotonic() < deadline:
            vehicle_id = self._driving.get(timeout=DRIVES_WITHIN_S)
            line = self._plant.last(vehicle_id)
            if line.permitted and line.speed_kph > 5:
                return vehicle_id
            self._driving.put(vehicle_id)
            time.sleep(LOOK_AGAIN_S)
        raise RuntimeError(f"no vehicle drives after {DRIVES_WITHIN_S} s; see what the workers printed")

    def recover(self, vehicle_id: str, stop_id: str) -> None:
        self._stopped.put((vehicle_id, stop_id))

    def close(self) -> None:
        """Lets the workers finish what they have begun."""
        for _ in self._workers:
            self._stopped.put(None)
        for worker in self._workers:
            worker.join()

    def _recover(self) -> None:
        while (stopped := self._stopped.get()) is not None:
            vehicle_id, stop_id = stopped
            self._plant.wait(vehicle_id, "it stands", lambda line: line.speed_kph == 0, timeout_s=STANDS_WITHIN_S)
            asked = api.RequestReleaseRequest(release_id=uuid7(), stop_ids=[stop_id], reason="bench")
            self._operator.RequestRelease(asked, timeout=CALL_TIMEOUT_S)
            approved_t = time.monotonic()
            self._supervisor.ApproveRelease(
                api.ApproveReleaseRequest(release_id=asked.release_id), timeout=CALL_TIMEOUT_S
            )
            self._plant.wait(
                vehicle_id, "it is released", lambda line: line.status == "MAINTENANCE", since_t=approved_t - 1
            )
            self._order(vehicle_id, Order(set_status=SetStatus(status=VEHICLE_STATUS_IDLE)))
            self._order(vehicle_id, Order(start_route=StartRoute()))
            self._driving.put(vehicle_id)

    def _order(self, vehicle_id: str, order: Order) -> None:
        """Again where it is refused at first: a vehicle just released waits for its next permit."""
        deadline = time.monotonic() + PERMIT_WITHIN_S
        while True:
            state = self._supervisor.GetMotionState(
                api.GetMotionStateRequest(vehicle_id=vehicle_id), timeout=CALL_TIMEOUT_S
            )
            order.request_id = uuid7()
            target = api.OrderTarget(vehicle_id=vehicle_id, etag=state.etag)
            try:
                self._supervisor.SendOrder(api.SendOrderRequest(order=order, targets=[target]), timeout=CALL_TIMEOUT_S)
            except grpc.RpcError as error:
                if error.code() not in _AGAIN or time.monotonic() > deadline:
                    raise
            else:
                return


def measure(
    plant: Plant,
    vehicle_ids: list[str],
    operator: CommandServiceStub,
    supervisor: CommandServiceStub,
    stops: int = STOPS,
) -> list[Figure]:
    """RECEIVED and BRAKING as told to the operator, and braking by the vehicle's own log."""
    fleet = Fleet(plant, vehicle_ids, operator, supervisor)
    received: list[float] = []
    braking: list[float] = []
    by_plant: list[float] = []
    for _ in range(stops):
        vehicle_id, stop_id = fleet.driving(), uuid7()
        scope = Scope(vehicles=VehicleList(vehicle_ids=[vehicle_id]))
        issued_t = time.monotonic()
        call = operator.EmergencyStop(
            api.EmergencyStopRequest(stop_id=stop_id, scope=scope, reason="bench"), timeout=CALL_TIMEOUT_S
        )
        stages = dict(_stages(call))
        call.cancel()
        received.append(stages[STOP_STAGE_RECEIVED] - issued_t)
        braking.append(stages[STOP_STAGE_BRAKING] - issued_t)
        braked = plant.wait(vehicle_id, "it brakes", lambda line: line.brake and not line.permitted, since_t=issued_t)
        by_plant.append(braked.t - issued_t)
        fleet.recover(vehicle_id, stop_id)
    fleet.close()
    return [
        figure("EmergencyStop to RECEIVED, told to the operator", received),
        figure("EmergencyStop to BRAKING, told to the operator", braking),
        figure("EmergencyStop to braking, in the vehicle's own log", by_plant),
    ]


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
