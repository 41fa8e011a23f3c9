"""From a sample to its alert in Kafka, at a steady thousand readings a second."""

import threading
import time
from collections.abc import Sequence

from confluent_kafka import Consumer, Producer, TopicPartition
from haul.telemetry.v1.alert_pb2 import Alert
from haul.telemetry.v1.telemetry_pb2 import Reading

from pitwall.kafka_producer import producer_config
from pitwall.kafka_topics import ALERTS, TELEMETRY
from tests.bench.figures import Figure, figure
from tests.bench.streams import fleet
from tests.bench.streams.site import Site
from tests.bench.streams.submit import Part

VEHICLES = 1_000
#: Every vehicle drives too fast for this long, and then as it should: a step each time.
SPELL_S = 30
#: Until an alert is younger than this for the first time the job has something to catch up on, from its own start.
_CAUGHT_UP_S, _CATCHES_UP_WITHIN_S = 0.5, 180.0
#: And so long its JVM still compiles what it does.
_SETTLE_S = 20.0
_MEASURED_S = 90.0
_FAST_KPH, _SLOW_KPH = 64.0, 40.0


class Driving(threading.Thread):
    """A reading a second of each vehicle, evenly spread, sampled as it is handed to the producer."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="driving", daemon=True)
        self._producer = Producer(producer_config(bootstrap, "bench-driving", 10_000))
        self._tours = [[Reading.FromString(body) for body in tour] for tour in fleet.profiles()[:2]]
        self._boot_epoch = time.time_ns() // 1_000_000
        self.ended = threading.Event()

    def run(self) -> None:
        began_s, sent = time.monotonic(), 0
        while not self.ended.is_set():
            due = int((time.monotonic() - began_s) * VEHICLES)
            for number in range(sent, due):
                self._send(1 + number % VEHICLES, number // VEHICLES)
            sent = due
            self._producer.poll(0)
            self.ended.wait(0.001)
        self._producer.flush(30)

    def _send(self, vehicle: int, second: int) -> None:
        reading = self._tours[vehicle % 2][second % fleet.TOUR_S]
        reading.vehicle_id, reading.boot_epoch = fleet.vehicle_id(vehicle), self._boot_epoch
        reading.sequence = second + 1
        reading.speed_kph = _FAST_KPH if (second + vehicle) // SPELL_S % 2 else _SLOW_KPH
        reading.event_time.FromNanoseconds(time.time_ns())
        self._producer.produce(TELEMETRY.name, reading.SerializeToString(), reading.vehicle_id)


def measure(where: Site) -> list[Figure]:
    """The reading's event_time against this process's clock when the alert is in its hands: one machine, one clock."""
    where.skip("bench-latency")
    with where.job("bench-latency", "tests.bench.streams.submit", Part.WHOLE):
        driving = Driving(where.bootstrap)
        driving.start()
        try:
            return [figure("sample to alert in Kafka", _latencies(where.bootstrap))]
        finally:
            driving.ended.set()
            driving.join()


def _latencies(bootstrap: str) -> Sequence[float]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-alerts", "fetch.wait.max.ms": 5})
    partitions = [TopicPartition(ALERTS.name, number) for number in range(ALERTS.partitions)]
    for partition in partitions:
        partition.offset = consumer.get_watermark_offsets(partition, timeout=10)[1]
    consumer.assign(partitions)
    try:
        _await_caught_up(consumer)
        _ages(consumer, _SETTLE_S)
        return _ages(consumer, _MEASURED_S)
    finally:
        consumer.close()


def _await_caught_up(consumer: Consumer) -> None:
    deadline = time.monotonic() + _CATCHES_UP_WITHIN_S
    while not any(age_s < _CAUGHT_UP_S for age_s in _ages(consumer, 1.0)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no alert is younger than {_CAUGHT_UP_S} s after {_CATCHES_UP_WITHIN_S:g} s")


def _ages(consumer: Consumer, for_s: float) -> list[float]:
    """Of the alerts that come within that time, when they come."""
    seconds, end_s = list[float](), time.monotonic() + for_s
    while (left_s := end_s - time.monotonic()) > 0:
        message = consumer.poll(left_s)
        arrived_ns = time.time_ns()
        if message is not None and message.error() is None:
            alert = Alert.FromString(message.value() or b"")
            seconds.append((arrived_ns - alert.event_time.ToNanoseconds()) / 1e9)
    return seconds
