"""Gateways at a real command service: sets before leases, who may attach, sessions, what is passed on."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import stop_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from haul.link.v1.peer_link_service_pb2_grpc import PeerLinkServiceStub
from haul.telemetry.v1 import telemetry_pb2

from command_service.hub import moment
from command_service.records import instant
from command_service.store import Store
from pitwall.ids import uuid7
from pitwall.rpc.channel import open_channel
from tests.integration.command_rig import (
    FLEET,
    RECEIVED,
    STANDSTILL,
    WITHIN_S,
    Site,
    make_home,
    running,
    session,
    vehicles,
)

A, B = "KOMATSU-930E-001", "KOMATSU-980E-002"
#: As many as one stop may name, with names as long as they may be.
MANY = [f"TRUCK-{number:057}" for number in range(10_000)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("site"))


@pytest.fixture
async def site(home: Path, tmp_path: Path) -> AsyncIterator[Site]:
    async with running(home, tmp_path) as site:
        yield site


def stop_of(vehicle_id: str, *, own: bool = False) -> stop_pb2.Stop:
    """A stop that somebody brings along."""
    return stop_pb2.Stop(
        stop_id=uuid7(),
        scope=vehicles(vehicle_id),
        issued_by="somebody",
        issued_time=instant(moment().ns),
        issuing_vehicle_id=vehicle_id if own else None,
    )


# Sets before leases


async def test_no_lease_before_the_sets_are_exchanged(site: Site) -> None:
    gateway = await site.gateway()
    await gateway.hello()
    assert (await gateway.lease(1)).reason == "EXCHANGE_PENDING"
    assert gateway.frames[0].WhichOneof("body") == "stop_set", "the first frame down is the set"
    await gateway.merged()
    lease = await gateway.lease(2)
    assert (lease.ttl.seconds, lease.reason, lease.beat_number) == (2, "", 2)


async def test_a_word_about_a_frame_that_was_never_sent_is_no_exchange(site: Site) -> None:
    gateway = await site.gateway()
    await gateway.hello()
    await gateway.frame("stop_set")
    await gateway.send(stop_set_merged=link_pb2.StopSetMerged(exchange_id=99))
    assert (await gateway.lease(1)).reason == "EXCHANGE_PENDING"


async def test_the_first_frame_holds_the_whole_set_with_what_hello_brought(site: Site) -> None:
    operator = await site.operator()
    stopped = await operator.stopped(vehicles(A))
    brought = stop_of(B)
    gateway = await site.gateway()
    await gateway.hello(stop_set=stop_pb2.StopSet(stops=[brought]))
    stops = (await gateway.frame("stop_set")).stop_set.stops
    assert {stop.stop_id for stop in stops} == {stopped.stop.stop_id, brought.stop_id}


async def test_a_large_set_goes_in_frames_that_a_gateway_takes(site: Site) -> None:
    operator = await site.operator()
    for _ in range(8):
        await operator.stopped(vehicles(*MANY))
    gateway = await site.gateway()
    await gateway.hello()
    await gateway.wait(lambda: sum(len(push.stop_set.stops) for push in gateway.of("stop_set")) == 8, "all 8 stops")
    pushes = gateway.of("stop_set")
    assert max(push.ByteSize() for push in pushes) < 1024 * 1024
    for push in pushes[:-1]:
        await gateway.send(stop_set_merged=link_pb2.StopSetMerged(exchange_id=push.exchange_id))
        assert (await gateway.lease(push.exchange_id)).reason == "EXCHANGE_PENDING"
    await gateway.merged()
    assert (await gateway.lease(99)).ttl.seconds == 2


async def test_no_lease_without_the_journal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("the disk is full")

    gateway = await site.gateway()
    await gateway.exchanged()
    assert (await gateway.lease(1)).ttl.seconds == 2
    monkeypatch.setattr(Store, "commit", refuse)
    await site.until(lambda: bool(site.service.journal.trouble))
    assert (await gateway.lease(2)).reason == "JOURNAL_UNAVAILABLE"


# Who may attach


@pytest.mark.parametrize(
    ("certificate", "name", "code", "reason"),
    [
        ("vehicles/KOMATSU-930E-001", "gateway-1", grpc.StatusCode.PERMISSION_DENIED, "WRONG_KIND"),
        ("command-2", "gateway-1", grpc.StatusCode.PERMISSION_DENIED, "WRONG_KIND"),
        ("gateway-2", "gateway-1", grpc.StatusCode.PERMISSION_DENIED, "WRONG_NAME"),
    ],
)
async def test_only_gateways_attach_and_by_their_own_name(
    site: Site, certificate: str, name: str, code: grpc.StatusCode, reason: str
) -> None:
    gateway = await site.gateway(name, certificate)
    if reason == "WRONG_NAME":  # a wrong kind is refused before a word; a write that meets that would end as INTERNAL
        await gateway.send(hello=link_pb2.GatewayHello(gateway=name, protocol_version=1))
    await gateway.wait(lambda: gateway.ended, "the end of the stream")
    assert gateway.error is not None
    assert (gateway.error.code, gateway.error.reason) == (code, reason)


async def test_without_a_certificate_there_is_no_connection(site: Site, home: Path) -> None:
    credentials = grpc.ssl_channel_credentials((home / "certs" / "ca.pem").read_bytes())
    async with open_channel(f"localhost:{site.ports[1]}", credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await PeerLinkServiceStub(channel).Exchange().read()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (link_pb2.AttachRequest(beat=link_pb2.Beat(beat_number=1)), "HELLO_FIRST"),
        (
            link_pb2.AttachRequest(hello=link_pb2.GatewayHello(gateway="gateway-1", protocol_version=99)),
            "PROTOCOL_VERSION",
        ),
    ],
)
async def test_a_wrong_first_frame_ends_the_stream(site: Site, first: link_pb2.AttachRequest, reason: str) -> None:
    gateway = await site.gateway()
    await gateway.call.write(first)
    await gateway.wait(lambda: gateway.ended, "the end of the stream")
    assert gateway.error is not None
    assert (gateway.error.code, gateway.error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


# What is passed on


async def test_what_one_gateway_brings_goes_to_the_others_at_once(site: Site) -> None:
    one, two = await site.gateway("gateway-1"), await site.gateway("gateway-2")
    await one.exchanged(session(A))
    await two.exchanged()
    own = stop_of(A, own=True)
    await one.send(stop_set=stop_pb2.StopSet(stops=[own]))
    passed_on = await two.frame("stop_set", 2)
    assert [stop.stop_id for stop in passed_on.stop_set.stops] == [own.stop_id]
    state = await (await site.operator()).until(own.stop_id, lambda state: state.summary.confirmed)
    assert state.stop.issuing_vehicle_id == A
    assert len(one.of("stop_set")) == 1, "not back to the one that brought it"


async def test_a_vehicle_withdraws_its_own_stop_and_no_other(site: Site) -> None:
    one, two = await site.gateway("gateway-1"), await site.gateway("gateway-2")
    await one.exchanged(session(A))
    await two.exchanged()
    operator = await site.operator()
    own, others = stop_of(A, own=True), (await operator.stopped(FLEET)).stop.stop_id
    await one.send(stop_set=stop_pb2.StopSet(stops=[own]))
    forged, withdrawal = (
        stop_pb2.Release(
            release_id=uuid7(),
            stop_ids=[stop_id],
            requested_by=A,
            requested_time=instant(moment().ns),
            issuing_vehicle_id=A,
        )
        for stop_id in (others, own.stop_id)
    )
    await one.send(stop_set=stop_pb2.StopSet(releases=[forged]))
    await one.send(stop_set=stop_pb2.StopSet(releases=[withdrawal]))
    released = await two.frame("stop_set", 4)
    assert [release.release_id for release in released.stop_set.releases] == [withdrawal.release_id]
    assert (await operator.state(others)).active


async def test_a_stop_that_cannot_be_read_does_not_take_the_others_with_it(site: Site) -> None:
    gateway = await site.gateway()
    good = stop_of(A)
    await gateway.exchanged(stop_set=stop_pb2.StopSet(stops=[stop_pb2.Stop(stop_id="empty scope"), good]))
    assert [stop.stop_id for stop in gateway.of("stop_set")[0].stop_set.stops] == [good.stop_id]


# Sessions


async def test_the_older_session_is_closed_wherever_it_is(site: Site) -> None:
    one, two = await site.gateway("gateway-1"), await site.gateway("gateway-2")
    await one.exchanged(session(A, 1))
    await two.exchanged()
    await two.send(session_opened=session(A, 2))
    close = await one.frame("close_session")
    assert (close.vehicle_id, close.boot_epoch, close.connect_count) == (A, 7, 1)
    motion = await (await site.operator()).until_motion(A, lambda motion: motion.gateway == "gateway-2")
    assert motion.connectivity == telemetry_pb2.CONNECTIVITY_CONNECTED


async def test_a_session_that_comes_late_is_closed_where_it_came(site: Site) -> None:
    one, two = await site.gateway("gateway-1"), await site.gateway("gateway-2")
    await one.exchanged(session(A, 2))
    await two.exchanged(session(A, 1))
    close = await two.frame("close_session")
    assert (close.vehicle_id, close.connect_count) == (A, 1)
    assert (await (await site.operator()).motion(A)).gateway == "gateway-1"


async def test_a_gateway_that_comes_back_keeps_its_vehicles(site: Site) -> None:
    old = await site.gateway()
    await old.exchanged(session(A))
    new = await site.gateway()
    await new.exchanged(session(A))
    old.call.cancel()
    operator = await site.operator()
    motion = await operator.until_motion(A, lambda _: len(site.service.hub.links) == 1)
    assert motion.connectivity == telemetry_pb2.CONNECTIVITY_CONNECTED
    assert new.of("close_session") == []


# Motion states


async def test_pulses_and_reports_make_the_motion_state(site: Site) -> None:
    gateway, operator = await site.gateway(), await site.operator()
    await gateway.exchanged(session(A))
    first = await operator.motion(A)
    assert first.etag == "7-1-1-5"
    assert not first.HasField("speed_kph"), "unknown is absent"
    pulse = link_pb2.VehiclePulse(
        vehicle_id=A,
        heartbeat_number=9,
        speed_kph=31.5,
        location=stop_pb2.GeoPoint(latitude_degrees=1, longitude_degrees=2),
    )
    pulse.age.FromMilliseconds(200)
    await gateway.send(pulses=link_pb2.VehiclePulses(pulses=[pulse]))
    motion = await operator.until_motion(A, lambda motion: motion.etag == "7-1-1-9")
    assert (motion.speed_kph, motion.location.longitude_degrees) == (31.5, 2)
    assert motion.age.ToMilliseconds() >= 200
    status = session(A, hold_count=2, status=telemetry_pb2.VEHICLE_STATUS_EMERGENCY_STOP).status
    await gateway.report(link_pb2.VehicleReport(vehicle_id=A, boot_epoch=7, connect_count=1, status=status))
    motion = await operator.until_motion(A, lambda motion: motion.etag == "7-1-2-9")
    assert motion.status == telemetry_pb2.VEHICLE_STATUS_EMERGENCY_STOP


async def test_a_vehicle_whose_heartbeat_stands_still_is_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.registry.SILENT_AFTER_S", 0.2)
    gateway, operator = await site.gateway(), await site.operator()
    await gateway.exchanged(session(A))
    stop_id = (await operator.stopped(vehicles(A))).stop.stop_id
    await gateway.say(A, stop_id, RECEIVED, STANDSTILL)
    for number in (6, 6):
        pulse = link_pb2.VehiclePulse(vehicle_id=A, heartbeat_number=number)
        await gateway.send(pulses=link_pb2.VehiclePulses(pulses=[pulse]))
    state = await operator.until(stop_id, lambda state: state.summary.unreachable == 1)
    assert state.vehicles[0].stage == STANDSTILL
    # So that it is not silent again before anybody has looked.
    monkeypatch.setattr("command_service.registry.SILENT_AFTER_S", 60.0)
    pulse = link_pb2.VehiclePulse(vehicle_id=A, heartbeat_number=7)
    await gateway.send(pulses=link_pb2.VehiclePulses(pulses=[pulse]))
    await operator.until(stop_id, lambda state: state.summary.standstill == 1)


async def test_an_unknown_vehicle_has_no_motion_state(site: Site) -> None:
    operator = await site.operator()
    for vehicle_id, code in (
        ("NOBODY-1", grpc.StatusCode.NOT_FOUND),
        ("truck 5", grpc.StatusCode.INVALID_ARGUMENT),
    ):
        error = await operator.refused("GetMotionState", command_pb2.GetMotionStateRequest(vehicle_id=vehicle_id))
        assert error.code is code


# The end


async def test_gateways_are_told_when_the_service_stops(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both ends share this event loop, which may be slow on a busy machine; nobody waits for the grace to be over.
    monkeypatch.setattr("command_service.service.STOP_GRACE_S", WITHIN_S)
    async with running(home, tmp_path) as site:
        gateway = await site.gateway()
        await gateway.exchanged()
        stopping = asyncio.create_task(site.service.stop())
        await gateway.wait(lambda: gateway.ended, "the end of the stream")
        assert gateway.error is not None
        assert (gateway.error.code, gateway.error.reason) == (grpc.StatusCode.UNAVAILABLE, "STOPPING")
        await stopping


async def test_a_gateway_that_does_not_read_is_cut_off_and_holds_nobody_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("command_service.gateways.WRITE_STALL_S", 3.0)  # holds for the hearing one as well
    deaf = await site.gateway("gateway-1", reads=False)
    await deaf.hello()
    hearing = await site.gateway("gateway-2")
    await hearing.exchanged()
    operator = await site.operator()
    for number in range(2, 12):
        await operator.stopped(vehicles(*MANY))
        await hearing.frame("stop_set", number)
    await site.until(lambda: len(site.service.hub.links) == 1)
    assert (await hearing.lease(1)).ttl.seconds == 2
