"""The limit: a producer in a process of its own that does nothing but hand the same records to Kafka."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, cycle
from multiprocessing.connection import Connection

from confluent_kafka import KafkaError, Message, Producer

from pitwall.kafka_producer import producer_config
from pitwall.kafka_topics import TELEMETRY
from tests.bench.telemetry.frames import bodies, records, take

#: Handed over and not on disk yet.
MAX_IN_FLIGHT = 100_000
_VEHICLES = 10
_PREPARED = 200_000


@dataclass(frozen=True, slots=True)
class Produced:
    """Readings a second and CPU-seconds of the process for a million of them."""

    per_s: float
    cpu_s_per_million: float


def run(bootstrap: str, seconds: float, reports: bool, pipe: Connection) -> None:
    """Sends a Produced. `reports`: with a delivery report for each record, and not only a flush at the end."""
    pool = bodies()
    keys = [f"BENCH-{number:04d}" for number in range(_VEHICLES)]
    epoch = time.time_ns() // 1_000_000
    sources = [records(key, epoch, pool) for key in keys]
    prepared = [
        (key, data) for key, source in zip(keys, sources, strict=True) for data in take(source, _PREPARED // 10)
    ]
    producer = Producer(producer_config(bootstrap, "bench-bare", MAX_IN_FLIGHT))
    report = _counter() if reports else None
    produce, topic = producer.produce, TELEMETRY.name
    producer.produce(topic, prepared[0][1], prepared[0][0])
    producer.flush()
    began_s, began_cpu_s, sent = time.monotonic(), time.process_time(), 0
    for key, data in cycle(prepared):
        produce(topic, data, key, -1, report)
        sent += 1
        if sent % 1_000 == 0:
            producer.poll(0)
            while len(producer) > MAX_IN_FLIGHT:
                producer.poll(0.005)
            if time.monotonic() - began_s >= seconds:
                break
    if producer.flush(30):
        raise RuntimeError("Kafka has not taken all of it within 30 s")
    took_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    pipe.send(Produced(sent / took_s, 1e6 * cpu_s / sent))


def _counter() -> Callable[[KafkaError | None, Message], None]:
    arrived = count()

    def report(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            raise RuntimeError(str(error))
        next(arrived)

    return report
