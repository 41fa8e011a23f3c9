"""Vehicles that drive, get stopped, and are sent on their way again.

That is done in a process of its own: it must not share an interpreter with whoever measures the next stop.
"""

import multiprocessing
import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path

import grpc
from haul.command.v1 import command_service_pb2 as api
from haul.command.v1.command_service_pb2_grpc import CommandServiceStub
from haul.command.v1.order_pb2 import Order, SetStatus, StartRoute
from haul.telemetry.v1.telemetry_pb2 import VEHICLE_STATUS_IDLE

from pitwall.ids import uuid7
from tests.integration.stacks import RunningStack
from tests.support.commands import command_service
from tests.support.plant import Plant, PlantLine

CALL_TIMEOUT_S = 15.0
STANDS_WITHIN_S = 30.0
DRIVES_WITHIN_S = 180.0
#: A released vehicle has its next permit after a heartbeat, seconds.
PERMIT_WITHIN_S = 5.0
#: Vehicles that are sent on their way at a time.
WORKERS = 16
#: Between two looks at a vehicle's own log, seconds.
LOOK_S = 0.1
#: Refused for the state that the vehicle was in at that moment.
_AGAIN = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED)


class DrivingFleet:
    """Use it in one thread."""

    def __init__(self, stack: RunningStack, vehicle_ids: list[str]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._plant = Plant(stack.places.plant)
        #: (vehicle, stop that has hold of it or ""), None: no more.
        self._stopped: Queue[tuple[str, str] | None] = spawn.Queue()
        #: (vehicle that drives, "") or ("", what has gone wrong).
        self._driving: Queue[tuple[str, str]] = spawn.Queue()
        place = (stack.home, stack.address("command-1"), self._plant)
        self._process = spawn.Process(target=_recover, args=(*place, self._stopped, self._driving), daemon=True)
        self._process.start()
        for vehicle_id in vehicle_ids:
            self._stopped.put((vehicle_id, ""))

    def driving(self) -> str:
        """The next vehicle that drives. RuntimeError where there is none in time."""
        while True:
            try:
                vehicle_id, problem = self._driving.get(timeout=DRIVES_WITHIN_S)
            except queue.Empty:
                raise RuntimeError(f"no vehicle drives after {DRIVES_WITHIN_S} s") from None
            if problem:
                raise RuntimeError(problem)
            if drives(self._plant.last(vehicle_id)):
                return vehicle_id
            self._stopped.put((vehicle_id, ""))

    def recover(self, vehicle_id: str, stop_id: str) -> None:
        self._stopped.put((vehicle_id, stop_id))

    def close(self) -> None:
        """Lets what has begun come to its end."""
        self._stopped.put(None)
        self._process.join()


def drives(line: PlantLine) -> bool:
    return line.permitted and line.speed_kph > 5


def _recover(
    home: Path,
    address: str,
    plant: Plant,
    stopped: "Queue[tuple[str, str] | None]",
    driving: "Queue[tuple[str, str]]",
) -> None:
    with command_service(home, address) as operator, command_service(home, address, "supervisor") as supervisor:
        recovery = _Recovery(plant, operator, supervisor, driving)
        workers = [threading.Thread(target=recovery.work, daemon=True) for _ in range(WORKERS)]
        for thread in (*workers, threading.Thread(target=recovery.watch, daemon=True)):
            thread.start()
        while (next_one := stopped.get()) is not None:
            recovery.take(*next_one)
        for _ in workers:
            recovery.waiting.put(None)
        for worker in workers:
            worker.join()


@dataclass
class _Recovery:
    plant: Plant
    operator: CommandServiceStub
    supervisor: CommandServiceStub
    driving: "Queue[tuple[str, str]]"
    waiting: "queue.SimpleQueue[tuple[str, str] | None]" = field(default_factory=queue.SimpleQueue)
    #: Released, or never stopped, and about to drive.
    ready: "queue.SimpleQueue[str]" = field(default_factory=queue.SimpleQueue)

    def take(self, vehicle_id: str, stop_id: str) -> None:
        if stop_id:
            self.waiting.put((vehicle_id, stop_id))
        else:
            self.ready.put(vehicle_id)

    def watch(self) -> None:
        """Tells of those that drive."""
        while True:
            for _ in range(self.ready.qsize()):
                vehicle_id = self.ready.get()
                if drives(self.plant.last(vehicle_id)):
                    self.driving.put((vehicle_id, ""))
                else:
                    self.ready.put(vehicle_id)
            time.sleep(LOOK_S)

    def work(self) -> None:
        while (stopped := self.waiting.get()) is not None:
            try:
                self._send_on(*stopped)
            except Exception:  # noqa: BLE001  # whoever measures has to hear of it, whatever it is
                self.driving.put(("", traceback.format_exc()))
                return
            self.ready.put(stopped[0])

    def _send_on(self, vehicle_id: str, stop_id: str) -> None:
        self._await(vehicle_id, "it stands", lambda line: line.speed_kph == 0)
        asked = api.RequestReleaseRequest(release_id=uuid7(), stop_ids=[stop_id], reason="bench")
        self.operator.RequestRelease(asked, timeout=CALL_TIMEOUT_S)
        self.supervisor.ApproveRelease(api.ApproveReleaseRequest(release_id=asked.release_id), timeout=CALL_TIMEOUT_S)
        self._await(vehicle_id, "it is released", lambda line: line.status == "MAINTENANCE")
        self._order(vehicle_id, Order(set_status=SetStatus(status=VEHICLE_STATUS_IDLE)))
        self._order(vehicle_id, Order(start_route=StartRoute()))

    def _await(self, vehicle_id: str, what: str, holds: Callable[[PlantLine], bool]) -> None:
        """By the newest line alone: `Plant.wait` reads a log from its beginning, too much for many workers."""
        end_s = time.monotonic() + STANDS_WITHIN_S
        while not holds(line := self.plant.last(vehicle_id)):
            if time.monotonic() > end_s:
                raise RuntimeError(f"{vehicle_id}: not within {STANDS_WITHIN_S} s that {what}; the last line: {line}")
            time.sleep(LOOK_S)

    def _order(self, vehicle_id: str, order: Order) -> None:
        """Again where it is refused at first: a vehicle just released waits for its next permit."""
        deadline = time.monotonic() + PERMIT_WITHIN_S
        while True:
            asked = api.GetMotionStateRequest(vehicle_id=vehicle_id)
            state = self.supervisor.GetMotionState(asked, timeout=CALL_TIMEOUT_S)
            order.request_id = uuid7()
            target = api.OrderTarget(vehicle_id=vehicle_id, etag=state.etag)
            try:
                self.supervisor.SendOrder(api.SendOrderRequest(order=order, targets=[target]), timeout=CALL_TIMEOUT_S)
            except grpc.RpcError as error:
                if error.code() not in _AGAIN or time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_S)
            else:
                return
