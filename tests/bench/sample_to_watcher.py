"""From the vehicle's sample to a watcher of the fleet."""

import time

from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2

from tests.bench.figures import Figure, figure
from tests.bench.fleet_caller import fleet_caller
from tests.integration.stacks import RunningStack

#: Samples to take.
READINGS = 3_000


async def measure(stack: RunningStack) -> list[Figure]:
    """A sample's event_time against this process's clock when an answer with it is read: one machine, one clock.

    An answer also comes when something else of a vehicle has changed, so each reading counts where it is first seen;
    those of the snapshot, and those that a later one has overtaken, count nowhere.
    """
    seconds: list[float] = []
    newest: dict[str, tuple[int, int]] = {}
    async with fleet_caller(stack) as caller:
        stream = caller.watch("WatchFleet", fleet_pb2.WatchFleetRequest())
        snapshot = True
        while len(seconds) < READINGS:
            news = await stream.read()
            now_nanos = time.time_ns()
            for vehicle in news.vehicles:
                reading = vehicle.current_reading
                identity = reading.boot_epoch, reading.sequence
                if identity > newest.get(vehicle.vehicle_id, (0, 0)):
                    newest[vehicle.vehicle_id] = identity
                    if not snapshot:
                        seconds.append((now_nanos - reading.event_time.ToNanoseconds()) / 1e9)
            snapshot = snapshot and not news.snapshot_complete
        stream.cancel()
    return [figure("sample to WatchFleet", seconds)]
