"""The export: in order, nothing lost whatever Kafka refuses; the cursor stays behind what is delivered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError

from command_service.events import Record, StageReached, StopIssued
from command_service.export import Exporter, _Batch
from command_service.journal import Journal
from command_service.progress import Stage
from command_service.store import Reader, Store
from pitwall.clock import boottime_s
from pitwall.kafka import Delivery
from tests.unit.command_service.samples import NS, stop


class FakeBridge:
    """Delivers at once; refuses what it is told to, and everything after it, as the gapless guarantee does."""

    def __init__(self, kafka: "FakeKafka", on_delivered: Any) -> None:
        self._kafka, self._on_delivered = kafka, on_delivered
        self._fatal = False
        self._reports: list[Delivery[int]] = []
        kafka.producers += 1

    def produce(self, topic: str, key: str, value: bytes, token: int, headers: Any = None) -> None:
        if not self._fatal and token in self._kafka.refuses:
            self._kafka.refuses.discard(token)
            self._fatal = True
        refused = self._fatal
        if not refused:
            self._kafka.delivered.append((key, token))
        error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if refused else None
        self._reports.append(Delivery(token, error))
        if not self._kafka.is_slow:
            asyncio.get_running_loop().call_soon(self._report)

    def _report(self) -> None:
        reports, self._reports = self._reports, []
        self._on_delivered(reports)

    async def close(self, timeout_s: float) -> None:
        self._report()
        self._kafka.closed += 1


class FakeKafka:
    def __init__(self) -> None:
        self.delivered: list[tuple[str, int]] = []
        self.refuses: set[int] = set()
        self.producers = self.closed = 0
        #: It reports nothing before it is closed.
        self.is_slow = False

    def make(self, on_delivered: Any) -> Any:
        return FakeBridge(self, on_delivered)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal(Store.open(tmp_path / "journal.sqlite", "c1", first_start=True))
    yield journal
    await journal.close(5)


def exporter(journal: Journal, kafka: FakeKafka, exported: int = 0) -> Exporter:
    return Exporter(journal, Reader(journal._store.path), exported, kafka.make, "c1")


async def fill(journal: Journal, count: int) -> None:
    for number in range(count - 1):
        journal.note(Record(NS, "A", StageReached(f"s{number}", Stage.SENT, NS), "TRUCK-1"))
    await journal.append(Record(NS, "somebody", StopIssued(stop())))
    await reached(lambda: journal.sequence, count)


async def reached(read: Callable[[], int], sequence: int) -> None:
    deadline_s = boottime_s() + 10
    while read() < sequence:
        assert boottime_s() < deadline_s
        await asyncio.sleep(0.01)  # the writer is a thread of its own, and the exporter tells nobody


async def run_until(exporter: Exporter, sequence: int) -> None:
    task = asyncio.create_task(exporter.run())
    await reached(lambda: exporter.sequence, sequence)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_everything_goes_in_order_under_its_key(journal: Journal, tmp_path: Path) -> None:
    await fill(journal, 250)
    kafka = FakeKafka()
    await run_until(exporter(journal, kafka), 250)
    assert [token for _, token in kafka.delivered] == list(range(1, 251))
    assert {key for key, _ in kafka.delivered} == {"TRUCK-1", "c1"}
    assert (kafka.producers, kafka.closed) == (1, 1)
    await journal.close(5)
    store = Store.open(tmp_path / "journal.sqlite", "c1", first_start=False)
    assert store.exported == 250
    store.close()


async def test_it_goes_on_behind_what_was_delivered(journal: Journal) -> None:
    await fill(journal, 10)
    kafka = FakeKafka()
    await run_until(exporter(journal, kafka, exported=7), 10)
    assert [token for _, token in kafka.delivered] == [8, 9, 10]


async def test_what_is_delivered_while_the_process_ends_does_not_come_a_second_time(journal: Journal) -> None:
    await fill(journal, 3)
    kafka = FakeKafka()
    kafka.is_slow = True
    ending = exporter(journal, kafka)
    task = asyncio.create_task(ending.run())
    await reached(lambda: len(kafka.delivered), 3)
    assert ending.sequence == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ending.sequence == 3


async def test_what_kafka_refuses_is_sent_again_by_a_new_producer_from_there_on(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("command_service.export.jitter_s", lambda attempt: 0.0)
    await fill(journal, 10)
    kafka = FakeKafka()
    kafka.refuses = {4, 8}
    await run_until(exporter(journal, kafka), 10)
    assert [token for _, token in kafka.delivered] == list(range(1, 11))
    assert (kafka.producers, kafka.closed) == (3, 3)


async def test_what_was_delivered_behind_a_gap_does_not_count() -> None:
    batch = _Batch()
    done = batch.start([4, 5, 6])
    refused = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    batch.delivered([Delivery(4, None), Delivery(5, refused)])
    assert not done.is_set()
    batch.delivered([Delivery(6, None)])
    assert done.is_set()
    assert batch.delivered_up_to(3) == 4
    assert batch.refused


async def test_it_says_how_far_behind_it_is(journal: Journal) -> None:
    await fill(journal, 3)
    behind = exporter(journal, FakeKafka())
    assert behind.behind == 3
    assert behind.healthy
    assert behind.detail == "3 records behind"
    behind._progress_s -= 60
    assert not behind.healthy
