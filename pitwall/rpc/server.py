"""One way to build a gRPC server: bounded, with keepalive, on a port that nobody else has, and that stays open."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection as grpc_reflection
from opentelemetry import metrics

from pitwall import logs
from pitwall.clock import monotonic_s
from pitwall.rpc.blueprint import Blueprint, Credentials
from pitwall.rpc.limits import DEFAULT_LIMITS, MIN_PING_INTERVAL_S, RpcLimits
from pitwall.rpc.ports import PortTaken
from pitwall.rpc.streams import read

__all__ = ["DEFAULT_LIMITS", "PortTaken", "RpcLimits", "RpcServer", "build_server", "read"]

HEALTH_SERVICE: Final = "grpc.health.v1.Health"
#: How often it is looked whether gRPC has closed the port by itself, seconds.
LOOK_EVERY_S: Final = 0.05
#: Of so many looks in vain the log has a line.
TELL_EVERY: Final = 100
#: Servers that have lost their port and whose last calls go on. Beyond it the calls of the one that had the port for
#: the shortest time are cut: most of them are whose fault it was.
MAX_WITHOUT_PORT: Final = 32

_log = logs.get(__name__)

_SERVER_OPTIONS: Final[list[tuple[str, int]]] = [
    # On by default, it lets a second process share the port silently and get half of the connections.
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", round(MIN_PING_INTERVAL_S * 1000)),
    ("grpc.http2.min_ping_interval_without_data_ms", round(MIN_PING_INTERVAL_S * 1000)),
]


class RpcServer:
    """A bound server. Add servicers to `server`, then start.

    A call whose path is no UTF-8 ends the loop in which grpc.aio takes calls (seen with 1.85.1): the server closes its
    port for good, by a few bytes of anybody who gets through TLS. Its calls under way go on. So it is looked after: a
    new one takes the port, with the same servicers, and the old one ends with its last call.
    """

    def __init__(self, blueprint: Blueprint, health_servicer: health_aio.HealthServicer | None) -> None:
        self._blueprint, self._health = blueprint, health_servicer
        self.server: grpc.aio.Server = blueprint.first
        #: The port bound, also where the address said 0.
        self.port = blueprint.port
        #: How often the port was opened anew.
        self.reopened = 0
        self._count = metrics.get_meter("pitwall.rpc").create_counter(
            "pitwall.rpc.ports.reopened", description="Ports that gRPC had closed by itself and that were opened anew"
        )
        self._count.add(0)
        self._opened_s = monotonic_s()
        self._without_port: dict[grpc.aio.Server, float] = {}  # and how long each has had it
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self.server.start()
        self._run(self._look_after())

    async def stop(self, grace_s: float) -> None:
        """Health says NOT_SERVING, new calls are refused, running ones have `grace_s`, then they are cut."""
        for task in self._tasks:
            task.cancel()
        if self._health is not None:
            await self._health.enter_graceful_shutdown()
        await asyncio.gather(*(server.stop(grace_s) for server in (*self._without_port, self.server)))

    async def _look_after(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if cast("Any", self.server)._server.is_running():
                continue
            try:
                await self._reopen()
            except OSError as error:  # gRPC has not let go of the port yet, or somebody else has it by now
                failures += 1
                if failures % TELL_EVERY == 0:
                    _log.error("port can't be opened anew", port=self.port, reason=str(error))
            else:
                failures = 0

    async def _reopen(self) -> None:
        successor = self._blueprint.again()
        self._without_port[self.server] = monotonic_s() - self._opened_s
        self._run(self._outlive(self.server))
        if len(self._without_port) > MAX_WITHOUT_PORT:
            shortest = min(self._without_port, key=self._without_port.__getitem__)
            del self._without_port[shortest]
            self._run(_cut(shortest))
        self.server, self._opened_s = successor, monotonic_s()
        await successor.start()
        self.reopened += 1
        self._count.add(1)
        _log.warning("port opened anew", port=self.port, reason="gRPC closed it over a call whose path is no UTF-8")

    async def _outlive(self, server: grpc.aio.Server) -> None:
        """Until its last call has ended."""
        with suppress(UnicodeDecodeError):  # which it tells everybody who waits for it
            await asyncio.shield(server.wait_for_termination())  # `stop` waits for the same future
        self._without_port.pop(server, None)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _cut(server: grpc.aio.Server) -> None:
    await server.stop(None)


def build_server(
    address: str,
    credentials: Credentials | None,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    limits: RpcLimits = DEFAULT_LIMITS,
    *,
    reflection: tuple[str, ...] = (),
    health: bool = True,
) -> RpcServer:
    """Binds `address` (host:port, port 0 for any); call it within the event loop. Raises PortTaken, OSError for an
    address that is none of this computer, and what `credentials` raise.

    `credentials` makes them, anew for each server: gRPC takes those that follow files only once. Without them it is
    in clear text, for tests. `reflection` names the services to describe.
    """
    options = (
        *limits.options(),
        *_SERVER_OPTIONS,
        ("grpc.max_concurrent_streams", limits.max_streams_per_connection),
        ("grpc.max_connection_idle_ms", round(limits.max_connection_idle_s * 1000)),
        ("grpc.server_handshake_timeout_ms", round(limits.handshake_timeout_s * 1000)),
    )
    blueprint = Blueprint(address, credentials, tuple(interceptors), options, limits.max_concurrent_rpcs)
    servicer = _add_health(blueprint.first) if health else None
    if reflection:
        _add_reflection(blueprint.first, reflection, health)
    return RpcServer(blueprint, servicer)


def _add_health(server: grpc.aio.Server) -> health_aio.HealthServicer:
    servicer = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return servicer


def _add_reflection(server: grpc.aio.Server, services: tuple[str, ...], with_health: bool) -> None:
    names = (*services, grpc_reflection.SERVICE_NAME, *((HEALTH_SERVICE,) if with_health else ()))
    grpc_reflection.enable_server_reflection(names, server)
