"""Calls that never send their request, over the wire: they take nobody's place for long, and never a stop's."""

import asyncio
import itertools
from typing import Any, cast

import grpc
import pytest
from haul.command.v1 import command_service_pb2 as command
from haul.command.v1 import command_service_pb2_grpc as command_grpc

from pitwall.rpc import places
from pitwall.rpc.errors import DeadlineExceeded, ErrorDetails, from_rpc_error
from pitwall.rpc.limits import RpcLimits
from tests.unit.pitwall.rig import Site

GET, STOP = "/haul.command.v1.CommandService/GetStop", "/haul.command.v1.CommandService/EmergencyStop"
TIMEOUT_S = 20.0


def half_open(channel: grpc.aio.Channel, rpc: Site, method: str) -> Any:
    """Headers, and then nothing."""
    call: Any = channel.stream_stream(method)
    return call(metadata=rpc.token("viewer"))


async def refusal(call: Any) -> ErrorDetails:
    """How the server ends it."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await asyncio.wait_for(call.read(), TIMEOUT_S)
    return from_rpc_error(error.value)


async def stopped(rpc: Site, channel: grpc.aio.Channel) -> None:
    stub = command_grpc.CommandServiceStub(channel)
    call = stub.EmergencyStop(command.EmergencyStopRequest(), metadata=rpc.token("operator"), timeout=TIMEOUT_S)
    assert [answer async for answer in call] == [command.EmergencyStopResponse()] * 2


@pytest.mark.parametrize("method", [GET, STOP])
async def test_a_call_without_a_request_is_ended_in_time(
    rpc: Site, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pitwall.rpc.places.REQUEST_WITHIN_S", 0.2)
    server = await rpc.operator_port()
    error = await refusal(half_open(rpc.operator_channel(server.port), rpc, method))
    assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "REQUEST_MISSING")
    assert not error.may_have_happened


async def test_a_call_that_ends_without_a_request_is_told_so(rpc: Site) -> None:
    server = await rpc.operator_port()
    call = half_open(rpc.operator_channel(server.port), rpc, GET)
    await call.done_writing()
    error = await refusal(call)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MISSING")


async def test_a_request_that_is_no_message_is_told_so(rpc: Site) -> None:
    server = await rpc.operator_port()
    call: Any = rpc.operator_channel(server.port).unary_unary(GET)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(b"\xff\xff", metadata=rpc.token("viewer"))
    assert from_rpc_error(error.value).reason == "MALFORMED_REQUEST"


@pytest.mark.parametrize("method", [GET, STOP])
async def test_whoever_opens_hundreds_of_calls_and_sends_nothing_keeps_nobody_from_stopping(
    rpc: Site, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pitwall.rpc.places.MAX_WAITING", 20)
    monkeypatch.setattr("pitwall.rpc.places.MAX_WAITING_AT_ONCE", 20)
    server = await rpc.operator_port(RpcLimits(max_concurrent_rpcs=60))
    hog = rpc.operator_channel(server.port)
    calls = [half_open(hog, rpc, method) for _ in range(100)]
    endings = [asyncio.create_task(refusal(call)) for call in calls]
    # All but the newest make way.
    for ending in itertools.islice(asyncio.as_completed(endings, timeout=TIMEOUT_S), 80):
        error = await ending
        assert error.code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
    await stopped(rpc, rpc.operator_channel(server.port))
    for task in endings:
        task.cancel()


async def test_one_call_too_many_is_refused_and_a_stop_is_not(rpc: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pitwall.rpc.places.MAX_OTHERS", 3)
    server = await rpc.operator_port()
    channel, hold = rpc.operator_channel(server.port), asyncio.Event()

    async def act() -> None:
        await hold.wait()

    rpc.script.act = act
    stub = command_grpc.CommandServiceStub(channel)
    watching = [stub.WatchStop(command.WatchStopRequest(), metadata=rpc.token("viewer")) for _ in range(3)]
    for call in watching:
        await asyncio.wait_for(call.read(), TIMEOUT_S)
    error = await refusal(stub.WatchStop(command.WatchStopRequest(), metadata=rpc.token("viewer")))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    stop = stub.EmergencyStop(command.EmergencyStopRequest(), metadata=rpc.token("viewer"))
    assert await asyncio.wait_for(stop.read(), TIMEOUT_S) == command.EmergencyStopResponse()
    hold.set()
    await asyncio.wait_for(stop.read(), TIMEOUT_S)
    for call in watching:
        assert await asyncio.wait_for(call.read(), TIMEOUT_S) is grpc.aio.EOF
    await asyncio.wait_for(stub.GetStop(command.GetStopRequest(), metadata=rpc.token("viewer")), TIMEOUT_S)


async def test_a_burst_of_honest_calls_whose_requests_take_a_moment_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at one moment, however long this machine takes for it."""
    loop = asyncio.get_running_loop()
    now_s = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now_s)

    async def read(_: Any) -> str:
        for _turn in range(3):
            await asyncio.sleep(0)
        return "request"

    monkeypatch.setattr("pitwall.rpc.places.read", read)
    share = places._Share(None)
    context: Any = None
    assert await asyncio.gather(*(share.request(context) for _ in range(400))) == ["request"] * 400


async def test_so_many_wait_and_no_more_however_young_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("pitwall.rpc.places.read", read)
    monkeypatch.setattr("pitwall.rpc.places.GRACE_S", 60.0)
    monkeypatch.setattr("pitwall.rpc.places.MAX_WAITING_AT_ONCE", 300)
    share, context = places._Share(None), cast("Any", None)
    calls = [asyncio.ensure_future(share.request(context)) for _ in range(310)]
    done: set[asyncio.Future[Any]] = set()
    while len(done) < 10:
        more, _ = await asyncio.wait(set(calls) - done, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        assert more
        done |= more
    assert done == set(calls[:10]), "the oldest made way"
    assert len(share._waiting) == 300
    for call in calls:
        call.cancel()
    endings = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(ending, DeadlineExceeded) for ending in endings[:10])
