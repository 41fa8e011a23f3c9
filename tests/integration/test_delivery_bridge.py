"""The bridge's promises where a real broker keeps, refuses, hangs and dies: every record's own report, none twice."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import stamina
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from pitwall.kafka import Delivery, DeliveryBridge, producer_config
from pitwall.kafka_topics import TOPICS, Topic, TopicError, ensure_topics
from tests.integration.stacks import RunningStack

#: Topics of this test alone: others read the broker's topics as what they are for.
MANY, ONE = Topic("bridge-many", 3, 1), Topic("bridge-one", 1, 1)

WITHIN_S = 60.0


@dataclass
class Rig:
    """A bridge, and the tokens that came back."""

    bootstrap: str
    settings: dict[str, int] = field(default_factory=dict)
    errors: dict[int, KafkaError | None] = field(default_factory=dict)
    returned: Counter[int] = field(default_factory=Counter)
    produced: int = 0

    def __post_init__(self) -> None:
        self._all_back = asyncio.Event()
        config = {**producer_config(self.bootstrap, "test"), **self.settings}
        self.bridge: DeliveryBridge[int] = DeliveryBridge(config, self._take)

    def _take(self, deliveries: list[Delivery[int]]) -> None:
        for token, error, _ in deliveries:
            self.returned[token] += 1
            self.errors[token] = error
        if self.bridge.in_flight == 0:
            self._all_back.set()

    def produce(self, topic: Topic, value: bytes) -> int:
        self.bridge.produce(topic.name, "A-1", value, self.produced)
        self.produced += 1
        return self.produced - 1

    async def all_back(self) -> None:
        self._all_back.clear()
        if self.bridge.in_flight:
            await asyncio.wait_for(self._all_back.wait(), WITHIN_S)
        assert set(self.returned.values()) == {1}
        assert len(self.returned) == self.produced


@pytest.fixture
async def rig(kafka: RunningStack) -> AsyncIterator[Rig]:
    await asyncio.to_thread(ensure_topics, kafka.kafka_bootstrap, (*TOPICS, MANY, ONE))
    # 30 s by default: how long a topic may be unknown before a record for it fails.
    rig = Rig(kafka.kafka_bootstrap, {"topic.metadata.propagation.max.ms": 1_000})
    yield rig
    await rig.bridge.close(1)


@stamina.retry(on=KafkaException, timeout=WITHIN_S)  # woken from a hang, a broker is not its own leader at once
def end(bootstrap: str, topic: Topic) -> dict[int, int]:
    """Partition -> next offset."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test"})
    ends = {
        number: consumer.get_watermark_offsets(TopicPartition(topic.name, number), WITHIN_S)[1]
        for number in range(topic.partitions)
    }
    consumer.close()
    return ends


def since(bootstrap: str, topic: Topic, start: dict[int, int]) -> list[bytes]:
    """Every record's value from these offsets to the end, as it is now."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic.name, number, offset) for number, offset in start.items()])
    missing = sum(end(bootstrap, topic).values()) - sum(start.values())
    values: list[bytes] = []
    while len(values) < missing:
        message = consumer.poll(WITHIN_S)
        assert message is not None, f"{missing - len(values)} records did not come"
        assert message.error() is None
        values.append(message.value() or b"")
    consumer.close()
    return values


def limit_records(bootstrap: str, topic: Topic, size: str) -> None:
    """Sets the topic's max.message.bytes."""
    entry = ConfigEntry("max.message.bytes", size, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(WITHIN_S)


async def test_a_record_that_the_broker_refuses_is_the_only_one_that_fails(rig: Rig) -> None:
    """An idempotent producer goes on behind it: the report of record 5 says nothing about record 3."""
    await asyncio.to_thread(limit_records, rig.bootstrap, ONE, "1000")
    start = await asyncio.to_thread(end, rig.bootstrap, ONE)
    try:
        for number in range(1, 6):
            rig.produce(ONE, os.urandom(5_000) if number == 3 else str(number).encode())
            await rig.all_back()  # a batch of its own for each: the broker refuses batches
    finally:
        await asyncio.to_thread(limit_records, rig.bootstrap, ONE, "1048588")
    assert [number for number, error in rig.errors.items() if error is not None] == [2]
    refusal = rig.errors[2]
    assert refusal is not None
    assert refusal.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert await asyncio.to_thread(since, rig.bootstrap, ONE, start) == [b"1", b"2", b"4", b"5"]


async def test_of_records_handed_over_together_the_one_that_can_not_be_sent_is_the_only_one_that_fails(
    rig: Rig,
) -> None:
    start = await asyncio.to_thread(end, rig.bootstrap, ONE)
    told, ended = list[Delivery[str]](), asyncio.Event()

    def take(deliveries: list[Delivery[str]]) -> None:
        told.extend(deliveries)
        if any(delivery.error is None for delivery in deliveries):
            ended.set()

    bridge: DeliveryBridge[str] = DeliveryBridge(producer_config(rig.bootstrap, "together"), take)
    large = os.urandom(2_000_000)
    assert bridge.produce_all(ONE.name, "A-1", [b"1", b"2", large, b"4", b"5"], "all") == 5
    await asyncio.wait_for(ended.wait(), WITHIN_S)
    await bridge.close(1)
    failed, last = told
    assert failed.error is not None
    assert failed.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert (failed.token, failed.value) == ("all", large)
    assert last == Delivery("all", None)
    assert await asyncio.to_thread(since, rig.bootstrap, ONE, start) == [b"1", b"2", b"4", b"5"]


async def test_a_topic_that_does_not_exist_is_an_error_and_not_a_wait_without_end(rig: Rig) -> None:
    token = rig.produce(Topic("no-such-topic", 1, 1), b"x")
    await rig.all_back()
    error = rig.errors[token]
    assert error is not None
    assert error.code() in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)


@pytest.mark.parametrize("fault", ["hang", pytest.param("kill", marks=pytest.mark.chaos)])
async def test_what_was_taken_while_kafka_was_away_arrives_once_and_in_order(
    kafka: RunningStack, rig: Rig, fault: str
) -> None:
    start = await asyncio.to_thread(end, rig.bootstrap, MANY)
    values = [str(number).encode() for number in range(300)]
    for value in values[:100]:
        rig.produce(MANY, value)
    await rig.all_back()
    assert rig.bridge.healthy
    (kafka.hang if fault == "hang" else kafka.kill)("kafka")
    for value in values[100:200]:
        rig.produce(MANY, value)
    if fault == "hang":
        try:
            await _unhealthy(rig)  # only after librdkafka has given up the connection, too
        finally:
            kafka.wake("kafka")
    for value in values[200:]:
        rig.produce(MANY, value)
    await rig.all_back()
    assert set(rig.errors.values()) == {None}
    assert await asyncio.to_thread(since, rig.bootstrap, MANY, start) == values


async def _unhealthy(rig: Rig) -> None:
    async with asyncio.timeout(WITHIN_S):
        while rig.bridge.healthy:  # noqa: ASYNC110  # its health is asked for, there is no event
            await asyncio.sleep(0.2)


async def test_closing_gives_back_what_never_reached_kafka(kafka: RunningStack, rig: Rig) -> None:
    await asyncio.to_thread(kafka.await_healthy, "kafka")
    kafka.hang("kafka")
    try:
        rig.produce(MANY, b"never acknowledged")
        await asyncio.wait_for(rig.bridge.close(0.5), 10)
    finally:
        kafka.wake("kafka")
    await rig.all_back()
    assert all(error is not None for error in rig.errors.values())


def test_making_topics_again_changes_nothing(kafka: RunningStack) -> None:
    ensure_topics(kafka.kafka_bootstrap)
    assert ensure_topics(kafka.kafka_bootstrap) == []


def test_topics_are_made_with_their_partitions_and_retention(kafka: RunningStack) -> None:
    ensure_topics(kafka.kafka_bootstrap)
    admin = AdminClient({"bootstrap.servers": kafka.kafka_bootstrap})
    described = admin.list_topics(timeout=WITHIN_S).topics
    resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in TOPICS]
    configs = {resource.name: future.result(WITHIN_S) for resource, future in admin.describe_configs(resources).items()}
    for topic in TOPICS:
        assert len(described[topic.name].partitions) == topic.partitions
        assert configs[topic.name]["cleanup.policy"].value == topic.cleanup_policy
        kept = "delete.retention.ms" if topic.compacted else "retention.ms"
        assert int(configs[topic.name][kept].value) == topic.retention_days * 86_400_000


def test_a_topic_with_other_partitions_is_refused_by_name(kafka: RunningStack) -> None:
    ensure_topics(kafka.kafka_bootstrap)
    with pytest.raises(TopicError, match="vehicle-commands has 1 partitions, 2 are wanted"):
        ensure_topics(kafka.kafka_bootstrap, (Topic("vehicle-commands", 2, 90),))


def test_a_topic_with_another_cleanup_policy_is_refused_with_the_mend(kafka: RunningStack) -> None:
    ensure_topics(kafka.kafka_bootstrap)
    wrong = "vehicle-registry has cleanup.policy=compact, delete is wanted; .* --add-config cleanup.policy=delete"
    with pytest.raises(TopicError, match=wrong):
        ensure_topics(kafka.kafka_bootstrap, (Topic("vehicle-registry", 1, 30),))


def test_kafka_that_does_not_answer_is_named() -> None:
    with pytest.raises(TopicError, match=r"Kafka at 127\.0\.0\.1:1 does not answer"):
        ensure_topics("127.0.0.1:1", timeout_s=1)
