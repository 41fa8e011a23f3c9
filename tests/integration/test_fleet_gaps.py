"""The gap ledger against real servers: what did not come is listed, what comes late is filled, whatever is killed."""

import random
import re
from collections.abc import Iterable

import grpc
import pytest
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2
from haul.link.v1.vehicle_link_service_pb2 import LostRange, SequenceRange
from haul.telemetry.v1 import telemetry_pb2

from ingest_gateway.dead_letters import Headers, lost_headers, reading_headers
from ingest_gateway.effects import Lost
from ingest_gateway.intake import DeadLetter
from ingest_gateway.validation import Fault
from pitwall.kafka_topics import DEAD_LETTER, TELEMETRY
from tests.integration.fleet_messages import BEGIN_S, CONNECTED, change, reading, window
from tests.integration.fleet_rig import (
    WITHIN_S,
    Caller,
    FleetProcess,
    Site,
    caller,
    database,
    eventually,
    fleet_process,
)
from tests.support.checker import Identity, ListedGap, wrong_gaps

FIRST, SECOND, THIRD = "KOMATSU-930E-701", "KOMATSU-980E-702", "KOMATSU-930E-703"
FOURTH = "KOMATSU-980E-704"
SOURCE = "ingest_gateway/gateway-1"
FAULT = Fault("speed_kph", "OUT_OF_RANGE", "speed_kph: 900 km/h is too fast")


def sampled(vehicle_id: str, *sequences: int, late_s: int = 0, **fields: int) -> list[telemetry_pb2.Reading]:
    """One a second from BEGIN_S on; taken at once, or so many seconds late."""
    made = [reading(vehicle_id, sequence, **fields) for sequence in sequences]
    for one in made:
        one.event_time.FromSeconds(BEGIN_S + one.sequence)
        one.received_time.FromSeconds(BEGIN_S + one.sequence + late_s)
    return made


def written(site: Site, vehicle_id: str, value: bytes, headers: Headers) -> None:
    """A letter as a gateway writes it."""
    site.producer.produce(DEAD_LETTER.name, value, vehicle_id, headers=dict(headers))
    assert site.producer.flush(WITHIN_S) == 0


def declared_lost(site: Site, vehicle_id: str, first: int, last: int) -> None:
    span = SequenceRange(first_sequence=first, last_sequence=last)
    record = LostRange(boot_epoch=1, range=span, reason="OUTBOX_FULL").SerializeToString()
    written(site, vehicle_id, record, lost_headers(SOURCE, vehicle_id, Lost(1, first, last, "OUTBOX_FULL", record)))


def rejected(site: Site, vehicle_id: str, sequence: int) -> None:
    letter = DeadLetter(sequence, b"as it came", FAULT)
    written(site, vehicle_id, letter.record, reading_headers(SOURCE, vehicle_id, 1, letter))


async def gaps(operator: Caller, text: str, **fields: object) -> list[vehicle_pb2.Gap]:
    request = fleet_pb2.ListGapsRequest(filter=text, **fields)  # type: ignore[arg-type]
    answer = await operator.call("ListGaps", request)
    return list(answer.gaps)


def spans(found: Iterable[vehicle_pb2.Gap]) -> list[tuple[int, int, str]]:
    names = (vehicle_pb2.GapState.Name(gap.state).removeprefix("GAP_STATE_") for gap in found)
    return [(g.first_sequence, g.last_sequence, name) for g, name in zip(found, names, strict=True)]


async def await_gaps(operator: Caller, vehicle_id: str, expected: list[tuple[int, int, str]], **fields: object) -> None:
    await eventually(
        lambda: gaps(operator, f"vehicle_id = {vehicle_id}", **fields), lambda g: spans(g) == expected, str(expected)
    )


async def test_what_did_not_come_is_listed_until_it_comes(fleet_site: Site, restarted_fleet: FleetProcess) -> None:
    fleet_site.readings(*sampled(FIRST, 1, 2, 3, 11, 12, 13))
    fleet_site.windows(window(FIRST, 0, 1, 6))
    hello = change(FIRST, 1, CONNECTED, last_sequence=15)
    hello.received_time.FromSeconds(BEGIN_S + 20)
    async with caller(restarted_fleet) as operator:
        await await_gaps(operator, FIRST, [(4, 10, "OPEN")])
        fleet_site.changes(hello)
        await await_gaps(operator, FIRST, [(4, 10, "OPEN"), (14, 15, "OPEN")])
        declared_lost(fleet_site, FIRST, 5, 6)
        rejected(fleet_site, FIRST, 9)
        fleet_site.send(DEAD_LETTER.name, b"of somebody else", key=FIRST)
        now = [(4, 4, "OPEN"), (5, 6, "LOST"), (7, 8, "OPEN"), (9, 9, "REJECTED"), (10, 10, "OPEN"), (14, 15, "OPEN")]
        await await_gaps(operator, FIRST, now)
        found = await gaps(operator, f"vehicle_id = {FIRST}")
        assert [gap.reason for gap in found] == ["", "OUTBOX_FULL", "", "OUT_OF_RANGE speed_kph", "", ""]
        first, tail = found[0], found[-1]
        assert (first.after_time.seconds, first.found_time.seconds) == (BEGIN_S + 3, BEGIN_S + 11)
        assert not first.HasField("closed_time")
        assert (tail.after_time.seconds, tail.before_time) == (BEGIN_S + 13, hello.received_time)
        await eventually(lambda: missing(operator), lambda counts: counts == [9], "nine of the first minute")
        restarted_fleet.end()
        restarted_fleet.start()
        restarted_fleet.await_healthy()
        await eventually(lambda: gaps(operator, f"vehicle_id = {FIRST}"), lambda g: g == found, "the same again")
        fleet_site.readings(*sampled(FIRST, 4, 7, 8, 10, late_s=60))
        await await_gaps(operator, FIRST, [(5, 6, "LOST"), (9, 9, "REJECTED"), (14, 15, "OPEN")])
        fleet_site.readings(*sampled(FIRST, 5, 6, 9, 14, 15, 16, late_s=3_600))
        await await_gaps(operator, FIRST, [])
        filled = [(4, 10, "FILLED"), (14, 15, "FILLED")]
        await await_gaps(operator, FIRST, filled, show_filled=True)
        assert await missing(operator) == [0]
        answer = await operator.call("ListGaps", fleet_pb2.ListGapsRequest())
        assert not answer.stale
    assert restarted_fleet.health()["parts"]["gap ledger"]["ok"]


async def missing(operator: Caller) -> list[int]:
    """Of each window of the first vehicle."""
    request = fleet_pb2.ListVehicleMetricsRequest(vehicle_id=FIRST)
    answer = await operator.call("ListVehicleMetrics", request)
    return [metrics.missing_count for metrics in answer.metrics if metrics.HasField("missing_count")]


async def test_it_is_right_against_the_vehicles_files_whenever_it_is_killed(
    fleet_site: Site, restarted_fleet: FleetProcess
) -> None:
    """Batches of five starts come in any order, some twice, some readings never; it is killed between, six times."""
    chance = random.Random(11)
    generated = [(SECOND, epoch, n) for epoch in range(1, 6) for n in range(1, 401)]
    never = {identity for identity in generated if identity[2] % 97 < 4 and 10 < identity[2] < 395}
    coming = [identity for identity in generated if identity not in never]
    batches = [coming[i : i + 20] for i in range(0, len(coming), 20)]
    batches += chance.sample(batches, 10)
    chance.shuffle(batches)
    parts = [[identity for batch in batches[i::6] for identity in batch] for i in range(6)]
    async with caller(restarted_fleet) as operator, database(fleet_site) as connection:

        async def stored_epochs() -> int:
            query = "SELECT count(*) FROM reading_epochs WHERE vehicle_id = $1 AND reader = 'fleet-1 gaps'"
            return int(await connection.fetchval(query, SECOND))

        for number, part in enumerate(parts):
            fleet_site.readings(*(one for _, epoch, n in part for one in sampled(SECOND, n, boot_epoch=epoch)))
            if number == 2:
                await eventually(stored_epochs, bool, "something is stored, and more comes behind it")
            restarted_fleet.end()
            restarted_fleet.start()
        restarted_fleet.await_healthy()

        async def wrong() -> list[str]:
            listed = [as_listed(gap) for gap in await gaps(operator, f"vehicle_id = {SECOND}", page_size=1_000)]
            return wrong_gaps(generated, set(coming), listed, all_of(generated))

        await eventually(wrong, lambda faults: faults == [], "as the files have it")
        fleet_site.readings(*(one for _, epoch, n in sorted(never) for one in sampled(SECOND, n, boot_epoch=epoch)))
        await await_gaps(operator, SECOND, [])
        await eventually(stored_epochs, lambda count: count == 5, "each start once")


def all_of(generated: Iterable[Identity]) -> dict[tuple[str, int], int]:
    return {(vehicle_id, epoch): n for vehicle_id, epoch, n in generated}


def as_listed(gap: vehicle_pb2.Gap) -> ListedGap:
    return ListedGap(gap.vehicle_id, gap.boot_epoch, gap.first_sequence, gap.last_sequence)


async def test_pages_filters_and_metrics(fleet_site: Site, fleet: FleetProcess) -> None:
    fleet_site.readings(*sampled(THIRD, *range(1, 60, 2)))
    declared_lost(fleet_site, THIRD, 2, 2)
    async with caller(fleet, "viewer") as viewer:
        expected = [(2, 2, "LOST"), *((n, n, "OPEN") for n in range(4, 59, 2))]
        await await_gaps(viewer, THIRD, expected)
        shown, token = [], ""
        for _ in range(10):
            request = fleet_pb2.ListGapsRequest(filter=f"vehicle_id = {THIRD}", page_size=10, page_token=token)
            page = await viewer.call("ListGaps", request)
            shown += page.gaps
            if not (token := page.next_page_token):
                break
        assert spans(shown) == expected
        assert len(await gaps(viewer, f"vehicle_id = {THIRD} AND state = OPEN")) == len(expected) - 1
        assert spans(await gaps(viewer, f"vehicle_id = {THIRD} AND state = GAP_STATE_LOST")) == [(2, 2, "LOST")]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await gaps(viewer, f"vehicle_id = {THIRD}", page_token=request.page_token, show_filled=True)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    await eventually(lambda: counted(fleet), lambda found: found >= {"open": 28, "lost": 1}, "the metrics")


class Counted(dict[str, float]):
    """At least as much of each state."""

    def __ge__(self, least: object) -> bool:
        assert isinstance(least, dict)
        return all(self.get(state, 0) >= count for state, count in least.items())


async def counted(fleet: FleetProcess) -> Counted:
    pattern = re.compile(r'pitwall_fleet_gap_readings\{.*state="(\w+)".*\} (\S+)')
    return Counted({m[1]: float(m[2]) for m in map(pattern.match, fleet.metrics()) if m})


async def test_a_ledger_that_begins_late_claims_nothing_of_what_kafka_had_deleted(
    fleet_site: Site, fleet: FleetProcess
) -> None:
    """The readings below are gone from Kafka when a second fleet service begins to read; the first has read them."""
    fleet_site.readings(*sampled(FOURTH, *range(1, 101)))
    async with caller(fleet) as operator:
        fleet_site.readings(*sampled(FOURTH, 103))
        await await_gaps(operator, FOURTH, [(101, 102, "OPEN")])
    delete_readings(fleet_site)
    fleet_site.readings(*sampled(FOURTH, 104, 107), *sampled(FOURTH, 3, boot_epoch=2))
    with fleet_process(fleet_site, "fleet-2") as late:
        async with caller(late) as operator:
            await await_gaps(operator, FOURTH, [(105, 106, "OPEN"), (1, 2, "OPEN")])
    async with caller(fleet) as operator:
        await await_gaps(operator, FOURTH, [(101, 102, "OPEN"), (105, 106, "OPEN"), (1, 2, "OPEN")])


def delete_readings(site: Site) -> None:
    """All that are there, as time does."""
    admin = AdminClient({"bootstrap.servers": site.stack.kafka_bootstrap})
    ends = [TopicPartition(TELEMETRY.name, number, OFFSET_END) for number in range(TELEMETRY.partitions)]
    for deleted in admin.delete_records(ends).values():
        deleted.result(WITHIN_S)
