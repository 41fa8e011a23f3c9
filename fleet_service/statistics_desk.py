"""The fleet's statistics: kept in Redis for 60 s, made again on change, by one refresh at a time."""

import asyncio
from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError
from haul.fleet.v1 import vehicle_pb2

from fleet_service import views
from fleet_service.cache import Cache, CacheAway
from fleet_service.fleet import Fleet
from pitwall.clock import wall_time

#: Changes are gathered for so long before the next refresh.
REFRESH_EVERY_S: Final = 0.25


class StatisticsDesk:
    """`run` it beside everything else. `stale`: whether what is known may be old."""

    def __init__(self, fleet: Fleet, cache: Cache, stale: Callable[[], bool]) -> None:
        self._fleet, self._cache, self._stale = fleet, cache, stale
        self._refresh: asyncio.Task[vehicle_pb2.FleetStatistics] | None = None
        #: Of the statistics in the cache.
        self._cached: tuple[int, bool] | None = None
        self.refreshes = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_EVERY_S)
            if self._state() != self._cached:
                await self._refreshed()

    async def get(self) -> vehicle_pb2.FleetStatistics:
        """From the cache where they are current, else made now; without Redis they are made each time."""
        if self._cached == self._state():
            try:
                data = await self._cache.statistics()
                if data is not None:
                    return vehicle_pb2.FleetStatistics.FromString(data)
            except (CacheAway, DecodeError):
                pass  # made anew below
        return await self._refreshed()

    def _state(self) -> tuple[int, bool]:
        return self._fleet.statistics_version, self._stale()

    async def _refreshed(self) -> vehicle_pb2.FleetStatistics:
        """Whoever comes while one is under way gets its answer too."""
        if self._refresh is None or self._refresh.done():
            self._refresh = asyncio.create_task(self._make())
        # A caller who hangs up must not end it for the others.
        return await asyncio.shield(self._refresh)

    async def _make(self) -> vehicle_pb2.FleetStatistics:
        self.refreshes += 1
        state = self._state()
        now_ns = int(wall_time().timestamp() * 1e9)
        made = views.statistics(self._fleet.statistics(now_ns, stale=state[1]))
        try:
            await self._cache.keep_statistics(made.SerializeToString())
            self._cached = state
        except CacheAway:
            self._cached = None
        return made
