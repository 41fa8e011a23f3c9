"""The server's limits and its life, over the wire."""

import asyncio
import gc
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from haul.command.v1 import command_service_pb2 as command
from haul.command.v1 import command_service_pb2_grpc as command_grpc
from haul.link.v1 import vehicle_link_service_pb2 as link
from haul.link.v1 import vehicle_link_service_pb2_grpc as link_grpc

from pitwall.rpc.blueprint import is_other_news
from pitwall.rpc.limits import MAX_HALF_OPEN_S, RpcLimits
from pitwall.rpc.ports import PortTaken, is_taken
from pitwall.rpc.server import LOOK_EVERY_S, MAX_WITHOUT_PORT, RpcServer, build_server
from tests.fuzz.garbage import BEGIN, HEADERS, call_of, frame, headers
from tests.unit.pitwall.rig import Site


async def _stub(rpc: Site, limits: RpcLimits | None = None) -> "command_grpc.CommandServiceAsyncStub":
    server = await rpc.operator_port(limits)
    return command_grpc.CommandServiceStub(rpc.operator_channel(server.port))


def _own_command() -> str:
    """As the kernel shows it."""
    return Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


async def test_a_port_that_another_server_of_ours_has_is_refused_and_names_its_owner(rpc: Site) -> None:
    taken = await rpc.operator_port()
    with pytest.raises(PortTaken) as raised:
        build_server(f"127.0.0.1:{taken.port}", None, [])
    assert f"127.0.0.1:{taken.port} is taken by pid {os.getpid()} ({_own_command()[:100]}" in str(raised.value)


async def test_a_port_that_a_plain_listener_has_is_refused_too() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert is_taken("127.0.0.1", port)
        with pytest.raises(PortTaken, match="pid "):
            build_server(f"127.0.0.1:{port}", None, [])
    assert not is_taken("127.0.0.1", port)


async def test_an_address_of_another_computer_is_named_as_such() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1:50051 can't be bound"):
        build_server("192.0.2.1:50051", None, [])


async def test_an_oversize_request_is_refused(rpc: Site) -> None:
    stub = await _stub(rpc, RpcLimits(max_receive_bytes=1_000))
    request = command.GetStopRequest(stop_id="x" * 1_000)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetStop(request, metadata=rpc.token("viewer"))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_oversize_header_is_refused(rpc: Site) -> None:
    stub = await _stub(rpc)
    big = (*rpc.token("viewer"), ("x-big", "x" * 17_000))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetStop(command.GetStopRequest(), metadata=big)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(("size", "taken"), [(900_000, True), (5_000_000, False)])
async def test_a_message_that_is_refused_for_its_size_is_not_even_carried(rpc: Site, size: int, *, taken: bool) -> None:
    """One that is taken is, however little may be sent ahead."""
    window = 64 * 1024
    server = await rpc.vehicle_port(RpcLimits(max_receive_bytes=1_000_000, receive_window_bytes=window))
    async with Proxy(server.port) as proxy:
        limits = RpcLimits(max_send_bytes=10_000_000)
        call = link_grpc.VehicleLinkServiceStub(rpc.channel(proxy.port, "KOMATSU-930E-001", limits)).Connect()
        report = link.StatusReport(cause="x" * size)
        with suppress(grpc.aio.AioRpcError):
            await call.write(link.ConnectRequest(heartbeat_number=7, status_report=report))
            answer = await asyncio.wait_for(call.read(), 10)
            assert isinstance(answer, link.ConnectResponse)
            assert answer.permit.heartbeat_number == 7
        assert proxy.carried_bytes > size if taken else proxy.carried_bytes < 2 * window
        assert taken or await call.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)


async def test_one_call_more_than_the_limit_is_refused(rpc: Site) -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        entered.set()
        await may_end.wait()

    rpc.script.act = act
    stub = await _stub(rpc, RpcLimits(max_concurrent_rpcs=1))
    first = asyncio.ensure_future(_get_stop(rpc, stub))
    await entered.wait()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _get_stop(rpc, stub)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    may_end.set()
    await first


async def _get_stop(rpc: Site, stub: "command_grpc.CommandServiceAsyncStub") -> None:
    await stub.GetStop(command.GetStopRequest(), metadata=rpc.token("viewer"))


async def test_a_graceful_stop_lets_a_running_call_end_and_takes_no_new_one(rpc: Site) -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        entered.set()
        await may_end.wait()

    rpc.script.act = act
    server = await rpc.operator_port()
    stub = command_grpc.CommandServiceStub(rpc.operator_channel(server.port))
    running = asyncio.ensure_future(_get_stop(rpc, stub))
    await entered.wait()
    stopping = asyncio.ensure_future(server.stop(5))
    late = command_grpc.CommandServiceStub(rpc.operator_channel(server.port))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _get_stop(rpc, late)
    # CANCELLED where its connection was made just before the port closed.
    assert raised.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    may_end.set()
    await running
    await stopping


async def test_a_stop_cuts_what_is_still_running_after_the_grace(rpc: Site) -> None:
    entered = asyncio.Event()

    async def act() -> None:
        entered.set()
        await asyncio.Event().wait()

    rpc.script.act = act
    server = await rpc.operator_port()
    stub = command_grpc.CommandServiceStub(rpc.operator_channel(server.port))
    running = asyncio.ensure_future(_get_stop(rpc, stub))
    await entered.wait()
    await asyncio.wait_for(server.stop(0.1), 5)
    with pytest.raises(grpc.aio.AioRpcError):
        await running


async def test_reflection_lists_what_was_named(rpc: Site) -> None:
    server = await rpc.operator_port(reflection=("haul.command.v1.CommandService",))
    stub = reflection_pb2_grpc.ServerReflectionStub(rpc.operator_channel(server.port))
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    call = stub.ServerReflectionInfo(asked, metadata=rpc.token("viewer"))
    answer = await call.read()
    names = {service.name for service in answer.list_services_response.service}
    assert {"haul.command.v1.CommandService", "grpc.health.v1.Health"} <= names


async def test_without_health_and_reflection_there_is_neither(rpc: Site) -> None:
    server = await rpc.operator_port(health=False)
    stub = reflection_pb2_grpc.ServerReflectionStub(rpc.operator_channel(server.port))
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    call = stub.ServerReflectionInfo(asked, metadata=rpc.token("viewer"))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


class Proxy:
    """Forwards TCP until it is told to swallow everything, as a link does whose far end has lost power."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self.swallow = False
        self.carried_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.ensure_future(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                self.carried_bytes += len(data)
                if not self.swallow:
                    sink.write(data)
                    await sink.drain()
        if not self.swallow:
            sink.close()


FAST = RpcLimits(keepalive_time_s=0.3, keepalive_timeout_s=0.3)


async def test_a_half_open_link_is_found_by_both_ends(rpc: Site) -> None:
    ended = asyncio.Event()

    async def act() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    rpc.script.act = act
    server = await rpc.vehicle_port(FAST)
    async with Proxy(server.port) as proxy:
        stub = link_grpc.VehicleLinkServiceStub(rpc.channel(proxy.port, "KOMATSU-930E-001", FAST))
        call = stub.Connect()
        await call.write(link.ConnectRequest(heartbeat_number=1))
        await call.wait_for_connection()
        proxy.swallow = True
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await asyncio.wait_for(call.read(), 3)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        await asyncio.wait_for(ended.wait(), 3)


def test_the_limits_that_run_find_a_half_open_link_in_time() -> None:
    assert RpcLimits().half_open_s <= MAX_HALF_OPEN_S


@pytest.mark.parametrize(
    ("time_s", "timeout_s", "names"),
    [(0.1, 5.0, "keepalive_time_s"), (10.0, 5.1, "half-open")],
)
def test_keepalive_that_is_abuse_or_too_slow_is_refused(time_s: float, timeout_s: float, names: str) -> None:
    with pytest.raises(ValueError, match=names):
        RpcLimits(keepalive_time_s=time_s, keepalive_timeout_s=timeout_s)


async def test_a_call_whose_path_is_no_text_closes_no_port_for_long_and_no_call_under_way(rpc: Site) -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        entered.set()
        await may_end.wait()

    rpc.script.act = act
    server = await rpc.operator_port()
    under_way = asyncio.ensure_future(_get_stop(rpc, _stub_of(rpc, server)))
    await entered.wait()
    server._opened_s -= 3600  # a busy computer may take longer for one of those to come than this one took
    for times in range(1, MAX_WITHOUT_PORT + 4):
        async with _called(rpc, server.port, "/haul.command.v1.CommandService/\xe7"):
            await _until(lambda: server.reopened >= times)  # noqa: B023
    assert not under_way.done()
    assert len(server._without_port) <= MAX_WITHOUT_PORT
    may_end.set()
    await under_way
    await _get_stop(rpc, _stub_of(rpc, server))


async def test_a_port_that_is_stopped_is_not_opened_anew(rpc: Site) -> None:
    server = await rpc.operator_port()
    await server.stop(0)
    await asyncio.sleep(3 * LOOK_EVERY_S)
    assert server.reopened == 0


def test_only_what_bad_bytes_of_others_have_done_is_left_out_of_the_log() -> None:
    def record(error: Exception, logger: str = "asyncio") -> logging.LogRecord:
        return logging.LogRecord(logger, logging.ERROR, "", 1, "text", (), (type(error), error, None))

    no_text = UnicodeDecodeError("utf-8", b"\xe7", 0, 1, "no text")
    assert not is_other_news(record(no_text, "grpc._cython.cygrpc"))
    assert is_other_news(record(no_text)), "of somebody else's"
    assert is_other_news(record(ValueError("/")))
    assert is_other_news(record(ValueError("/"), "grpc._cython.cygrpc"))


async def test_a_call_whose_path_is_no_text_leaves_one_line_in_the_log(
    rpc: Site, caplog: pytest.LogCaptureFixture
) -> None:
    server = await rpc.operator_port()
    for times, path in enumerate(("/\xe7", "\xe7"), 1):
        async with _called(rpc, server.port, path):
            await _until(lambda: server.reopened >= times)  # noqa: B023
    gc.collect()
    await asyncio.sleep(LOOK_EVERY_S)
    assert not [each for each in caplog.records if each.name in ("asyncio", "grpc._cython.cygrpc")]


def _stub_of(rpc: Site, server: RpcServer) -> "command_grpc.CommandServiceAsyncStub":
    return command_grpc.CommandServiceStub(rpc.operator_channel(server.port))


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(LOOK_EVERY_S / 2)


@asynccontextmanager
async def _called(rpc: Site, port: int, path: str) -> AsyncIterator[None]:
    """By hand: a client of gRPC would not send such a path. The connection stays to the end of the block."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=_tunnel(rpc), server_hostname="localhost")
    try:
        writer.write(BEGIN + frame(HEADERS, 4, 1, headers(*call_of(path.encode("latin-1")))))
        yield
    finally:
        writer.close()


def _tunnel(rpc: Site) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=rpc.home / "certs" / "ca.pem")
    context.set_alpn_protocols(["h2"])
    return context
