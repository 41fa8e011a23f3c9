"""How a call ends, over the wire, for each kind of call."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import grpc
import pytest
from haul.command.v1 import command_service_pb2 as command
from haul.command.v1 import command_service_pb2_grpc as command_grpc
from haul.link.v1 import vehicle_link_service_pb2 as link
from haul.link.v1 import vehicle_link_service_pb2_grpc as link_grpc

from pitwall.rpc import errors
from pitwall.rpc.errors import from_rpc_error
from pitwall.rpc.interceptors import DeadlineInterceptor
from tests.unit.pitwall.rig import Site

Call = Callable[[Site], Awaitable[None]]


async def _unary(rpc: Site) -> None:
    stub = await _operator(rpc)
    await stub.GetStop(command.GetStopRequest(), metadata=rpc.token("viewer"))


async def _generator(rpc: Site) -> None:
    stub = await _operator(rpc)
    async for _ in stub.EmergencyStop(command.EmergencyStopRequest(), metadata=rpc.token("viewer")):
        pass


async def _writer(rpc: Site) -> None:
    stub = await _operator(rpc)
    async for _ in stub.WatchStop(command.WatchStopRequest(), metadata=rpc.token("viewer")):
        pass


async def _bidi(rpc: Site) -> None:
    server = await rpc.vehicle_port()
    stub = link_grpc.VehicleLinkServiceStub(rpc.channel(server.port, "KOMATSU-930E-001"))
    call = stub.Connect()
    await call.write(link.ConnectRequest(heartbeat_number=7))
    await call.done_writing()
    answers = [answer.permit.heartbeat_number async for answer in call]
    assert answers == [7]


async def _silent_bidi(rpc: Site) -> None:
    """For a servicer that ends the call before its first read: a write that meets that would end it as INTERNAL."""
    server = await rpc.vehicle_port()
    stub = link_grpc.VehicleLinkServiceStub(rpc.channel(server.port, "KOMATSU-930E-001"))
    async for _ in stub.Connect():
        pass


async def _operator(rpc: Site) -> "command_grpc.CommandServiceAsyncStub":
    server = await rpc.operator_port()
    return command_grpc.CommandServiceStub(rpc.operator_channel(server.port))


@pytest.mark.parametrize("call", [_unary, _generator, _writer, _bidi])
async def test_a_call_that_raises_nothing_ends_well(rpc: Site, call: Call) -> None:
    await call(rpc)
    assert rpc.script.refused == []


ALL_KINDS_REFUSED = pytest.mark.parametrize("call", [_unary, _generator, _writer, _silent_bidi])


@ALL_KINDS_REFUSED
async def test_a_typed_error_arrives_with_its_code_reason_fields_and_metadata(rpc: Site, call: Call) -> None:
    async def act() -> None:
        raise errors.Aborted(
            "ETAG_TOO_OLD",
            "the state changed; look again",
            fields={"targets[0].etag": "is older than the last hold"},
            metadata={"may_have_happened": "false"},
        )

    rpc.script.act = act
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(rpc)
    details = from_rpc_error(raised.value)
    assert details.code is grpc.StatusCode.ABORTED
    assert details.reason == "ETAG_TOO_OLD"
    assert details.message == "the state changed; look again"
    assert details.fields == {"targets[0].etag": "is older than the last hold"}
    assert details.may_have_happened is False
    assert [refusal[2] for refusal in rpc.script.refused] == ["ETAG_TOO_OLD"]


@ALL_KINDS_REFUSED
async def test_an_unexpected_error_leaks_nothing_and_is_found_in_the_log_by_its_incident(
    rpc: Site, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    async def act() -> None:
        raise KeyError("the password is 1234")

    rpc.script.act = act
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(rpc)
    details = from_rpc_error(raised.value)
    assert details.code is grpc.StatusCode.INTERNAL
    assert "password" not in str(raised.value)
    assert details.metadata["incident"] in details.message
    (record,) = [record for record in caplog.records if details.metadata["incident"] in record.getMessage()]
    assert record.exc_info is not None
    assert details.may_have_happened is True


async def test_a_method_that_nothing_serves_yet_says_so(rpc: Site) -> None:
    stub = await _operator(rpc)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.ListStops(command.ListStopsRequest(), metadata=rpc.token("viewer"))
    details = from_rpc_error(raised.value)
    assert (details.code, details.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED")
    assert "ListStops" in details.message
    assert details.may_have_happened is False


async def test_a_unary_call_without_a_deadline_ends_after_the_default(rpc: Site) -> None:
    async def act() -> None:
        await asyncio.Event().wait()

    rpc.deadline = DeadlineInterceptor(default_s=0.05, maximum_s=0.1)
    rpc.script.act = act
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _unary(rpc)
    details = from_rpc_error(raised.value)
    assert (details.code, details.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert details.may_have_happened is True


async def test_a_callers_long_deadline_is_cut_to_the_maximum(rpc: Site) -> None:
    async def act() -> None:
        await asyncio.Event().wait()

    rpc.deadline = DeadlineInterceptor(default_s=0.05, maximum_s=0.1)
    rpc.script.act = act
    stub = await _operator(rpc)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetStop(command.GetStopRequest(), metadata=rpc.token("viewer"), timeout=30)
    assert "within 0.1 s" in (raised.value.details() or "")


async def test_a_client_that_hangs_up_closes_the_servicers_generator_at_once(rpc: Site) -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    rpc.script.act = act
    stub = await _operator(rpc)
    call = stub.EmergencyStop(command.EmergencyStopRequest(), metadata=rpc.token("viewer"))
    await call.read()
    await entered.wait()
    call.cancel()
    await asyncio.wait_for(left.wait(), 5)


@pytest.mark.parametrize("hang_up_after_s", [0.001, 0.01, 0.02, 0.03])
async def test_hanging_up_at_any_moment_is_no_error_of_the_servers(
    rpc: Site, hang_up_after_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    async def act() -> None:
        await asyncio.sleep(0.02)
        raise errors.Aborted("LATE", "too late for whoever has hung up")

    rpc.script.act = act
    stub = await _operator(rpc)
    request, metadata = command.GetStopRequest(), rpc.token("viewer")
    calls = [stub.GetStop(request, metadata=metadata, timeout=hang_up_after_s) for _ in range(20)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, grpc.aio.AioRpcError) for end in ends)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    # gRPC's poller may wake the closed loop of a test before this one: https://github.com/grpc/grpc/issues/25364
    assert [text for text in told if "PollerCompletionQueue" not in text] == []


async def test_a_timeout_within_the_servicer_is_not_taken_for_the_calls_deadline(rpc: Site) -> None:
    async def act() -> None:
        raise TimeoutError("of something inside")

    rpc.script.act = act
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _unary(rpc)
    assert raised.value.code() is grpc.StatusCode.INTERNAL
