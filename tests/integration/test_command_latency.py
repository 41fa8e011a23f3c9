"""How long a stop takes through a command service of its own process; prints what it measured."""

import asyncio
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import pytest
from haul.command.v1 import stop_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb2

from command_service.hub import moment
from command_service.records import instant
from pitwall.clock import boottime_s
from tests.integration.command_rig import (
    BRAKING,
    FLEET,
    RECEIVED,
    STANDSTILL,
    RawGateway,
    StopStream,
    make_home,
    session,
    vehicles,
)
from tests.integration.test_command_process import serving, write_config
from tests.support.processor import processor_s

pytestmark = pytest.mark.alone

VEHICLES = [f"TRUCK-{number:04}" for number in range(200)]
#: What STOP_PATH.md allows a push, and what is far above what a busy machine takes.
PUSHED_WITHIN_S = 0.1
ISSUED_WITHIN_S = 1.0
#: Of somebody who opens calls and never sends their requests; each has 100 of them.
CONNECTIONS = 30


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("site"))


def told(title: str, seconds: list[float]) -> float:
    """Prints median and 99th percentile; returns the latter."""
    ordered = sorted(seconds)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    print(f"{title}: p50 {p50 * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms, n {len(ordered)}")
    return p99


async def arrival(gateway: RawGateway, count: int) -> float:
    await gateway.frame("stop_set", count)
    return boottime_s()


async def test_a_stop_is_pushed_and_its_stages_are_told(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed, issued, told_back = [], [], []
    async with serving(home, write_config(home, tmp_path)) as (site, _):
        gateway, operator = await site.gateway(), await site.operator()
        await gateway.exchanged(*map(session, VEHICLES))
        assert (await gateway.lease(1)).ttl.seconds == 2
        for number, vehicle_id in enumerate(VEHICLES, 2):
            asked_s = boottime_s()
            stream = operator.stop(vehicles(vehicle_id))
            pushed.append(await arrival(gateway, number) - asked_s)
            stop_id = gateway.of("stop_set")[-1].stop_set.stops[0].stop_id
            await stream.until(lambda answer: answer.summary.confirmed)
            issued.append(boottime_s() - asked_s)
            reported_s = boottime_s()
            await gateway.say(vehicle_id, stop_id, RECEIVED)
            await stream.until(lambda answer: answer.vehicles[0].stage == RECEIVED)
            told_back.append(boottime_s() - reported_s)
            await gateway.say(vehicle_id, stop_id, BRAKING, STANDSTILL)
            assert (await stream.last()).summary.standstill == 1
    with capsys.disabled():
        print()
        assert told("EmergencyStop -> push at the gateway", pushed) < PUSHED_WITHIN_S
        told("EmergencyStop -> issued at the console", issued)
        told("a vehicle's report -> the console", told_back)


async def test_thousands_of_calls_without_a_request_hold_no_stop_up(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed, issued = [], []
    async with serving(home, write_config(home, tmp_path)) as (site, _):
        gateway, hog, operator = await site.gateway(), await site.operator("viewer"), await site.operator()
        await gateway.exchanged(*map(session, VEHICLES))
        held = [
            half_open(await site.operator_channel(), method, hog.metadata)
            for _ in range(CONNECTIONS // 2)
            for method in ("EmergencyStop", "GetStop")
        ]
        await asyncio.gather(*held)
        for number, vehicle_id in enumerate(VEHICLES[:20], 2):
            asked_s = boottime_s()
            stream = operator.stop(vehicles(vehicle_id))
            pushed.append(await arrival(gateway, number) - asked_s)
            await stream.until(lambda answer: answer.summary.confirmed)
            issued.append(boottime_s() - asked_s)
            stream.call.cancel()
    with capsys.disabled():
        print()
        told(f"with {CONNECTIONS * 100:,} half-open calls: EmergencyStop -> push at the gateway", pushed)
        told("EmergencyStop -> issued at the console", issued)
    assert median(issued) < ISSUED_WITHIN_S


async def half_open(channel: grpc.aio.Channel, method: str, metadata: Any) -> None:
    """Headers of as many calls as a connection takes, without a request. Returns when the server has one of them."""
    open_call: Any = channel.stream_stream(f"/haul.command.v1.CommandService/{method}")
    calls = [open_call(metadata=metadata) for _ in range(100)]
    with pytest.raises(grpc.aio.AioRpcError):
        await calls[0].read()


async def test_an_all_stop_of_1000_vehicles(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"TRUCK-{number:04}" for number in range(1000)]
    async with serving(home, write_config(home, tmp_path)) as (site, process):
        gateway, operator = await site.gateway(), await site.operator()
        await gateway.exchanged(*map(session, names))
        cpu_s = processor_s([process.pid])
        asked_s = boottime_s()
        stream: StopStream = operator.stop(FLEET)
        pushed_s = await arrival(gateway, 2) - asked_s
        first = await stream.next()
        first_s = boottime_s() - asked_s
        for stage in (RECEIVED, BRAKING, STANDSTILL):
            for start in range(0, 1000, 50):
                await report(gateway, names[start : start + 50], first.stop.stop_id, stage)
        last = await stream.last()
        stood_s = boottime_s() - asked_s
        cpu_s = processor_s([process.pid]) - cpu_s
    assert last.summary.standstill == 1000
    with capsys.disabled():
        print(
            f"\nall-stop of 1,000: pushed {pushed_s * 1000:.1f} ms, first answer {first_s * 1000:.1f} ms, "
            f"3,000 stages told {stood_s * 1000:.0f} ms, command service {cpu_s * 1e3:.0f} µs CPU a vehicle"
        )
    assert pushed_s < PUSHED_WITHIN_S


async def report(gateway: RawGateway, names: list[str], stop_id: str, stage: stop_pb2.StopStage.ValueType) -> None:
    """One frame for many vehicles, as gateways gather them."""
    progress = [stop_pb2.StopProgress(stop_id=stop_id, stage=stage, event_time=instant(moment().ns))]
    await gateway.report(
        *(link_pb2.VehicleReport(vehicle_id=name, boot_epoch=7, connect_count=1, progress=progress) for name in names)
    )
