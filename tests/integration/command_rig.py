"""A real command service in this event loop, with raw gateways and operators on real TLS in front of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import order_pb2, stop_pb2
from haul.command.v1.command_service_pb2_grpc import CommandServiceStub
from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from haul.link.v1 import vehicle_link_service_pb2 as vehicle_pb2
from haul.link.v1.gateway_link_service_pb2_grpc import GatewayLinkServiceStub
from haul.telemetry.v1 import telemetry_pb2

from command_service.config import CommandSettings
from command_service.hub import moment
from command_service.records import instant
from command_service.service import CommandService
from pitwall import devca
from pitwall.clock import boottime_s
from pitwall.config import TlsSettings
from pitwall.rpc.channel import open_channel
from pitwall.rpc.errors import ErrorDetails, from_rpc_error
from pitwall.rpc.limits import RpcLimits
from pitwall.tls import channel_credentials, operator_credentials

NAME = "command-1"
WITHIN_S = 5.0
RECEIVED, BRAKING, STANDSTILL = (
    stop_pb2.STOP_STAGE_RECEIVED,
    stop_pb2.STOP_STAGE_BRAKING,
    stop_pb2.STOP_STAGE_STANDSTILL,
)
RELEASED = stop_pb2.STOP_STAGE_RELEASED

_LARGE = RpcLimits(max_receive_bytes=32 * 1024 * 1024, max_send_bytes=32 * 1024 * 1024)


def make_home(path: Path) -> Path:
    """Certificates and tokens of a site."""
    devca.ensure(
        path,
        vehicles=["KOMATSU-930E-001"],
        gateways=["gateway-1", "gateway-2"],
        commands=[NAME, "command-2", "command-3"],
    )
    return path


def tls(home: Path, name: str) -> TlsSettings:
    certs = home / "certs"
    return TlsSettings(ca=certs / "ca.pem", certificate=certs / f"{name}.pem", key=certs / f"{name}.key")


def settings(home: Path, data: Path, **changes: Any) -> CommandSettings:
    chosen: dict[str, Any] = {
        "name": NAME,
        "operator_address": "127.0.0.1:0",
        "link_address": "127.0.0.1:0",
        "metrics_address": "127.0.0.1:0",
        "journal": data / "journal.sqlite",
        "first_start": not (data / "journal.sqlite").exists(),
        "jwks": home / "certs" / "jwks.json",
        "tls": tls(home, NAME),
    }
    return CommandSettings(**(chosen | changes))


def vehicles(*vehicle_ids: str) -> stop_pb2.Scope:
    return stop_pb2.Scope(vehicles=stop_pb2.VehicleList(vehicle_ids=vehicle_ids))


FLEET = stop_pb2.Scope(fleet=stop_pb2.WholeFleet())


@dataclass
class RawGateway:
    """A gateway's end of Attach. Frames down are kept by kind as they come."""

    call: Any
    name: str
    frames: list[link_pb2.AttachResponse] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    error: ErrorDetails | None = None
    ended: bool = False

    async def send(self, **body: Any) -> None:
        await self.call.write(link_pb2.AttachRequest(**body))

    async def hello(
        self,
        *sessions: link_pb2.SessionOpened,
        stop_set: stop_pb2.StopSet | None = None,
        version: int = 1,
    ) -> None:
        hello = link_pb2.GatewayHello(
            gateway=self.name, instance_id="1", stop_set=stop_set, sessions=sessions, protocol_version=version
        )
        await self.send(hello=hello)

    async def read(self) -> None:
        try:
            while (frame := await self.call.read()) is not grpc.aio.EOF:
                self.frames.append(frame)
                self.news.set()
        except grpc.aio.AioRpcError as error:
            self.error = from_rpc_error(error)
        self.ended = True
        self.news.set()

    async def wait(self, holds: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(WITHIN_S):
                while not holds():
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {WITHIN_S} s: {what}; frames: {self.frames}") from None

    def of(self, kind: str) -> list[Any]:
        return [getattr(frame, kind) for frame in self.frames if frame.WhichOneof("body") == kind]

    async def frame(self, kind: str, count: int = 1) -> Any:
        """The frame number `count` of this kind."""
        await self.wait(lambda: len(self.of(kind)) >= count or self.ended, f"{count} {kind}")
        assert len(self.of(kind)) >= count, f"the stream has ended: {self.error}"
        return self.of(kind)[count - 1]

    async def exchanged(self, *sessions: link_pb2.SessionOpened, stop_set: stop_pb2.StopSet | None = None) -> None:
        """Hello, the set, merged."""
        await self.hello(*sessions, stop_set=stop_set)
        await self.frame("stop_set")
        await self.merged()

    async def merged(self) -> None:
        """Says of every set so far that it is in force."""
        exchange_id = self.of("stop_set")[-1].exchange_id
        await self.send(stop_set_merged=link_pb2.StopSetMerged(exchange_id=exchange_id))

    async def lease(self, number: int) -> link_pb2.Lease:
        """The answer to a beat."""
        await self.send(beat=link_pb2.Beat(beat_number=number))
        await self.wait(lambda: any(x.beat_number >= number for x in self.of("lease")) or self.ended, "a lease")
        leases = [lease for lease in self.of("lease") if lease.beat_number >= number]
        assert leases, f"the stream has ended: {self.error}"
        return leases[0]  # type: ignore[no-any-return]

    async def say(
        self, vehicle_id: str, stop_id: str, *stages: stop_pb2.StopStage.ValueType, durably: bool = False
    ) -> None:
        """A report of one vehicle."""
        progress = [
            stop_pb2.StopProgress(
                stop_id=stop_id, stage=stage, event_time=instant(moment().ns), latched_durably=durably
            )
            for stage in stages
        ]
        await self.report(
            link_pb2.VehicleReport(vehicle_id=vehicle_id, boot_epoch=7, connect_count=1, progress=progress)
        )

    async def answer(self, push: link_pb2.OrderPush, result: order_pb2.OrderResult.ValueType, reason: str = "") -> None:
        """What the vehicles say of an order."""
        reports = [
            vehicle_pb2.OrderReport(
                request_id=push.order.request_id,
                outcome=order_pb2.OrderOutcome(
                    vehicle_id=target.vehicle_id, result=result, reason=reason, message="so"
                ),
            )
            for target in push.targets
        ]
        await self.send(order_reports=link_pb2.OrderReports(reports=reports))

    async def report(self, *reports: link_pb2.VehicleReport) -> None:
        await self.send(reports=link_pb2.VehicleReports(reports=reports))


def session(vehicle_id: str, connect_count: int = 1, *latched: str, **status: Any) -> link_pb2.SessionOpened:
    report = vehicle_pb2.StatusReport(
        status=status.get("status", telemetry_pb2.VEHICLE_STATUS_HAULING),
        motion_hold=status.get("motion_hold", telemetry_pb2.MOTION_HOLD_NONE),
        hold_count=status.get("hold_count", 1),
        latched_stop_ids=latched,
    )
    return link_pb2.SessionOpened(
        vehicle_id=vehicle_id,
        boot_epoch=7,
        connect_count=connect_count,
        status=report,
        software_version="1.0",
        lowest_deceleration_mps2=2.0,
        heartbeat_number=5,
    )


@dataclass
class Site:
    """A command service that runs, and what a test opens in front of it."""

    home: Path
    ports: tuple[int, int]  # operators', gateways'
    stack: AsyncExitStack
    inside: CommandService | None = None

    @property
    def service(self) -> CommandService:
        """What runs in this process."""
        assert self.inside is not None
        return self.inside

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for something inside of the service."""
        assert await self.service.hub.until(holds, WITHIN_S)

    async def gateway(self, name: str = "gateway-1", certificate: str = "", *, reads: bool = True) -> RawGateway:
        certs = tls(self.home, certificate or name)
        channel = open_channel(f"localhost:{self.ports[1]}", channel_credentials(certs), _LARGE)
        self.stack.push_async_callback(channel.close, None)
        gateway = RawGateway(GatewayLinkServiceStub(channel).Attach(), name)
        if reads:
            self.stack.push_async_callback(_cancel, asyncio.create_task(gateway.read()))
        self.stack.callback(gateway.call.cancel)
        return gateway

    async def operator_channel(self) -> grpc.aio.Channel:
        """A connection of its own."""
        channel = open_channel(
            f"localhost:{self.ports[0]}", operator_credentials(self.home / "certs" / "ca.pem"), _LARGE
        )
        self.stack.push_async_callback(channel.close, None)
        return channel

    async def operator(self, role: str = "operator") -> "Operator":
        channel = await self.operator_channel()
        token = (self.home / "tokens" / role).read_text() if role else ""
        return Operator(CommandServiceStub(channel), (("authorization", f"Bearer {token}"),) if token else ())


@dataclass
class Operator:
    """A person with a token."""

    stub: Any
    metadata: Any

    async def call(self, method: str, request: Any, timeout: float = 10.0) -> Any:  # noqa: ASYNC109
        return await getattr(self.stub, method)(request, metadata=self.metadata, timeout=timeout)

    async def refused(self, method: str, request: Any) -> ErrorDetails:
        """The error of a call that has to fail."""
        try:
            answer = getattr(self.stub, method)(request, metadata=self.metadata, timeout=10.0)
            if isinstance(answer, grpc.aio.UnaryStreamCall):
                async for _ in answer:
                    pass
            else:
                await answer
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error)
        raise AssertionError(f"{method} was not refused")

    def stop(self, scope: stop_pb2.Scope, stop_id: str = "", reason: str = "because") -> "StopStream":
        """An EmergencyStop, still on its way."""
        request = command_pb2.EmergencyStopRequest(stop_id=stop_id, scope=scope, reason=reason)
        return StopStream(self.stub.EmergencyStop(request, metadata=self.metadata))

    def watch(self, stop_id: str) -> "StopStream":
        return StopStream(self.stub.WatchStop(command_pb2.WatchStopRequest(stop_id=stop_id), metadata=self.metadata))

    async def stopped(self, scope: stop_pb2.Scope, stop_id: str = "") -> command_pb2.EmergencyStopResponse:
        """Stops and hangs up after the answer that says that it is issued."""
        stream = self.stop(scope, stop_id)
        response = await stream.until(lambda response: response.summary.confirmed)
        stream.call.cancel()
        return response  # type: ignore[no-any-return]

    async def state(self, stop_id: str) -> stop_pb2.StopState:
        return await self.call("GetStop", command_pb2.GetStopRequest(stop_id=stop_id))  # type: ignore[no-any-return]

    async def until(self, stop_id: str, holds: Callable[[stop_pb2.StopState], bool]) -> stop_pb2.StopState:
        """Watches until the state of the stop is as awaited."""
        stream = self.watch(stop_id)
        while await stream.next() is not None:
            state = await self.state(stop_id)
            if holds(state):
                stream.call.cancel()
                return state
        state = await self.state(stop_id)
        assert holds(state), f"every vehicle is released, and the state is {state}"
        return state

    async def motion(self, vehicle_id: str) -> order_pb2.MotionState:
        request = command_pb2.GetMotionStateRequest(vehicle_id=vehicle_id)
        return await self.call("GetMotionState", request)  # type: ignore[no-any-return]

    async def until_motion(
        self, vehicle_id: str, holds: Callable[[order_pb2.MotionState], bool]
    ) -> order_pb2.MotionState:
        """Asks until a vehicle's motion state is as awaited; there is no stream of them."""
        deadline_s = boottime_s() + WITHIN_S
        while not holds(state := await self.motion(vehicle_id)):
            assert boottime_s() < deadline_s, f"not within {WITHIN_S} s: {state}"
            await asyncio.sleep(0.01)
        return state


@dataclass
class StopStream:
    """The answers to EmergencyStop or WatchStop."""

    call: Any

    async def next(self) -> Any:
        """None at the end."""
        async with asyncio.timeout(WITHIN_S):
            response = await self.call.read()
        return None if response is grpc.aio.EOF else response

    async def until(self, holds: Callable[[Any], bool]) -> Any:
        while (response := await self.next()) is not None:
            if holds(response):
                return response
        raise AssertionError(f"the stream has ended: {await self.call.code()} {await self.call.details()}")

    async def last(self) -> Any:
        """Reads to the end."""
        last = None
        while (response := await self.next()) is not None:
            last = response
        return last


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def running(home: Path, data: Path, **changes: Any) -> AsyncIterator[Site]:
    """A site with a command service, until the end of the block."""
    service = CommandService(settings(home, data, **changes))
    await service.start()
    stopping = asyncio.Event()
    run = asyncio.create_task(service.run(stopping))
    try:
        async with AsyncExitStack() as stack:
            yield Site(home, service.ports[:2], stack, service)
    finally:
        stopping.set()
        await service.stop()
        await run
