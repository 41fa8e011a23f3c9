"""Reads whole topics of the stack's Kafka."""

import time
from collections.abc import Collection, Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from haul.telemetry.v1.telemetry_pb2 import Reading

from pitwall.reading import content_crc32
from tests.support.checker import Identity, Verdict, compare
from tests.support.plant import Plant


def records(bootstrap: str, topic: str, *, timeout_s: float = 60.0) -> Iterator[Message]:
    """Every record that the topic holds at this moment, partition by partition."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "judge", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    try:
        partitions = consumer.list_topics(topic, timeout=timeout_s).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        yield from _until_the_ends(consumer, set(partitions), time.monotonic() + timeout_s)
    finally:
        consumer.close()


def _until_the_ends(consumer: Consumer, waiting: set[int], deadline: float) -> Iterator[Message]:
    while waiting:
        if time.monotonic() > deadline:
            raise AssertionError(f"partitions {sorted(waiting)} did not reach their ends in time")
        for message in consumer.consume(1000, timeout=1.0):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                waiting.discard(message.partition())
            else:
                raise KafkaException(error)


def readings(bootstrap: str) -> Iterator[Reading]:
    """Every reading of vehicle-telemetry."""
    for message in records(bootstrap, "vehicle-telemetry"):
        yield Reading.FromString(message.value() or b"")


def identified(bootstrap: str) -> Iterator[tuple[Identity, int]]:
    """(identity, crc32) of every reading of vehicle-telemetry."""
    for reading in readings(bootstrap):
        yield (reading.vehicle_id, reading.boot_epoch, reading.sequence), content_crc32(reading)


def await_all(
    plant: Plant, bootstrap: str, *, within_s: float, killed_tail: int = 0, planted: Collection[int] = ()
) -> Verdict:
    """Waits until Kafka has every reading that was generated until now; asserts that it has nothing else besides.

    `planted`: boot_epochs that tests have put on vehicles' disks, and no vehicle has generated.

    `killed_tail`: of a boot_epoch that a kill ended, so many of the last readings may have missed the outbox: they were
    noted as generated, and the process died before they were durable.
    """
    through = _last_generated(plant, killed_tail)
    deadline = time.monotonic() + within_s
    while True:
        # Before the files, so that nothing in it can be younger than they are.
        in_kafka = [one for one in identified(bootstrap) if one[0][1] not in planted]
        verdict = compare(plant.readings(), in_kafka, through=through)
        if verdict.complete or time.monotonic() > deadline:
            assert verdict.complete, str(verdict)
            return verdict


def _last_generated(plant: Plant, killed_tail: int) -> dict[tuple[str, int], int]:
    last: dict[tuple[str, int], int] = {}
    newest: dict[str, int] = {}
    for (vehicle_id, boot_epoch, sequence), _ in plant.readings():
        last[vehicle_id, boot_epoch] = sequence
        newest[vehicle_id] = max(boot_epoch, newest.get(vehicle_id, 0))
    over = {(vehicle_id, epoch) for vehicle_id, epoch in last if epoch < newest[vehicle_id]}
    return {key: sequence - killed_tail * (key in over) for key, sequence in last.items()}
