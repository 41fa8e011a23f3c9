"""A plant in the test's own event loop, behind a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent.simulator.control import ControlConnection
from edge_agent.simulator.host import PlantHost
from edge_agent.simulator.plant import Plant
from edge_agent.simulator.plant_files import PlantFiles
from edge_agent.simulator.plant_vehicle import PlantVehicle
from edge_agent.simulator.unix_socket import listen
from edge_agent.vehicle import VehicleInterface, VehicleSample
from edge_agent.vehicle_socket import VehicleSocket
from pitwall.clock import boottime_s
from tests.unit.edge_agent.rig import truck

IDS = ("KOMATSU-930E-001", "KOMATSU-980E-002")
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    host: PlantHost
    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "v.sock"

    @property
    def control(self) -> Path:
        return self.folder / "c.sock"


@asynccontextmanager
async def plant_running(folder: Path) -> AsyncIterator[Running]:
    now_s = boottime_s()
    plant = Plant([PlantVehicle(name, truck(name), iter(()), now_s) for name in IDS], now_s)
    files = PlantFiles(folder / "plant", IDS)
    host = PlantHost(plant, files)
    agents = await listen(folder / "v.sock", host.link)
    control = await listen(folder / "c.sock", lambda: ControlConnection(host))
    host.start()
    try:
        yield Running(host, folder)
    finally:
        host.stop()
        agents.close()
        control.close()
        await asyncio.sleep(0)
        files.close()


@asynccontextmanager
async def agent_running(path: Path, ids: tuple[str, ...] = IDS) -> AsyncIterator[VehicleSocket]:
    socket = VehicleSocket(path, ids)
    task = asyncio.create_task(socket.run())
    try:
        yield socket
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool], what: str) -> None:
    """Looks again with each turn of the loop."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not holds():  # noqa: ASYNC110 (what is waited for is on the other side of a socket)
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {TIMEOUT_S} s: {what}") from None


async def next_sample(
    vehicle: VehicleInterface, holds: Callable[[VehicleSample], bool] = lambda _: True
) -> VehicleSample:
    """The next one for which it holds."""
    found: asyncio.Future[VehicleSample] = asyncio.get_running_loop().create_future()

    def take(sample: VehicleSample, _: object) -> None:
        if holds(sample) and not found.done():
            found.set_result(sample)

    vehicle.on_sample = take
    return await asyncio.wait_for(found, TIMEOUT_S)
