"""One vehicle's gRPC stream: a reader that feeds the session, a writer that drains its lanes, one frame at a time.

The writer is the only one that writes, because grpc.aio allows one write at a time. A vehicle that does not read makes
a write hang for ever, and an abort too: such a stream is left without waiting for either.
"""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from haul.link.v1.vehicle_link_service_pb2 import ConnectRequest

from ingest_gateway.effects import Close, Code
from ingest_gateway.hub import Hub
from ingest_gateway.limits import ABORT_WITHIN_S
from ingest_gateway.session import Session
from pitwall.clock import boottime_s
from pitwall.rpc.around import Context
from pitwall.rpc.streams import Readable, read

ENDED = Close(Code.OK, "STREAM_ENDED", "the vehicle has ended the stream, or its connection is gone")
MALFORMED = Close(Code.INVALID_ARGUMENT, "MALFORMED_FRAME", "a frame is no haul.link.v1.ConnectRequest; reconnect")

_log = logging.getLogger(__name__)


class VehicleStream:
    """`run` it once, in the servicer's method. The context's messages are bytes."""

    def __init__(self, hub: Hub, vehicle_id: str, context: Context) -> None:
        self._hub, self._context = hub, context
        self._wakeup = asyncio.Event()
        self._ended: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        self._writing_since_s: float | None = None
        self._hold_s = 0.0
        self._session: Session = hub.open(vehicle_id, self)

    # For the hub

    def wake(self) -> None:
        self._wakeup.set()

    def hold(self, seconds: float) -> None:
        self._hold_s = seconds

    def end(self, close: Close) -> None:
        if not self._ended.done():
            self._ended.set_result(close)

    def stalled_s(self, now_s: float) -> float:
        return 0.0 if self._writing_since_s is None else now_s - self._writing_since_s

    # For the servicer

    async def run(self) -> Close | None:
        """Until the stream ends. Returns what to tell the vehicle; None where it could not be told."""
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            waited: list[asyncio.Future[Any]] = [*tasks, self._ended]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.close(self._session, ENDED)
            for task in tasks:
                task.cancel()
            _look_at(tasks, self._session.vehicle_id)
        return self._ended.result() if self.stalled_s(boottime_s()) < ABORT_WITHIN_S else None

    async def _read(self) -> None:
        stream: Readable[bytes] = self._context
        while (data := await read(stream)) is not None:
            try:
                frame = ConnectRequest.FromString(data)
            except DecodeError:
                self._hub.close(self._session, MALFORMED)
                return
            self._hub.feed(self._session, frame, len(data))
            if self._hold_s:
                await self._not_reading()

    async def _not_reading(self) -> None:
        """What the vehicle sends stays with gRPC, whose flow control then stops it."""
        hold_s, self._hold_s = self._hold_s, 0.0
        await asyncio.sleep(hold_s)

    async def _write(self) -> None:
        session, hub = self._session, self._hub
        leave = partial(hub.may_move, session)
        while True:
            outgoing = session.next_frame(leave, boottime_s(), hub.permit_every_s)
            if outgoing is None:
                self._wakeup.clear()
                await self._wakeup.wait()
                continue
            if outgoing.request_id:
                session.orders.sent(outgoing.request_id)
            self._writing_since_s = boottime_s()
            await self._context.write(outgoing.data)
            self._writing_since_s = None
            hub.written(session, outgoing)


def _look_at(tasks: Iterable[asyncio.Task[None]], vehicle_id: str) -> None:
    """A stream may break in the middle of a read or a write; that is its end and no error of ours."""
    for task in tasks:
        error = task.exception() if task.done() and not task.cancelled() else None
        if isinstance(error, grpc.aio.BaseError):
            _log.debug("%s: stream broken: %s", vehicle_id, error)
        elif error is not None:
            raise error
