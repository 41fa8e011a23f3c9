"""PeerLinkService: one handler for each peer's stream. It merges what the peer tells, and says when that is on disk."""

import asyncio
from collections.abc import Iterable
from itertools import count
from typing import Final

import grpc
from haul.link.v1 import peer_link_service_pb2 as peer_pb2
from haul.link.v1 import peer_link_service_pb2_grpc as peer_grpc
from opentelemetry import metrics

from command_service.hearsay import Hearsay
from command_service.hub import Hub, moment
from command_service.link_streams import WRITE_STALL_S, check_hello, first_frame, side_by_side
from command_service.peer_lanes import Inbox
from command_service.peer_wire import hello_to, told_from
from command_service.records import order_from
from pitwall import logs, wire
from pitwall.instruments import Tally
from pitwall.rpc.errors import InvalidArgument, PermissionDenied
from pitwall.rpc.interceptors import current_identity
from pitwall.rpc.streams import read

#: How long the writer waits at most before it looks again.
_LOOK_S: Final = 1.0

_Context = grpc.aio.ServicerContext[peer_pb2.ExchangeRequest, peer_pb2.ExchangeResponse]

_log = logs.get(__name__)


class PeerLinkServicer(peer_grpc.PeerLinkServiceServicer):
    """Called by command services alone; the interceptor has seen to that. `peers`: the names of this site's others."""

    def __init__(self, hub: Hub, peers: Iterable[str]) -> None:
        self._hub, self._peers = hub, frozenset(peers)
        self._stopping = asyncio.Event()
        self._numbers = count(1)
        meter = metrics.get_meter("command_service.peers")
        self._invalid = Tally(meter, "pitwall.peer.invalid", "Values from peers not taken")

    def stop(self) -> None:
        """Ends every stream."""
        self._stopping.set()

    async def Exchange(  # type: ignore[override]  # noqa: N802  # reads and writes by its context
        self, request_iterator: object, context: _Context
    ) -> None:
        core = self._hub.core
        await _put(context, hello_to(core.name, complete=core.recall.complete))
        hello = await self._hello(context)
        inbox = Inbox(hello.opening_frames)
        hearsay = Hearsay(self._hub, hello.command_service, current_identity().uri, next(self._numbers), self._skip)
        _log.info("peer attached", peer=hello.command_service, complete=hello.journal_complete)
        try:
            await side_by_side(self._stopping, self._read(inbox, hearsay, context), self._write(hello, inbox, context))
        except TimeoutError:
            # The handler ends without a status: telling one to a peer that does not read would hang.
            _log.warning("peer does not read, cut off", peer=hello.command_service)
        finally:
            hearsay.end()
            _log.info("peer detached", peer=hello.command_service)

    async def _hello(self, context: _Context) -> peer_pb2.PeerHello:
        first: peer_pb2.ExchangeRequest | None = await first_frame(context)
        if first is None or first.frame.WhichOneof("body") != "hello":
            raise InvalidArgument("HELLO_FIRST", "the first frame must be hello", fields={"hello": "is missing"})
        hello = first.frame.hello
        check_hello(hello.command_service, hello.protocol_version)
        if hello.command_service not in self._peers:
            text = f"{hello.command_service!r} is no peer here; name it in `peers` of {self._hub.core.name}"
            raise PermissionDenied("NOT_A_PEER", text)
        return hello

    async def _read(self, inbox: Inbox, hearsay: Hearsay, context: _Context) -> None:
        uri = current_identity().uri
        while (request := await _next(context)) is not None:
            frame = request.frame
            match frame.WhichOneof("body"):
                case "replicate":
                    self._told(frame.replicate, inbox, uri)
                case "order":
                    self._order(frame, uri)
                case "hearing":
                    hearsay.hearing(frame.hearing)
                case "session_news":
                    hearsay.links(frame.session_news)
                case "reports":
                    hearsay.words(frame.reports)
                case other:
                    self._skip(uri, other or "body", "is none that this version takes here")

    def _told(self, message: peer_pb2.Replicate, inbox: Inbox, uri: str) -> None:
        told, wrong = told_from(message)
        for error in wrong:
            self._skip(uri, error.field, error.reason)
        for release in told.waiting:
            if self._hub.core.releases.is_rival(release):
                reason = f"{release.release_id} is approved with other contents here; this disk does not count for it"
                self._skip(uri, "requested_releases.release_id", reason)
        self._hub.core.told(told.delta, told.waiting, uri, moment())
        if not wrong:  # else it is never acknowledged: it isn't all here
            inbox.take(told)
        self._hub.carry_out()

    def _order(self, frame: peer_pb2.PeerFrame, uri: str) -> None:
        try:
            self._hub.core.orders.learn(order_from(frame.order), moment().ns)
        except wire.InvalidMessage as error:
            self._skip(uri, f"order.{error.field}", error.reason)

    async def _write(self, hello: peer_pb2.PeerHello, inbox: Inbox, context: _Context) -> None:
        core = self._hub.core
        while True:
            for number in inbox.settle(core.on_disk, core.vouches):
                await _put(context, peer_pb2.PeerFrame(journaled=peer_pb2.Journaled(replicate_id=number)))
            if inbox.opened:
                core.recalled(hello.command_service, moment(), complete=hello.journal_complete)
                self._hub.carry_out()
            await self._hub.until(lambda: inbox.ready(core.on_disk, core.vouches), _LOOK_S)

    def _skip(self, uri: str, field: str, reason: str) -> None:
        self._invalid.add(1)
        _log.warning("not taken from a peer", peer=uri, field=field, reason=reason)


async def _next(context: _Context) -> peer_pb2.ExchangeRequest | None:
    request: peer_pb2.ExchangeRequest | None = await read(context)
    return request


async def _put(context: _Context, frame: peer_pb2.PeerFrame) -> None:
    async with asyncio.timeout(WRITE_STALL_S):
        await context.write(peer_pb2.ExchangeResponse(frame=frame))
