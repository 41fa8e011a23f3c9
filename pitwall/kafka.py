"""From the event loop into Kafka and back: every record's delivery report, for every single record.

An idempotent producer keeps order but not completeness: where the broker refuses record 3 of 5, records 4 and 5 are
delivered all the same. So each record has its own report, and nothing is concluded from a later one. Records that are
handed over together are reported on one by one, too, but told of as one: the objects of each report were most of what
reports cost. Measured with 171-byte records: producing costs 1.2 CPU-s a million, the report of each record 1.2 more,
five headers on each another 2.2.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pitwall.clock import monotonic_s
from pitwall.kafka_producer import MAX_IN_FLIGHT, STALLED_S, BrokerWatch, producer_config
from pitwall.kafka_topics import TOPICS, Topic, TopicError, ensure_topics

__all__ = [
    "MAX_IN_FLIGHT",
    "TOPICS",
    "Delivery",
    "DeliveryBridge",
    "NoRoom",
    "Topic",
    "TopicError",
    "ensure_topics",
    "producer_config",
]

_Token = TypeVar("_Token")
Headers = Sequence[tuple[str, bytes]]

#: How long one poll waits for reports: how long close() may have to wait for the thread.
POLL_S: Final = 0.1
#: Reports that are told of in one go; the rest of a poll's comes in the next turns of the loop. A producer that breaks
#: gives back all that it holds at once, and the loop has permits to write meanwhile.
REPORTS_AT_ONCE: Final = 5_000
#: How long close() waits for the reports of what is purged; they are local.
PURGE_S: Final = 2.0
#: librdkafka chooses the partition by the key.
_ANY_PARTITION: Final = -1

_log = logging.getLogger(__name__)


class Delivery(NamedTuple, Generic[_Token]):
    """`error` None: it is durable (acks=all). Otherwise Kafka's word; the record may be there all the same.

    Of records that were handed over together there is one of these for each that failed, with its `value`, and a last
    one without an error when every report is in: it speaks for all the others.
    """

    token: _Token
    error: KafkaError | None
    value: bytes | None = None


_new_tuple = tuple.__new__


class _Single(Generic[_Token]):
    """The delivery callback of one record. One small object, and no call to a constructor of ours per report."""

    __slots__ = ("_append", "_token")

    def __init__(self, token: _Token, append: "Callable[[_Report[_Token]], None]") -> None:
        self._token, self._append = token, append

    def __call__(self, error: KafkaError | None, _: Message) -> None:
        self._append(_new_tuple(Delivery, (self._token, error, None)))


class _Batch(Generic[_Token]):
    """Records that were handed over together. `open`: those without a report; the loop's alone."""

    __slots__ = ("_append", "open", "token")

    def __init__(self, token: _Token, count: int, append: "Callable[[_Report[_Token]], None]") -> None:
        self.token, self.open, self._append = token, count, append

    def report(self, error: KafkaError | None, message: Message) -> None:
        """The delivery callback of each of its records, in the polling thread."""
        self._append(self if error is None else _Failure(self, error, message.value()))


class _Failure(NamedTuple, Generic[_Token]):
    """One record of a batch that was not delivered."""

    batch: _Batch[_Token]
    error: KafkaError
    value: bytes | None


#: What the polling thread hands on, for each record. A batch stands for one of its own that has arrived.
_Report = Delivery[_Token] | _Batch[_Token] | _Failure[_Token]


class NoRoom(Exception):
    """`produce` without room, or after close(). Ask `room` or await `wait_room` first."""


class DeliveryBridge(Generic[_Token]):
    """Use it from one event loop. `on_delivered` gets every token back exactly once, in the loop, in lists.

    A thread of its own polls librdkafka, and wakes the loop once per poll with all the reports of that poll, of which
    REPORTS_AT_ONCE at most are told in one turn.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        on_delivered: Callable[[list[Delivery[_Token]]], None],
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        make_producer: Callable[[dict[str, Any]], Producer] = Producer,
    ) -> None:
        """`config`: of producer_config, with the same `max_in_flight`."""
        self._watch = BrokerWatch()
        self._producer = make_producer({**config, **self._watch.callbacks()})
        self._on_delivered = on_delivered
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._progress_s = monotonic_s()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._reports: list[_Report[_Token]] = []  # the polling thread's alone
        self._put_off = 0  # lists of reports that wait for their turn
        self._all_told = asyncio.Event()
        self._all_told.set()
        self._close_by_s: float | None = None
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="kafka-poll", daemon=True)
        self._thread.start()

    @property
    def room(self) -> int:
        """Records that `produce` takes now."""
        return 0 if self._ended else self._max_in_flight - self._in_flight

    @property
    def has_room(self) -> bool:
        return self.room > 0

    @property
    def broken(self) -> bool:
        """Since a fatal error it delivers nothing any more. What it holds comes back as failed; make a new one.

        `on_delivered` is called when this becomes so, with no deliveries if need be.
        """
        return self._broken

    @property
    def _ended(self) -> bool:
        return self._broken or self._close_by_s is not None

    @property
    def in_flight(self) -> int:
        """Records handed over whose token is not back yet."""
        return self._in_flight

    @property
    def trouble(self) -> str | None:
        """Why records don't get through, in words; None while they do."""
        stalled_s = monotonic_s() - self._progress_s
        if self._in_flight and stalled_s > STALLED_S:
            return f"{self._in_flight} records wait, no report for {stalled_s:.0f} s"
        return self._watch.trouble

    @property
    def healthy(self) -> bool:
        return self.trouble is None

    def produce(
        self, topic: str, key: str | bytes, value: bytes | None, token: _Token, headers: Headers | None = None
    ) -> None:
        """Hands a record over; never blocks. Raises NoRoom, and then the token does not come back. Without a value it
        is a deletion, for a compacted topic.

        What librdkafka refuses at once (a record too large, a broken producer) comes back as that token's error too.
        """
        if not self.has_room:
            raise NoRoom(f"{self._in_flight} records are in flight, at most {self._max_in_flight} may be")
        report = _Single(token, self._reports.append)
        try:
            if headers is None:
                self._producer.produce(topic, value, key, _ANY_PARTITION, report)
            else:
                self._producer.produce(topic, value, key, _ANY_PARTITION, report, headers=list(headers))
        except BufferError as error:
            raise NoRoom("librdkafka's queue is full") from error
        except KafkaException as error:
            self._report_soon(Delivery(token, error.args[0]))
        self._handed_over(1)

    def produce_all(self, topic: str, key: str | bytes, values: Sequence[bytes], token: _Token) -> int:
        """Hands over as many as there is room for, from the first on, and returns how many these are; never blocks.

        The token comes back as Delivery says, and not at all where there is no room for any.
        """
        chosen = values[: self.room] if self.room < len(values) else values
        if not chosen:
            return 0
        batch = _Batch(token, len(chosen), self._reports.append)
        produce, report = self._producer.produce, batch.report
        for value in chosen:
            try:
                produce(topic, value, key, _ANY_PARTITION, report)
            except (KafkaException, BufferError) as error:
                word = error.args[0] if isinstance(error, KafkaException) else KafkaError(KafkaError._QUEUE_FULL)
                self._report_soon(_Failure(batch, word, value))
        self._handed_over(len(chosen))
        return len(chosen)

    def _report_soon(self, report: _Report[_Token]) -> None:
        self._loop.call_soon(self._deliver, [report])

    def _handed_over(self, records: int) -> None:
        if self._in_flight == 0:
            self._progress_s = monotonic_s()
        self._in_flight += records

    async def wait_room(self, records: int = 1) -> None:
        """Until `records` more fit. Callers are served in their order.

        Raises ValueError where so many never fit, NoRoom when the bridge is closed.
        """
        if records > self._max_in_flight:
            raise ValueError(f"{records} records never fit: at most {self._max_in_flight} may be in flight")
        queue_up = self._waiting.append
        while self.room < records or (self._waiting and queue_up == self._waiting.append):
            if self._ended:
                raise NoRoom("the bridge is broken" if self._broken else "the bridge is closed")
            future: asyncio.Future[None] = self._loop.create_future()
            queue_up((records, future))
            await future
            queue_up = self._waiting.appendleft  # somebody who did not wait took the room: first in line again

    async def close(self, timeout_s: float) -> None:
        """Waits for what is in flight, at most `timeout_s`; the rest comes back as errors. Then the thread ends."""
        if self._close_by_s is None:
            self._close_by_s = monotonic_s() + timeout_s
            self._wake(everybody=True)
        await asyncio.to_thread(self._thread.join)
        await self._all_told.wait()

    def _run(self) -> None:
        try:
            while not self._broken and (
                self._close_by_s is None or (len(self._producer) and monotonic_s() < self._close_by_s)
            ):
                self._poll(POLL_S)
            self._producer.purge()
            purged_by_s = monotonic_s() + PURGE_S
            while len(self._producer) and self._may_wait(purged_by_s):
                self._poll(POLL_S)
        except RuntimeError as error:  # the loop was closed before this bridge
            _log.warning("kafka's thread ends: %s", error)
        finally:
            # The last reference: librdkafka's own threads are joined here and not in the loop.
            del self._producer

    def _may_wait(self, purged_by_s: float) -> bool:
        """For the reports of what is purged. Of a bridge that is broken and not closed they are needed, and nobody
        waits: the library purges what is in flight when the thread of its broker gets to it.
        """
        close_by_s = self._close_by_s
        return close_by_s is None or monotonic_s() < max(purged_by_s, close_by_s)

    def _poll(self, timeout_s: float) -> None:
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:
            # The library calls error_cb for all errors but fatal ones: those it raises here, once.
            self._watch.on_error(error.args[0])
            if error.args[0].fatal():
                self._loop.call_soon_threadsafe(self._break)
        if self._reports:
            reports = self._reports[:]
            self._reports.clear()
            self._loop.call_soon_threadsafe(self._deliver, reports)

    def _break(self) -> None:
        """In the loop: from now on nothing is handed over, so what the thread then purges is all there is."""
        self._broken = True
        self._wake(everybody=True)
        self._deliver([])

    def _deliver(self, reports: list[_Report[_Token]]) -> None:
        if len(reports) > REPORTS_AT_ONCE:
            self._put_off += 1
            self._all_told.clear()
            self._loop.call_soon(self._deliver_rest, reports[REPORTS_AT_ONCE:])
            del reports[REPORTS_AT_ONCE:]
        self._in_flight -= len(reports)
        self._progress_s = monotonic_s()
        if self._watch.trouble is not None and any(map(_has_arrived, reports)):
            self._watch.on_answer()
        try:
            self._on_delivered(_told(reports))
        finally:
            self._wake()

    def _deliver_rest(self, reports: list[_Report[_Token]]) -> None:
        try:
            self._deliver(reports)
        finally:
            self._put_off -= 1
            if not self._put_off:
                self._all_told.set()

    def _wake(self, *, everybody: bool = False) -> None:
        promised = 0
        while self._waiting and (everybody or self.room - promised >= self._waiting[0][0]):
            records, future = self._waiting.popleft()
            if not future.done():
                promised += records
                future.set_result(None)


def _has_arrived(report: _Report[Any]) -> bool:
    return isinstance(report, _Batch) or report.error is None


def _told(reports: list[_Report[_Token]]) -> list[Delivery[_Token]]:
    """Counts the records of batches, and gives what is to be said by now."""
    deliveries: list[Delivery[_Token]] = []
    for report in reports:
        if isinstance(report, Delivery):
            deliveries.append(report)
            continue
        if isinstance(report, _Failure):
            batch, error, value = report
            deliveries.append(Delivery(batch.token, error, value))
        else:
            batch = report
        batch.open -= 1
        if not batch.open:
            deliveries.append(Delivery(batch.token, None))
    return deliveries
