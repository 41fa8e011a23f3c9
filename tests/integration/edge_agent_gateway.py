"""A gateway for the agent's tests: says and withholds what a test wants, and writes down what it hears."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
from haul.command.v1 import order_pb2, stop_pb2
from haul.link.v1 import vehicle_link_service_pb2 as link
from haul.link.v1.vehicle_link_service_pb2_grpc import (
    VehicleLinkServiceServicer,
    add_VehicleLinkServiceServicer_to_server,
)
from haul.telemetry.v1.telemetry_pb2 import Reading

from pitwall import wire
from pitwall.config import TlsSettings
from pitwall.rpc.streams import Readable, read
from pitwall.tls import server_credentials

Context = grpc.aio.ServicerContext[link.ConnectRequest, link.ConnectResponse]
T = TypeVar("T")

PERMIT_TTL_S = 2.0


@dataclass(slots=True)
class Heard:
    """Everything that one vehicle said over all its streams."""

    hellos: list[link.Hello] = field(default_factory=list)
    progress: list[stop_pb2.StopProgress] = field(default_factory=list)
    states: list[link.StatusReport] = field(default_factory=list)
    answers: list[link.OrderReport] = field(default_factory=list)
    lost: list[link.LostRange] = field(default_factory=list)
    #: In the order in which they came, repeats too.
    readings: list[Reading] = field(default_factory=list)
    heartbeat: int = 0
    #: Heartbeats answered in the newest session: above 0, both sides have said their opening lines.
    answered: int = 0


class _Stream:
    """gRPC takes one write at a time."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._lock = asyncio.Lock()

    async def write(self, frame: link.ConnectResponse) -> None:
        async with self._lock:
            await self.context.write(frame)


class StubGateway(VehicleLinkServiceServicer):
    """Permits and acknowledges while the switches are on."""

    def __init__(self) -> None:
        self.permits = self.acks = self.speaks = True
        self.denial = link.PERMIT_DENIAL_UNSPECIFIED
        self.stop_set = stop_pb2.StopSet()
        self.heard: dict[str, Heard] = {}
        self.port = 0
        self._streams: dict[str, _Stream] = {}
        self._changed = asyncio.Condition()
        self._server: grpc.aio.Server | None = None

    async def start(self, tls: TlsSettings, port: int = 0) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_VehicleLinkServiceServicer_to_server(self, self._server)
        credentials = server_credentials(tls, require_client=True)
        self.port = self._server.add_secure_port(f"127.0.0.1:{port or self.port}", credentials)
        await self._server.start()

    async def stop(self) -> None:
        """Cuts every stream."""
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    # What a test does

    async def push(self, vehicle_id: str, frame: link.ConnectResponse) -> None:
        await self._streams[vehicle_id].write(frame)

    async def issue(self, stop: stop_pb2.Stop) -> None:
        """A stop for everybody: known to the gateway, and pushed."""
        self.stop_set.stops.append(stop)
        for stream in self._streams.values():
            await stream.write(link.ConnectResponse(stop_set=stop_pb2.StopSet(stops=[stop])))

    async def order(self, vehicle_id: str, order: order_pb2.Order) -> None:
        """With the etag of the moment, as an operator's client reads it."""
        heard = self.heard[vehicle_id]
        hello, state = heard.hellos[-1], heard.states[-1] if heard.states else heard.hellos[-1].status
        etag = order_pb2.MotionEtag(
            boot_epoch=hello.boot_epoch,
            connect_count=hello.connect_count,
            hold_count=state.hold_count,
            heartbeat_number=heard.heartbeat,
        )
        await self.push(vehicle_id, link.ConnectResponse(order=link.OrderDelivery(order=order, etag=etag)))

    async def until(self, vehicle_id: str, what: str, holds: Callable[[Heard], T | None], within_s: float = 15.0) -> T:
        """Waits until something true comes out; looks again whenever something was heard."""
        try:
            async with asyncio.timeout(within_s), self._changed:
                while not (found := holds(self.heard.get(vehicle_id, Heard()))):
                    await self._changed.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"{vehicle_id}: not in {within_s} s: {what}") from None

    # What the agent sees

    async def Connect(  # type: ignore[override]  # noqa: N802
        self, request_iterator: object, context: Context
    ) -> None:
        stream: Readable[link.ConnectRequest] = context
        first = await read(stream)
        if first is None:
            return
        vehicle_id = first.hello.vehicle_id
        out = self._streams[vehicle_id] = _Stream(context)
        await self._hear(vehicle_id, first)
        await out.write(link.ConnectResponse(stop_set=self.stop_set))
        await out.write(link.ConnectResponse(welcome=_welcome()))
        while (frame := await read(stream)) is not None:
            await self._hear(vehicle_id, frame)
            if self.speaks:
                await self._answer(vehicle_id, out, frame)

    async def _answer(self, vehicle_id: str, out: _Stream, frame: link.ConnectRequest) -> None:
        if frame.heartbeat_number:
            ttl_s = PERMIT_TTL_S if self.permits else 0.0
            permit = link.Permit(
                heartbeat_number=frame.heartbeat_number,
                ttl=wire.duration(ttl_s),
                denial=link.PERMIT_DENIAL_UNSPECIFIED if self.permits else self.denial,
            )
            await out.write(link.ConnectResponse(permit=permit))
            self.heard[vehicle_id].answered += 1
        batch = frame.reading_batch
        if self.acks and batch.readings:
            ranges = [link.SequenceRange(first_sequence=r.sequence, last_sequence=r.sequence) for r in batch.readings]
            ack = link.ReadingAck(boot_epoch=batch.boot_epoch, ranges=ranges)
            await out.write(link.ConnectResponse(reading_ack=ack))

    async def _hear(self, vehicle_id: str, frame: link.ConnectRequest) -> None:
        heard = self.heard.setdefault(vehicle_id, Heard())
        heard.heartbeat = frame.heartbeat_number or heard.heartbeat
        match frame.WhichOneof("body"):
            case "hello":
                heard.hellos.append(frame.hello)
                heard.states.clear()
                heard.answered = 0
            case "stop_report":
                heard.progress.extend(frame.stop_report.progress)
            case "status_report":
                heard.states.append(frame.status_report)
            case "order_report":
                heard.answers.append(frame.order_report)
            case "lost_range":
                heard.lost.append(frame.lost_range)
            case "reading_batch":
                heard.readings.extend(frame.reading_batch.readings)
        async with self._changed:
            self._changed.notify_all()


def _welcome() -> link.Welcome:
    return link.Welcome(
        gateway="stub",
        session_id="1",
        permit_ttl=wire.duration(PERMIT_TTL_S),
        protocol_version=1,
        max_readings_per_batch=100,
        max_batch_bytes=256 * 1024,
        max_unacked_readings=500,
    )
