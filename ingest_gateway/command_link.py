"""The stream to one command service: connects, writes what waits, hands on what comes, and connects anew for ever."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import grpc
from haul.link.v1 import gateway_link_service_pb2 as pb
from haul.link.v1.gateway_link_service_pb2_grpc import GatewayLinkServiceStub

from ingest_gateway.from_site import FromSite
from ingest_gateway.limits import LINK_OPEN_WITHIN_S, LINK_SILENT_S, MAX_LINK_FRAME_BYTES, RELAY_S
from ingest_gateway.link_state import LinkBroken, LinkState
from ingest_gateway.links import LinkEnd
from pitwall.clock import boottime_s
from pitwall.rpc.channel import jitter_s, open_channel
from pitwall.rpc.limits import RpcLimits
from pitwall.rpc.streams import Readable, read
from pitwall.tls import InvalidCredentials

LINK_LIMITS = RpcLimits(
    max_receive_bytes=MAX_LINK_FRAME_BYTES,
    max_send_bytes=MAX_LINK_FRAME_BYTES,
    keepalive_time_s=2.0,
    keepalive_timeout_s=2.0,
)

_log = logging.getLogger(__name__)

AttachCall: TypeAlias = "grpc.aio.StreamStreamCall[pb.AttachRequest, pb.AttachResponse]"
#: Reads the certificates anew for each connection, so that renewed ones are taken up.
Credentials = Callable[[], grpc.ChannelCredentials | None]


class CommandLink:
    """One task for each command service: `run` it until it is cancelled."""

    def __init__(self, end: LinkEnd, site: FromSite, credentials: Credentials) -> None:
        self._end, self._site, self._credentials = end, site, credentials
        self._wakeup = asyncio.Event()
        self._said = ""
        end.wake = self._wakeup.set
        end.wake_later = lambda: asyncio.get_running_loop().call_later(RELAY_S, self._wakeup.set)

    async def run(self) -> None:
        attempt = 0
        while True:
            attempt += 1
            exchanged = await self._once()
            attempt = 1 if exchanged else attempt
            await asyncio.sleep(jitter_s(attempt))

    async def _once(self) -> bool:
        """One stream, from connecting to its end. Returns whether sets were exchanged on it."""
        state = self._site.attach(self._end)
        reason = "cancelled"
        try:
            reason = await self._connected(state)
        finally:
            self._site.detach(self._end, reason)
        return state.exchanged

    async def _connected(self, state: LinkState) -> str:
        try:
            channel = open_channel(self._end.member, self._credentials(), LINK_LIMITS)
        except InvalidCredentials as error:
            return self._say("bad_credentials", str(error))
        try:
            return await self._stream(GatewayLinkServiceStub(channel).Attach(), state)
        finally:
            await channel.close(grace=None)

    async def _stream(self, call: AttachCall, state: LinkState) -> str:
        tasks = {asyncio.create_task(self._write(call)), asyncio.create_task(self._read(call, state))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            call.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._explain(next(iter(done)).exception())

    async def _write(self, call: AttachCall) -> None:
        lanes = self._end.lanes
        while True:
            frame = lanes.next(boottime_s())
            if frame is not None:
                try:
                    await call.write(frame)
                except asyncio.InvalidStateError:
                    return  # the stream has just ended, and nothing is wrong with this process
                continue
            self._wakeup.clear()
            gathering_s = lanes.wait_s(boottime_s()) if lanes.gathering else None
            with suppress(TimeoutError):
                async with asyncio.timeout(gathering_s):
                    await self._wakeup.wait()

    async def _read(self, call: AttachCall, state: LinkState) -> None:
        within_s = LINK_OPEN_WITHIN_S
        stream: Readable[pb.AttachResponse] = call
        while True:
            async with asyncio.timeout(within_s):
                frame = await read(stream)
            if frame is None:
                return
            self._site.feed(self._end, state, frame)
            if self._end.lanes.overflowing:
                raise LinkBroken("it does not take what is sent to it")
            within_s = LINK_SILENT_S if state.exchanged else LINK_OPEN_WITHIN_S

    def _explain(self, error: BaseException | None) -> str:
        match error:
            case grpc.aio.AioRpcError():
                return self._say(error.code().name.lower(), error.details() or "")
            case TimeoutError():
                return self._say("silent", f"nothing heard for {LINK_SILENT_S:g} s")
            case LinkBroken():
                return self._say("broken", str(error))
            case None:
                return self._say("ended", "the command service has ended the stream")
        raise error

    def _say(self, reason: str, text: str) -> str:
        """Logs it once, until the reason is another one."""
        if reason != self._said:
            self._said = reason
            _log.warning("no link to command service %s: %s: %s", self._end.member, reason, text)
        return reason
