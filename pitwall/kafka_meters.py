"""What a producer's records do, by the same names in every process that has one."""

from collections.abc import Callable
from typing import Final

from opentelemetry import metrics

from pitwall.instruments import Tally, gauge, seconds_histogram

#: What librdkafka calls the failures that may be met; any other is counted as OTHER.
ERRORS: Final = (
    "_MSG_TIMED_OUT",
    "_PURGE_QUEUE",
    "_FATAL",
    "_UNKNOWN_TOPIC",
    "MSG_SIZE_TOO_LARGE",
    "INVALID_RECORD",
    "NOT_ENOUGH_REPLICAS",
    "TOPIC_AUTHORIZATION_FAILED",
    "OTHER",
)


class KafkaMeters:
    """One process's. `in_flight`: records without a delivery report."""

    def __init__(self, in_flight: Callable[[], float], meter: metrics.Meter | None = None) -> None:
        meter = meter or metrics.get_meter("pitwall.kafka")
        gauge(meter, "pitwall.kafka.in_flight.records", "Records without a delivery report", in_flight)
        self._delivered = Tally(meter, "pitwall.kafka.delivered.records", "Records that Kafka has on enough disks")
        self._errors = Tally(
            meter,
            "pitwall.kafka.delivery.errors",
            "Records that Kafka refused for good, by its word",
            {"error": ERRORS},
        )
        self._seconds = seconds_histogram(
            meter, "pitwall.kafka.delivery", "From a batch handed over to its delivery report, the longest of each poll"
        )

    def delivered(self, count: int, latency_s: float) -> None:
        """One poll's worth."""
        self._delivered.add(count)
        self._seconds.record(latency_s)

    def failed(self, error: str, count: int) -> None:
        """`error`: the name that librdkafka gives it."""
        self._errors.add(count, error if error in ERRORS else "OTHER")
