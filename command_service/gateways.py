"""GatewayLinkService: one handler for each gateway's stream, a reader and a writer side by side.

The sets are exchanged before anything else: the gateway's comes in its hello and is merged, ours goes down as the first
frames, and only when the gateway says that it has them in force is a beat answered with consent.
"""

import asyncio
from typing import Final

import grpc
from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from haul.link.v1 import gateway_link_service_pb2_grpc as link_grpc
from opentelemetry import metrics

from command_service import link_wire
from command_service.feed import Feed
from command_service.hub import Hub
from command_service.lanes import LeaseFrame, SetFrame
from command_service.link import Link
from command_service.link_streams import WRITE_STALL_S, check_hello, first_frame, side_by_side
from pitwall import logs, wire
from pitwall.clock import boottime_s
from pitwall.instruments import Tally
from pitwall.rpc.errors import InvalidArgument, ResourceExhausted
from pitwall.rpc.interceptors import current_identity
from pitwall.rpc.streams import read

#: Streams from gateways at one time.
MAX_LINKS: Final = 64
#: Why a beat gets no lease; or YES.
CONSENTS: Final = ("YES", "STOPPING", "EXCHANGE_PENDING", "JOURNAL_LOST", "JOURNAL_UNAVAILABLE")

_Context = grpc.aio.ServicerContext[link_pb2.AttachRequest, link_pb2.AttachResponse]

_log = logs.get(__name__)


class GatewayLinkServicer(link_grpc.GatewayLinkServiceServicer):
    """Called by gateways alone; the interceptor has seen to that."""

    def __init__(self, hub: Hub, lease_ttl_s: float) -> None:
        self._hub, self._feed = hub, Feed(hub.core)
        self._lease_ttl_s = lease_ttl_s
        self._stopping = asyncio.Event()
        meter = metrics.get_meter("command_service.gateways")
        self._leases = Tally(meter, "pitwall.leases", "Beats of gateways answered, by consent", {"consent": CONSENTS})
        self._stalled = Tally(meter, "pitwall.link.stalled", "Gateways cut off that didn't read")

    def stop(self) -> None:
        """Ends every stream, so that gateways look elsewhere at once."""
        self._stopping.set()

    async def Attach(  # type: ignore[override]  # noqa: N802  # reads and writes by its context
        self, request_iterator: object, context: _Context
    ) -> None:
        uri = current_identity().uri
        hello = await self._hello(context)
        if len(self._hub.links) >= MAX_LINKS:
            raise ResourceExhausted("TOO_MANY_GATEWAYS", f"{MAX_LINKS} gateway streams are open; close some")
        self._feed.merge(hello.stop_set, None, uri)
        link = self._hub.attach(hello.gateway, uri)
        _log.info("gateway attached", gateway=hello.gateway, link=link.number, sessions=len(hello.sessions))
        try:
            self._feed.sessions(link, hello.sessions)
            self._hub.carry_out()
            await side_by_side(self._stopping, self._read(link, context), self._write(link, context))
        finally:
            self._hub.detach(link)
            _log.info("gateway detached", gateway=hello.gateway, link=link.number)

    async def _hello(self, context: _Context) -> link_pb2.GatewayHello:
        first: link_pb2.AttachRequest | None = await first_frame(context)
        if first is None or first.WhichOneof("body") != "hello":
            raise InvalidArgument("HELLO_FIRST", "the first frame must be hello", fields={"hello": "is missing"})
        check_hello(first.hello.gateway, first.hello.protocol_version)
        return first.hello

    # Down

    async def _write(self, link: Link, context: _Context) -> None:
        try:
            while True:
                await link.rung()
                while (frame := link.lanes.next()) is not None:
                    consent = self._lease(link) if isinstance(frame, LeaseFrame) else link_pb2.Lease()
                    async with asyncio.timeout(WRITE_STALL_S):
                        await context.write(link_wire.frame_to(frame, consent))
                    if isinstance(frame, SetFrame):
                        self._hub.signals.pushed(link.gateway, (stop.stop_id for stop in frame.delta.stops))
        except TimeoutError:
            # The handler ends without a status: telling one to a peer that does not read would hang.
            self._stalled.add(1)
            _log.warning("gateway does not read, cut off", gateway=link.gateway, link=link.number)

    def _lease(self, link: Link) -> link_pb2.Lease:
        """Consent at this moment. It runs from the gateway's own beat, so nothing here can make it longer."""
        reason = self._denial(link)
        self._leases.add(1, reason or "YES")
        if reason:
            return link_pb2.Lease(ttl=wire.duration(0), reason=reason)
        return link_pb2.Lease(ttl=wire.duration(self._lease_ttl_s))

    def _denial(self, link: Link) -> str:
        if self._stopping.is_set():
            return "STOPPING"
        if not link.lanes.exchanged:
            return "EXCHANGE_PENDING"
        if not self._hub.core.recall.complete:
            return "JOURNAL_LOST"
        return "" if self._hub.journal.healthy(boottime_s()) else "JOURNAL_UNAVAILABLE"

    # Up

    async def _read(self, link: Link, context: _Context) -> None:
        while (frame := await _next(context)) is not None:
            self._feed.take(link, frame)
            self._hub.carry_out()


async def _next(context: _Context) -> link_pb2.AttachRequest | None:
    frame: link_pb2.AttachRequest | None = await read(context)
    return frame
