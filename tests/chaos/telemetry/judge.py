"""Reads Kafka on and on, and compares it with vehicles' own files."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from haul.telemetry.v1.telemetry_pb2 import Reading

from pitwall.reading import content_crc32
from tests.support.checker import Identity, Verdict, compare
from tests.support.plant import Plant

TOPIC = "vehicle-telemetry"
_TIMEOUT_S = 60.0
_AT_ONCE = 2_000


class Judge:
    """Use it in one thread. `each` is called with every reading as it is found.

    It begins with what comes from now on, or with all that there is.
    """

    def __init__(
        self,
        bootstrap: str,
        plants: Sequence[Plant],
        each: Callable[[Reading], None] | None = None,
        *,
        from_the_beginning: bool = False,
    ) -> None:
        self._plants, self.each = plants, each
        self.found: list[tuple[Identity, int]] = []
        self.identities: set[Identity] = set()
        config = {"bootstrap.servers": bootstrap, "group.id": "judge", "enable.auto.commit": False, "log_level": 0}
        # A Kafka that was away is looked for again at once, not after waits that grow.
        self._consumer = Consumer(config | {"reconnect.backoff.max.ms": 500})
        partitions = self._consumer.list_topics(TOPIC, timeout=_TIMEOUT_S).topics[TOPIC].partitions
        places = [TopicPartition(TOPIC, number) for number in partitions]
        for place in places:
            first, end = self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
            place.offset = first if from_the_beginning else end
        self._consumer.assign(places)

    def close(self) -> None:
        self._consumer.close()

    def look(self, for_s: float) -> int:
        """Takes what has come meanwhile, for so long at most. Returns how many records that was."""
        before, end_s = len(self.found), time.monotonic() + for_s
        while (left_s := end_s - time.monotonic()) > 0:
            for message in self._consumer.consume(_AT_ONCE, timeout=min(left_s, 0.5)):
                error = message.error()
                if error is None:
                    self._take(Reading.FromString(message.value() or b""))
                elif error.fatal() or error.code() == KafkaError.OFFSET_OUT_OF_RANGE:
                    raise KafkaException(error)
        return len(self.found) - before

    def _take(self, reading: Reading) -> None:
        identity = reading.vehicle_id, reading.boot_epoch, reading.sequence
        self.found.append((identity, content_crc32(reading)))
        self.identities.add(identity)
        if self.each is not None:
            self.each(reading)

    def generated(self) -> Iterator[tuple[Identity, int]]:
        """What these vehicles have written down until now."""
        return chain.from_iterable(plant.readings() for plant in self._plants)

    def await_all(self, within_s: float, meanwhile: Callable[[], object] | None = None) -> tuple[Verdict, float]:
        """Waits for what is generated until now; whatever comes besides is judged as well. And how long it took.

        `meanwhile` is called twice a second.
        """
        began_s = time.monotonic()
        wanted = {identity for identity, _ in self.generated()}
        while wanted - self.identities and time.monotonic() < began_s + within_s:
            self.look(0.5)
            if meanwhile is not None:
                meanwhile()
        return self.verdict(wanted), time.monotonic() - began_s

    def verdict(self, wanted: set[Identity]) -> Verdict:
        """These have to be there. What is younger, as vehicles go on, is left out; what nobody has made is not."""
        generated = list(self.generated())
        younger = {identity for identity, _ in generated} - wanted
        made = (one for one in generated if one[0] in wanted)
        return compare(made, (one for one in self.found if one[0] not in younger))
