"""From the vehicle's sample to a consumer of vehicle-telemetry."""

import time
import uuid

from confluent_kafka import Consumer, TopicPartition
from haul.telemetry.v1.telemetry_pb2 import Reading

from tests.bench.figures import Figure, figure

#: Samples to take.
READINGS = 3_000


def measure(bootstrap: str) -> list[Figure]:
    """The sample's event_time against this process's clock when the record is in its hands: one machine, one clock."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"bench-{uuid.uuid4()}", "fetch.wait.max.ms": 5})
    try:
        partitions = consumer.list_topics("vehicle-telemetry", timeout=10).topics["vehicle-telemetry"].partitions
        ends = [TopicPartition("vehicle-telemetry", number) for number in partitions]
        for end in ends:
            end.offset = consumer.get_watermark_offsets(end, timeout=10)[1]
        consumer.assign(ends)
        return [figure("sample to Kafka's consumer", _latencies(consumer))]
    finally:
        consumer.close()


def _latencies(consumer: Consumer) -> list[float]:
    seconds: list[float] = []
    began_nanos = time.time_ns()  # what was sampled before waited for Kafka's own start
    while len(seconds) < READINGS:
        message = consumer.poll(10)
        now_nanos = time.time_ns()
        if message is None or message.error() is not None:
            raise RuntimeError(f"no reading came for 10 s: {message and message.error()}")
        reading = Reading.FromString(message.value() or b"")
        sampled_nanos = reading.event_time.ToNanoseconds()
        if sampled_nanos >= began_nanos and not reading.backfilled:
            seconds.append((now_nanos - sampled_nanos) / 1e9)
    return seconds
