"""The shell of the uplink: one stream at a time over mutual TLS, gateway after gateway, for ever.

A new channel for each try, so that renewed certificates are taken up. One task reads, one writes; gRPC takes one write
at a time, and what is most urgent is chosen when the stream can take it.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Final

import grpc
from haul.link.v1 import vehicle_link_service_pb2 as link_pb2
from haul.link.v1.vehicle_link_service_pb2_grpc import VehicleLinkServiceStub

from edge_agent.downlink import ProtocolError
from edge_agent.gateways import GatewayList, Try
from edge_agent.hosted import HostedVehicle, Stream
from edge_agent.limits import CLOSE_WAIT_S, MAX_SET_FRAME_BYTES, OPENING_AT_ONCE
from edge_agent.metrics import Counters
from edge_agent.moment import Moment
from edge_agent.uplink import Leave, Session
from pitwall import logs
from pitwall.config import TlsSettings
from pitwall.rpc.channel import open_channel
from pitwall.rpc.limits import RpcLimits
from pitwall.rpc.streams import Readable, read
from pitwall.tls import InvalidCredentials, channel_credentials, explain_connect_failure

_log = logs.get(__name__)

_LIMITS: Final = RpcLimits(max_receive_bytes=MAX_SET_FRAME_BYTES)
#: Failures of one vehicle in a row: the first is logged, and then every so many-th.
_LOG_EVERY: Final = 20

Call = grpc.aio.StreamStreamCall[link_pb2.ConnectRequest, link_pb2.ConnectResponse]


class Doors:
    """Lets so many vehicles of the process open a stream at a time to one gateway; one that hangs delays no other."""

    def __init__(self, at_once: int = OPENING_AT_ONCE) -> None:
        self._at_once = at_once
        self._doors: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def through(self, address: str) -> AsyncIterator[Callable[[], None]]:
        """Gives what to call once the stream is open; the end of the context does so too."""
        door = self._doors.setdefault(address, asyncio.Semaphore(self._at_once))
        await door.acquire()
        with ExitStack() as turn:
            turn.callback(door.release)
            yield turn.close


class Link:
    """Keeps one vehicle connected. `spread` (0 up to 1) is its place in the fleet, `doors` are the process's."""

    def __init__(
        self,
        vehicle: HostedVehicle,
        gateways: GatewayList,
        tls: TlsSettings,
        counters: Counters,
        *,
        spread: float,
        doors: Doors,
    ) -> None:
        self._vehicle, self._gateways, self._tls = vehicle, gateways, tls
        self._counters, self._spread, self._doors = counters, spread, doors
        self._failures = 0

    async def run(self) -> None:
        """Until cancelled."""
        attempt = Try(self._gateways.address, 0.0)
        while True:
            await asyncio.sleep(attempt.wait_s)
            leave = await self._stream(attempt.address)
            self._note(attempt.address, leave)
            attempt = self._gateways.broken() if leave.broken else self._gateways.moved()

    async def _stream(self, address: str) -> Leave:
        """From connecting to the end of one stream."""
        try:
            async with self._doors.through(address) as opened, self._channel(address) as channel:
                return await self._serve(channel, opened)
        except InvalidCredentials as error:
            return Leave(str(error), broken=True)
        except grpc.aio.AioRpcError as error:
            return Leave(f"{error.code().name}: {error.details()}", broken=True)

    @asynccontextmanager
    async def _channel(self, address: str) -> AsyncIterator[grpc.aio.Channel]:
        credentials = await asyncio.to_thread(channel_credentials, self._tls)
        channel = open_channel(address, credentials, _LIMITS)
        try:
            yield channel
        finally:
            # Cancels the call. A peer that is gone must not keep the next try waiting.
            closing = asyncio.ensure_future(channel.close(grace=None))
            await asyncio.wait([closing], timeout=CLOSE_WAIT_S)

    async def _serve(self, channel: grpc.aio.Channel, opened: Callable[[], None]) -> Leave:
        vehicle = self._vehicle
        vehicle.agent.connecting()
        session = Session(
            vehicle.vehicle_id,
            vehicle.agent.hello,
            vehicle.agent.gate.heartbeats,
            vehicle.shipment,
            vehicle.reports,
            spread=self._spread,
            now_s=Moment.now().s,
        )
        left: asyncio.Future[Leave] = asyncio.get_running_loop().create_future()
        wake = asyncio.Event()
        stream = Stream(session, wake.set, lambda leave: _settle(left, leave))
        call = VehicleLinkServiceStub(channel).Connect()
        vehicle.opened(stream)
        reader = asyncio.create_task(self._read(call, stream, opened))
        writer = asyncio.create_task(self._write(call, session, wake))
        try:
            await asyncio.wait({left, reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            return await _ending(call, left, reader, writer)
        finally:
            vehicle.closed(stream)
            for task in (reader, writer):
                task.cancel()
            call.cancel()
            await asyncio.wait({reader, writer}, timeout=CLOSE_WAIT_S)

    async def _read(self, call: Call, stream: Stream, opened: Callable[[], None]) -> Leave:
        frames: Readable[link_pb2.ConnectResponse] = call
        while (frame := await read(frames)) is not None:
            try:
                self._vehicle.received(stream, frame)
            except ProtocolError as error:
                return Leave(f"the gateway broke the protocol: {error}", broken=True)
            if stream.session.is_open:
                self._failures = 0
                opened()
        raise EOFError

    async def _write(self, call: Call, session: Session, wake: asyncio.Event) -> Leave:
        while True:
            wake.clear()
            while (frame := session.next_frame(Moment.now())) is not None:
                await call.write(frame)
            self._vehicle.want_history(session, Moment.now().s)
            await wake.wait()

    def _note(self, address: str, leave: Leave) -> None:
        self._counters.streams_ended.add(1, {"kind": "broken" if leave.broken else "moved"})
        if leave.broken:
            self._failures += 1
            if self._failures % _LOG_EVERY != 1:
                return
            explain(address, self._tls, lambda cause: self._log(address, leave, cause))
        else:
            self._log(address, leave, "")

    def _log(self, address: str, leave: Leave, cause: str) -> None:
        _log.warning(
            "stream ended", vehicle=self._vehicle.vehicle_id, gateway=address, reason=leave.reason, cause=cause
        )


def _settle(left: asyncio.Future[Leave], leave: Leave) -> None:
    if not left.done():
        left.set_result(leave)


async def _ending(
    call: Call, left: asyncio.Future[Leave], reader: asyncio.Task[Leave], writer: asyncio.Task[Leave]
) -> Leave:
    """Why the stream ended: our own decision, a broken rule, what the gateway said, or a fault in this program."""
    if left.done():
        return left.result()
    for task in (reader, writer):
        if task.done() and task.exception() is None:
            return task.result()
    try:
        async with asyncio.timeout(CLOSE_WAIT_S):
            code = await call.code()
            return Leave(f"{code.name}: {await call.details() or 'no details'}", broken=True)
    except TimeoutError:
        fault = next((e for task in (reader, writer) if task.done() and (e := task.exception())), None)
        _log.error("stream ended by a fault in the program", exc_info=fault)
        return Leave(f"fault in the program: {fault!r}", broken=True)


_explaining = threading.Lock()


def explain(address: str, tls: TlsSettings, tell: Callable[[str], None]) -> None:
    """Finds out in a thread why there is no connection, and tells. One at a time: a fleet fails for one reason.

    The thread is a daemon and not of a pool, so that it can't hold up the end of the process.
    """

    def find() -> None:
        if not _explaining.acquire(blocking=False):
            tell("")
            return
        try:
            tell(explain_connect_failure(address, tls.ca, tls.certificate, tls.key))
        finally:
            _explaining.release()

    threading.Thread(target=find, name="explain", daemon=True).start()
