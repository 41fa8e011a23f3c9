"""Real servers on a free port of loopback, real TLS, servicers that do as they are told."""

# ruff: noqa: N802  # methods are named by the contract

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from haul.command.v1 import command_service_pb2 as command
from haul.command.v1 import command_service_pb2_grpc as command_grpc
from haul.command.v1 import stop_pb2 as stop
from haul.link.v1 import vehicle_link_service_pb2 as link
from haul.link.v1 import vehicle_link_service_pb2_grpc as link_grpc

from pitwall.config import TlsSettings
from pitwall.rpc.channel import open_channel
from pitwall.rpc.interceptors import DeadlineInterceptor, operator_interceptors, peer_interceptors
from pitwall.rpc.limits import RpcLimits
from pitwall.rpc.server import RpcServer, build_server, read
from pitwall.tls import channel_credentials, operator_credentials, server_credentials
from pitwall.tokens import Person, TokenVerifier

Context = Any
LOOPBACK = "127.0.0.1:0"


def party(site: Path, name: str) -> TlsSettings:
    certs = site / "certs"
    folder = certs / "vehicles" if (certs / "vehicles" / f"{name}.pem").exists() else certs
    return TlsSettings(ca=certs / "ca.pem", certificate=folder / f"{name}.pem", key=folder / f"{name}.key")


async def _nothing() -> None:
    return None


@dataclass
class Scripted:
    """What the servicers do before they answer: raise, wait, look at the caller."""

    act: Callable[[], Awaitable[None]] = _nothing
    refused: list[tuple[str, Person | None, str, str]] = field(default_factory=list)

    def on_refused(self, method: str, person: Person | None, reason: str, message: str) -> None:
        self.refused.append((method, person, reason, message))


class CommandServicer(command_grpc.CommandServiceServicer):
    """GetStop is unary, EmergencyStop a stream by generator, WatchStop one by context."""

    def __init__(self, script: Scripted) -> None:
        self._script = script

    async def GetStop(self, request: command.GetStopRequest, context: Context) -> stop.StopState:
        await self._script.act()
        return stop.StopState(active=True)

    async def ApproveRelease(self, request: command.ApproveReleaseRequest, context: Context) -> stop.ReleaseRecord:
        await self._script.act()
        return stop.ReleaseRecord()

    async def EmergencyStop(
        self, request: command.EmergencyStopRequest, context: Context
    ) -> AsyncIterator[command.EmergencyStopResponse]:
        yield command.EmergencyStopResponse()
        await self._script.act()
        yield command.EmergencyStopResponse()

    async def WatchStop(self, request: command.WatchStopRequest, context: Context) -> None:  # type: ignore[override]
        await context.write(command.WatchStopResponse())
        await self._script.act()


class LinkServicer(link_grpc.VehicleLinkServiceServicer):
    """Answers each frame with one; reads and writes by its context."""

    def __init__(self, script: Scripted) -> None:
        self._script = script

    async def Connect(self, requests: Any, context: Context) -> None:  # type: ignore[override]
        await self._script.act()
        while (frame := await read(context)) is not None:
            assert isinstance(frame, link.ConnectRequest)
            await context.write(link.ConnectResponse(permit=link.Permit(heartbeat_number=frame.heartbeat_number)))


@dataclass
class Site:
    """A site's certificates, with servers and channels that end with the test."""

    home: Path
    stack: AsyncExitStack
    script: Scripted = field(default_factory=Scripted)
    deadline: DeadlineInterceptor | None = None

    async def operator_port(self, limits: RpcLimits | None = None, **options: Any) -> RpcServer:
        verifier = TokenVerifier(self.home / "certs" / "jwks.json")
        server = build_server(
            LOOPBACK,
            partial(server_credentials, party(self.home, "command-1"), require_client=False),
            operator_interceptors(verifier, self.script.on_refused, deadline=self.deadline),
            limits or RpcLimits(),
            **options,
        )
        servicer = CommandServicer(self.script)  # type: ignore[abstract]  # the other methods stay UNIMPLEMENTED
        command_grpc.add_CommandServiceServicer_to_server(servicer, server.server)
        return await self._started(server)

    async def vehicle_port(self, limits: RpcLimits | None = None) -> RpcServer:
        server = build_server(
            LOOPBACK,
            partial(server_credentials, party(self.home, "gateway-1"), require_client=True),
            peer_interceptors(frozenset({"vehicle"}), self.script.on_refused),
            limits or RpcLimits(),
        )
        link_grpc.add_VehicleLinkServiceServicer_to_server(LinkServicer(self.script), server.server)
        return await self._started(server)

    async def _started(self, server: RpcServer) -> RpcServer:
        await server.start()
        self.stack.push_async_callback(server.stop, 0)
        return server

    def operator_channel(self, port: int) -> grpc.aio.Channel:
        channel = open_channel(f"127.0.0.1:{port}", operator_credentials(self.home / "certs" / "ca.pem"))
        self.stack.push_async_callback(channel.close)
        return channel

    def channel(self, port: int, name: str, limits: RpcLimits | None = None) -> grpc.aio.Channel:
        credentials = channel_credentials(party(self.home, name))
        channel = open_channel(f"127.0.0.1:{port}", credentials, limits or RpcLimits())
        self.stack.push_async_callback(channel.close)
        return channel

    def token(self, name: str) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {(self.home / 'tokens' / name).read_text()}"),)


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield Site(home, stack)
