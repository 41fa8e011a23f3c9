"""Topics with as many records as it takes, written once."""

import time
from collections.abc import Iterable
from itertools import islice

from confluent_kafka import Producer

from pitwall.kafka_producer import producer_config
from pitwall.kafka_topics import TELEMETRY, Topic

_IN_FLIGHT = 100_000
_AT_ONCE = 1_000
#: So long ago that the job takes the readings for a recording, and waits for nobody's gap.
AGO_S = 7_200


def begin_s(now_s: float) -> int:
    """When the readings of a topic that is written now begin: at a window of five minutes."""
    return (int(now_s) - AGO_S) // 300 * 300


def fill(bootstrap: str, records: Iterable[tuple[bytes, bytes]], to: Topic = TELEMETRY) -> tuple[int, float]:
    """(how many, seconds that it took). All of them are in Kafka when it returns."""
    producer = Producer(producer_config(bootstrap, "bench-streams", _IN_FLIGHT))
    produce, topic, began_s, count, left = producer.produce, to.name, time.monotonic(), 0, iter(records)
    while some := list(islice(left, _AT_ONCE)):
        for key, value in some:
            produce(topic, value, key)
        count += len(some)
        producer.poll(0)
        while len(producer) > _IN_FLIGHT - _AT_ONCE:
            producer.poll(0.005)
    if producer.flush(60):
        raise RuntimeError("Kafka has not taken all of it within 60 s")
    return count, time.monotonic() - began_s
