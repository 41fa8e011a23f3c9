"""States, times and ages in the words that an operator reads."""

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from haul.command.v1 import order_pb2, stop_pb2
from haul.telemetry.v1 import alert_pb2, telemetry_pb2

UNKNOWN = "–"

#: What each stage says about the vehicle. None but STANDSTILL says that it stands.
STAGES: dict[int, str] = {
    stop_pb2.STOP_STAGE_UNSPECIFIED: "nothing heard yet",
    stop_pb2.STOP_STAGE_ISSUED: "issued, nothing heard from the vehicle yet",
    stop_pb2.STOP_STAGE_SENT: "sent, nothing heard from the vehicle yet",
    stop_pb2.STOP_STAGE_RECEIVED: "latched, braking ordered",
    stop_pb2.STOP_STAGE_BRAKING: "braking, measured",
    stop_pb2.STOP_STAGE_STANDSTILL: "stands, speed 0 measured",
    stop_pb2.STOP_STAGE_RELEASED: "released, by its own word",
}

#: Who says NOT CONFIRMED says this with it.
NOT_CONFIRMED = "NOT CONFIRMED: no bound, clear the area by radio"


def status(value: telemetry_pb2.VehicleStatus.ValueType) -> str:
    return _short(telemetry_pb2.VehicleStatus.Name(value), "VEHICLE_STATUS_")


def sub_status(value: telemetry_pb2.VehicleSubStatus.ValueType) -> str:
    return _short(telemetry_pb2.VehicleSubStatus.Name(value), "VEHICLE_SUB_STATUS_")


def hold(value: telemetry_pb2.MotionHold.ValueType) -> str:
    return _short(telemetry_pb2.MotionHold.Name(value), "MOTION_HOLD_")


def connectivity(value: telemetry_pb2.Connectivity.ValueType) -> str:
    return _short(telemetry_pb2.Connectivity.Name(value), "CONNECTIVITY_")


def severity(value: alert_pb2.AlertSeverity.ValueType) -> str:
    return _short(alert_pb2.AlertSeverity.Name(value), "ALERT_SEVERITY_")


def alert_state(value: alert_pb2.AlertState.ValueType) -> str:
    return _short(alert_pb2.AlertState.Name(value), "ALERT_STATE_")


def stage(value: stop_pb2.StopStage.ValueType) -> str:
    return _short(stop_pb2.StopStage.Name(value), "STOP_STAGE_")


def order_result(value: order_pb2.OrderResult.ValueType) -> str:
    return _short(order_pb2.OrderResult.Name(value), "ORDER_RESULT_")


def drill_verdict(value: order_pb2.DrillVerdict.ValueType) -> str:
    return _short(order_pb2.DrillVerdict.Name(value), "DRILL_VERDICT_")


def release_state(value: stop_pb2.ReleaseState.ValueType) -> str:
    return _short(stop_pb2.ReleaseState.Name(value), "RELEASE_STATE_")


def clock(time: Timestamp | None) -> str:
    """Time of day where the console is, to a tenth of a second; with the date where that is not today."""
    if time is None:
        return UNKNOWN
    local = time.ToDatetime(tzinfo=UTC).astimezone()
    text = f"{local:%H:%M:%S}.{local.microsecond // 100_000}"
    return text if local.date() == datetime.now(UTC).astimezone().date() else f"{local:%Y-%m-%d} {text}"


def span(seconds: float) -> str:
    """0.4 s, 12 s, 3 min, 2 h, 5 d."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def age(message: Duration) -> str:
    return span(message.seconds + message.nanos / 1e9)


def since(time: Timestamp, now: datetime) -> str:
    """How long ago a time was."""
    return span((now - time.ToDatetime(tzinfo=UTC)).total_seconds())


def _short(name: str, prefix: str) -> str:
    short = name.removeprefix(prefix)
    return UNKNOWN if short == "UNSPECIFIED" else short
