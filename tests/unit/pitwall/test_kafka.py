"""The bridge's own promises, with a producer that does as it is told: every token back once, room, closing."""

import asyncio
import json
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from pitwall import kafka
from pitwall.kafka import Delivery, DeliveryBridge, NoRoom, producer_config
from pitwall.kafka_producer import MAX_IN_FLIGHT, BrokerWatch
from pitwall.kafka_topics import OUTBOX_RETENTION_DAYS, TOPICS, topic_config

Callback = Callable[[KafkaError | None, Any], None]
REFUSED = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
PURGED = KafkaError(KafkaError._PURGE_QUEUE)


@dataclass(frozen=True)
class Reported:
    """A record as a delivery report has it."""

    data: bytes

    def value(self) -> bytes:
        return self.data


class FakeProducer:
    """librdkafka's outside: callbacks run within poll(), in the thread that calls it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.callbacks: list[Callback] = []
        self.values: list[bytes] = []
        self.fail: BaseException | None = None
        self.headers: list[object] = []
        self._polls: queue.Queue[list[tuple[Callback, KafkaError | None, bytes]] | KafkaError] = queue.Queue()
        self._unreported = 0
        self.polling_threads: set[int] = set()

    def produce(
        self, topic: str, value: bytes, key: str, partition: int, callback: Callback, headers: object = None
    ) -> None:
        if self.fail is not None:
            raise self.fail
        self.callbacks.append(callback)
        self.values.append(value)
        self.headers.append(headers)
        self._unreported += 1

    def report(self, *numbers: int, error: KafkaError | None = None) -> None:
        """The reports of these records, counted from 0, are what one poll finds."""
        self._polls.put([(self.callbacks[number], error, self.values[number]) for number in numbers])

    def break_down(self, error: KafkaError) -> None:
        """One poll raises this."""
        self._polls.put(error)

    def poll(self, timeout: float) -> int:
        self.polling_threads.add(threading.get_ident())
        try:
            found = self._polls.get(timeout=timeout)
        except queue.Empty:
            return 0
        if isinstance(found, KafkaError):
            raise KafkaException(found)
        for callback, error, value in found:
            self._unreported -= 1
            callback(error, Reported(value))
        return len(found)

    def purge(self) -> None:
        first = len(self.callbacks) - self._unreported
        self._polls.put([(c, PURGED, v) for c, v in zip(self.callbacks[first:], self.values[first:], strict=True)])

    def __len__(self) -> int:
        return self._unreported


@dataclass
class Rig:
    """A bridge over a fake producer, and what came back."""

    max_in_flight: int = 3
    lists: list[list[Delivery[str]]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        def make(config: dict[str, Any]) -> Any:
            self.producer = FakeProducer(config)
            return self.producer

        self.bridge: DeliveryBridge[str] = DeliveryBridge(
            {}, self._take, max_in_flight=self.max_in_flight, make_producer=make
        )

    def _take(self, deliveries: list[Delivery[str]]) -> None:
        self.lists.append(deliveries)
        self.came.set()

    def produce(self, *tokens: str) -> None:
        for token in tokens:
            self.bridge.produce("topic", "key", b"value", token)

    async def next_list(self) -> list[Delivery[str]]:
        await asyncio.wait_for(self.came.wait(), 5)
        self.came.clear()
        return self.lists[-1]


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(kafka, "POLL_S", 0.01)
    rig = Rig()
    yield rig
    await rig.bridge.close(0)


async def test_reports_of_one_poll_come_back_as_one_list(rig: Rig) -> None:
    rig.produce("a", "b", "c")
    rig.producer.report(0, 1, 2)
    assert await rig.next_list() == [Delivery("a", None), Delivery("b", None), Delivery("c", None)]
    assert len(rig.lists) == 1


async def test_of_many_reports_so_many_are_told_in_one_turn_of_the_loop_and_all_before_it_is_closed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "REPORTS_AT_ONCE", 2)
    rig.bridge._max_in_flight = 7
    rig.produce(*"abcdefg")
    turns: list[int] = []

    async def others() -> None:
        while len(rig.lists) < 3:
            turns.append(len(rig.lists))
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    rig.producer.report(0, 1, 2, 3, 4)
    await asyncio.wait_for(task, 5)
    assert [len(told) for told in rig.lists] == [2, 2, 1]
    assert {1, 2} <= set(turns), "others had their turn in between"
    rig.produce(*"hij")
    await rig.bridge.close(0)
    assert [len(told) for told in rig.lists] == [2, 2, 1, 2, 2, 1]
    assert rig.bridge.in_flight == 0


async def test_a_refused_record_is_an_error_for_its_own_token_alone(rig: Rig) -> None:
    rig.produce("a", "b", "c")
    rig.producer.report(1, error=REFUSED)
    assert [(delivery.token, delivery.error) for delivery in await rig.next_list()] == [("b", REFUSED)]
    rig.producer.report(0, 2)
    assert [delivery.token for delivery in await rig.next_list()] == ["a", "c"]


async def test_what_is_handed_over_together_comes_back_once_when_the_last_report_is_in(rig: Rig) -> None:
    assert rig.bridge.produce_all("topic", "key", [b"1", b"2", b"3"], "all") == 3
    assert rig.producer.values == [b"1", b"2", b"3"]
    rig.producer.report(0, 2)
    assert await rig.next_list() == []
    assert rig.bridge.in_flight == 1
    rig.producer.report(1)
    assert await rig.next_list() == [Delivery("all", None)]
    assert rig.bridge.in_flight == 0


async def test_one_of_many_that_fails_is_told_by_its_value_and_before_the_others(rig: Rig) -> None:
    rig.bridge.produce_all("topic", "key", [b"1", b"2", b"3"], "all")
    rig.producer.report(2)
    assert await rig.next_list() == []
    rig.producer.report(1, error=REFUSED)
    assert await rig.next_list() == [Delivery("all", REFUSED, b"2")]
    rig.producer.report(0)
    assert await rig.next_list() == [Delivery("all", None)]


async def test_where_all_fail_the_end_is_told_all_the_same(rig: Rig) -> None:
    rig.bridge.produce_all("topic", "key", [b"1", b"2"], "all")
    rig.producer.report(0, 1, error=REFUSED)
    assert await rig.next_list() == [
        Delivery("all", REFUSED, b"1"),
        Delivery("all", REFUSED, b"2"),
        Delivery("all", None),
    ]


async def test_together_as_many_are_taken_as_there_is_room_for(rig: Rig) -> None:
    rig.produce("a")
    assert rig.bridge.produce_all("topic", "key", [b"1", b"2", b"3"], "some") == 2
    assert rig.bridge.produce_all("topic", "key", [b"4"], "none") == 0
    assert rig.producer.values == [b"value", b"1", b"2"]
    rig.producer.report(1, 2)
    assert await rig.next_list() == [Delivery("some", None)]
    assert rig.bridge.room == 2


@pytest.mark.parametrize("raised", [KafkaException(REFUSED), BufferError()])
async def test_what_librdkafka_refuses_at_once_of_many_comes_back_as_failed(rig: Rig, raised: Exception) -> None:
    rig.producer.fail = raised
    assert rig.bridge.produce_all("topic", "key", [b"1", b"2"], "all") == 2
    await rig.next_list()
    while len(rig.lists) < 2:
        await rig.next_list()
    (first,), (second, last) = rig.lists
    assert [(each.error is not None, each.value) for each in (first, second, last)] == [
        (True, b"1"),
        (True, b"2"),
        (False, None),
    ]
    assert rig.bridge.in_flight == 0


async def test_what_librdkafka_refuses_at_once_comes_back_as_an_error_too(rig: Rig) -> None:
    rig.producer.fail = KafkaException(REFUSED)
    rig.produce("a")
    assert rig.lists == []
    assert await rig.next_list() == [Delivery("a", REFUSED)]
    assert rig.bridge.in_flight == 0


async def test_a_fatal_error_ends_the_bridge_and_all_that_it_holds_comes_back() -> None:
    """The real library, against a broker of its own that is too old for an idempotent producer."""
    told: list[Delivery[str]] = []
    came = asyncio.Event()

    def take(deliveries: list[Delivery[str]]) -> None:
        told.extend(deliveries)
        came.set()

    too_old = {"test.mock.num.brokers": 1, "api.version.request": False, "broker.version.fallback": "0.9.0"}
    bridge: DeliveryBridge[str] = DeliveryBridge(producer_config("any:9092", "test") | too_old, take)
    bridge.produce("topic", "key", b"value", "one")
    assert bridge.produce_all("topic", "key", [b"1", b"2"], "two") == 2
    waiting = asyncio.create_task(bridge.wait_room(MAX_IN_FLIGHT))
    async with asyncio.timeout(20):
        while bridge.in_flight:
            came.clear()
            await came.wait()
    assert [(each.token, each.error is None) for each in told] == [
        ("one", False),
        ("two", False),
        ("two", False),
        ("two", True),
    ]
    assert bridge.broken
    assert "broken for good" in (bridge.trouble or "")
    with pytest.raises(NoRoom):
        bridge.produce("topic", "key", b"value", "three")
    with pytest.raises(NoRoom, match="broken"):
        await waiting
    await bridge.close(0)


async def broken_with_one_record(monkeypatch: pytest.MonkeyPatch, purge: Callable[[], None]) -> Rig:
    """Its library purges nothing for now."""
    monkeypatch.setattr(kafka, "POLL_S", 0.01)
    monkeypatch.setattr(kafka, "PURGE_S", 0.0)
    rig = Rig()
    rig.produce("a")
    monkeypatch.setattr(rig.producer, "purge", purge)
    rig.producer.break_down(KafkaError(KafkaError._FATAL, "no more", fatal=True))
    assert await rig.next_list() == []
    return rig


async def test_what_a_broken_bridge_holds_comes_back_however_long_the_library_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A purge is a wish that each broker's thread gets when it has time, after looking for a host's address say."""
    purged = threading.Event()
    rig = await broken_with_one_record(monkeypatch, purged.set)
    await asyncio.to_thread(purged.wait, 5)
    await asyncio.sleep(0.05)
    rig.producer.report(0, error=PURGED)
    assert [(told.token, told.error) for told in await rig.next_list()] == [("a", PURGED)]
    await rig.bridge.close(0)


async def test_a_broken_bridge_that_is_closed_waits_for_the_library_no_longer_than_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = await broken_with_one_record(monkeypatch, lambda: None)
    await asyncio.wait_for(rig.bridge.close(0.02), 5)
    assert rig.bridge.in_flight == 1


async def test_an_idle_bridge_tells_that_it_is_broken(rig: Rig) -> None:
    rig.producer.break_down(KafkaError(KafkaError._FATAL, "no more", fatal=True))
    assert await rig.next_list() == []
    assert rig.bridge.broken
    assert rig.bridge.room == 0


async def test_what_poll_raises_and_is_not_fatal_is_trouble_and_no_end(rig: Rig) -> None:
    rig.produce("a")
    rig.producer.break_down(KafkaError(KafkaError._TRANSPORT, "for a moment"))
    rig.producer.report(0)
    assert await rig.next_list() == [Delivery("a", None)]
    assert not rig.bridge.broken


async def test_room_is_what_is_not_in_flight(rig: Rig) -> None:
    assert (rig.bridge.room, rig.bridge.has_room) == (3, True)
    rig.produce("a", "b", "c")
    assert (rig.bridge.room, rig.bridge.has_room, rig.bridge.in_flight) == (0, False, 3)
    with pytest.raises(NoRoom, match="3 records are in flight"):
        rig.produce("d")
    rig.producer.report(0)
    await rig.next_list()
    assert rig.bridge.room == 1
    assert [delivery.token for deliveries in rig.lists for delivery in deliveries] == ["a"]


async def test_a_full_queue_of_librdkafka_is_no_room_and_the_token_stays_with_the_caller(rig: Rig) -> None:
    rig.producer.fail = BufferError()
    with pytest.raises(NoRoom, match="queue is full"):
        rig.produce("a")
    assert rig.bridge.in_flight == 0


async def test_waiting_for_room_ends_when_there_is_room(rig: Rig) -> None:
    await rig.bridge.wait_room(3)
    rig.produce("a", "b", "c")
    waiting = asyncio.ensure_future(rig.bridge.wait_room(2))
    rig.producer.report(0)
    await rig.next_list()
    assert not waiting.done()
    rig.producer.report(1)
    await asyncio.wait_for(waiting, 5)


async def test_who_waits_is_served_in_order_and_a_large_wish_is_not_overtaken(rig: Rig) -> None:
    rig.produce("a", "b", "c")
    order: list[str] = []

    async def wait(name: str, records: int) -> None:
        await rig.bridge.wait_room(records)
        order.append(name)
        rig.produce(*[name] * records)

    both = [asyncio.ensure_future(wait("large", 2)), asyncio.ensure_future(wait("small", 1))]
    rig.producer.report(0)
    await rig.next_list()
    assert order == []
    rig.producer.report(1, 2)
    await asyncio.wait_for(asyncio.gather(*both), 5)
    assert order == ["large", "small"]


async def test_who_waited_waits_on_when_somebody_else_took_the_room(rig: Rig) -> None:
    rig.produce("a", "b", "c")
    waiting = asyncio.ensure_future(rig.bridge.wait_room(1))
    await asyncio.sleep(0)
    taken = asyncio.Event()

    def greedy() -> None:
        rig.produce("greedy")
        taken.set()

    def let_greedy_in(_: list[Delivery[str]]) -> None:
        asyncio.get_running_loop().call_soon(greedy)

    rig.bridge._on_delivered = let_greedy_in
    rig.producer.report(0)
    await asyncio.wait_for(taken.wait(), 5)
    assert rig.bridge.room == 0
    assert not waiting.done()
    rig.bridge._on_delivered = rig._take
    rig.producer.report(1)
    await asyncio.wait_for(waiting, 5)


async def test_more_than_ever_fits_is_a_mistake_of_the_caller(rig: Rig) -> None:
    with pytest.raises(ValueError, match="4 records never fit"):
        await rig.bridge.wait_room(4)


async def test_closing_waits_for_what_is_in_flight(rig: Rig) -> None:
    rig.produce("a")
    closing = asyncio.ensure_future(rig.bridge.close(5))
    await asyncio.sleep(0)
    assert not closing.done()
    rig.producer.report(0)
    await asyncio.wait_for(closing, 5)
    assert rig.lists == [[Delivery("a", None)]]


async def test_after_the_time_for_closing_the_rest_comes_back_as_errors(rig: Rig) -> None:
    rig.produce("a", "b")
    rig.producer.report(0)
    await rig.next_list()
    await asyncio.wait_for(rig.bridge.close(0.02), 5)
    assert await rig.next_list() == [Delivery("b", PURGED)]
    assert rig.bridge.in_flight == 0


async def test_a_closed_bridge_takes_nothing_and_lets_nobody_wait(rig: Rig) -> None:
    rig.produce("a", "b", "c")
    waiting = asyncio.ensure_future(rig.bridge.wait_room())
    await asyncio.sleep(0)
    await rig.bridge.close(0)
    with pytest.raises(NoRoom, match="closed"):
        await waiting
    with pytest.raises(NoRoom):
        rig.produce("d")


async def test_the_thread_ends_with_the_bridge_and_nobody_else_ever_polls(rig: Rig) -> None:
    rig.produce("a")
    thread = rig.bridge._thread
    await rig.bridge.close(0)
    assert not thread.is_alive()
    assert rig.producer.polling_threads == {thread.ident}


async def test_a_consumer_of_reports_that_fails_does_not_lock_up_the_others(rig: Rig) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))

    def fail(_: object) -> None:
        raise LookupError("a defect")

    rig.bridge._on_delivered = fail
    rig.produce("a", "b", "c")
    waiting = asyncio.ensure_future(rig.bridge.wait_room())
    rig.producer.report(0)
    await asyncio.wait_for(waiting, 5)
    assert isinstance(failures[0]["exception"], LookupError)


async def test_headers_are_handed_on_only_where_there_are_any(rig: Rig) -> None:
    rig.produce("a")
    rig.bridge.produce("topic", "key", b"value", "b", [("ce_type", b"x")])
    assert rig.producer.headers == [None, [("ce_type", b"x")]]


async def test_a_record_that_arrives_ends_the_trouble_and_one_that_fails_does_not(rig: Rig) -> None:
    rig.produce("a", "b")
    rig.producer.report(0, error=REFUSED)
    await rig.next_list()
    assert not rig.bridge.healthy
    rig.producer.report(1)
    await rig.next_list()
    assert rig.bridge.healthy


async def test_records_that_wait_without_any_report_are_trouble(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.bridge._watch.on_statistics(statistics("UP"))
    assert rig.bridge.healthy
    rig.produce("a")
    monkeypatch.setattr(kafka, "STALLED_S", -1.0)
    assert rig.bridge.trouble == "1 records wait, no report for 0 s"
    rig.producer.report(0)
    await rig.next_list()
    assert rig.bridge.healthy


def statistics(*states: str, silent_s: float = 0.0) -> str:
    brokers = {str(number): {"state": state, "rxidle": int(silent_s * 1e6)} for number, state in enumerate(states)}
    return json.dumps({"brokers": brokers})


def test_the_watch_follows_the_brokers() -> None:
    watch = BrokerWatch()
    assert watch.trouble == "no broker has answered yet"
    watch.on_statistics(statistics("TRY_CONNECT", "UP"))
    assert watch.trouble is None
    watch.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    watch.on_statistics(statistics("TRY_CONNECT", "DOWN"))
    assert watch.trouble == "1/1 brokers are down"
    watch.on_statistics(statistics("UP"))
    assert watch.trouble is None


def test_a_broker_that_is_connected_and_silent_is_trouble_for_whoever_asks_it_all_the_time() -> None:
    watch, other = BrokerWatch(max_silence_s=3.0), BrokerWatch()
    for one in (watch, other):
        one.on_statistics(statistics("UP", silent_s=2.9))
        assert one.trouble is None
        one.on_statistics(statistics("UP", silent_s=3.1))
    assert (watch.trouble, other.trouble) == ("no broker answers", None)


def test_a_fatal_error_is_trouble_for_good() -> None:
    watch = BrokerWatch()
    watch.on_error(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "out of order", fatal=True))
    watch.on_statistics(statistics("UP"))
    watch.on_answer()
    assert watch.trouble is not None
    assert "out of order" in watch.trouble


def test_errors_are_logged_once_in_a_while_and_a_return_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watch = BrokerWatch()
    for number in range(5):
        watch.on_error(KafkaError(KafkaError._TRANSPORT, f"refused {number}"))
    watch.on_statistics(statistics("DOWN"))
    assert [record.getMessage() for record in caplog.records] == ["kafka: refused 0"]
    assert watch.trouble == "refused 4"
    watch.on_statistics(statistics("UP"))
    watch.on_statistics(statistics("UP"))
    assert [record.getMessage() for record in caplog.records][1:] == ["kafka: a broker is connected"]


def test_librdkafkas_own_bound_lies_behind_ours() -> None:
    config = producer_config("localhost:9092", "test")
    assert config["queue.buffering.max.messages"] > MAX_IN_FLIGHT
    assert config["enable.idempotence"] is True
    assert config["acks"] == "all"


def test_topics_are_those_of_the_contract() -> None:
    assert {topic.name: topic.partitions for topic in TOPICS} == {
        "vehicle-telemetry": 3,
        "vehicle-alerts": 2,
        "vehicle-metrics": 2,
        "vehicle-status-change": 1,
        "vehicle-commands": 1,
        "late-windows": 1,
        "dead-letter-topic": 1,
        "vehicle-registry": 1,
    }
    assert min(topic.retention_days for topic in TOPICS) > OUTBOX_RETENTION_DAYS


@pytest.mark.parametrize(("replication", "in_sync"), [(1, "1"), (2, "1"), (3, "2"), (5, "2")])
def test_with_three_replicas_two_must_have_a_record(replication: int, in_sync: str) -> None:
    assert topic_config(TOPICS[0], replication)["min.insync.replicas"] == in_sync


def test_the_registry_alone_is_kept_by_key_and_its_deletions_as_long_as_other_records() -> None:
    configs = {topic.name: topic_config(topic, 1) for topic in TOPICS}
    registry = configs.pop("vehicle-registry")
    assert (registry["cleanup.policy"], registry["delete.retention.ms"]) == ("compact", str(30 * 86_400_000))
    assert "retention.ms" not in registry
    assert {config["cleanup.policy"] for config in configs.values()} == {"delete"}
    assert all("delete.retention.ms" not in config for config in configs.values())
