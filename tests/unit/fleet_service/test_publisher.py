"""The loop between PostgreSQL and Kafka, without either: what is sent when, and what is said while it is not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from confluent_kafka import KafkaError

from fleet_service import publisher as publisher_module
from fleet_service import tables
from fleet_service.fleet import Fleet
from fleet_service.publication import Record, record_of
from fleet_service.publisher import Publisher
from fleet_service.registry import Entry, first_seen
from fleet_service.sender import OnDelivered, Sender
from fleet_service.store import DatabaseAway
from pitwall.kafka import Delivery, Headers
from pitwall.kafka_topics import REGISTRY

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
V, W = "KOMATSU-930E-001", "KOMATSU-980E-002"
BEHIND = (REGISTRY.name, 0)


@dataclass
class Rig:
    """A publisher whose topic is read, rows that PostgreSQL has, and what was sent."""

    rows: dict[str, Entry] = field(default_factory=dict)
    sent: list[list[Record]] = field(default_factory=list)
    refuse: list[set[str]] = field(default_factory=list)
    away: str = ""
    asked: int = 0

    def __post_init__(self) -> None:
        self.fleet = Fleet(lambda: NOON)
        self.publisher = Publisher(self.fleet, self, "127.0.0.1:1", "fleet-1")  # type: ignore[arg-type]  # its connection
        self.publisher._sender = self  # type: ignore[assignment]  # sends
        self.publisher.intake._watch.on_answer()
        self.publisher.intake.caught_up.set()
        self.trouble: str | None = None

    def change(self, *entries: Entry) -> None:
        for entry in entries:
            self.rows[entry.vehicle_id] = entry
            self.fleet.put_entry(entry)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Rig"]:
        self.asked += 1
        if self.away:
            raise DatabaseAway(self.away)
        yield self

    async def send(self, records: Sequence[Record]) -> dict[str, str]:
        self.sent.append(list(records))
        refused = self.refuse.pop(0) if self.refuse else set()
        return dict.fromkeys(refused, "Broker: Message size too large")

    async def passes(self, count: int) -> None:
        """So many looks at what has changed."""
        for _ in range(count):
            self.publisher._look()
            await self.publisher._send_some()

    async def read_back(self, *, next_offset: int) -> None:
        records = [(r.vehicle_id.encode(), r.value) for r in self.sent[-1]]
        await self.publisher._hear(records, {BEHIND: next_offset})


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    async def entries(connection: Rig, vehicle_ids: Sequence[str]) -> list[Entry]:
        return [connection.rows[v] for v in vehicle_ids if v in connection.rows]

    monkeypatch.setattr(tables, "entries", entries)
    monkeypatch.setattr(publisher_module, "LOOK_S", 0.001)
    monkeypatch.setattr(publisher_module, "jitter_s", lambda attempt: 0.001)
    return Rig()


async def test_what_has_changed_is_sent_once_and_settled_when_it_has_been_read_back(rig: Rig) -> None:
    rig.change(first_seen(V, NOON), first_seen(W, NOON))
    await rig.passes(3)
    assert [sorted(record.vehicle_id for record in batch) for batch in rig.sent] == [[V, W]]
    assert (len(rig.sent), rig.publisher.detail) == (1, "2 entries wait")
    await rig.read_back(next_offset=2)
    await rig.passes(2)
    assert (len(rig.sent), rig.publisher.detail) == (1, "0 entries wait")


async def test_nothing_is_sent_before_the_topic_has_been_read(rig: Rig) -> None:
    rig.publisher.intake.caught_up.clear()
    rig.change(first_seen(V, NOON))
    await rig.passes(2)
    assert (rig.sent, rig.asked, rig.publisher.publication.waiting) == ([], 0, 1)


async def test_what_changes_while_it_is_sent_goes_out_behind_it(rig: Rig) -> None:
    rig.change(first := first_seen(V, NOON))
    await rig.passes(1)
    rig.change(second := replace(first, revision=2, delete_time=NOON))
    await rig.read_back(next_offset=1)
    await rig.passes(1)
    assert [batch[0].value for batch in rig.sent] == [record_of(first), record_of(second)]


async def test_a_topic_that_begins_again_is_filled_again(rig: Rig) -> None:
    rig.change(first_seen(V, NOON), first_seen(W, NOON))
    await rig.passes(1)
    await rig.read_back(next_offset=20)
    await rig.passes(1)
    await rig.publisher._hear([(W.encode(), record_of(rig.rows[W]))], {BEHIND: 1})
    await rig.passes(1)
    assert [record.vehicle_id for record in rig.sent[-1]] == [V]


async def test_it_goes_on_trying_and_says_why_it_has_to(rig: Rig) -> None:
    rig.refuse, rig.away = [{V}], "PostgreSQL does not answer"
    rig.change(first_seen(V, NOON))
    working = asyncio.create_task(rig.publisher._publish())
    try:
        await until(lambda: rig.publisher.trouble == "PostgreSQL does not answer" and rig.asked > 2)
        rig.away = ""
        await until(lambda: len(rig.sent) == 2)
        await rig.read_back(next_offset=1)
        await until(lambda: rig.publisher.detail == "0 entries wait")
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
    assert rig.sent[0] == rig.sent[1]


async def test_a_refusal_is_told(rig: Rig) -> None:
    rig.refuse = [{V}]
    rig.change(first_seen(V, NOON))
    with pytest.raises(publisher_module.NotDelivered, match="refuses 1 of 1 records: Broker: Message size too large"):
        await rig.passes(1)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - of what is within, nothing tells
            await asyncio.sleep(0.001)


class Bridge:
    """In the place of a DeliveryBridge: reports when it is told to."""

    def __init__(self, on_delivered: OnDelivered) -> None:
        self.on_delivered, self.closed, self.trouble = on_delivered, False, "a broker hangs"
        self.records: list[tuple[str, str, bytes | None, bytes]] = []

    def produce(self, topic: str, key: str, value: bytes | None, token: str, headers: Headers) -> None:
        self.records.append((topic, key, value, dict(headers)["ce_id"]))

    def report(self, *tokens: str, error: KafkaError | None = None) -> None:
        self.on_delivered([Delivery(token, error) for token in tokens])

    async def close(self, timeout_s: float) -> None:
        self.closed = True


async def test_a_batch_is_over_when_there_is_a_report_of_each_and_a_refusal_costs_the_producer() -> None:
    made: list[Bridge] = []

    def make(on_delivered: OnDelivered) -> Bridge:
        made.append(Bridge(on_delivered))
        return made[-1]

    sender = Sender(make, "fleet-1")  # type: ignore[arg-type]  # what it uses of a bridge
    assert sender.trouble is None
    sending = asyncio.create_task(sender.send([Record(V, b"v", 3), Record(W, None, 4)]))
    await asyncio.sleep(0)
    assert made[0].records == [(REGISTRY.name, V, b"v", f"{V}:3".encode()), (REGISTRY.name, W, None, f"{W}:4".encode())]
    assert sender.trouble == "a broker hangs"
    made[0].report(V)
    await asyncio.sleep(0)
    assert not sending.done()
    made[0].report(W, error=KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    refused = await sending
    assert (list(refused), made[0].closed, sender.trouble) == ([W], True, None)
    sending = asyncio.create_task(sender.send([Record(W, None, 4)]))
    await asyncio.sleep(0)
    made[1].report(W)
    assert await sending == {}
    assert not made[1].closed
