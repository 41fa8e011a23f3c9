"""The agent as a process: killed, frozen, cut off and on a full disk. The plant's own files are the judge."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from haul.command.v1 import order_pb2, stop_pb2
from haul.link.v1 import vehicle_link_service_pb2 as link
from haul.telemetry.v1.telemetry_pb2 import (
    MOTION_HOLD_BOOT,
    MOTION_HOLD_LINK_LOST,
    MOTION_HOLD_NONE,
    MOTION_HOLD_STOPPED,
    VEHICLE_STATUS_ROUTING,
    Reading,
)

from edge_agent.limits import CONTROL_PERIOD_S, STOP_WITHIN_S, VERDICT_PERIODS
from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.shipment import Stored
from pitwall import devca, wire
from pitwall.clock import boottime_s, monotonic_s, wall_time
from pitwall.domain.stop_set import FleetScope, Stop
from pitwall.ids import uuid7
from pitwall.reading import content_crc32
from tests.integration.edge_agent_gateway import PERMIT_TTL_S, Heard, StubGateway
from tests.integration.edge_agent_rig import Rig, Running, get
from tests.support.ports import free_port

V1, V2 = "KOMATSU-930E-001", "KOMATSU-980E-002"
#: A verdict's life, and the slack of a busy machine.
VERDICT_S = VERDICT_PERIODS * CONTROL_PERIOD_S
SLACK_S = 0.5

MakeRig = Callable[..., Awaitable[Rig]]


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("site")
    devca.ensure(home, vehicles=[V1, V2], gateways=["gateway-1"])
    return home / "certs"


@pytest.fixture
async def make_rig(tmp_path: Path, certs: Path) -> AsyncIterator[MakeRig]:
    rigs: list[Rig] = []

    async def make(*, gateways: int = 1, fleet: int = 1, plant: bool = True, **keys: object) -> Rig:
        rig = Rig(tmp_path, certs, [StubGateway() for _ in range(gateways)], fleet, keys)
        rigs.append(rig)
        for gateway in rig.gateways:
            await gateway.start(rig.tls())
        if plant:
            await rig.start_plant()
        return rig

    yield make
    for rig in rigs:
        await rig.end()


def all_stop() -> stop_pb2.Stop:
    return wire.stop_to_proto(Stop(uuid7(), FleetScope(), "test", "tester", wall_time()))


def resume() -> order_pb2.Order:
    return order_pb2.Order(request_id=uuid7(), resume=order_pb2.Resume())


def start_route() -> order_pb2.Order:
    return order_pb2.Order(request_id=uuid7(), start_route=order_pb2.StartRoute())


def autonomous() -> order_pb2.Order:
    return order_pb2.Order(request_id=uuid7(), set_autonomous_mode=order_pb2.SetAutonomousMode(enabled=True))


async def ordered(gateway: StubGateway, vehicle_id: str, order: order_pb2.Order) -> order_pb2.OrderOutcome:
    await gateway.order(vehicle_id, order)
    return await gateway.until(
        vehicle_id,
        f"an answer to {order.request_id}",
        lambda heard: next((a.outcome for a in heard.answers if a.request_id == order.request_id), None),
    )


async def connected(gateway: StubGateway, vehicle_id: str = V1, *, times: int = 1) -> link.Hello:
    await gateway.until(
        vehicle_id,
        f"heartbeat in session {times}",
        lambda heard: len(heard.hellos) >= times and heard.answered > 0,
        30,
    )
    return gateway.heard[vehicle_id].hellos[-1]


async def driving(rig: Rig, vehicle_id: str = V1) -> StubGateway:
    """Resumed, on a route, rolling."""
    gateway = rig.gateways[0]
    await connected(gateway, vehicle_id)
    for order in (resume(), start_route()):
        outcome = await ordered(gateway, vehicle_id, order)
        assert outcome.result == order_pb2.ORDER_RESULT_EXECUTED, outcome
    await at_plant(rig, vehicle_id, "it rolls", lambda line: line.speed_kph > 3)
    return gateway


async def at_plant(rig: Rig, vehicle_id: str, what: str, holds: Callable[..., bool], *, since_t: float = 0.0) -> float:
    line = await asyncio.to_thread(rig.plant.wait, vehicle_id, what, holds, since_t=since_t)
    return line.t


def moved(rig: Rig, vehicle_id: str, since_t: float) -> list[float]:
    """Moments at which it was leave to move, or got faster."""
    lines = list(rig.plant.lines(vehicle_id, since_t))
    faster = [b.t for a, b in pairwise(lines) if b.speed_kph > a.speed_kph + 0.01]
    return faster + [line.t for line in lines if line.permitted]


# Stops


@pytest.mark.alone
async def test_a_stop_brakes_at_once_is_durable_and_outlives_a_kill(make_rig: MakeRig) -> None:
    rig = await make_rig()
    agent = await rig.start_agent()
    gateway = await driving(rig)
    stop, issued_t = all_stop(), monotonic_s()
    await gateway.issue(stop)
    braking_t = await at_plant(rig, V1, "it brakes", lambda line: line.brake, since_t=issued_t)
    assert braking_t - issued_t < 0.1
    await gateway.until(V1, "durable", lambda heard: any(p.latched_durably for p in heard.progress))
    await agent.end(signal.SIGKILL)
    gateway.stop_set.Clear()  # a gateway that was restarted and knows nothing
    await rig.start_agent()
    hello = await connected(gateway, times=2)
    assert [s.stop_id for s in hello.stop_set.stops] == [stop.stop_id]
    assert list(hello.status.latched_stop_ids) == [stop.stop_id]
    assert hello.status.motion_hold == MOTION_HOLD_STOPPED
    stages = await gateway.until(V1, "stands", lambda heard: [p.stage for p in heard.progress if p.stage == 5])
    assert stages
    assert moved(rig, V1, braking_t) == []


async def test_stages_are_reported_in_order(make_rig: MakeRig) -> None:
    rig = await make_rig()
    await rig.start_agent()
    gateway = await driving(rig)
    await gateway.issue(all_stop())
    await gateway.until(V1, "stands", lambda heard: any(p.stage == 5 for p in heard.progress))
    stages = [p.stage for p in gateway.heard[V1].progress]
    first_seen = list(dict.fromkeys(stages))
    assert first_seen == [stop_pb2.STOP_STAGE_RECEIVED, stop_pb2.STOP_STAGE_BRAKING, stop_pb2.STOP_STAGE_STANDSTILL]


async def test_a_release_leads_to_maintenance_and_is_told(make_rig: MakeRig) -> None:
    rig = await make_rig()
    await rig.start_agent()
    gateway = await driving(rig)
    stop = all_stop()
    await gateway.issue(stop)
    await gateway.until(V1, "stands", lambda heard: any(p.stage == 5 for p in heard.progress))
    released_t = monotonic_s()
    release = stop_pb2.Release(release_id=uuid7(), stop_ids=[stop.stop_id], requested_by="a", approved_by="b")
    release.requested_time.GetCurrentTime()
    await gateway.push(V1, link.ConnectResponse(stop_set=stop_pb2.StopSet(releases=[release])))
    await gateway.until(V1, "released", lambda heard: any(p.stage == 6 for p in heard.progress))
    await gateway.until(V1, "no hold", lambda heard: heard.states[-1].motion_hold == MOTION_HOLD_NONE)
    assert not gateway.heard[V1].states[-1].latched_stop_ids
    await at_plant(rig, V1, "maintenance", lambda line: line.status == "MAINTENANCE", since_t=released_t)
    assert moved(rig, V1, released_t) == []


# The path breaks


@pytest.mark.alone
async def test_a_silent_gateway_stops_it_within_the_permit_and_it_stays_so(make_rig: MakeRig) -> None:
    rig = await make_rig()
    await rig.start_agent()
    gateway = await driving(rig)
    gateway.speaks, silent_t = False, monotonic_s()
    braking_t = await at_plant(rig, V1, "it brakes", lambda line: line.brake, since_t=silent_t)
    assert braking_t - silent_t < PERMIT_TTL_S + CONTROL_PERIOD_S + SLACK_S
    await gateway.until(V1, "leaves the silent gateway", lambda heard: len(heard.hellos) > 1)
    gateway.speaks = True
    hello = await connected(gateway, times=2)
    assert hello.status.motion_hold == MOTION_HOLD_LINK_LOST
    assert moved(rig, V1, braking_t) == []
    assert (await ordered(gateway, V1, resume())).result == order_pb2.ORDER_RESULT_EXECUTED
    await at_plant(rig, V1, "it drives on", lambda line: line.permitted, since_t=braking_t)


@pytest.mark.alone
async def test_a_move_to_another_gateway_within_the_permit_is_no_hold(make_rig: MakeRig) -> None:
    rig = await make_rig(gateways=2)
    await rig.start_agent()
    first, second = rig.gateways
    here = await asyncio.wait_for(_either(first, second), 30)
    there = second if here is first else first
    await connected(here)
    for order in (resume(), start_route()):
        await ordered(here, V1, order)
    await at_plant(rig, V1, "it rolls", lambda line: line.speed_kph > 3)
    drained_t = monotonic_s()
    await here.push(V1, link.ConnectResponse(drain=link.Drain(delay=wire.duration(0.5), reason="TEST")))
    hello = await connected(there)
    assert (hello.status.motion_hold, hello.connect_count) == (MOTION_HOLD_NONE, 2)
    await there.until(V1, "later heartbeats", lambda heard: heard.heartbeat > here.heard[V1].heartbeat + 20)
    assert all(line.permitted for line in rig.plant.lines(V1, drained_t))


async def _either(first: StubGateway, second: StubGateway) -> StubGateway:
    while True:
        for gateway in (first, second):
            if V1 in gateway.heard:
                return gateway
        await asyncio.sleep(0.02)


async def test_without_a_majority_it_tries_the_next_gateway(make_rig: MakeRig) -> None:
    rig = await make_rig(gateways=2)
    for gateway in rig.gateways:
        gateway.permits, gateway.denial = False, link.PERMIT_DENIAL_NO_MAJORITY
    await rig.start_agent()
    for gateway in rig.gateways:
        await connected(gateway)


@pytest.mark.alone
async def test_a_frozen_agent_brakes_by_the_verdicts_deadline_and_wakes_up_held(make_rig: MakeRig) -> None:
    rig = await make_rig()
    agent = await rig.start_agent()
    gateway = await driving(rig)
    agent.process.send_signal(signal.SIGSTOP)
    frozen_t = monotonic_s()
    braking_t = await at_plant(rig, V1, "it brakes", lambda line: line.brake, since_t=frozen_t)
    assert braking_t - frozen_t < VERDICT_S + SLACK_S
    await asyncio.sleep(PERMIT_TTL_S + 0.5)  # longer than any permit that is on its way
    agent.process.send_signal(signal.SIGCONT)
    await gateway.until(
        V1,
        "link lost",
        lambda heard: MOTION_HOLD_LINK_LOST in [s.motion_hold for s in (*heard.states, heard.hellos[-1].status)],
    )
    assert moved(rig, V1, braking_t) == []


@pytest.mark.alone
async def test_a_killed_agent_comes_back_held_and_drives_only_when_resumed(make_rig: MakeRig) -> None:
    rig = await make_rig()
    agent = await rig.start_agent()
    gateway = await driving(rig)
    before = gateway.heard[V1].hellos[-1]
    await agent.end(signal.SIGKILL)
    killed_t = monotonic_s()
    braking_t = await at_plant(rig, V1, "it brakes", lambda line: line.brake, since_t=killed_t)
    assert braking_t - killed_t < VERDICT_S + SLACK_S
    await rig.start_agent()
    hello = await connected(gateway, times=2)
    assert hello.boot_epoch > before.boot_epoch
    assert (hello.status.motion_hold, hello.status.status) == (MOTION_HOLD_BOOT, VEHICLE_STATUS_ROUTING)
    assert moved(rig, V1, braking_t) == []
    await ordered(gateway, V1, resume())
    await at_plant(rig, V1, "it drives on", lambda line: line.permitted, since_t=braking_t)


# Readings


async def test_killed_again_and_again_it_loses_no_reading_that_the_outbox_had(make_rig: MakeRig) -> None:
    rig = await make_rig(fleet=2, rate_hz=10.0)
    gateway = rig.gateways[0]
    rng = random.Random(7)
    for kill in range(4):
        gateway.acks = kill % 2 == 0
        agent = await rig.start_agent()
        for vehicle_id in (V1, V2):
            await connected(gateway, vehicle_id, times=kill + 1)
        await asyncio.sleep(rng.uniform(0.3, 1.0))  # any moment will do
        await agent.end(signal.SIGKILL)
    gateway.acks = True
    await rig.start_agent()
    for vehicle_id in (V1, V2):
        await connected(gateway, vehicle_id, times=5)
        await gateway.until(vehicle_id, "history has drained", partial(_drained, rig, vehicle_id))


def _drained(rig: Rig, vehicle_id: str, heard: Heard) -> bool:
    """Everything that the plant's file has of earlier boots is there, but for lines written just before a kill."""
    newest = heard.hellos[-1].boot_epoch
    made: dict[int, dict[int, int]] = {}
    for (of_vehicle, epoch, sequence), crc in rig.plant.readings():
        if of_vehicle == vehicle_id and epoch != newest:
            made.setdefault(epoch, {})[sequence] = crc
    got: dict[int, dict[int, int]] = {}
    for reading in heard.readings:
        got.setdefault(reading.boot_epoch, {})[reading.sequence] = content_crc32(reading)
    return len(made) == rig.starts - 1 and all(_complete(lines, got.get(epoch, {})) for epoch, lines in made.items())


def _complete(lines: dict[int, int], found: dict[int, int]) -> bool:
    assert all(lines[sequence] == crc for sequence, crc in found.items()), "line first, and the same content"
    missing = sorted(lines.keys() - found.keys())
    # The line is written before the reading is stored: a kill in between leaves a line or two at the very end.
    at_end = list(range(max(lines) - len(missing) + 1, max(lines) + 1))
    return not missing or (missing == at_end and len(missing) <= 2)


@pytest.mark.alone
async def test_a_clean_stop_waits_for_the_last_acks_so_that_nothing_comes_twice(make_rig: MakeRig) -> None:
    rig = await make_rig(rate_hz=10.0)
    gateway = rig.gateways[0]
    for start in range(1, 4):
        agent = await rig.start_agent()
        await connected(gateway, times=start)
        await gateway.until(V1, "readings", partial(_has_readings, 10 * start))
        assert await agent.end(signal.SIGTERM) == 0
    identities = [(reading.boot_epoch, reading.sequence) for reading in gateway.heard[V1].readings]
    assert len(identities) == len(set(identities))


def _has_readings(count: int, heard: Heard) -> bool:
    return len(heard.readings) >= count


async def test_what_a_deaf_gateway_did_not_ack_comes_again_as_history(make_rig: MakeRig) -> None:
    rig = await make_rig(rate_hz=10.0)
    gateway = rig.gateways[0]
    gateway.acks = False
    agent = await rig.start_agent()
    await gateway.until(V1, "20 readings", lambda heard: len(heard.readings) >= 20)
    await agent.end(signal.SIGTERM)
    first = gateway.heard[V1].hellos[-1].boot_epoch
    gateway.acks = True
    await rig.start_agent()
    await gateway.until(
        V1,
        "all of them as history",
        lambda heard: (
            {r.sequence for r in heard.readings if r.boot_epoch == first and r.backfilled} >= set(range(1, 21))
        ),
    )
    live = [r.sequence for r in gateway.heard[V1].readings if r.boot_epoch != first and not r.backfilled]
    assert live == sorted(live)


def _history(heard: Heard, epoch: int) -> set[int]:
    return {reading.sequence for reading in heard.readings if reading.boot_epoch == epoch and reading.backfilled}


async def test_what_a_full_outbox_gives_up_is_told_after_a_kill_too_until_it_is_known(make_rig: MakeRig) -> None:
    rig = await make_rig(outbox_max_bytes=65_536, rate_hz=5.0)
    gateway, kept = rig.gateways[0], 100
    (rig.folder / "data").mkdir()
    with closing(Outbox(rig.folder / "data" / "outbox.sqlite", Bounds(10**9, 86_400.0), Moment.now())) as outbox:
        outbox.begin()
        outbox.add(NewReading(V1, large(sequence), boottime_s()) for sequence in range(1, kept + 1))
        outbox.commit()
    agent = await rig.start_agent()
    await gateway.until(V1, "the youngest of what was kept", lambda heard: kept in _history(heard, 1))
    await later_readings(gateway)
    lost = lost_sequences(gateway)
    assert lost == set(range(1, len(lost) + 1)), "the oldest"
    assert 20 < len(lost) < 50
    assert {one.reason for one in gateway.heard[V1].lost} == {"OUTBOX_FULL"}
    await agent.end(signal.SIGKILL)
    agent = await again(rig, start=2)
    assert lost_sequences(gateway) == lost
    known = link.SequenceRange(first_sequence=1, last_sequence=len(lost))
    await gateway.push(V1, link.ConnectResponse(reading_ack=link.ReadingAck(boot_epoch=1, ranges=[known])))
    await later_readings(gateway)
    await agent.end(signal.SIGKILL)
    await again(rig, start=3)
    assert lost_sequences(gateway) == set()


async def later_readings(gateway: StubGateway) -> None:
    """With them, acks that came before are on disk, and there is room."""
    count = len(gateway.heard[V1].readings)
    await gateway.until(V1, "later readings", partial(_has_readings, count + 5))


async def again(rig: Rig, start: int) -> Running:
    """Started once more; returns when a reading has come, before which losses are told."""
    heard = rig.gateways[0].heard[V1]
    heard.lost.clear()
    count = len(heard.readings)
    agent = await rig.start_agent()
    await connected(rig.gateways[0], times=start)
    await rig.gateways[0].until(V1, "a reading", partial(_has_readings, count + 1))
    return agent


def lost_sequences(gateway: StubGateway) -> set[int]:
    spans = [one.range for one in gateway.heard[V1].lost]
    return {sequence for r in spans for sequence in range(r.first_sequence, r.last_sequence + 1)}


def large(sequence: int) -> Stored:
    """A kilobyte, most of it in a field that nobody knows."""
    known = Reading(vehicle_id=V1, boot_epoch=1, sequence=sequence).SerializeToString()
    return Stored(1, sequence, known + b"\xfa\x7f\x84\x07" + bytes(900))


# Disks


async def test_on_a_full_disk_readings_go_on_stops_latch_and_orders_are_refused(make_rig: MakeRig) -> None:
    rig = await make_rig(rate_hz=10.0)
    gateway = rig.gateways[0]
    gateway.acks = False
    agent = await rig.start_agent(file_size_limit=96 * 1024)  # a latch file fits, a growing database doesn't
    await connected(gateway)
    reasons = [(await ordered(gateway, V1, autonomous())).reason for _ in range(40)]
    assert reasons[-1] == "NOT_RECORDED"
    await gateway.until(V1, "more than fits", lambda heard: len({r.sequence for r in heard.readings}) > 80)
    assert any("readings go on from memory" in str(line.get("event")) for line in agent.lines())
    await gateway.issue(all_stop())
    await gateway.until(V1, "durable on a full disk", lambda heard: any(p.latched_durably for p in heard.progress))


async def test_damaged_files_leave_a_stopped_vehicle_that_says_why(make_rig: MakeRig) -> None:
    rig = await make_rig()
    agent = await rig.start_agent()
    await connected(rig.gateways[0])
    await agent.end(signal.SIGTERM)
    (rig.folder / "data" / f"{V1}.latch").write_bytes(b"noise")
    (rig.folder / "data" / "outbox.sqlite").write_bytes(b"noise" * 1000)
    await rig.start_agent()
    hello = await connected(rig.gateways[0], times=2)
    assert hello.status.motion_hold == MOTION_HOLD_STOPPED
    assert hello.stop_set.stops[0].reason.startswith("LATCH_FILE_DAMAGED")
    await rig.gateways[0].until(
        V1, "readings", lambda heard: any(r.boot_epoch == hello.boot_epoch for r in heard.readings)
    )


# The process


@pytest.mark.alone
@pytest.mark.parametrize("hung", [False, True], ids=["while all is well", "while its gateway hangs"])
async def test_sigterm_brakes_and_ends_it_in_time(make_rig: MakeRig, *, hung: bool) -> None:
    rig = await make_rig()
    agent = await rig.start_agent()
    gateway = await driving(rig)
    gateway.speaks = not hung
    asked_t, asked = monotonic_s(), time.monotonic()
    assert await agent.end(signal.SIGTERM) == 0
    assert time.monotonic() - asked < STOP_WITHIN_S + SLACK_S
    braking_t = await at_plant(rig, V1, "it brakes", lambda line: line.brake, since_t=asked_t)
    assert braking_t - asked_t < VERDICT_S


async def test_an_agent_that_starts_before_its_vehicle_holds_and_goes_on_when_it_is_there(make_rig: MakeRig) -> None:
    rig = await make_rig(plant=False)
    await rig.start_agent()
    gateway = rig.gateways[0]
    hello = await connected(gateway)
    assert hello.status.motion_hold == MOTION_HOLD_BOOT
    await gateway.until(V1, "a reading without quantities", lambda heard: heard.readings)
    assert not gateway.heard[V1].readings[0].HasField("speed_kph")
    await rig.start_plant()
    await gateway.until(V1, "a measured one", lambda heard: heard.readings[-1].HasField("speed_kph"), within_s=30)


async def test_health_and_metrics_say_how_it_is(make_rig: MakeRig) -> None:
    address = f"127.0.0.1:{free_port()}"
    rig = await make_rig(metrics_address=address)
    await rig.start_agent()
    await connected(rig.gateways[0])
    status, health = await get(f"http://{address}/healthz")
    assert status == 200
    assert "1 of 1 connected" in health
    _, metrics = await get(f"http://{address}/metrics")
    for name in ("permit_margin", "outbox_readings", "readings_total", "loop_lag", "vehicles_connected"):
        assert name in metrics, name


async def test_a_certificate_that_is_missing_is_named(make_rig: MakeRig) -> None:
    rig = await make_rig(certs_dir="/nowhere")
    agent = await rig.start_agent()
    await asyncio.to_thread(_until_logged, agent.log, f"/nowhere/{V1}.pem")


async def test_a_certificate_that_has_expired_is_named_with_its_end_and_the_mend(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    devca.ensure(tmp_path / "old", vehicles=[V1], now=wall_time() - timedelta(days=40))
    certs = tmp_path / "old" / "certs"
    rig = await make_rig(certs_dir=certs / "vehicles", ca=certs / "ca.pem")
    agent = await rig.start_agent()
    await asyncio.to_thread(_until_logged, agent.log, f"{certs}/vehicles/{V1}.pem expired at")


def _until_logged(log: Path, text: str, within_s: float = 20.0) -> None:
    until = time.monotonic() + within_s
    while text not in log.read_text():
        assert time.monotonic() < until, f"{text!r} is not in {log.read_text()}"
        time.sleep(0.05)
