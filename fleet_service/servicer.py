"""FleetService: receive, find, call, answer. What is decided is decided behind it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final, TypeVar

import grpc
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import fleet_service_pb2_grpc as fleet_grpc
from haul.fleet.v1 import vehicle_pb2
from opentelemetry import metrics

from fleet_service import views
from fleet_service.gap_desk import GapDesk
from fleet_service.lists import Lists
from fleet_service.registry_desk import RegistryDesk
from fleet_service.statistics_desk import StatisticsDesk
from fleet_service.watch import News, TooManyWatchers
from pitwall.clock import wall_time
from pitwall.instruments import Tally
from pitwall.rpc.errors import ResourceExhausted, Unimplemented
from pitwall.rpc.interceptors import current_person

#: A watcher that takes nothing for so long is cut off: what its stream holds is bounded, and so is its life.
WATCH_STALL_S: Final = 10.0

_T = TypeVar("_T")
Context = grpc.aio.ServicerContext[Any, Any]


class FleetServicer(fleet_grpc.FleetServiceServicer):
    """Behind the interceptors, which have found out who calls and whether they may."""

    def __init__(self, lists: Lists, registry: RegistryDesk, statistics: StatisticsDesk, gaps: GapDesk) -> None:
        self._lists, self._registry, self._statistics, self._gaps = lists, registry, statistics, gaps
        meter = metrics.get_meter("fleet_service")
        self._stalled = Tally(meter, "pitwall.watchers.stalled", "Watchers cut off that didn't read")

    async def ListVehicles(  # noqa: N802
        self, request: fleet_pb2.ListVehiclesRequest, context: Context
    ) -> fleet_pb2.ListVehiclesResponse:
        return await self._lists.vehicles(request)

    async def GetVehicle(  # noqa: N802
        self, request: fleet_pb2.GetVehicleRequest, context: Context
    ) -> vehicle_pb2.Vehicle:
        return self._lists.vehicle(request.vehicle_id)

    async def CreateVehicle(  # noqa: N802
        self, request: fleet_pb2.CreateVehicleRequest, context: Context
    ) -> vehicle_pb2.Vehicle:
        self._lists.check_ready()
        return await self._registry.create(request)

    async def UpdateVehicle(  # noqa: N802
        self, request: fleet_pb2.UpdateVehicleRequest, context: Context
    ) -> vehicle_pb2.Vehicle:
        self._lists.check_ready()
        return await self._registry.update(request)

    async def DeleteVehicle(  # noqa: N802
        self, request: fleet_pb2.DeleteVehicleRequest, context: Context
    ) -> fleet_pb2.DeleteVehicleResponse:
        self._lists.check_ready()
        await self._registry.delete(request)
        return fleet_pb2.DeleteVehicleResponse()

    async def GetFleetStatistics(  # noqa: N802
        self, request: fleet_pb2.GetFleetStatisticsRequest, context: Context
    ) -> vehicle_pb2.FleetStatistics:
        self._lists.check_ready()
        return await self._statistics.get()

    async def WatchFleet(  # type: ignore[override]  # noqa: N802
        self, request: fleet_pb2.WatchFleetRequest, context: Context
    ) -> None:
        def answer(news: News[Any]) -> fleet_pb2.WatchFleetResponse:
            now_ns = int(wall_time().timestamp() * 1e9)
            return fleet_pb2.WatchFleetResponse(
                vehicles=[views.vehicle(vehicle, now_ns) for vehicle in news.items],
                removed_vehicle_ids=news.removed,
                snapshot_complete=news.snapshot_complete,
            )

        await self._stream(context, self._lists.watch_vehicles(request.filter), answer)

    async def ListAlerts(  # noqa: N802
        self, request: fleet_pb2.ListAlertsRequest, context: Context
    ) -> fleet_pb2.ListAlertsResponse:
        return await self._lists.alerts(request)

    async def AcknowledgeAlert(  # noqa: N802
        self, request: fleet_pb2.AcknowledgeAlertRequest, context: Context
    ) -> vehicle_pb2.AlertRecord:
        return await self._registry.acknowledge(request, current_person())

    async def WatchAlerts(  # type: ignore[override]  # noqa: N802
        self, request: fleet_pb2.WatchAlertsRequest, context: Context
    ) -> None:
        def answer(news: News[Any]) -> fleet_pb2.WatchAlertsResponse:
            return fleet_pb2.WatchAlertsResponse(
                alerts=map(views.alert, news.items), snapshot_complete=news.snapshot_complete
            )

        await self._stream(context, self._lists.watch_alerts(request.filter), answer)

    async def ListVehicleMetrics(  # noqa: N802
        self, request: fleet_pb2.ListVehicleMetricsRequest, context: Context
    ) -> fleet_pb2.ListVehicleMetricsResponse:
        return await self._lists.windows(request)

    async def ListReadings(  # noqa: N802
        self, request: fleet_pb2.ListReadingsRequest, context: Context
    ) -> fleet_pb2.ListReadingsResponse:
        raise _not_served("ListReadings", "readings are in the topic vehicle-telemetry")

    async def ListGaps(  # noqa: N802
        self, request: fleet_pb2.ListGapsRequest, context: Context
    ) -> fleet_pb2.ListGapsResponse:
        return self._gaps.list(request)

    async def _stream(
        self, context: Context, changes: AsyncGenerator[News[_T], None], answer: Callable[[News[_T]], object]
    ) -> None:
        try:
            async with aclosing(changes):
                async for news in changes:
                    async with asyncio.timeout(WATCH_STALL_S):
                        await context.write(answer(news))
        except TooManyWatchers as error:
            raise ResourceExhausted("TOO_MANY_WATCHERS", str(error)) from error
        except TimeoutError:
            # The handler ends without a status: telling one to a caller that does not read would hang.
            self._stalled.add(1)


def _not_served(method: str, instead: str) -> Unimplemented:
    return Unimplemented("UNIMPLEMENTED", f"{method} is in the contract and not served here yet; {instead}")
