"""Vehicles that are wrong, slow, silent or too many: each ends by name, and nobody else notices."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from haul.command.v1 import stop_pb2
from haul.link.v1 import vehicle_link_service_pb2 as pb

from ingest_gateway.limits import (
    BURST_S,
    CLOSE_SILENT_AFTER_S,
    CONNECTS_AT_ONCE,
    DRAIN_S,
    GRACE_S,
    HELLO_WITHIN_S,
    MAX_FRAME_BYTES,
    WRITE_STALL_S,
)
from pitwall import wire
from pitwall.clock import boottime_s
from pitwall.rpc.errors import ErrorDetails, from_rpc_error
from pitwall.tls import channel_credentials
from tests.integration.bad_input.vehicle import connected
from tests.integration.gateway_rig import (
    GATEWAY,
    OTHER,
    VEHICLE,
    WITHIN_S,
    GatewayProcess,
    RawCommand,
    fleet_stop,
    gateway,
    make_home,
    serving,
    tls,
    vehicle,
    welcomed,
)

#: Of a stop on its way through a gateway that has much to do; enough for a machine with other work.
STOP_WITHIN_S = 0.5


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("gateway"))


@dataclass
class Site:
    """One command service and a gateway; no Kafka."""

    home: Path
    command: RawCommand
    gateway: GatewayProcess
    address: str


@pytest.fixture
async def site(home: Path, tmp_path: Path) -> AsyncIterator[Site]:
    async with serving(home, "command-1") as (command, address), gateway(home, tmp_path, [address]) as running:
        yield Site(home, command, running, await running.address())


async def closed(site: Site, reason: str) -> float:
    return await site.gateway.metric("pitwall_gateway_sessions_closed_total", reason=reason)


async def test_hello_in_another_vehicles_name_is_denied(site: Site) -> None:
    async with vehicle(site.home, site.address) as liar:
        await liar.hello(vehicle_id=OTHER)
        error = await liar.end()
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "WRONG_VEHICLE")
    assert VEHICLE in error.message
    assert OTHER in error.message
    assert "hello.vehicle_id" in error.fields
    assert await closed(site, "WRONG_VEHICLE") == 1


async def test_a_certificate_of_another_kind_is_denied(site: Site) -> None:
    async with vehicle(site.home, site.address, certificate=GATEWAY) as stranger:
        error = await stranger.end()
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "WRONG_KIND")


async def test_without_a_certificate_there_is_no_handshake(site: Site) -> None:
    ca = (site.home / "certs" / "ca.pem").read_bytes()
    async with grpc.aio.secure_channel(site.address, grpc.ssl_channel_credentials(ca)) as channel:
        call: Any = channel.stream_stream("/haul.link.v1.VehicleLinkService/Connect")()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_bytes_that_are_no_frame_end_the_stream(site: Site) -> None:
    async with welcomed(site.home, site.address) as garbled:
        await garbled.send(b"\xff\xff\xff")  # type: ignore[arg-type]
        error = await garbled.end()
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_FRAME")


async def test_an_oversize_frame_ends_that_stream_alone(site: Site) -> None:
    async with welcomed(site.home, site.address, OTHER) as bystander:
        error = await asyncio.to_thread(refused_for_size, site)
        await bystander.permitted()
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def refused_for_size(site: Site) -> ErrorDetails:
    """By the synchronous client: grpc.aio ends a call as INTERNAL whose write is refused before it is through."""
    credentials = channel_credentials(tls(site.home, f"vehicles/{VEHICLE}"))
    with grpc.secure_channel(site.address, credentials) as channel, connected(channel, VEHICLE) as heavy:
        heavy.send(frame_of(MAX_FRAME_BYTES + 1))
        with pytest.raises(grpc.RpcError) as refused:
            heavy.receive("nothing more")
    return from_rpc_error(refused.value)  # type: ignore[arg-type]  # it has the methods of grpc.aio's


def frame_of(size: int) -> pb.ConnectRequest:
    """A frame of so many bytes, some megabytes."""
    frame = pb.ConnectRequest(hello=pb.Hello(software_version="x" * size))
    frame.hello.software_version = "x" * (2 * size - frame.ByteSize())
    assert frame.ByteSize() == size
    return frame


async def test_a_stream_that_says_nothing_is_ended(site: Site) -> None:
    async with vehicle(site.home, site.address) as mute:
        error = await mute.end()
    assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "HELLO_MISSING")
    assert f"{HELLO_WITHIN_S:g} s" in error.message


async def test_a_stream_that_falls_silent_is_ended_and_told_to_the_site(site: Site) -> None:
    async with welcomed(site.home, site.address) as quiet:
        error = await quiet.end()
    assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "SILENT")
    assert f"{CLOSE_SILENT_AFTER_S:g} s" in error.message
    await site.command.until(lambda: bool(site.command.of("session_closed")), "the end at the command service")
    assert site.command.of("session_closed")[0].reason == "SILENT"


async def test_a_newer_stream_takes_the_place_of_the_older_one(site: Site) -> None:
    async with (
        welcomed(site.home, site.address, boot_epoch=5) as older,
        welcomed(site.home, site.address, boot_epoch=5, connect_count=2) as newer,
    ):
        error = await older.end()
        assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "NEWER_SESSION")
        await newer.permitted()
        async with vehicle(site.home, site.address, boot_epoch=5) as late:
            await late.hello()
            assert (await late.end()).reason == "NEWER_SESSION"
        await newer.permitted()


async def test_a_vehicle_has_only_so_many_streams(site: Site) -> None:
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(vehicle(site.home, site.address)) for _ in range(5)]
        done = {asyncio.create_task(stream.end()): stream for stream in streams}
        first, rest = await asyncio.wait(done, return_when=asyncio.FIRST_COMPLETED)
        error: ErrorDetails = first.pop().result()
        for task in rest:
            task.cancel()
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")


async def test_a_vehicle_that_comes_and_goes_is_turned_away_for_a_while(site: Site) -> None:
    turned_away, refused = None, 0
    for connect in range(1, 3 * CONNECTS_AT_ONCE):
        async with vehicle(site.home, site.address, connect_count=connect) as restless:
            with suppress(grpc.aio.AioRpcError):  # it may have been turned away before it has said anything
                await restless.hello()
            await restless.until(lambda it=restless: it.ended or bool(it.of("welcome")), "a word")  # type: ignore[misc]
            if restless.ended:
                turned_away, refused = restless.error, refused + 1
                # A refusal that overtakes the hello: the client's library then knows no reason, and says INTERNAL.
                if turned_away is None or turned_away.code is not grpc.StatusCode.INTERNAL:
                    break
    assert turned_away is not None
    assert (turned_away.code, turned_away.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CONNECTS")
    assert connect > CONNECTS_AT_ONCE
    assert await site.gateway.metric("pitwall_gateway_streams_refused_total", reason="TOO_MANY_CONNECTS") == refused
    async with welcomed(site.home, site.address, OTHER) as bystander:
        await bystander.permitted()


async def test_a_flood_is_read_at_its_rate_and_a_stop_overtakes_it(home: Path, tmp_path: Path) -> None:
    """Of heartbeats, which no Throttle can hold: they are answered late, all of them, and the vehicle stands."""
    per_s = 400
    async with (
        serving(home, "command-1") as (command, address),
        gateway(home, tmp_path, [address], max_frames_per_s=per_s, max_lent_readings=0) as running,
        welcomed(home, await running.address(), OTHER) as bystander,
        welcomed(home, await running.address()) as flood,
    ):
        await bystander.permitted()
        began_s = boottime_s()
        for _ in range(3 * per_s):
            await flood.beat()
        assert (await flood.frame("throttle")).reason == "FRAMES_PER_SECOND"
        assert wire.to_seconds((await bystander.permit()).ttl) > 0
        said_s = boottime_s()
        await command.push(fleet_stop("s-1"))
        await flood.frame("stop_set", 2)
        assert boottime_s() - said_s < STOP_WITHIN_S
        assert flood.permits[-1].heartbeat_number < flood.heartbeat, "the stop has overtaken heartbeats"
        await flood.permit()
        assert boottime_s() - began_s > 3 - BURST_S - GRACE_S, "what is behind the flood has waited for all of it"
        assert await running.metric("pitwall_gateway_events_total", kind="held_back") >= 1
        assert await running.metric("pitwall_gateway_throttles_total", reason="FRAMES_PER_SECOND") >= 1


async def test_a_vehicle_that_does_not_read_is_left_and_holds_nobody_up(site: Site) -> None:
    async with (
        welcomed(site.home, site.address, OTHER) as bystander,
        vehicle(site.home, site.address, reads=False) as deaf,
    ):
        await deaf.hello()
        for piece in range(16):
            await site.command.push(*(large_stop(f"s-{piece}-{number}") for number in range(1_000)))
        beating = asyncio.create_task(keep_beating(deaf, bystander))
        try:
            await bystander.until(lambda: stops_of(bystander.of("stop_set")) == 16_000, "every stop at the other")
            await site.command.until(lambda: bool(site.command.of("session_closed")), "the end of the deaf one")
        finally:
            beating.cancel()
        assert site.command.of("session_closed")[0].reason == "WRITE_STALLED"
        assert (await bystander.permit()).denial == pb.PERMIT_DENIAL_STOPPED
        assert await closed(site, "WRITE_STALLED") == 1
    assert WRITE_STALL_S < WITHIN_S


def large_stop(stop_id: str) -> stop_pb2.Stop:
    stop = fleet_stop(stop_id)
    stop.reason = "x" * 500
    return stop


def stops_of(stop_sets: list[stop_pb2.StopSet]) -> int:
    return sum(len(each.stops) for each in stop_sets)


async def keep_beating(*vehicles: object) -> None:
    while True:
        for each in vehicles:
            await each.beat()  # type: ignore[attr-defined]
        await asyncio.sleep(0.4)


async def test_on_sigterm_vehicles_are_asked_to_move_and_the_process_ends_well(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        ended = asyncio.create_task(site.gateway.end(signal.SIGTERM))
        drain = await driven.frame("drain")
        assert wire.to_seconds(drain.delay) == DRAIN_S
        async with vehicle(site.home, site.address, OTHER) as late:
            error = await late.end()
        assert error.code is grpc.StatusCode.UNAVAILABLE
    assert await ended == 0
