"""Readings as gateways would write them, at a steady rate, with repeats and disorder; and alerts as they come."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from confluent_kafka import Consumer, Producer, TopicPartition
from haul.telemetry.v1.telemetry_pb2 import Reading

from pitwall.kafka_producer import producer_config
from pitwall.kafka_topics import ALERTS, TELEMETRY

#: Every vehicle drives too fast for so many readings, and then as it should.
SPELL = 60
REPEATED, SWAPPED = 0.02, 0.01
_FAST_KPH, _SLOW_KPH = 64.0, 40.0
_TICK_S = 0.005


class Feed(threading.Thread):
    """`vehicle_ids` in turn, `per_s` readings a second in all, until it is stopped."""

    def __init__(self, bootstrap: str, vehicle_ids: tuple[str, ...], per_s: float, seed: int) -> None:
        super().__init__(name="feed", daemon=True)
        self._producer = Producer(producer_config(bootstrap, "chaos-feed", 200_000))
        self._vehicle_ids, self._per_s, self._choose = vehicle_ids, per_s, random.Random(seed)
        self._boot_epoch = time.time_ns() // 1_000_000
        self._held_back: dict[str, Reading] = {}
        self._ended = threading.Event()
        self.sent = 0

    def run(self) -> None:
        began_s, began_ns, count = time.monotonic(), time.time_ns(), 0
        while not self._ended.wait(_TICK_S):
            while count < (time.monotonic() - began_s) * self._per_s:
                turn, vehicle = divmod(count, len(self._vehicle_ids))
                self._next(self._vehicle_ids[vehicle], turn, began_ns + round(count * 1e9 / self._per_s))
                count += 1
            self._producer.poll(0)

    def stop(self) -> None:
        """All that was sent is in Kafka then."""
        self._ended.set()
        self.join()
        for reading in self._held_back.values():
            self._send(reading)
        assert self._producer.flush(60) == 0
        self._producer.close()  # else it goes on asking for its server in the tests after this one

    def _next(self, vehicle_id: str, turn: int, at_ns: int) -> None:
        """Some are held back until after the vehicle's next one, some come twice."""
        reading = self._made(vehicle_id, turn, at_ns)
        if vehicle_id not in self._held_back and self._choose.random() < SWAPPED:
            self._held_back[vehicle_id] = reading
            return
        self._send(reading)
        if self._choose.random() < REPEATED:
            self._send(reading)
        if vehicle_id in self._held_back:
            self._send(self._held_back.pop(vehicle_id))

    def _made(self, vehicle_id: str, turn: int, at_ns: int) -> Reading:
        """Sampled when it was due, as a sensor does, also where this process was held up."""
        reading = Reading(vehicle_id=vehicle_id, boot_epoch=self._boot_epoch, sequence=turn + 1)
        reading.event_time.FromNanoseconds(at_ns)
        fast = (turn + hash_of(vehicle_id)) // SPELL % 2
        reading.speed_kph = (_FAST_KPH if fast else _SLOW_KPH) + self._choose.uniform(-2, 2)
        reading.payload_tons = self._choose.uniform(0, 280)
        reading.engine_temperature_celsius = self._choose.uniform(80, 95)
        if self._choose.random() < 0.9:
            reading.fuel_level_percent = self._choose.uniform(30, 90)
        reading.battery_level_percent = self._choose.uniform(40, 90)
        return reading

    def _send(self, reading: Reading) -> None:
        self._producer.produce(TELEMETRY.name, reading.SerializeToString(), reading.vehicle_id)
        self.sent += 1


def hash_of(vehicle_id: str) -> int:
    """The same in every run."""
    return int(vehicle_id.rpartition("-")[2]) * 7


@contextmanager
def fed(*feeds: Feed) -> Iterator[None]:
    """Meanwhile."""
    for feed in feeds:
        feed.start()
    try:
        yield
    finally:
        for feed in feeds:
            feed.stop()


class Arrivals(threading.Thread):
    """When alerts come to a consumer, by the monotonic clock."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="arrivals", daemon=True)
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "chaos-arrivals"})
        self._consumer.assign([TopicPartition(ALERTS.name, number, 0) for number in range(ALERTS.partitions)])
        self.ended = threading.Event()
        self.at_s: list[float] = []

    def run(self) -> None:
        while not self.ended.is_set():
            came = [message for message in self._consumer.consume(1000, timeout=0.05) if message.error() is None]
            self.at_s += [time.monotonic()] * len(came)
        self._consumer.close()

    def back_s(self, since_s: float) -> float:
        """How long after then the longest silence since then ended."""
        times = [since_s, *(at_s for at_s in self.at_s if at_s > since_s)]
        _, end_s = max((later - earlier, later) for earlier, later in pairwise(times))
        return end_s - since_s


@contextmanager
def arrivals(bootstrap: str) -> Iterator[Arrivals]:
    watch = Arrivals(bootstrap)
    watch.start()
    try:
        yield watch
    finally:
        watch.ended.set()
        watch.join()
