"""The keeper's other half: reads which windows lack late readings, and has them recomputed."""

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from flink_jobs.apart import ApartFailed, ApartTimedOut, run_apart
from flink_jobs.cluster import Cluster, ClusterUnreachable
from flink_jobs.history import consumer
from flink_jobs.keeper import GaveUp
from flink_jobs.mending import MOST_PENDING, Mending
from flink_jobs.metrics_sql import LONG_WINDOW_S
from flink_jobs.recompute import Recomputed, cancel
from flink_jobs.settings import Settings
from flink_jobs.tables_sql import LATE_WINDOWS
from flink_jobs.timespans import Span, merged, rfc3339, starts

#: Exit codes of a recompute: the stream hasn't closed any of it, or another one is under way; and its readings are no
#: longer in Kafka.
NOT_OUT_YET: Final = 75
GONE: Final = 65

#: Of the longest one: a day at three thousand readings a second.
RECOMPUTE_TIMEOUT_S: Final = 3_600
_POLL_S: Final = 0.5
_ENDS_WITHIN_S: Final = 5
#: For one answer of Kafka's about where to begin.
_ASKED_FOR_S: Final = 5
#: Kafka forgets the offset of such a reader 7 days after it was committed (offsets.retention.minutes). Then all that
#: late-windows holds would be mended again.
_COMMITTED_AGAIN_S: Final = 24 * 3_600


class Mender:
    """``recompute`` raises ApartFailed. Offsets are committed once what they announce is mended.

    ``job_runs``: whether the job of this version does. A recompute beside another version's would write by other rules.
    """

    def __init__(
        self,
        consumer: Consumer,
        mending: Mending,
        recompute: Callable[[Sequence[Span]], Recomputed],
        log: Callable[..., None],
        ended: threading.Event,
        job_runs: Callable[[], bool],
    ) -> None:
        self._consumer, self.mending, self._recompute, self._log = consumer, mending, recompute, log
        self._job_runs = job_runs
        self._ended, self._committed, self._committed_s = ended, -1, -math.inf
        self._thread = threading.Thread(target=self._run, name="mender", daemon=True)

    @classmethod
    def of(
        cls,
        settings: Settings,
        config: Path,
        ended: threading.Event,
        log: Callable[..., None],
        job_runs: Callable[[], bool],
    ) -> "Mender":
        """As the keeper has it: each recompute is a process of its own."""

        def recompute(spans: Sequence[Span]) -> Recomputed:
            over = _over(spans, time.time())
            ends = [each for span in over for each in ("--from", str(span.begin_s), "--to", str(span.end_s))]
            try:
                said = json.loads(run_apart(config, ["recompute", *ends], ended, RECOMPUTE_TIMEOUT_S))
            except ApartTimedOut:
                _cancel(settings, log)
                raise
            return Recomputed(said["windows_mended"], tuple(Span(**each) for each in said["spans"]))

        mending = Mending(settings.mend_quiet_s, settings.mend_longest_s)
        group = f"{settings.name}-mender"
        return cls(consumer(settings.kafka_bootstrap, group), mending, recompute, log, ended, job_runs)

    def start(self) -> None:
        """In a thread of its own, until the keeper's end: a recompute takes minutes."""
        self._thread.start()

    def check(self) -> None:
        """Raises GaveUp where the thread has ended by itself. Its last words are on standard error."""
        if not self._thread.is_alive() and not self._ended.is_set():
            raise GaveUp("late windows are no longer mended: see the error above")

    def join(self) -> None:
        self._thread.join(_ENDS_WITHIN_S)

    def _run(self) -> None:
        """What Kafka can't do now is tried again."""
        try:
            while not self._ended.is_set() and not self.begin():
                self._ended.wait(_POLL_S)
            while not self._ended.is_set():
                self.look(self._consumer.poll(_POLL_S), time.monotonic())
        finally:
            self._consumer.close()

    def begin(self) -> bool:
        """Where the process before had come to. False while Kafka can't tell.

        The client could look that up by itself (OFFSET_STORED), but where it is asked while the topic or the group is
        just being made, it may never begin to read.
        """
        try:
            topic = self._consumer.list_topics(LATE_WINDOWS, timeout=_ASKED_FOR_S).topics[LATE_WINDOWS]
            (place,) = self._consumer.committed([TopicPartition(LATE_WINDOWS, 0)], timeout=_ASKED_FOR_S)
            error = topic.error or place.error
        except KafkaException as failure:
            error = failure.args[0]
        if error is not None:
            self._log("late windows not read yet", reason=error.str())
            return False
        if place.offset >= 0:
            self.mending.begins(place.offset)
        offset = place.offset if place.offset >= 0 else OFFSET_BEGINNING
        self._consumer.assign([TopicPartition(LATE_WINDOWS, 0, offset)])
        return True

    def look(self, message: Message | None, now_s: float) -> None:
        """Takes up one record, or none; then does what is due, if the job runs."""
        error = None if message is None else message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            self._log("late windows not read", reason=error.str())
        elif error is None and message is not None:
            self._note(message, now_s)
        if not self._job_runs():
            return
        if spans := self.mending.due(now_s):
            self._mend(spans)
        self._commit(now_s)

    def _note(self, message: Message, now_s: float) -> None:
        offset = message.offset() or 0
        try:
            told = json.loads(message.value() or b"")
            given_up = self.mending.announced(int(told["window_start_s"]), offset, now_s)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            self._log("no late window", topic=LATE_WINDOWS, offset=offset, reason=repr(error))
        else:
            self._say_given_up(given_up, f"{MOST_PENDING} newer ones wait")

    def _mend(self, spans: Sequence[Span]) -> None:
        began_s, mending = time.monotonic(), self.mending
        try:
            done = self._recompute(spans)
        except ApartFailed as failure:
            self._fail(failure)
            return
        mending.done(done.spans, done.windows_mended, began_s, time.monotonic())
        self._log("recomputed", spans=[str(span) for span in done.spans], windows_mended=done.windows_mended)

    def _fail(self, failure: ApartFailed) -> None:
        if failure.code == GONE:
            since_s = int(json.loads(failure.last_line)["since_s"])
            self._say_given_up(self.mending.give_up(since_s), str(failure))
        elif failure.code == NOT_OUT_YET:
            self.mending.postponed(time.monotonic())
            self._log("recompute postponed", reason=str(failure))
        else:
            self.mending.failed(time.monotonic())
            self._log("recompute failed", reason=str(failure))

    def _say_given_up(self, starts_s: Sequence[int], reason: str) -> None:
        if starts_s:
            first, last = rfc3339(min(starts_s)), rfc3339(max(starts_s))
            self._log(
                "windows given up", windows=len(starts_s), length_s=LONG_WINDOW_S, first=first, last=last, reason=reason
            )

    def _commit(self, now_s: float) -> None:
        settled = self.mending.settled
        is_fresh = settled == self._committed and now_s < self._committed_s + _COMMITTED_AGAIN_S
        if settled == 0 or is_fresh:
            return
        try:
            self._consumer.commit(offsets=[TopicPartition(LATE_WINDOWS, 0, settled)], asynchronous=False)
        except KafkaException as error:
            # After a restart those are mended once more, which writes nothing.
            self._log("offset not committed", reason=error.args[0].str())
        else:
            self._committed, self._committed_s = settled, now_s


def _over(spans: Sequence[Span], now_s: float) -> list[Span]:
    """What a recompute takes of them: it refuses what isn't over. Raises ApartFailed where nothing is."""
    over = merged(start_s for start_s in starts(spans) if start_s + LONG_WINDOW_S <= now_s)
    if not over:
        raise ApartFailed(NOT_OUT_YET, f"{spans[0]} is not over yet")
    return over


def _cancel(settings: Settings, log: Callable[..., None]) -> None:
    """Else it would go on on the cluster, in the way of the next."""
    try:
        cancel(Cluster(settings.flink_address), settings)
    except ClusterUnreachable as error:
        log("recompute not cancelled", reason=str(error))
