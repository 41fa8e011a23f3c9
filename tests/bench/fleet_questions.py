"""How long the fleet service takes to answer: a vehicle at a steady rate, and the statistics with and without cache."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from redis.asyncio import Redis

from tests.bench.figures import Figure, figure
from tests.bench.fleet_caller import FleetCaller, fleet_caller
from tests.integration.stacks import RunningStack

#: GetVehicle.
REQUESTS = 3_000
REQUESTS_PER_S = 100
#: GetFleetStatistics, one after the other.
STATISTICS = 500
PAUSE_S = 0.02
#: Where the service keeps them.
CACHED = "pitwall:fleet:statistics:1"


async def measure(stack: RunningStack) -> list[Figure]:
    async with fleet_caller(stack) as caller:
        return [
            figure(f"GetVehicle, {REQUESTS_PER_S} a second", await _vehicles(caller, stack.options.vehicle_ids)),
            figure("GetFleetStatistics, from the cache", await _cached(caller)),
            figure("GetFleetStatistics, without", await _counted(caller, stack)),
        ]


async def _vehicles(caller: FleetCaller, vehicle_ids: tuple[str, ...]) -> list[float]:
    """Each from the moment when it was due, so that a stall counts for all who would have asked meanwhile."""
    began_s = time.perf_counter()

    async def one(number: int) -> float:
        due_s = began_s + number / REQUESTS_PER_S
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        request = fleet_pb2.GetVehicleRequest(vehicle_id=vehicle_ids[number % len(vehicle_ids)])
        await caller.ask("GetVehicle", request)
        return time.perf_counter() - due_s

    return await asyncio.gather(*map(one, range(REQUESTS)))


async def _cached(caller: FleetCaller) -> list[float]:
    async def nothing() -> None:
        await asyncio.sleep(PAUSE_S)

    return await _statistics(caller, nothing)


async def _counted(caller: FleetCaller, stack: RunningStack) -> list[float]:
    """As when the cached ones have run out."""
    redis = Redis(port=stack.options.ports["redis"])

    async def emptied() -> None:
        await asyncio.sleep(PAUSE_S)
        await redis.delete(CACHED)

    try:
        return await _statistics(caller, emptied)
    finally:
        await redis.aclose()


async def _statistics(caller: FleetCaller, before: Callable[[], Awaitable[None]]) -> list[float]:
    seconds = []
    for _ in range(STATISTICS):
        await before()
        began_s = time.perf_counter()
        await caller.ask("GetFleetStatistics", fleet_pb2.GetFleetStatisticsRequest())
        seconds.append(time.perf_counter() - began_s)
    return seconds
