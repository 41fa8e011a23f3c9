"""CommandService: receive, find, call, answer. What is decided is decided behind it."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final, TypeVar

import grpc
from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import command_service_pb2_grpc as command_grpc
from haul.command.v1 import order_pb2, stop_pb2
from opentelemetry import metrics

from command_service import views
from command_service.entry import StopEntry
from command_service.hub import Hub
from command_service.lists import Lists
from command_service.order_desk import OrderDesk
from command_service.release_desk import ReleaseDesk
from command_service.stop_desk import StopDesk
from command_service.stream import Update, updates
from command_service.watch import COALESCE_S, TooManyWatchers
from pitwall import wire
from pitwall.instruments import Tally
from pitwall.rpc.errors import ResourceExhausted
from pitwall.rpc.interceptors import current_person

#: A watcher that doesn't read for so long is cut off, seconds.
WATCH_STALL_S: Final = 30.0

_Answer = TypeVar("_Answer")
Context = grpc.aio.ServicerContext[Any, Any]


class CommandServicer(command_grpc.CommandServiceServicer):
    """Behind the interceptors, which have found out who calls and whether they may."""

    def __init__(self, hub: Hub, stops: StopDesk, releases: ReleaseDesk, orders: OrderDesk, lists: Lists) -> None:
        self._hub, self._stops, self._releases = hub, stops, releases
        self._orders, self._lists = orders, lists
        meter = metrics.get_meter("command_service")
        self._stalled = Tally(meter, "pitwall.watchers.stalled", "Watchers cut off that didn't read")

    async def EmergencyStop(  # type: ignore[override]  # noqa: N802
        self, request: command_pb2.EmergencyStopRequest, context: Context
    ) -> None:
        issued = self._stops.stop(request, current_person())
        # The first answer goes at once, but for a moment in which the disk may tell already that the stop is issued.
        await self._hub.until(self._changed(issued.stop_id), COALESCE_S)

        def answer(update: Update) -> command_pb2.EmergencyStopResponse:
            return command_pb2.EmergencyStopResponse(**self._parts(update), issued_as_new=issued.as_new)

        await self._stream(context, issued.stop_id, answer, _all_stand, issuer=True)

    async def WatchStop(  # type: ignore[override]  # noqa: N802
        self, request: command_pb2.WatchStopRequest, context: Context
    ) -> None:
        entry = self._stops.find(request.stop_id)

        def answer(update: Update) -> command_pb2.WatchStopResponse:
            return command_pb2.WatchStopResponse(**self._parts(update))

        def over(entry: StopEntry) -> bool:
            return not views.is_active(self._hub.core, entry)

        await self._stream(context, entry.stop_id, answer, over, issuer=False)

    async def _stream(
        self,
        context: Context,
        stop_id: str,
        answer: Callable[[Update], object],
        ended: Callable[[StopEntry], bool],
        *,
        issuer: bool,
    ) -> None:
        try:
            async with aclosing(updates(self._hub, stop_id, ended, issuer=issuer)) as changes:
                async for update in changes:
                    async with asyncio.timeout(WATCH_STALL_S):
                        await context.write(answer(update))
        except TooManyWatchers as error:
            raise ResourceExhausted(
                "TOO_MANY_WATCHERS", f"{error}. A stop is in force all the same", metadata={"may_have_happened": "true"}
            ) from error
        except TimeoutError:
            # The handler ends without a status: telling one to a caller that does not read would hang.
            self._stalled.add(1)

    def _changed(self, stop_id: str) -> Callable[[], bool]:
        """Whether anything has been heard of the stop since now; True at once where it is issued already."""
        entry = self._hub.core.ledger[stop_id]
        version = entry.version
        return lambda: entry.issued_ns is not None or entry.version != version

    def _parts(self, update: Update) -> dict[str, Any]:
        core, entry = self._hub.core, update.entry
        return {
            "stop": wire.stop_to_proto(entry.stop),
            "summary": views.summary(core.ledger.summary(entry.stop_id)),
            "vehicles": views.vehicle_stops(core, entry, update.vehicles),
        }

    async def GetStop(self, request: command_pb2.GetStopRequest, context: Context) -> stop_pb2.StopState:  # noqa: N802
        return views.stop_state(self._hub.core, self._stops.find(request.stop_id), with_vehicles=True)

    async def ListStops(  # noqa: N802
        self, request: command_pb2.ListStopsRequest, context: Context
    ) -> command_pb2.ListStopsResponse:
        return self._lists.stops(request)

    async def RequestRelease(  # noqa: N802
        self, request: command_pb2.RequestReleaseRequest, context: Context
    ) -> stop_pb2.ReleaseRecord:
        entry = await self._releases.request(request, current_person())
        return views.release_record(self._hub.core, entry)

    async def ApproveRelease(  # noqa: N802
        self, request: command_pb2.ApproveReleaseRequest, context: Context
    ) -> stop_pb2.ReleaseRecord:
        entry = await self._releases.approve(request, current_person())
        return views.release_record(self._hub.core, entry)

    async def ListReleases(  # noqa: N802
        self, request: command_pb2.ListReleasesRequest, context: Context
    ) -> command_pb2.ListReleasesResponse:
        return self._lists.releases(request)

    async def GetMotionState(  # noqa: N802
        self, request: command_pb2.GetMotionStateRequest, context: Context
    ) -> order_pb2.MotionState:
        return self._lists.motion_state(request)

    async def ListMotionStates(  # noqa: N802
        self, request: command_pb2.ListMotionStatesRequest, context: Context
    ) -> command_pb2.ListMotionStatesResponse:
        return self._lists.motion_states(request)

    async def SendOrder(  # noqa: N802
        self, request: command_pb2.SendOrderRequest, context: Context
    ) -> command_pb2.SendOrderResponse:
        return views.order_answer(await self._orders.send(request, current_person()))

    async def ListOrders(  # noqa: N802
        self, request: command_pb2.ListOrdersRequest, context: Context
    ) -> command_pb2.ListOrdersResponse:
        return self._lists.orders(request)

    async def ListAuditEvents(  # noqa: N802
        self, request: command_pb2.ListAuditEventsRequest, context: Context
    ) -> command_pb2.ListAuditEventsResponse:
        return await self._lists.audit_events(request)


def _all_stand(entry: StopEntry) -> bool:
    """A majority has it on disk, and everybody in scope stands or is released."""
    return entry.issued_ns is not None and entry.settled
