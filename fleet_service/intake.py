"""Out of Kafka into the event loop: one thread for each topic polls, and hands over one batch per poll.

Every fleet service reads all of every topic by itself, without a consumer group: where it goes on stands in PostgreSQL
beside what it has written, and a process that was killed is replaced without waiting for a group to notice.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from fleet_service.records import Letter
from pitwall import logs
from pitwall.clock import monotonic_s
from pitwall.kafka_producer import LIBRARY_LOG_LEVEL, BrokerWatch
from pitwall.kafka_topics import Topic

#: Records in one batch: some 5 ms of the event loop.
MAX_BATCH: Final = 200
#: How long one poll waits, and so how long the end of the process may.
POLL_S: Final = 0.2
#: How long Kafka may take to say which offsets there are, and the wait before it is asked again.
ASK_TIMEOUT_S: Final = 3.0
ASK_AGAIN_S: Final = 1.0
LAG_EVERY_S: Final = 1.0
RECONNECT_MAX_MS: Final = 500
#: A broker that hangs is given up after this.
SOCKET_TIMEOUT_MS: Final = 10_000
#: A broker says at least every so often that it has nothing new.
FETCH_WAIT_MS: Final = 500
#: What is known counts as old when no broker has said anything for so long, seconds; looked at every STATISTICS_MS.
MAX_SILENCE_S: Final = 3.0
STATISTICS_MS: Final = 1_000

assert 2 * FETCH_WAIT_MS < MAX_SILENCE_S * 1000 < SOCKET_TIMEOUT_MS

_log = logs.get(__name__)

_R = TypeVar("_R")
#: Takes the records of a batch and the offsets behind it; returns when the next one may come.
TakeOf = Callable[[Sequence[_R], Mapping[tuple[str, int], int]], Coroutine[Any, Any, None]]
Take = TakeOf[bytes]
#: Of a compacted topic, where no value is a deletion.
Keyed = tuple[bytes, bytes | None]


def value_of(message: Message) -> bytes:
    """What most want of a record."""
    return message.value() or b""


def keyed_value(message: Message) -> Keyed:
    """What is wanted of a record of a compacted topic."""
    key = message.key() or b""
    return (key.encode() if isinstance(key, str) else key), message.value()


@dataclass(frozen=True, slots=True)
class Start:
    """Where each partition's reading begins. `tail`: of an older backlog, the newest so many records will do."""

    offsets: Mapping[int, int]
    tail: int | None = None

    def offset(self, partition: int, low: int, high: int) -> int:
        """The next record to read, given the lowest and the one behind the highest that there is."""
        wanted = self.offsets.get(partition, OFFSET_BEGINNING)
        if wanted > high:  # the topic was made anew
            wanted = low
        least = low if self.tail is None else max(low, high - self.tail)
        return max(wanted, least)


def consumer_config(bootstrap: str, name: str) -> dict[str, Any]:
    """`name`: of this service. The group has no members; librdkafka wants its name all the same."""
    return {
        "bootstrap.servers": bootstrap,
        "client.id": name,
        "group.id": f"fleet_service.{name}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
        "socket.timeout.ms": SOCKET_TIMEOUT_MS,
        "socket.keepalive.enable": True,
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "statistics.interval.ms": STATISTICS_MS,
        "log_level": LIBRARY_LOG_LEVEL,
        # Of one consumer in memory: a second's worth at full speed.
        "queued.max.messages.kbytes": 8 * 1024,
    }


def letter_of(message: Message) -> Letter:
    """All of a record."""
    headers = {name: _decoded(value) for name, value in dict(message.headers() or ()).items()}
    return Letter(_decoded(message.key()), value_of(message), headers, message.timestamp()[1] * 1_000_000)


def _decoded(text: str | bytes | None) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text or ""


class Intake(Generic[_R]):
    """Of one topic. `open` it in the event loop, then `ended` tells how it went. `record`: what is taken of each."""

    def __init__(
        self, config: Mapping[str, Any], topic: Topic, take: TakeOf[_R], record: Callable[[Message], _R]
    ) -> None:
        self.topic = topic
        self._config, self._take, self._record = dict(config), take, record
        self._watch = BrokerWatch(MAX_SILENCE_S)
        self._closing = threading.Event()
        self._handing: Future[None] | None = None
        self._thread: threading.Thread | None = None
        #: Records that are in the topic and have not been read, as far as is known.
        self.lag = 0
        #: Set when everything that was there at the start has been read.
        self.caught_up = asyncio.Event()
        #: It was begun without a known place, where the oldest records had been deleted already. Known before any is
        #: handed over.
        self.began_late = False

    @property
    def trouble(self) -> str | None:
        return self._watch.trouble

    def open(self, start: Start) -> None:
        self._loop = asyncio.get_running_loop()
        #: Done with an exception where the thread has ended by a defect.
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(start,), name=f"read {self.topic.name}", daemon=True)
        self._thread.start()

    async def end(self) -> None:
        """Never comes back; raises when it reads no more."""
        await self.ended
        raise RuntimeError(f"{self.topic.name} is not read any more")

    async def close(self) -> None:
        self._closing.set()
        if self._handing is not None:
            self._handing.cancel()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self, start: Start) -> None:
        error: BaseException | None = None
        try:
            self._read(start)
        except CancelledError:
            pass  # close() doesn't wait for whoever holds the batch
        except Exception as problem:  # noqa: BLE001 - whatever it is, the loop has to hear of it
            error = problem
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, error)

    def _tell(self, error: BaseException | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)

    def _read(self, start: Start) -> None:
        consumer = Consumer({**self._config, **self._watch.callbacks()})
        try:
            begin, ends = self._assign(consumer, start)
            looked_s = 0.0
            while not self._closing.is_set():
                first = consumer.poll(POLL_S)
                if first is not None:
                    self._hand_over([first, *consumer.consume(MAX_BATCH - 1, 0)])
                now_s = monotonic_s()
                if now_s - looked_s >= LAG_EVERY_S or not self.caught_up.is_set():
                    looked_s = now_s
                    positions = consumer.position(list(map(self._partition, begin)))
                    self._look(consumer, ends, {p.partition: max(p.offset, begin[p.partition]) for p in positions})
        finally:
            consumer.close()

    def _partition(self, number: int) -> TopicPartition:
        return TopicPartition(self.topic.name, number)

    def _assign(self, consumer: Consumer, start: Start) -> tuple[dict[int, int], dict[int, int]]:
        """Begins. Returns by partition where, and the offset behind the newest record that there is now."""
        begin: dict[int, int] = {}
        ends: dict[int, int] = {}
        while len(begin) < self.topic.partitions and not self._closing.is_set():
            partition = len(begin)
            try:
                low, high = consumer.get_watermark_offsets(self._partition(partition), timeout=ASK_TIMEOUT_S)
            except KafkaException:
                consumer.poll(0)  # errors and statistics are told in here
                self._closing.wait(ASK_AGAIN_S)
                continue
            self._watch.on_answer()  # the topic may be empty for long, and nothing is old for that
            self.began_late = self.began_late or (low > 0 and partition not in start.offsets)
            begin[partition], ends[partition] = start.offset(partition, low, high), high
        consumer.assign([TopicPartition(self.topic.name, p, offset) for p, offset in begin.items()])
        return begin, ends

    def _look(self, consumer: Consumer, ends: Mapping[int, int], at: Mapping[int, int]) -> None:
        if all(at[partition] >= end for partition, end in ends.items()) and not self.caught_up.is_set():
            self._loop.call_soon_threadsafe(self.caught_up.set)
        lag = 0
        for partition, offset in at.items():
            known = consumer.get_watermark_offsets(self._partition(partition), cached=True)
            if known is not None:
                lag += max(0, known[1] - offset)
        self.lag = lag

    def _hand_over(self, messages: Sequence[Message]) -> None:
        records: list[_R] = []
        offsets: dict[tuple[str, int], int] = {}
        for message in messages:
            if (error := message.error()) is not None:
                _log.warning("not read", topic=self.topic.name, error=error.str())
                continue
            records.append(self._record(message))
            offsets[self.topic.name, message.partition() or 0] = (message.offset() or 0) + 1
        if records:
            self._watch.on_answer()
            self._handing = asyncio.run_coroutine_threadsafe(self._take(records, offsets), self._loop)
            if self._closing.is_set():
                self._handing.cancel()
            self._handing.result()
