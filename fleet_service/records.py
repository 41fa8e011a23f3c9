"""Kafka's records as objects of this service. What can't be stored as it is, is refused with the reason: poison."""

import math
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from haul.command.v1.event_pb2 import CommandEvent
from haul.command.v1.stop_pb2 import StopProgress, StopStage
from haul.telemetry.v1.alert_pb2 import Alert as AlertMessage
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics
from haul.telemetry.v1.telemetry_pb2 import Reading, StatusChange

from fleet_service.alerts import Alert
from fleet_service.live import Change, Sample
from fleet_service.stops import Fact, StopWord, Word
from pitwall import wire
from pitwall.domain.units import QUANTITIES
from pitwall.wire import MAX_NUMBER, STORABLE_ID, VEHICLE_ID

#: Nanoseconds since 1970 of the year 2200: later is no time of ours.
_MAX_NS: Final = 7_258_118_400 * 1_000_000_000
_MAX_TEXT: Final = 1_000

_Record = TypeVar("_Record", bound=Message)


class Poison(ValueError):
    """A record that can't be taken; its text names the field."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A whole record, as of dead-letter-topic, where the headers say what it is. `time_ns`: when it was written."""

    key: str
    value: bytes
    headers: dict[str, str]
    time_ns: int


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """One revision of one window of one vehicle. Absent figures are unknown."""

    vehicle_id: str
    window_start_ns: int
    window_length_ms: int
    revision: int
    reading_count: int
    missing_count: int | None
    #: In the order of FIGURES.
    figures: tuple[float | None, ...]

    @property
    def key(self) -> tuple[str, int, int, int]:
        return self.vehicle_id, self.window_start_ns, self.window_length_ms, self.revision


#: Fields of VehicleMetrics, and columns of the table.
FIGURES: Final = (
    "speed_kph_avg",
    "speed_kph_max",
    "speed_kph_min",
    "fuel_level_percent_avg",
    "battery_level_percent_avg",
    "engine_temperature_celsius_avg",
    "engine_temperature_celsius_max",
    "payload_tons_avg",
    "payload_tons_max",
)


def sample_from(data: bytes) -> Sample:
    """Of vehicle-telemetry."""
    reading = _parsed(Reading, data)
    quantities = {f.name: value for f, value in reading.ListFields() if f.name in QUANTITIES and math.isfinite(value)}
    return Sample(
        _vehicle_id(reading.vehicle_id),
        _number(reading.boot_epoch, "boot_epoch"),
        _number(reading.sequence, "sequence"),
        _nanos(reading.event_time, "event_time"),
        _nanos(reading.received_time, "received_time"),
        reading.status,
        reading.sub_status,
        reading.motion_hold,
        quantities,
        reading.backfilled,
    )


def change_from(data: bytes) -> Change:
    """Of vehicle-status-change."""
    change = _parsed(StatusChange, data)
    event_ns = _nanos(change.event_time, "event_time")
    return Change(
        _vehicle_id(change.vehicle_id),
        (
            _number(change.boot_epoch, "boot_epoch"),
            _number(change.connect_count, "connect_count"),
            _count_within_session(change.change_id),
        ),
        event_ns,
        change.status,
        change.sub_status,
        change.motion_hold,
        change.connectivity,
        event_ns,
    )


def alert_from(data: bytes) -> Alert:
    """Of vehicle-alerts."""
    alert = _parsed(AlertMessage, data)
    if not alert.alert_id:
        raise Poison("alert_id is missing")
    if not alert.state:
        raise Poison("state is missing")
    return Alert(
        _id(alert.alert_id, "alert_id"),
        _vehicle_id(alert.vehicle_id),
        _text(alert.rule, "rule"),
        alert.severity,
        alert.state,
        _text(alert.message, "message"),
        alert.value if alert.HasField("value") else None,
        alert.threshold if alert.HasField("threshold") else None,
        _number(alert.boot_epoch, "boot_epoch"),
        _number(alert.sequence, "sequence"),
        _nanos(alert.raised_time, "raised_time"),
        _nanos(alert.event_time, "event_time"),
        alert.backfilled,
    )


def figures_from(data: bytes) -> WindowFigures:
    """Of vehicle-metrics."""
    metrics = _parsed(VehicleMetrics, data)
    return WindowFigures(
        _vehicle_id(metrics.vehicle_id) if metrics.vehicle_id else "",
        _nanos(metrics.window_start_time, "window_start_time"),
        _milliseconds(metrics.window_length, "window_length"),
        metrics.revision,
        _number(metrics.reading_count, "reading_count"),
        _number(metrics.missing_count, "missing_count") if metrics.HasField("missing_count") else None,
        tuple(_optional(metrics, name) for name in FIGURES),
    )


_WORDS: Final = {
    StopStage.STOP_STAGE_SENT: Word.SENT,
    StopStage.STOP_STAGE_RECEIVED: Word.HELD,
    StopStage.STOP_STAGE_BRAKING: Word.HELD,
    StopStage.STOP_STAGE_STANDSTILL: Word.HELD,
    StopStage.STOP_STAGE_RELEASED: Word.LET_GO,
}


def fact_from(data: bytes) -> Fact | None:
    """Of vehicle-commands. None for what tells nothing of what stops whom."""
    event = _parsed(CommandEvent, data)
    try:
        match event.WhichOneof("event"):
            case "stop_issued":
                _id(event.stop_issued.stop_id, "stop_id")
                return wire.stop_from_proto(event.stop_issued)
            case "release_in_force":
                _id(event.release_in_force.release_id, "release_id")
                return wire.release_from_proto(event.release_in_force)
            case "stop_progress":
                return _word_from(event.vehicle_id, event.stop_progress)
    except (ValueError, OverflowError) as error:
        raise Poison(f"{event.WhichOneof('event')}: {error}") from error
    return None


def _word_from(vehicle_id: str, progress: StopProgress) -> StopWord | None:
    """None for ISSUED, which is about all of its vehicles, and for what a later version may say."""
    word = _WORDS.get(progress.stage)
    return None if word is None else StopWord(_id(progress.stop_id, "stop_id"), _vehicle_id(vehicle_id), word)


def _optional(metrics: VehicleMetrics, name: str) -> float | None:
    return float(getattr(metrics, name)) if metrics.HasField(name) else None  # type: ignore[arg-type]  # a literal


def _parsed(kind: type[_Record], data: bytes) -> _Record:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise Poison(f"no {kind.DESCRIPTOR.name}: {error}") from error


def _vehicle_id(text: str) -> str:
    if VEHICLE_ID.fullmatch(text) is None:
        raise Poison(f"vehicle_id {text[:80]!r} does not match {VEHICLE_ID.pattern}")
    return text


def _id(text: str, field: str) -> str:
    """What PostgreSQL takes as a key."""
    if STORABLE_ID.fullmatch(text) is None:
        raise Poison(f"{field} {text[:80]!r} does not match {STORABLE_ID.pattern}")
    return text


def _text(text: str, field: str) -> str:
    if "\x00" in text or len(text) > _MAX_TEXT:
        raise Poison(f"{field} has a NUL or more than {_MAX_TEXT} characters")
    return text


def _number(number: int, field: str) -> int:
    if number > MAX_NUMBER:
        raise Poison(f"{field} is {number}, at most {MAX_NUMBER} is taken")
    return number


def _nanos(message: Timestamp, field: str) -> int:
    nanos = message.seconds * 1_000_000_000 + message.nanos
    if not 0 < nanos < _MAX_NS:
        raise Poison(f"{field} is missing or out of range")
    return nanos


def _milliseconds(message: Duration, field: str) -> int:
    milliseconds = message.seconds * 1000 + message.nanos // 1_000_000
    if not 0 < milliseconds < MAX_NUMBER:
        raise Poison(f"{field} is missing or out of range")
    return milliseconds


def _count_within_session(change_id: str) -> int:
    """The last part of change_id, vehicle:boot_epoch:connect_count:number."""
    number = change_id.rpartition(":")[2]
    if not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise Poison(f"change_id {change_id[:80]!r} does not end in a number")
    return int(number)
