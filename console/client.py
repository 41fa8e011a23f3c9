"""Connections to servers: TLS and a bearer token, several addresses."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from haul.command.v1 import command_service_pb2_grpc

from console.rpc_failure import Asked, Failure, RpcFailed, explain, explain_unreachable, read_failure
from console.site import Site

#: How long one address may take for one answer before the next one is tried, seconds.
CALL_TIMEOUT_S = 10.0
#: How long a connection may take, seconds: a hung process accepts it and then says nothing.
CONNECT_TIMEOUT_S = 2.0
#: 10,000 vehicles of a stop of the whole fleet fit, bytes.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
KEEPALIVE_MS = 2_000

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    # A refused address is tried again at once, not after gRPC's default of a second, doubling up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", int(CONNECT_TIMEOUT_S * 1000)),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A link that died silently is found within twice this. The servers take pings much faster (pitwall/rpc/limits.py).
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_MS),
    ("grpc.http2.ping_timeout_ms", KEEPALIVE_MS),
    # Also on a stream that is only listened to.
    ("grpc.http2.max_pings_without_data", 0),
    # A proxy in the environment has no business between an operator and a stop.
    ("grpc.enable_http_proxy", 0),
)

T = TypeVar("T")
#: The stub of one service.
S = TypeVar("S")
CommandStub = command_service_pb2_grpc.CommandServiceStub


@dataclass(frozen=True, slots=True)
class LineOf(Generic[S]):
    """One server, reachable or not."""

    server: str
    channel: grpc.Channel
    stub: S
    metadata: tuple[tuple[str, str], ...]
    asked: Asked

    def close(self) -> None:
        self.channel.close()


Line = LineOf[CommandStub]


def lines(site: Site) -> list[Line]:
    """A line to each command service; nothing is sent yet. Raises ConsoleError for an unreadable CA or token."""
    return open_lines(site, site.servers, CommandStub, Asked.COMMAND)


def open_lines(site: Site, servers: Sequence[str], stub: Callable[[grpc.Channel], S], asked: Asked) -> list[LineOf[S]]:
    """A line to each of these servers; nothing is sent yet. Raises ConsoleError for an unreadable CA or token."""
    credentials = grpc.ssl_channel_credentials(root_certificates=site.ca_bytes())
    metadata = (("authorization", f"Bearer {site.token()}"), ("traceparent", _traceparent()))
    channels = [grpc.secure_channel(server, credentials, options=_OPTIONS) for server in servers]
    return [
        LineOf(server, channel, stub(channel), metadata, asked)
        for server, channel in zip(servers, channels, strict=True)
    ]


def _traceparent() -> str:
    """A new trace (https://www.w3.org/TR/trace-context/), so that a stop can be followed from here to the vehicle."""
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"


class Asking(Generic[S]):
    """Asks servers of one kind in turn until one answers. Use as a context manager."""

    def __init__(self, site: Site, service_lines: list[LineOf[S]]) -> None:
        self._site = site
        self._lines = service_lines
        #: The one that answered last is asked first.
        self._first = 0
        self._answering: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            line.close()

    def ask(
        self, call: Callable[[LineOf[S], float], T], *, changes: bool = False, timeout_s: float = CALL_TIMEOUT_S
    ) -> T:
        """What `call(line, timeout_s)` gives at the first server that answers, good or bad.

        Raises ConsoleError for an error that a server answered, or where none answered. `call` must be
        harmless to repeat: it may run at several of them. `changes`: the call changes something, so an error says
        whether it may have happened.
        """
        away: list[Failure] = []
        for offset in range(len(self._lines)):
            index = (self._first + offset) % len(self._lines)
            try:
                answer = self._ask_one(self._lines[index], call, timeout_s)
            except RpcFailed as error:
                if not error.failure.away:
                    raise explain(error.failure, self._site) from error
                away.append(error.failure)
            else:
                self._first = index
                return answer
        raise explain_unreachable(away, self._site, changes=changes)

    def _ask_one(self, line: LineOf[S], call: Callable[[LineOf[S], float], T], timeout_s: float) -> T:
        if line.server not in self._answering:
            knock(line)
            self._answering.add(line.server)
        try:
            return call(line, timeout_s)
        except grpc.RpcError as error:
            self._answering.discard(line.server)
            raise RpcFailed(read_failure(error, line.server, line.asked)) from error


class Client(Asking[CommandStub]):
    """Of command services."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, lines(site))


def knock(line: LineOf[S]) -> None:
    """Asks for the server's health: without it a hung process would cost the whole timeout of the first call, and
    nobody would know whether that call had got there. Raises RpcFailed where nobody answers.
    """
    try:
        health_pb2_grpc.HealthStub(line.channel).Check(
            health_pb2.HealthCheckRequest(), timeout=CONNECT_TIMEOUT_S, metadata=line.metadata
        )
    except grpc.RpcError as error:
        failure = read_failure(error, line.server, line.asked)
        if failure.away:
            raise RpcFailed(replace(failure, connected=False)) from error
