"""The stream to one peer: connects, tells it everything and then what is new, hears what it has on disk, for ever."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import grpc
from haul.link.v1 import peer_link_service_pb2 as peer_pb2
from haul.link.v1.peer_link_service_pb2_grpc import PeerLinkServiceStub

from command_service.hub import Hub, moment
from command_service.link_streams import HELLO_TIMEOUT_S, LINK_LIMITS, WRITE_STALL_S, side_by_side
from command_service.peer import Peer
from command_service.peer_lanes import PeerLanes
from command_service.peer_wire import frame_to, hello_to
from command_service.relay import Relay
from pitwall import logs
from pitwall.rpc.channel import jitter_s, open_channel
from pitwall.rpc.streams import Readable, read
from pitwall.tls import InvalidCredentials

#: Reads the certificates anew for each connection, so that renewed ones are taken up.
Credentials = Callable[[], grpc.ChannelCredentials | None]
_Call: TypeAlias = "grpc.aio.StreamStreamCall[peer_pb2.ExchangeRequest, peer_pb2.ExchangeResponse]"

_log = logs.get(__name__)


class PeerRefused(Exception):
    """Whoever answers there is not this peer, or can't be understood."""


class PeerLink:
    """`run` it until it is cancelled."""

    def __init__(self, peer: Peer, hub: Hub, credentials: Credentials) -> None:
        self._peer, self._hub, self._credentials = peer, hub, credentials
        self._said: str | None = None

    async def run(self) -> None:
        attempt = 0
        while True:
            attempt = 1 if await self._once() else attempt + 1
            await asyncio.sleep(jitter_s(attempt))

    async def _once(self) -> bool:
        """One stream, from connecting to its end. Returns whether the peer had answered."""
        try:
            channel = open_channel(self._peer.address, self._credentials(), LINK_LIMITS)
        except InvalidCredentials as error:
            self._say("bad credentials", str(error))
            return False
        try:
            await self._stream(PeerLinkServiceStub(channel).Exchange())
            return self._peer.greeted
        finally:
            self._peer.end()
            await channel.close(grace=None)

    async def _stream(self, call: _Call) -> None:
        """However it ends, that is said, and is no defect of this service."""
        try:
            await self._greet(call)
            await side_by_side(asyncio.Event(), self._read(call), self._write(call, self._begin()))
            self._say("ended", "it has ended the stream")
        except grpc.aio.AioRpcError as error:
            self._say(error.code().name.lower(), error.details() or "")
        except TimeoutError:
            self._say("silent", f"it has not read or not answered for {WRITE_STALL_S:g} s")
        except PeerRefused as error:
            self._say("refused", str(error))
        finally:
            call.cancel()

    async def _greet(self, call: _Call) -> None:
        """The peer speaks first. What it is told then is no older than its answer: all that it can have lost with an
        earlier disk is in it."""
        stream: Readable[peer_pb2.ExchangeResponse] = call
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            first = await read(stream)
        if first is None or first.frame.WhichOneof("body") != "hello":
            raise PeerRefused("its first frame is no hello")
        if first.frame.hello.command_service != self._peer.name:
            raise PeerRefused(f"it calls itself {first.frame.hello.command_service!r}; mend `peers`")
        self._say("", "")

    def _begin(self) -> peer_pb2.PeerFrame:
        """The lanes with all that is known now. Returns the hello that says how much that is."""
        core = self._hub.core
        lanes = PeerLanes(core.stops.snapshot(), core.releases.waiting_releases())
        self._peer.begin(lanes, Relay(core.registry, core.ledger))
        return hello_to(core.name, complete=core.recall.complete, opening_frames=lanes.opening_frames)

    async def _write(self, call: _Call, hello: peer_pb2.PeerFrame) -> None:
        await _put(call, hello)
        while True:
            await self._peer.rung()
            while (frame := self._peer.next()) is not None:
                await _put(call, frame_to(frame))

    async def _read(self, call: _Call) -> None:
        stream: Readable[peer_pb2.ExchangeResponse] = call
        while (answer := await read(stream)) is not None:
            if answer.frame.WhichOneof("body") == "journaled":
                self._journaled(answer.frame.journaled.replicate_id)

    def _journaled(self, replicate_id: int) -> None:
        acks = self._peer.lanes.journaled(replicate_id) if self._peer.lanes else ()
        for ack in acks:
            self._hub.core.journaled(ack, self._peer.name, moment())
        self._hub.carry_out()

    def _say(self, reason: str, text: str) -> None:
        """Logs it once, until the reason is another one."""
        if reason == self._said:
            return
        self._said = reason
        told = {"peer": self._peer.name, "address": self._peer.address}
        if reason:
            _log.warning("no stream to peer", **told, reason=reason, text=text)
        else:
            _log.info("peer answers", **told)


async def _put(call: _Call, frame: peer_pb2.PeerFrame) -> None:
    async with asyncio.timeout(WRITE_STALL_S):
        with suppress(asyncio.InvalidStateError):  # the stream has just ended; the reader hears why
            await call.write(peer_pb2.ExchangeRequest(frame=frame))
