"""vehicle-commands on a real Kafka: all of the journal, in its order, and nothing on the stop path waits for it."""

import asyncio
from hashlib import sha256
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from haul.command.v1 import event_pb2

from pitwall.clock import boottime_s
from pitwall.kafka_topics import COMMANDS, ensure_topics
from tests.integration.command_rig import FLEET, NAME, RECEIVED, STANDSTILL, make_home, running, session, vehicles
from tests.integration.stacks import RunningStack

A = "KOMATSU-930E-001"
DELIVERED_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("site"))


Found = tuple[str, dict[str, str], event_pb2.CommandEvent]


def records(bootstrap: str, command_service: str, count: int) -> list[Found]:
    """The first `count` records of this command service: key, headers, event."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(COMMANDS.name, 0, 0)])
    found: list[Found] = []
    deadline_s = boottime_s() + DELIVERED_WITHIN_S
    while len(found) < count:
        assert boottime_s() < deadline_s, f"{len(found)} of {count} records"
        message = consumer.poll(0.5)
        if message is None or message.error():
            continue
        event = event_pb2.CommandEvent.FromString(message.value() or b"")
        if event.command_service == command_service:
            headers = message.headers()
            assert isinstance(headers, list)
            texts = {key: value.decode() for key, value in headers if isinstance(value, bytes)}
            found.append(((message.key() or b"").decode(), texts, event))
    consumer.close()
    return found


async def test_the_journal_is_in_kafka_in_order_and_a_restart_goes_on_behind_it(
    home: Path, tmp_path: Path, kafka: RunningStack
) -> None:
    bootstrap = kafka.kafka_bootstrap
    await asyncio.to_thread(ensure_topics, bootstrap)
    async with running(home, tmp_path, kafka_bootstrap=bootstrap) as site:
        gateway, operator = await site.gateway(), await site.operator()
        await gateway.exchanged(session(A))
        stop_id = (await operator.stopped(vehicles(A))).stop.stop_id
        await gateway.say(A, stop_id, RECEIVED, STANDSTILL)
        first = await asyncio.to_thread(records, bootstrap, NAME, 4)
    async with running(home, tmp_path, kafka_bootstrap=bootstrap) as site:
        await (await site.operator()).stopped(FLEET)
        found = await asyncio.to_thread(records, bootstrap, NAME, 6)
    assert found[:4] == first
    assert [event.journal_sequence for _, _, event in found] == [1, 2, 3, 4, 5, 6]
    assert [key for key, _, _ in found] == [A, NAME, A, A, NAME, NAME]
    _, headers, event = found[0]
    assert (event.stop_issued.stop_id, event.actor, event.vehicle_id) == (stop_id, "operator", A)
    assert headers["ce_type"] == "haul.command.v1.CommandEvent"
    assert headers["ce_id"] == f"{NAME}:1"
    assert chained([event for _, _, event in found])


def chained(events: list[event_pb2.CommandEvent]) -> bool:
    """As anybody can check it who reads the topic."""
    previous = b""
    for event in events:
        record_hash, event.record_hash = event.record_hash, b""
        if event.previous_hash != previous or sha256(event.SerializeToString()).digest() != record_hash:
            return False
        previous = record_hash
    return True


async def test_a_dead_kafka_is_not_noticed_and_is_filled_afterwards(
    home: Path, tmp_path: Path, kafka: RunningStack
) -> None:
    bootstrap = kafka.kafka_bootstrap
    await asyncio.to_thread(ensure_topics, bootstrap)
    await asyncio.to_thread(kafka.hang, "kafka")
    try:
        async with running(home, tmp_path, kafka_bootstrap=bootstrap, name="command-9") as site:
            operator = await site.operator()
            for _ in range(10):
                asked_s = boottime_s()
                assert (await operator.stopped(FLEET)).summary.confirmed
                assert boottime_s() - asked_s < 1.0
            await asyncio.to_thread(kafka.wake, "kafka")
            found = await asyncio.to_thread(records, bootstrap, "command-9", 20)
    finally:
        await asyncio.to_thread(kafka.wake, "kafka")
    assert [event.journal_sequence for _, _, event in found] == list(range(1, 21))
