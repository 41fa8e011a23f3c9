"""Readings into a real Kafka that takes, hangs and dies: none missing, none twice, and nobody waits for it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import grpc
import pytest
from haul.link.v1 import vehicle_link_service_pb2 as pb
from haul.telemetry.v1.telemetry_pb2 import Connectivity, Reading, StatusChange

from ingest_gateway.limits import LOST_WITHIN_S, MAX_READINGS_PER_BATCH
from pitwall import wire
from pitwall.clock import boottime_s
from pitwall.kafka_topics import ensure_topics
from pitwall.reading import content_crc32
from tests.integration.gateway_rig import (
    OTHER,
    VEHICLE,
    GatewayProcess,
    RawCommand,
    RawVehicle,
    fleet_stop,
    gateway,
    make_home,
    serving,
    welcomed,
)
from tests.integration.stacks import RunningStack
from tests.support.checker import Identity, compare
from tests.support.topics import records

WINDOW, LENT = 200, 800
#: Far less than Kafka is away, and enough for a machine with other work.
STOP_WITHIN_S = 0.5
#: How long Kafka is away in these tests. The minutes of the issue are for the tests of the whole stack.
AWAY_S = 12.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("gateway"))


@dataclass
class Site:
    home: Path
    command: RawCommand
    gateway: GatewayProcess
    address: str
    kafka: RunningStack


@pytest.fixture
async def site(home: Path, tmp_path: Path, kafka: RunningStack) -> AsyncIterator[Site]:
    await asyncio.to_thread(ensure_topics, kafka.kafka_bootstrap)
    async with (
        serving(home, "command-1") as (command, address),
        gateway(home, tmp_path, [address], kafka.kafka_bootstrap) as running,
    ):
        yield Site(home, command, running, await running.address(), kafka)


@dataclass
class Journey:
    """What one vehicle generates, and has to find in Kafka once it is acknowledged."""

    driven: RawVehicle
    generated: dict[int, bytes] = field(default_factory=dict)

    def make(self, count: int) -> list[Reading]:
        first = len(self.generated) + 1
        made = [self.driven.reading(sequence) for sequence in range(first, first + count)]
        self.generated |= {reading.sequence: reading.SerializeToString() for reading in made}
        return made

    @property
    def unacked(self) -> list[int]:
        return [sequence for sequence in self.generated if sequence not in self.driven.acked]

    async def offer_again(self) -> None:
        """As an agent does at a new stream or at the end of a Throttle: the oldest first, a window full."""
        for batch in batches(self.unacked[:WINDOW]):
            await self.driven.offer(Reading.FromString(self.generated[sequence]) for sequence in batch)

    async def all_acked(self, within_s: float = 60.0) -> None:
        await self.driven.until(lambda: not self.unacked, f"acks for {len(self.generated)}", within_s)

    @property
    def identities(self) -> list[tuple[Identity, int]]:
        vehicle, epoch = self.driven.vehicle_id, self.driven.boot_epoch
        return [((vehicle, epoch, s), content_crc32(Reading.FromString(data))) for s, data in self.generated.items()]


def batches(sequences: list[int]) -> Iterable[list[int]]:
    for start in range(0, len(sequences), MAX_READINGS_PER_BATCH):
        yield sequences[start : start + MAX_READINGS_PER_BATCH]


def in_kafka(site: Site, driven: RawVehicle) -> list[tuple[Identity, int]]:
    """Of this vehicle in this boot epoch."""
    found = (Reading.FromString(message.value() or b"") for message in records(site.kafka.kafka_bootstrap, TELEMETRY))
    mine = [r for r in found if (r.vehicle_id, r.boot_epoch) == (driven.vehicle_id, driven.boot_epoch)]
    assert all(r.event_time.ToNanoseconds() <= r.received_time.ToNanoseconds() for r in mine)
    return [((r.vehicle_id, r.boot_epoch, r.sequence), content_crc32(r)) for r in mine]


TELEMETRY = "vehicle-telemetry"


async def compared(site: Site, journey: Journey, *bad: int) -> None:
    """None missing, none twice, none changed; but for the bad ones, which are not there."""
    expected = [(identity, crc) for identity, crc in journey.identities if identity[2] not in bad]
    found = await asyncio.to_thread(in_kafka, site, journey.driven)
    verdict = compare(expected, found)
    assert verdict.clean, str(verdict)


async def test_the_good_go_in_once_and_the_bad_are_named_and_kept_as_they_were(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        journey, bad = Journey(driven), dict[int, bytes]()
        for round_ in range(10):
            made = journey.make(100)
            worst = made[round_]
            worst.latitude_degrees = 200.0
            bad[worst.sequence] = worst.SerializeToString()
            await driven.offer(made)
            await journey.all_acked()
        assert sorted(each.sequence for each in driven.rejections) == sorted(bad)
        assert {(each.field, each.reason) for each in driven.rejections} == {("latitude_degrees", "OUT_OF_RANGE")}
        await compared(site, journey, *bad)
        letters = await asyncio.to_thread(dead_letters, site, driven)
    assert {sequence: value for sequence, (value, _) in letters.items()} == bad
    for _, headers in letters.values():
        assert headers["dl_where"] == "ingest_gateway/gateway-1"
        assert headers["dl_field"] == "latitude_degrees"
        assert "200" in headers["dl_message"]


async def test_who_brings_history_is_lent_room_and_all_of_it_arrives(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        assert (await driven.frame("welcome")).max_unacked_readings == WINDOW
        journey = Journey(driven)
        await driven.offer(as_history(journey.make(100)))
        await journey.all_acked()
        told = [ack.max_unacked_readings for ack in driven.of("reading_ack") if ack.HasField("max_unacked_readings")]
        assert told == [WINDOW + LENT]
        for _ in range((WINDOW + LENT) // 100):
            await driven.offer(as_history(journey.make(100)))
        await journey.all_acked()
        assert driven.of("throttle") == []
        await compared(site, journey)
        assert await site.gateway.metric("pitwall_gateway_loans") == 1


def as_history(made: list[Reading]) -> list[Reading]:
    for reading in made:
        reading.backfilled = True
    return made


def dead_letters(site: Site, driven: RawVehicle) -> dict[int, tuple[bytes, dict[str, str]]]:
    found = {}
    for message in records(site.kafka.kafka_bootstrap, "dead-letter-topic"):
        headers = {name: value.decode() for name, value in cast("list[tuple[str, bytes]]", message.headers())}
        vehicle_id, epoch, sequence = headers["ce_id"].split(":")
        if (vehicle_id, int(epoch)) == (driven.vehicle_id, driven.boot_epoch):
            found[int(sequence)] = (message.value() or b"", headers)
    return found


async def test_repeats_and_jumps_and_an_hour_ahead(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        journey = Journey(driven)
        made = journey.make(20)
        for reading in made[10:]:
            reading.event_time.seconds += 3600
            journey.generated[reading.sequence] = reading.SerializeToString()
        await driven.offer(made[:5])
        await driven.offer(made[10:])
        await driven.offer(made[:10])
        await journey.all_acked()
        driven.acked.clear()
        await driven.offer(made[:10])
        await driven.until(lambda: driven.acked >= set(range(1, 11)), "acks once more")
        await compared(site, journey)
    for outcome, count in {"duplicate": 15, "accepted": 20}.items():
        assert await site.gateway.metric("pitwall_gateway_readings_total", outcome=outcome) == count
    for kind, count in {"skipped": 5, "corrected": 10}.items():
        assert await site.gateway.metric(f"pitwall_gateway_readings_{kind}_total") == count


async def test_unknown_stays_unknown(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        bare = driven.reading(1)
        bare.ClearField("speed_kph")
        await driven.offer([bare])
        await driven.until(lambda: driven.acked == {1}, "the ack")
        found = [
            reading
            for message in await asyncio.to_thread(lambda: list(records(site.kafka.kafka_bootstrap, TELEMETRY)))
            if (reading := Reading.FromString(message.value() or b"")).boot_epoch == driven.boot_epoch
        ]
    (reading,) = found
    assert not reading.HasField("speed_kph")
    assert not reading.HasField("payload_tons")


@asynccontextmanager
async def driving(journey: Journey, per_s: int = 100) -> AsyncIterator[None]:
    """Offers new readings all the time, within the window, and waits when it is asked to."""

    async def drive() -> None:
        throttles = 0
        while True:
            await asyncio.sleep(0.1)
            if len(journey.driven.of("throttle")) > throttles:
                throttles = len(journey.driven.of("throttle"))
                await asyncio.sleep(1.0)
                await journey.offer_again()
            if len(journey.unacked) + per_s // 10 <= WINDOW:
                await journey.driven.offer(journey.make(per_s // 10))
            else:
                await journey.driven.beat()

    task = asyncio.create_task(drive())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def stop_path_works(site: Site, driven: RawVehicle, stop_id: str) -> None:
    """Permits come, and a stop is down at once."""
    permit = await driven.permit()
    assert wire.to_seconds(permit.ttl) > 0
    said_s, before = boottime_s(), len(driven.of("stop_set"))
    await site.command.push(fleet_stop(stop_id))
    await driven.frame("stop_set", before + 1)
    assert boottime_s() - said_s < STOP_WITHIN_S
    assert (await driven.permit()).denial == pb.PERMIT_DENIAL_STOPPED


@pytest.mark.alone
@pytest.mark.parametrize("away", ["hung", pytest.param("dead", marks=pytest.mark.chaos)])
async def test_kafka_away_delays_readings_and_nothing_else(site: Site, away: str) -> None:
    async with welcomed(site.home, site.address) as driven:
        journey = Journey(driven)
        async with driving(journey):
            await driven.until(lambda: len(driven.acked) >= 100, "a first hundred acks")
            await driven.permitted()
            _take_away(site.kafka, away)
            try:
                gone_s = boottime_s()
                await driven.until(lambda: len(journey.unacked) > WINDOW // 2, "a backlog")
                await stop_path_works(site, driven, f"while-{away}")
                before = site.gateway.resident_bytes()
                await asyncio.sleep(max(0.0, AWAY_S - (boottime_s() - gone_s)))
                assert site.gateway.resident_bytes() - before < 10 * 1024 * 1024
            finally:
                await asyncio.to_thread(_bring_back, site.kafka, away)
            count = len(journey.generated) + 100
            await driven.until(lambda: len(driven.acked) >= count, "acks again", 60)
        await journey.all_acked()
        await compared(site, journey)


def _take_away(kafka: RunningStack, how: str) -> None:
    if how == "hung":
        kafka.hang("kafka")
    else:
        kafka.supervisor.stop("kafka")


def _bring_back(kafka: RunningStack, how: str) -> None:
    if how == "hung":
        kafka.wake("kafka")
    else:
        kafka.supervisor.start("kafka")
        kafka.await_healthy("kafka")


async def test_a_vehicle_that_sends_on_and_on_is_asked_to_wait_and_then_closed(site: Site) -> None:
    async with welcomed(site.home, site.address, OTHER) as patient, welcomed(site.home, site.address) as greedy:
        calm, journey = Journey(patient), Journey(greedy)
        site.kafka.hang("kafka")
        try:
            await patient.offer(calm.make(50))
            while not greedy.ended:
                await greedy.offer(journey.make(MAX_READINGS_PER_BATCH))
                await judged(site, greedy, len(calm.generated) + len(journey.generated))
            error = await greedy.end()
            assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "THROTTLE_IGNORED")
            assert greedy.of("throttle")[0].reason == "UNACKED_READINGS"
            assert await site.gateway.metric("pitwall_kafka_in_flight_records") <= WINDOW + 50 + 10
        finally:
            site.kafka.wake("kafka")
        await calm.all_acked()
        await compared(site, calm)


async def judged(site: Site, driven: RawVehicle, count: int) -> None:
    """So many readings have been counted, whatever became of them, or the stream has ended for the last ones.

    Nothing is offered before: a write that meets the end of its stream ends it as INTERNAL.
    """
    while await site.gateway.metric("pitwall_gateway_readings_total") < count and not driven.ended:
        pass


async def test_a_gateway_that_is_killed_loses_nothing(home: Path, tmp_path: Path, kafka: RunningStack) -> None:
    """What was in flight may come twice then, by identity; nothing is missing."""
    await asyncio.to_thread(ensure_topics, kafka.kafka_bootstrap)
    async with (
        serving(home, "command-1") as (command, address),
        gateway(home, tmp_path, [address], kafka.kafka_bootstrap) as running,
    ):
        async with welcomed(home, await running.address()) as first:
            journey = Journey(first)
            async with driving(journey):
                await first.until(lambda: len(first.acked) >= 100, "a hundred acks")
                await first.offer(journey.make(100))
                await running.end(signal.SIGKILL)
        running.start()
        site = Site(home, command, running, await running.address(), kafka)
        async with welcomed(home, site.address, boot_epoch=first.boot_epoch, connect_count=2) as second:
            second.acked |= first.acked
            journey.driven = second
            await journey.offer_again()
            await journey.all_acked()
            found = {identity for identity, _ in await asyncio.to_thread(in_kafka, site, second)}
    assert found == {identity for identity, _ in journey.identities}


async def test_a_vehicle_that_reconnects_is_not_written_twice(site: Site) -> None:
    """While Kafka is away: what an earlier stream left in flight is known, and acknowledged on the new one."""
    async with welcomed(site.home, site.address) as first:
        journey = Journey(first)
        site.kafka.hang("kafka")
        try:
            await first.offer(journey.make(80))
            await first.permit()
            async with welcomed(site.home, site.address, boot_epoch=first.boot_epoch, connect_count=2) as second:
                journey.driven = second
                await second.offer(Reading.FromString(data) for data in journey.generated.values())
                await second.offer(journey.make(20))
                await second.permit()
                site.kafka.wake("kafka")
                await journey.all_acked()
                await compared(site, journey)
        finally:
            site.kafka.wake("kafka")
    assert await site.gateway.metric("pitwall_gateway_readings_total", outcome="duplicate") == 80


async def test_connectivity_and_status_are_published(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        report = pb.ConnectRequest()
        report.status_report.status, report.status_report.motion_hold = 9, 4  # type: ignore[assignment]
        report.status_report.cause = "stop s-1"
        await driven.send(report)
        await driven.permit()
    ended_s = boottime_s()
    while len(changes := await asyncio.to_thread(status_changes, site, driven)) < 3:
        assert boottime_s() - ended_s < LOST_WITHIN_S + 5
    connected, stopped, lost = changes
    assert (connected.connectivity, connected.status) == (Connectivity.CONNECTIVITY_CONNECTED, 4)
    assert (stopped.status, stopped.motion_hold, stopped.cause) == (9, 4, "stop s-1")
    assert (lost.connectivity, lost.status) == (Connectivity.CONNECTIVITY_LOST, 9)
    assert len({change.change_id for change in changes}) == 3


def status_changes(site: Site, driven: RawVehicle) -> list[StatusChange]:
    found = [
        StatusChange.FromString(message.value() or b"")
        for message in records(site.kafka.kafka_bootstrap, "vehicle-status-change")
    ]
    return [change for change in found if (change.vehicle_id, change.boot_epoch) == (VEHICLE, driven.boot_epoch)]


async def test_a_declared_loss_is_kept_and_acknowledged(site: Site) -> None:
    async with welcomed(site.home, site.address) as driven:
        frame = pb.ConnectRequest()
        frame.lost_range.boot_epoch, frame.lost_range.reason = driven.boot_epoch, "OUTBOX_FULL"
        frame.lost_range.range.first_sequence, frame.lost_range.range.last_sequence = 7, 9
        await driven.send(frame)
        await driven.until(lambda: driven.acked == {7, 8, 9}, "the ack")
        letters = [
            message.value()
            for message in await asyncio.to_thread(
                lambda: list(records(site.kafka.kafka_bootstrap, "dead-letter-topic"))
            )
            if ("ce_type", b"haul.link.v1.LostRange") in (message.headers() or [])
        ]
    assert frame.lost_range.SerializeToString() in letters
