"""What each list can be filtered by."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from haul.fleet.v1 import vehicle_pb2
from haul.telemetry.v1 import alert_pb2, telemetry_pb2

from fleet_service.filters import Field, InvalidValue

_NANOS: Final = 1_000_000_000
_SPAN: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)s")
MAX_TEXT_CHARACTERS: Final = 200


class _Enum(Protocol):
    def keys(self) -> list[str]: ...
    def Value(self, name: str) -> int: ...  # noqa: N802


def _enum(enum: _Enum, prefix: str) -> Callable[[str], int]:
    """By name, with or without the prefix."""
    numbers = {name.removeprefix(prefix): enum.Value(name) for name in enum.keys()}  # noqa: SIM118 - no mapping

    def parse(text: str) -> int:
        number = numbers.get(text.removeprefix(prefix))
        if number is None:
            raise InvalidValue(f"one of {', '.join(sorted(numbers, key=numbers.__getitem__))}")
        return number

    return parse


def _text(text: str) -> str:
    if len(text) > MAX_TEXT_CHARACTERS or "\x00" in text:
        raise InvalidValue(f"a text of at most {MAX_TEXT_CHARACTERS} characters")
    return text


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidValue("true or false")
    return text == "true"


def _milliseconds(text: str) -> int:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise InvalidValue("seconds, for example 60s")
    return math.floor(float(match[1]) * 1000 + 0.5)


def _nanos(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValue('RFC 3339 in quotes, for example "2026-11-01T12:00:00Z"') from None
    if moment.tzinfo is None:
        raise InvalidValue("a time zone at its end, for example Z")
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _NANOS + since.microseconds * 1000


VEHICLE_FIELDS: Final = {
    "status": Field(_enum(telemetry_pb2.VehicleStatus, "VEHICLE_STATUS_")),
    "connectivity": Field(_enum(telemetry_pb2.Connectivity, "CONNECTIVITY_")),
    "motion_hold": Field(_enum(telemetry_pb2.MotionHold, "MOTION_HOLD_")),
    "model": Field(_text),
}
ALERT_FIELDS: Final = {
    "vehicle_id": Field(_text),
    "rule": Field(_text),
    "severity": Field(_enum(alert_pb2.AlertSeverity, "ALERT_SEVERITY_"), ordered=True),
    "state": Field(_enum(alert_pb2.AlertState, "ALERT_STATE_")),
    "open": Field(_flag),
    "acknowledged": Field(_flag),
}
GAP_FIELDS: Final = {
    "vehicle_id": Field(_text),
    "state": Field(_enum(vehicle_pb2.GapState, "GAP_STATE_")),
}
METRICS_FIELDS: Final = {
    "window_length": Field(_milliseconds, ordered=True),
    "window_start_time": Field(_nanos, ordered=True),
}
