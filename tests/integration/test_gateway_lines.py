"""Connections that say nothing or are dead, beside vehicles that say little: the first are found, the others stay."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from ingest_gateway.limits import CLOSE_SILENT_AFTER_S, CONNECTION_IDLE_S, HANDSHAKE_WITHIN_S
from pitwall.rpc.channel import open_channel
from pitwall.rpc.limits import MAX_HALF_OPEN_S
from pitwall.tls import channel_credentials
from tests.fuzz.garbage import PREFACE, SETTINGS, context_of, frame
from tests.integration.gateway_rig import (
    OTHER,
    GatewayProcess,
    RawCommand,
    RawVehicle,
    gateway,
    make_home,
    serving,
    tls,
    welcomed,
)
from tests.support.fault_proxy import FaultProxy

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

#: For a machine that has other work too, seconds.
SLACK_S = 2.0
#: Between two heartbeats of a healthy vehicle that has nothing to say, seconds.
BEAT_EVERY_S = 0.4


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("lines"))


@pytest.fixture
async def site(home: Path, tmp_path: Path) -> AsyncIterator[tuple[RawCommand, GatewayProcess]]:
    async with serving(home, "command-1") as (command, address), gateway(home, tmp_path, [address]) as running:
        yield command, running


async def test_a_half_open_link_is_found_by_both_ends_and_an_idle_vehicle_is_not_cut(
    home: Path, site: tuple[RawCommand, GatewayProcess]
) -> None:
    """The vehicle on the dead line says and does nothing of its own: what ends its call is gRPC's keepalive."""
    command, running = site
    address = await running.address()
    with FaultProxy(address) as proxy:
        async with welcomed(home, proxy.address) as dead, welcomed(home, address, OTHER) as idle:
            beating = asyncio.create_task(keep_beating(idle, dead))
            await dead.permitted()
            await idle.permitted()
            began_s = time.monotonic()
            proxy.silence()
            await dead.until(lambda: dead.ended, "the end at the vehicle", MAX_HALF_OPEN_S + SLACK_S)
            vehicle_s = time.monotonic() - began_s
            await command.until(lambda: bool(command.of("session_closed")), "the end at the gateway")
            gateway_s = time.monotonic() - began_s
            assert dead.error is not None
            assert dead.error.code is grpc.StatusCode.UNAVAILABLE
            assert max(vehicle_s, gateway_s) <= MAX_HALF_OPEN_S
            await asyncio.sleep(2 * CLOSE_SILENT_AFTER_S - gateway_s)
            assert not idle.ended
            await idle.permitted()
            beating.cancel()
    print(f"\nhalf-open link: found by the vehicle in {vehicle_s:.1f} s, by the gateway in {gateway_s:.1f} s")


async def keep_beating(*vehicles: RawVehicle) -> None:
    """As long as their streams last."""
    while True:
        for each in vehicles:
            with suppress(grpc.RpcError, asyncio.InvalidStateError):
                await each.beat()
        await asyncio.sleep(BEAT_EVERY_S)


async def test_connections_without_a_handshake_or_a_stream_are_closed(
    home: Path, site: tuple[RawCommand, GatewayProcess]
) -> None:
    _, running = site
    host, port = (await running.address()).rsplit(":", 1)
    to = host, int(port)
    mute, half = socket.create_connection(to), socket.create_connection(to)
    half.sendall(b"\x16\x03\x01")
    paths = tls(home, f"vehicles/{OTHER}")
    tunnel = context_of(paths.ca, paths.certificate, paths.key).wrap_socket(socket.create_connection(to))
    tunnel.sendall(PREFACE + frame(SETTINGS, 0, 0, b""))
    lines = (asyncio.to_thread(until_closed, each) for each in (mute, half, tunnel))
    *no_handshake_s, deaf_s, idle_s = await asyncio.gather(*lines, until_idle(home, await running.address()))
    assert max(no_handshake_s) <= HANDSHAKE_WITHIN_S + SLACK_S
    assert deaf_s <= MAX_HALF_OPEN_S
    assert CONNECTION_IDLE_S - SLACK_S <= idle_s <= 2 * CONNECTION_IDLE_S + SLACK_S
    told = ", ".join(f"{each:.1f} s" for each in (*no_handshake_s, deaf_s, idle_s))
    print(f"\nclosed: no TLS, half a record, no answer to pings, no stream: {told}")


async def until_idle(home: Path, address: str) -> float:
    """Seconds that a connection lasts that answers pings and has no stream."""
    credentials = channel_credentials(tls(home, f"vehicles/{OTHER}"))
    async with open_channel(address, credentials) as channel:
        await channel.channel_ready()
        began_s = time.monotonic()
        await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        return time.monotonic() - began_s


def until_closed(line: socket.socket | ssl.SSLSocket) -> float:
    """Seconds. Reads and says nothing."""
    began_s = time.monotonic()
    line.settimeout(2 * CONNECTION_IDLE_S + 2 * SLACK_S)
    with line, suppress(ConnectionError):
        while line.recv(4096):
            pass
    return time.monotonic() - began_s
