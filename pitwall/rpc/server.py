"""One way to build a gRPC server: bounded, with keepalive, on a port that nobody else has."""

from collections.abc import Sequence
from typing import Final

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection as grpc_reflection

from pitwall.rpc.limits import DEFAULT_LIMITS, MIN_PING_INTERVAL_S, RpcLimits
from pitwall.rpc.ports import PortTaken, is_taken, owner_of
from pitwall.rpc.streams import read

__all__ = ["DEFAULT_LIMITS", "PortTaken", "RpcLimits", "RpcServer", "build_server", "read"]

HEALTH_SERVICE: Final = "grpc.health.v1.Health"

_SERVER_OPTIONS: Final[list[tuple[str, int]]] = [
    # On by default, it lets a second process share the port silently and get half of the connections.
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", round(MIN_PING_INTERVAL_S * 1000)),
    ("grpc.http2.min_ping_interval_without_data_ms", round(MIN_PING_INTERVAL_S * 1000)),
]


class RpcServer:
    """A bound server. Add servicers to `server`, then start."""

    def __init__(self, server: grpc.aio.Server, port: int, health_servicer: health_aio.HealthServicer | None) -> None:
        self.server = server
        #: The port bound, also where the address said 0.
        self.port = port
        self._health = health_servicer

    async def start(self) -> None:
        await self.server.start()

    async def stop(self, grace_s: float) -> None:
        """Health says NOT_SERVING, new calls are refused, running ones have `grace_s`, then they are cut."""
        if self._health is not None:
            await self._health.enter_graceful_shutdown()
        await self.server.stop(grace_s)


def build_server(
    address: str,
    credentials: grpc.ServerCredentials | None,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    limits: RpcLimits = DEFAULT_LIMITS,
    *,
    reflection: tuple[str, ...] = (),
    health: bool = True,
) -> RpcServer:
    """Binds `address` (host:port, port 0 for any); call it within the event loop. Raises PortTaken,
    and OSError for an address that is none of this computer.

    `reflection` names the services to describe; without credentials it is in clear text, for tests.
    """
    server = grpc.aio.server(
        interceptors=list(interceptors),
        options=[
            *limits.options(),
            *_SERVER_OPTIONS,
            ("grpc.max_concurrent_streams", limits.max_streams_per_connection),
            ("grpc.max_connection_idle_ms", round(limits.max_connection_idle_s * 1000)),
            ("grpc.server_handshake_timeout_ms", round(limits.handshake_timeout_s * 1000)),
        ],
        maximum_concurrent_rpcs=limits.max_concurrent_rpcs,
    )
    servicer = _add_health(server) if health else None
    if reflection:
        _add_reflection(server, reflection, health)
    return RpcServer(server, _bind(server, address, credentials), servicer)


def _add_health(server: grpc.aio.Server) -> health_aio.HealthServicer:
    servicer = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return servicer


def _add_reflection(server: grpc.aio.Server, services: tuple[str, ...], with_health: bool) -> None:
    names = (*services, grpc_reflection.SERVICE_NAME, *((HEALTH_SERVICE,) if with_health else ()))
    grpc_reflection.enable_server_reflection(names, server)


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:  # all that gRPC says is that it failed
        host, _, port = address.rpartition(":")
        if is_taken(host.strip("[]"), int(port)):
            raise PortTaken(address, owner_of(int(port))) from error
        raise OSError(f"{address} can't be bound; name an address of this computer") from error
