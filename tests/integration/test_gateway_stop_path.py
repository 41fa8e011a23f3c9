"""A real gateway: sets before leases, stops before everything, permits only as long as the leases last."""

import asyncio
import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from haul.command.v1 import order_pb2, stop_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb
from haul.link.v1 import vehicle_link_service_pb2 as pb

from pitwall import wire
from pitwall.clock import boottime_s
from tests.integration.gateway_rig import (
    LEASE_TTL_S,
    OTHER,
    VEHICLE,
    GatewayProcess,
    RawCommand,
    fleet_stop,
    gateway,
    make_home,
    serving,
    vehicle,
    welcomed,
)

#: Of one stop on a machine with other work, and of most of fifty. What it is, is printed.
STOP_WITHIN_S = 0.5
MEDIAN_WITHIN_S = 0.05
STOPS = 50


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("gateway"))


@dataclass
class Site:
    """One command service and a gateway that is attached to it. Kafka is away in all of these tests."""

    home: Path
    command: RawCommand
    gateway: GatewayProcess
    address: str


@pytest.fixture
async def site(home: Path, tmp_path: Path) -> AsyncIterator[Site]:
    async with serving(home, "command-1") as (command, address), gateway(home, tmp_path, [address]) as running:
        yield Site(home, command, running, await running.address())


async def test_the_set_comes_first_and_permits_come_from_leases(site: Site) -> None:
    site.command.stops.stops.append(fleet_stop("before"))
    async with welcomed(site.home, site.address) as driven:
        assert [frame.WhichOneof("body") for frame in driven.frames[:2]] == ["stop_set", "welcome"]
        await site.command.until(lambda: bool(site.command.of("session_opened")), "the session")
        opened = site.command.of("session_opened")[0]
        assert (opened.vehicle_id, opened.boot_epoch) == (VEHICLE, driven.boot_epoch)


async def test_without_kafka_vehicles_are_permitted_and_the_process_counts_as_healthy(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        permit = await driven.permitted()
        assert 0 < wire.to_seconds(permit.ttl) <= LEASE_TTL_S
    code, _ = await site.gateway.status("/healthz")
    parts = await site.gateway.parts()
    assert (code, parts["kafka"]["ok"], parts["command_services"]["ok"]) == (200, False, True)


@pytest.mark.alone
async def test_a_stop_is_at_the_vehicle_at_once_and_permits_end(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        await driven.permitted()
        said_s = boottime_s()
        await site.command.push(fleet_stop("now"))
        await driven.frame("stop_set", 2)
        assert driven.arrived_s[-1] - said_s < STOP_WITHIN_S
        assert [each.stop_id for each in driven.of("stop_set")[1].stops] == ["now"]
        assert (await driven.permit()).denial == pb.PERMIT_DENIAL_STOPPED
        await site.command.until(lambda: bool(site.command.stages("now")), "SENT")
        assert site.command.stages("now") == [stop_pb2.STOP_STAGE_SENT]
        merged = [each.exchange_id for each in site.command.of("stop_set_merged")]
        assert merged == sorted(set(merged))
        assert len(merged) == 2


@pytest.mark.alone
async def test_one_stop_after_another_takes_about_a_millisecond(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    async with welcomed(site.home, site.address) as driven:
        took_s = []
        for number in range(STOPS):
            await asyncio.sleep(0.02)
            said_s = boottime_s()
            await site.command.push(fleet_stop(f"stop-{number}"))
            await driven.frame("stop_set", number + 2)
            took_s.append(driven.arrived_s[-1] - said_s)
    with capsys.disabled():
        print(f"\nstop, command service -> gateway -> vehicle: median {statistics.median(took_s) * 1000:.2f} ms")
    assert statistics.median(took_s) < MEDIAN_WITHIN_S


async def test_what_one_vehicle_brings_stops_the_others_and_is_told_to_the_site(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven, vehicle(site.home, site.address, OTHER) as other:
        await other.hello(fleet_stop("brought"))
        await other.frame("welcome")
        await driven.frame("stop_set", 2)
        assert [each.stop_id for each in driven.of("stop_set")[1].stops] == ["brought"]
        await site.command.until(lambda: bool(site.command.of("stop_set")), "the news")
        assert [each.stop_id for each in site.command.of("stop_set")[0].stops] == ["brought"]


@pytest.mark.alone
async def test_progress_goes_up_at_once(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        await site.command.until(lambda: bool(site.command.of("session_opened")), "the session")
        report = pb.ConnectRequest()
        report.stop_report.progress.add(stop_id="s", stage=stop_pb2.STOP_STAGE_RECEIVED)
        said_s = boottime_s()
        await driven.send(report)
        await site.command.until(lambda: bool(site.command.stages("s")), "RECEIVED")
        assert boottime_s() - said_s < STOP_WITHIN_S


async def test_an_order_goes_down_and_what_becomes_of_it_comes_up(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        await site.command.until(lambda: bool(site.command.of("session_opened")), "the session")
        order = order_pb2.Order(request_id="o-1", resume=order_pb2.Resume())
        etag = order_pb2.MotionEtag(boot_epoch=driven.boot_epoch, connect_count=1)
        targets = [
            link_pb.OrderPushTarget(vehicle_id=VEHICLE, etag=etag),
            link_pb.OrderPushTarget(vehicle_id=OTHER, etag=etag),
        ]
        await site.command.say(order=link_pb.OrderPush(order=order, targets=targets))
        delivered = await driven.frame("order")
        assert (delivered.order, delivered.etag) == (order, etag)
        await site.command.until(lambda: bool(site.command.of("order_reports")), "UNAVAILABLE")
        (away,) = site.command.of("order_reports")[0].reports
        assert (away.outcome.vehicle_id, away.outcome.result) == (OTHER, order_pb2.ORDER_RESULT_UNAVAILABLE)
    await site.command.until(lambda: len(site.command.of("order_reports")) == 2, "UNKNOWN")
    (broken,) = site.command.of("order_reports")[1].reports
    assert broken.outcome.result == order_pb2.ORDER_RESULT_UNKNOWN
    assert broken.outcome.may_have_happened


@pytest.mark.alone
async def test_when_the_command_service_refuses_permits_end_with_what_is_left(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        await driven.permitted()
        site.command.consents = False
        refused_s = boottime_s()
        while (permit := await driven.permit()).denial != pb.PERMIT_DENIAL_NO_MAJORITY:
            assert boottime_s() + wire.to_seconds(permit.ttl) <= refused_s + LEASE_TTL_S + STOP_WITHIN_S
        assert boottime_s() - refused_s <= LEASE_TTL_S + 1.0
        code, _ = await site.gateway.status("/healthz")
        assert code == 503


@pytest.mark.alone
async def test_after_a_sleep_no_permit_goes_out_before_the_clock_is_looked_at(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        await driven.permitted()
        with site.gateway.asleep():
            site.command.consents = False
            for _ in range(5):
                await driven.beat()
            before = len(driven.frames)
            await asyncio.sleep(LEASE_TTL_S + 0.5)
        assert (await driven.permit()).denial == pb.PERMIT_DENIAL_NO_MAJORITY
        assert all(
            frame.permit.denial == pb.PERMIT_DENIAL_NO_MAJORITY
            for frame in driven.frames[before:]
            if frame.HasField("permit")
        )
        assert await site.gateway.metric("pitwall_gateway_sleeps_total") == 1
        site.command.consents = True
        await driven.permitted()


async def test_a_majority_of_three_is_two(home: Path, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        served = [await stack.enter_async_context(serving(home, f"command-{number}")) for number in (1, 2, 3)]
        one, two, three = (command for command, _ in served)
        two.consents = three.consents = False
        running = await stack.enter_async_context(gateway(home, tmp_path, [address for _, address in served]))
        driven = await stack.enter_async_context(welcomed(home, await running.address()))
        await three.until(lambda: bool(three.of("session_opened")), "the session at the third")
        assert (await driven.permit()).denial == pb.PERMIT_DENIAL_NO_MAJORITY
        three.consents = True
        await driven.permitted()
        await one.push(fleet_stop("at-one"))
        await driven.frame("stop_set", 2)
        for other in (two, three):
            await other.until(lambda other=other: bool(other.of("stop_set")), "the stop at the others")  # type: ignore[misc]


async def test_a_command_service_that_comes_back_hears_the_whole_state(home: Path, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with AsyncExitStack() as first:
            command, address = await first.enter_async_context(serving(home, "command-1"))
            running = await stack.enter_async_context(gateway(home, tmp_path, [address]))
            driven = await stack.enter_async_context(welcomed(home, await running.address()))
            await command.push(fleet_stop("s"))
            await driven.frame("stop_set", 2)
            report = pb.ConnectRequest()
            report.stop_report.progress.add(stop_id="s", stage=stop_pb2.STOP_STAGE_STANDSTILL)
            await driven.send(report)
            await command.until(lambda: stop_pb2.STOP_STAGE_STANDSTILL in command.stages("s"), "STANDSTILL")
        again, _ = await stack.enter_async_context(serving(home, "command-1", address))
        beating = asyncio.create_task(_keep_beating(driven.beat))
        await again.until(lambda: stop_pb2.STOP_STAGE_STANDSTILL in again.stages("s"), "STANDSTILL again")
        beating.cancel()
        (hello,) = again.of("hello")
        assert [each.stop_id for each in hello.stop_set.stops] == ["s"]
        assert [each.vehicle_id for each in hello.sessions] == [VEHICLE]


async def _keep_beating(beat: object) -> None:
    while True:
        await beat()  # type: ignore[operator]
        await asyncio.sleep(0.4)
