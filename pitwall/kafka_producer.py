"""librdkafka's settings for records that are to be kept, and what it says of its brokers."""

import json
import logging
import math
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError

from pitwall.clock import monotonic_s

#: Records handed over and not yet reported, all streams together: 20 s of 1,000 vehicles at 1 Hz, some 10 MB.
MAX_IN_FLIGHT: Final = 20_000
LINGER_MS: Final = 10
BATCH_RECORDS: Final = 1_000
#: 0: never. A record that has been sent once may be on the broker's disk, so to give it up is to write it twice when
#: its vehicle offers it again. Kafka may be dead or hung for a minute or a day: the records that were taken wait here,
#: in order, and are delivered once. What is bounded is how many (MAX_IN_FLIGHT), and the process's end (close()):
#: after either nothing is acknowledged, so the vehicle keeps it and offers it again.
MESSAGE_TIMEOUT_MS: Final = 0
#: After this without an answer a connection is given up, so that a hung broker or half-open link is found.
SOCKET_TIMEOUT_S: Final = 10.0
RECONNECT_MAX_MS: Final = 1_000
#: Records under way and no report for so long: trouble.
STALLED_S: Final = 10.0
STATISTICS_MS: Final = 2_000
ERROR_LOG_S: Final = 30.0
#: syslog's "critical": librdkafka's own lines say what the callbacks below hear, several times a second.
LIBRARY_LOG_LEVEL: Final = 2
#: librdkafka's own bounds must never be met before ours: twice the records, at 4 KiB each.
QUEUE_FACTOR: Final = 2
RECORD_KBYTES: Final = 4

assert STALLED_S >= SOCKET_TIMEOUT_S
assert STATISTICS_MS < STALLED_S * 1000

_log = logging.getLogger(__name__)


def producer_config(bootstrap: str, client_id: str, max_in_flight: int = MAX_IN_FLIGHT) -> dict[str, Any]:
    """For a DeliveryBridge of the same `max_in_flight`."""
    queue_records = QUEUE_FACTOR * max_in_flight
    return {
        "bootstrap.servers": bootstrap,
        "client.id": client_id,
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": LINGER_MS,
        "batch.num.messages": BATCH_RECORDS,
        "compression.type": "lz4",
        "message.timeout.ms": MESSAGE_TIMEOUT_MS,
        "socket.timeout.ms": round(SOCKET_TIMEOUT_S * 1000),
        "request.timeout.ms": round(SOCKET_TIMEOUT_S * 1000),
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
        "statistics.interval.ms": STATISTICS_MS,
        "log_level": LIBRARY_LOG_LEVEL,
        "queue.buffering.max.messages": queue_records,
        "queue.buffering.max.kbytes": queue_records * RECORD_KBYTES,
    }


class BrokerWatch:
    """Whether any broker is connected, from librdkafka's statistics; called in the polling thread, read in any.

    While a broker is away librdkafka says so several times a second. What is logged is the change, and the first
    error of each ERROR_LOG_S.
    """

    def __init__(self, max_silence_s: float = math.inf) -> None:
        """`max_silence_s`: of a broker that is asked all the time, as by a consumer. One that hangs stays connected."""
        self._max_silence_us = max_silence_s * 1e6
        #: In words; None while a broker is connected.
        self.trouble: str | None = "no broker has answered yet"
        self._fatal = False
        self._last_error = ""
        self._logged_s = -math.inf

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {"stats_cb": self.on_statistics, "error_cb": self.on_error}

    def on_statistics(self, text: str) -> None:
        if self._fatal:
            return
        brokers = json.loads(text)["brokers"].values()
        if any(broker["state"] == "UP" and broker["rxidle"] < self._max_silence_us for broker in brokers):
            self._connected()
        else:
            self.trouble = self._last_error or "no broker answers"

    def on_answer(self) -> None:
        """A record has arrived, or a question was answered: sooner and surer news than the statistics."""
        if not self._fatal:
            self._connected()

    def _connected(self) -> None:
        if self.trouble is not None:
            _log.info("kafka: a broker is connected")
        self.trouble, self._last_error = None, ""

    def on_error(self, error: KafkaError) -> None:
        """librdkafka goes on trying whatever it says here, unless the error is fatal."""
        self._last_error = error.str()
        if error.fatal():
            self._fatal = True
            self.trouble = f"the producer is broken for good: {error.str()}"
            _log.error("kafka: %s", self.trouble)
        elif monotonic_s() - self._logged_s >= ERROR_LOG_S:
            self._logged_s = monotonic_s()
            _log.warning("kafka: %s", error.str())
