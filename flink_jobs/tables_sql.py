"""The Kafka topics as tables: three that the job reads, four that it writes. Columns are the fields of the records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from flink_jobs.sql import lines, options

TELEMETRY: Final = "vehicle-telemetry"
STATUS_CHANGES: Final = "vehicle-status-change"
REGISTRY: Final = "vehicle-registry"
ALERTS: Final = "vehicle-alerts"
METRICS: Final = "vehicle-metrics"
DEAD_LETTERS: Final = "dead-letter-topic"
LATE_WINDOWS: Final = "late-windows"

#: How much earlier than the latest reading of its partition a reading may have been sampled and still be in time.
OUT_OF_ORDERNESS_S: Final = 5
#: Tells how far time has come in a partition; see src/main/java/pitwall/flink/Patience.java.
PATIENCE: Final = "CREATE TEMPORARY FUNCTION patience AS 'pitwall.flink.Patience'"
#: The longest that Kafka allows unless its transaction.max.timeout.ms is raised. Metrics that were written and not yet
#: committed when the job stopped are lost when it stays away for longer.
TRANSACTION_TIMEOUT_S: Final = 900
#: Without these fields a record is no reading.
REQUIRED: Final = ("vehicle_id", "boot_epoch", "sequence", "event_time")
STATUS_REQUIRED: Final = ("change_id", "vehicle_id", "boot_epoch", "event_time", "connectivity")
REGISTRY_REQUIRED: Final = ("vehicle_id",)

_TIMESTAMP: Final = "ROW<`seconds` BIGINT, `nanos` INT>"
ZONE: Final = "ROW<`name` STRING, `corners` ARRAY<ROW<`latitude_degrees` DOUBLE, `longitude_degrees` DOUBLE>>>"
_UNDECODABLE: Final = "`undecodable` ROW<`record` BYTES, `reason` STRING, `explanation` STRING>"
_PLACE: Final = ("`record_partition` INT METADATA FROM 'partition'", "`record_offset` BIGINT METADATA FROM 'offset'")
_EVENT_NS: Final = "`event_ns` AS COALESCE(`event_time`.`seconds`, 0) * 1000000000 + COALESCE(`event_time`.`nanos`, 0)"
_HEADERS: Final = "`headers` MAP<STRING, BYTES> METADATA"
# An alert goes out at once, and a record is there when it is acknowledged.
_PRODUCER: Final = {"properties.acks": "all", "properties.linger.ms": "0", "properties.compression.type": "lz4"}


@dataclass(frozen=True, slots=True)
class Kafka:
    """Where the topics are, and as whom the job reads and writes them.

    name: its consumer group, and the prefix of its transactions. idle_timeout_s: a partition that is silent for so long
    no longer holds back the windows of the others. patience_s: for so long after a gap in a partition its windows wait
    for what those who write to it held back meanwhile.
    """

    bootstrap: str
    name: str
    idle_timeout_s: float
    patience_s: float

    def apart(self) -> "Kafka":
        """The same for the recompute, whose transactions must not end those of the stream."""
        return replace(self, name=f"{self.name}-recompute")

    def anywhere(self) -> "Kafka":
        """The same without what may differ from start to start and changes no result."""
        return Kafka("", self.name, 0, 0)


def readings(kafka: Kafka, quantities: Iterable[str]) -> str:
    """vehicle-telemetry. A field is NULL where its record lacks it; a bad record has nothing but ``undecodable``.

    ``event_at`` is when it was sampled, but never later than its record, and time goes on with neither beyond the
    present, so that a false time closes nobody's window. A bad record's is 1970: like history, it says when it was
    written.
    """
    watermark = (
        f"WATERMARK FOR `event_at` AS patience(`event_at`, `record_time`, `record_partition`, "
        f"{_millis(OUT_OF_ORDERNESS_S)}, {_millis(kafka.patience_s)})"
    )
    idle = {"scan.watermark.idle-timeout": f"{round(kafka.idle_timeout_s * 1000)} ms"}
    return _readings(kafka, quantities, ("`arrival` AS PROCTIME()", watermark), _group_offsets() | idle)


def past_readings(kafka: Kafka, quantities: Iterable[str], since_s: int) -> str:
    """The same for a batch: each record written since then, in seconds since 1970, up to the last when it begins."""
    return _readings(kafka, quantities, (), _since(since_s))


def _readings(kafka: Kafka, quantities: Iterable[str], time_columns: Iterable[str], scan: Mapping[str, str]) -> str:
    return _table(
        "readings",
        (
            "`record_key` BYTES",
            "`vehicle_id` STRING",
            "`boot_epoch` BIGINT",
            "`sequence` BIGINT",
            f"`event_time` {_TIMESTAMP}",
            "`backfilled` BOOLEAN",
            *(f"`{name}` DOUBLE" for name in quantities),
            _UNDECODABLE,
            "`record_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'",
            *_PLACE,
            _EVENT_NS,
            "`event_at` AS LEAST(`record_time`, TO_TIMESTAMP_LTZ("
            "COALESCE(`event_time`.`seconds`, 0) * 1000 + COALESCE(`event_time`.`nanos`, 0) / 1000000, 3))",
            *time_columns,
        ),
        _source(kafka, TELEMETRY, "haul.telemetry.v1.Reading", REQUIRED)
        | {**scan, "value.salvaging-protobuf.time-field": "event_time"},
    )


def status_changes(kafka: Kafka) -> str:
    """vehicle-status-change, as far as it is about the link. Of it no event time is used: it holds back nothing."""
    return _table(
        "status_changes",
        (
            "`record_key` BYTES",
            "`change_id` STRING",
            "`vehicle_id` STRING",
            "`boot_epoch` BIGINT",
            "`connect_count` BIGINT",
            f"`event_time` {_TIMESTAMP}",
            "`connectivity` STRING",
            _UNDECODABLE,
            *_PLACE,
            "`arrival` AS PROCTIME()",
            _EVENT_NS,
        ),
        _source(kafka, STATUS_CHANGES, "haul.telemetry.v1.StatusChange", STATUS_REQUIRED)
        | _group_offsets()
        | {"value.salvaging-protobuf.time-field": "event_time"},
    )


def registry(kafka: Kafka) -> str:
    """vehicle-registry, from its beginning whenever there is no state: it is compacted, so that is each one's entry.

    A record without a value, of a vehicle that was taken out, is a row with nothing but its key.
    """
    return _table(
        "registry",
        (
            "`record_key` BYTES",
            "`vehicle_id` STRING",
            "`model` STRING",
            "`rated_payload_tons` DOUBLE",
            "`max_payload_tons` DOUBLE",
            "`max_speed_kph` DOUBLE",
            f"`zone` {ZONE}",
            _UNDECODABLE,
            *_PLACE,
            "`arrival` AS PROCTIME()",
        ),
        _source(kafka, REGISTRY, "haul.fleet.v1.RegistryEntry", REGISTRY_REQUIRED)
        | {"scan.startup.mode": "earliest-offset", "value.salvaging-protobuf.take-tombstones": "true"},
    )


def alerts(kafka: Kafka) -> str:
    """vehicle-alerts, at least once: a repeat has the same alert_id and state."""
    return _table(
        "vehicle_alerts",
        (
            "`alert_id` STRING",
            "`vehicle_id` STRING",
            "`rule` STRING",
            "`severity` STRING",
            "`state` STRING",
            "`message` STRING",
            "`value` DOUBLE",
            "`threshold` DOUBLE",
            "`boot_epoch` BIGINT",
            "`sequence` BIGINT",
            f"`raised_time` {_TIMESTAMP}",
            f"`event_time` {_TIMESTAMP}",
            "`backfilled` BOOLEAN",
            _HEADERS,
        ),
        _topic(kafka, ALERTS, key="vehicle_id") | _at_least_once() | _message("Alert"),
    )


def metrics(kafka: Kafka, figures: Iterable[str]) -> str:
    """vehicle-metrics, exactly once for readers of committed records: they see a window at the next checkpoint."""
    exactly_once = {
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": kafka.name,
        "properties.transaction.timeout.ms": str(TRANSACTION_TIMEOUT_S * 1000),
    }
    return _table(
        "vehicle_metrics",
        (*_metrics_columns(figures), _HEADERS),
        _topic(kafka, METRICS, key="vehicle_id") | _PRODUCER | exactly_once | _message("VehicleMetrics"),
    )


def known_metrics(kafka: Kafka, figures: Iterable[str], since_s: int) -> str:
    """What is in vehicle-metrics for a batch: committed since then. What nobody can decode mends no window either."""
    reading = {"properties.isolation.level": "read_committed", "value.protobuf.ignore-parse-errors": "true"}
    return _table(
        "known_metrics",
        _metrics_columns(figures),
        _topic(kafka, METRICS, key="vehicle_id") | _since(since_s) | reading | _message("VehicleMetrics"),
    )


def late_windows(kafka: Kafka) -> str:
    """late-windows, at least once: the windows that are out and lack readings, as JSON."""
    return _table(
        "late_windows",
        ("`vehicle_id` STRING", "`window_start_s` BIGINT", "`window_length_s` BIGINT"),
        _topic(kafka, LATE_WINDOWS, key="vehicle_id") | _at_least_once() | {"value.format": "json"},
    )


def dead_letters(kafka: Kafka) -> str:
    """dead-letter-topic: bad records as they were, at least once."""
    return _table(
        "dead_letters",
        ("`record_key` BYTES", "`record` BYTES", _HEADERS),
        _topic(kafka, DEAD_LETTERS, key="record_key", key_in_value=False) | _at_least_once() | {"value.format": "raw"},
    )


def _metrics_columns(figures: Iterable[str]) -> tuple[str, ...]:
    return (
        "`vehicle_id` STRING",
        f"`window_start_time` {_TIMESTAMP}",
        f"`window_length` {_TIMESTAMP}",
        "`revision` INT",
        "`reading_count` BIGINT",
        *(f"`{figure}` DOUBLE" for figure in figures),
    )


def _since(since_s: int) -> dict[str, str]:
    """A bounded scan by the time of records."""
    return {
        "scan.startup.mode": "timestamp",
        "scan.startup.timestamp-millis": str(since_s * 1000),
        "scan.bounded.mode": "latest-offset",
    }


def _millis(seconds: float) -> str:
    """A BIGINT in SQL."""
    return f"CAST({round(seconds * 1000)} AS BIGINT)"


def _topic(kafka: Kafka, topic: str, *, key: str, key_in_value: bool = True) -> dict[str, str]:
    return {
        "connector": "kafka",
        "topic": topic,
        "properties.bootstrap.servers": kafka.bootstrap,
        "key.format": "raw",
        "key.fields": key,
        "value.fields-include": "ALL" if key_in_value else "EXCEPT_KEY",
    }


def _source(kafka: Kafka, topic: str, message: str, required: Iterable[str]) -> dict[str, str]:
    return _topic(kafka, topic, key="record_key", key_in_value=False) | {
        "properties.group.id": kafka.name,
        "value.format": "salvaging-protobuf",
        "value.salvaging-protobuf.message-class-name": message,
        "value.salvaging-protobuf.required-fields": ";".join(required),
    }


def _group_offsets() -> dict[str, str]:
    """Without state it goes on where the last job was, and where there was none, from the beginning."""
    return {"properties.auto.offset.reset": "earliest", "scan.startup.mode": "group-offsets"}


def _at_least_once() -> dict[str, str]:
    return {**_PRODUCER, "sink.delivery-guarantee": "at-least-once"}


def _message(name: str) -> dict[str, str]:
    return {"value.format": "protobuf", "value.protobuf.message-class-name": f"haul.telemetry.v1.{name}"}


def _table(name: str, columns: Iterable[str], with_options: Mapping[str, str]) -> str:
    return f"CREATE TEMPORARY TABLE {name} (\n  {lines(columns)}\n) {options(with_options)}"
