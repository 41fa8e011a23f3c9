"""What Kafka holds of the past: whether readings are still there, which windows are out, which were mended.

The only module here that talks to Kafka itself; the jobs do it in Flink.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from flink_jobs.metrics_sql import LONG_WINDOW_S
from flink_jobs.tables_sql import METRICS, TELEMETRY
from flink_jobs.timespans import rfc3339

_TIMEOUT_S: Final = 30.0
#: Kafka says nothing for so long while it is read: it is away.
_SILENCE_S: Final = 30.0
_CRITICAL: Final = 2

#: Where to begin, by partition.
Places = Mapping[int, int]


class HistoryUnreachable(Exception):
    """Kafka doesn't answer, or not with what is asked for; the text says what it did."""


class HistoryGone(Exception):
    """Readings of the range are no longer in the topic. since_s: of none that begins before, in seconds since 1970."""

    def __init__(self, since_s: int) -> None:
        super().__init__(f"{TELEMETRY} holds only what was written since {rfc3339(since_s)}; begin later")
        self.since_s = since_s


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """A window as the id of its record tells it."""

    vehicle_id: str
    start_s: int
    length_s: int
    revision: int

    @classmethod
    def of(cls, ce_id: str) -> "WindowRecord":
        """Raises ValueError where it is the id of something else."""
        vehicle_id, start_s, length_s, revision = ce_id.rsplit(".", 3)
        return cls(vehicle_id, int(start_s), int(length_s), int(revision))

    def tells_that_it_is_out(self, end_s: int) -> bool:
        """Of windows that end together the fleet's long one comes last. What a recompute wrote tells nothing."""
        own_end_s = self.start_s + self.length_s
        is_last = own_end_s > end_s or (own_end_s == end_s and self.length_s == LONG_WINDOW_S)
        return not self.vehicle_id and self.revision == 1 and is_last


def consumer(bootstrap: str, group: str) -> Consumer:
    """Of committed records; it is told where to read."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "log_level": _CRITICAL,
        }
    )


class History:
    """Each method asks Kafka anew; all raise HistoryUnreachable."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._consumer = consumer(bootstrap, group)

    def close(self) -> None:
        self._consumer.close()

    def check_held(self, begin_s: int) -> None:
        """Raises HistoryGone where readings that were sampled since then may have been deleted."""
        for partition in self._partitions(TELEMETRY):
            low, high = self._range(TELEMETRY, partition)
            first = next(self._read(TELEMETRY, {partition: low}), None) if 0 < low < high else None
            if first is not None and (written_s := first.timestamp()[1] // 1000) > begin_s:
                raise HistoryGone(written_s)

    def is_out(self, end_s: int) -> bool:
        """Whether windows that end by then are out, and committed: a window of the fleet that ends no earlier is."""
        windows = (_window(message) for message in self._read(METRICS, self._written_since(METRICS, end_s)))
        return any(window is not None and window.tells_that_it_is_out(end_s) for window in windows)

    def metrics_end(self) -> Places:
        """Where the next window will be."""
        return {partition: self._range(METRICS, partition)[1] for partition in self._partitions(METRICS)}

    def mended_since(self, places: Places) -> int:
        """How many windows have a higher revision there."""
        found = (_window(message) for message in self._read(METRICS, places))
        return sum(1 for window in found if window and window.revision > 1)

    def _partitions(self, topic: str) -> list[int]:
        try:
            known = self._consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise HistoryUnreachable(f"Kafka does not list {topic}: {error.args[0].str()}") from error
        if known.error is not None:
            raise HistoryUnreachable(f"Kafka has no {topic}: {known.error.str()}")
        return sorted(known.partitions)

    def _range(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset and the next."""
        try:
            found = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise HistoryUnreachable(f"Kafka does not tell the offsets of {topic}: {error.args[0].str()}") from error
        return found

    def _written_since(self, topic: str, since_s: int) -> Places:
        asked = [TopicPartition(topic, partition, since_s * 1000) for partition in self._partitions(topic)]
        try:
            return {p.partition: p.offset for p in self._consumer.offsets_for_times(asked, timeout=_TIMEOUT_S)}
        except KafkaException as error:
            raise HistoryUnreachable(f"Kafka does not find {since_s} in {topic}: {error.args[0].str()}") from error

    def _read(self, topic: str, places: Places) -> Iterator[Message]:
        """From there to what is the end when it is reached."""
        self._consumer.assign([TopicPartition(topic, number, offset) for number, offset in places.items()])
        left = {number for number, offset in places.items() if offset != OFFSET_END}
        while left:
            message = self._consumer.poll(_SILENCE_S)
            if message is None:
                raise HistoryUnreachable(f"Kafka says nothing about {topic} for {_SILENCE_S:g} s")
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
            elif error.fatal():
                raise HistoryUnreachable(f"{topic}: {error.str()}")


def _window(message: Message) -> WindowRecord | None:
    """None for what somebody else wrote there."""
    ce_id = dict(message.headers() or []).get("ce_id")
    try:
        return WindowRecord.of(ce_id.decode()) if isinstance(ce_id, bytes) else None
    except ValueError:
        return None
