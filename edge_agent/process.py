"""The agents' process from its first sample to its last verdict."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from contextlib import suppress

from edge_agent import gauges
from edge_agent.build import Builder, bring, look, open_latches, outbox_maker
from edge_agent.config import AgentSettings
from edge_agent.control_loop import ControlLoop
from edge_agent.host import Host
from edge_agent.limits import FIRST_SAMPLE_WAIT_S, PART_WAIT_S, STOP_WITHIN_S
from edge_agent.metrics import Counters
from edge_agent.moment import Moment
from edge_agent.vehicle import VehicleSample
from edge_agent.vehicle_socket import VehicleSocket
from pitwall import logs, observability
from pitwall.status_http import HttpStatus, Part, Parts
from pitwall.surroundings import Surroundings

_log = logs.get(__name__)


class AgentProcess:
    """Make it in the event loop. Raises NoDisk."""

    def __init__(self, settings: AgentSettings, vehicle_ids: tuple[str, ...]) -> None:
        self._settings, self._vehicle_ids = settings, vehicle_ids
        store, remembered = look(settings, vehicle_ids)
        files, latches = open_latches(settings, remembered)
        brought = bring(store.began(remembered, Moment.now().wall.timestamp()), latches)
        self._counters = Counters.make()
        self._host = Host(files, store, outbox_maker(settings))
        self._builder = Builder(settings, self._host, brought, self._counters)
        self._socket = VehicleSocket(settings.vehicle_socket, vehicle_ids)
        self._loop: ControlLoop | None = None
        self._control: asyncio.Task[None] | None = None
        self._status: HttpStatus | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`, or until a part fails: then raises what failed. Raises PortTaken."""
        ended = asyncio.create_task(stopping.wait())
        try:
            await self._serve_status()
            self._start_tasks(self._socket.run(), self._host.retry_state(), observability.LoopLag().run())
            await self._first_samples(ended)
            if not ended.done():
                self._start_vehicles()
            await asyncio.wait([ended, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in self._tasks:
                if task.done():
                    task.result()
        finally:
            ended.cancel()
            await self._stop()

    async def _serve_status(self) -> None:
        gauges.show(self._host, self._settings.outbox_max_bytes)
        gauges.show_socket(self._socket)
        certificates = [self._settings.tls(vehicle_id).certificate for vehicle_id in self._vehicle_ids]
        Surroundings({"data": self._settings.data_dir}, {"own": certificates, "ca": [self._settings.ca]}).watch()
        if self._settings.metrics_address is not None:
            self._status = observability.serve_status(self._settings.metrics_address, self._health)
            await self._status.start()

    def _start_tasks(self, *parts: Coroutine[None, None, None]) -> None:
        self._tasks += [asyncio.create_task(part) for part in parts]

    async def _first_samples(self, ended: "asyncio.Task[bool]") -> None:
        """Waits until every vehicle has measured itself once: who doesn't know where it is counts as in every zone."""
        waiting = set(self._vehicle_ids)
        complete = asyncio.Event()
        for vehicle_id in self._vehicle_ids:
            self._socket.vehicle(vehicle_id).on_sample = _first(vehicle_id, waiting, complete)
        sampled = asyncio.create_task(complete.wait())
        await asyncio.wait([sampled, ended], timeout=FIRST_SAMPLE_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        sampled.cancel()
        if waiting and not ended.done():
            _log.warning("vehicles without a sample", count=len(waiting), problem=self._socket.problem)

    def _start_vehicles(self) -> None:
        links = [
            self._builder.build(vehicle_id, index, self._socket.vehicle(vehicle_id))
            for index, vehicle_id in enumerate(self._vehicle_ids)
        ]
        # All of this lives as long as the process: the collector need not walk it while vehicles drive.
        gc.collect()
        gc.freeze()
        self._loop = ControlLoop(tuple(self._host.vehicles.values()), self._socket, self._counters)
        gauges.show_loop(self._loop)
        self._start_tasks(*(link.run() for link in links))
        self._control = asyncio.create_task(self._loop.run())
        self._tasks.append(self._control)
        _log.info("agent ready", vehicles=len(links), gateways=self._settings.gateways)

    def _health(self) -> Parts:
        if self._loop is None:
            return {"control_loop": Part(ok=False, detail=f"waits for samples: {self._socket.problem}")}
        return self._host.health(self._loop, self._socket.problem)

    async def _stop(self) -> None:
        """Brakes first, and no tick that could say otherwise. Then the streams, then what waits for the disks."""
        _log.info("agent stopping")
        if self._control is not None:
            self._control.cancel()
        now = Moment.now()
        for vehicle in self._host.vehicles.values():
            vehicle.stand(now)
        await self._host.settle(PART_WAIT_S)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_WITHIN_S / 4)
        await self._host.close(STOP_WITHIN_S / 4)
        if self._status is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_WITHIN_S / 8):
                    await self._status.stop()


def _first(vehicle_id: str, waiting: set[str], complete: asyncio.Event) -> Callable[[VehicleSample, Moment], None]:
    def heard(_: VehicleSample, __: Moment) -> None:
        waiting.discard(vehicle_id)
        if not waiting:
            complete.set()

    return heard
