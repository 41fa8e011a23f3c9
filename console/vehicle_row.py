"""What an operator is shown of one vehicle, whoever told it: the fleet service, or a command service. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from haul.command.v1 import order_pb2
from haul.fleet.v1 import vehicle_pb2
from haul.telemetry.v1 import alert_pb2, telemetry_pb2

from pitwall.wire import to_seconds

#: Vehicles send a reading each second; what is older than this is shown as old, seconds.
OLD_S = 3.0

CONNECTED = telemetry_pb2.CONNECTIVITY_CONNECTED
LOST = telemetry_pb2.CONNECTIVITY_LOST


class Need(IntEnum):
    """Who should be looked at first."""

    #: A stop is latched and it doesn't stand, as far as anybody knows.
    MOVES_UNDER_STOP = 0
    #: An alert that is at least CRITICAL, or a fault that the vehicle found in itself.
    CRITICAL = 1
    #: Nobody hears it.
    SILENT = 2
    #: It holds still whatever its status says.
    HELD = 3
    WARNING = 4
    NONE = 5


@dataclass(frozen=True, slots=True)
class Known:
    """The last known value of a quantity, and how long ago it was measured."""

    value: float
    age_s: float

    @property
    def old(self) -> bool:
        return self.age_s > OLD_S


@dataclass(frozen=True, slots=True)
class Row:
    """None is unknown. `age_s`: of the newest reading. `alerts`: the open ones, worst first; there may be more of them
    than are known one by one, as `alert_count` says.
    """

    vehicle_id: str
    status: telemetry_pb2.VehicleStatus.ValueType
    sub_status: telemetry_pb2.VehicleSubStatus.ValueType
    hold: telemetry_pb2.MotionHold.ValueType
    connectivity: telemetry_pb2.Connectivity.ValueType
    age_s: float | None = None
    speed_kph: Known | None = None
    payload_tons: Known | None = None
    engine_celsius: Known | None = None
    fuel_percent: Known | None = None
    alerts: Sequence[alert_pb2.Alert] = ()
    alert_count: int = 0

    @property
    def old(self) -> bool:
        """Nothing has been heard of it for a while."""
        return self.age_s is not None and self.age_s > OLD_S

    @property
    def need(self) -> Need:
        worst = max((alert.severity for alert in self.alerts), default=alert_pb2.ALERT_SEVERITY_UNSPECIFIED)
        moves = self.speed_kph is None or self.speed_kph.value > 0
        needs = (
            (Need.MOVES_UNDER_STOP, self.hold == telemetry_pb2.MOTION_HOLD_STOPPED and moves),
            (Need.CRITICAL, worst >= alert_pb2.ALERT_SEVERITY_CRITICAL or self.status == _ERROR),
            (Need.SILENT, self.status != _OFFLINE and (self.connectivity == LOST or self.old)),
            (Need.HELD, self.hold not in _FREE or self.status == _EMERGENCY_STOP),
            (Need.WARNING, self.alert_count > 0),
        )
        return next((need for need, applies in needs if applies), Need.NONE)

    def with_motion_of(self, motion: "Row") -> "Row":
        """What a command service says of its motion, and the rest as it was known."""
        return replace(
            self,
            status=motion.status,
            sub_status=motion.sub_status,
            hold=motion.hold,
            connectivity=motion.connectivity,
            age_s=motion.age_s,
            speed_kph=motion.speed_kph,
        )


_ERROR = telemetry_pb2.VEHICLE_STATUS_ERROR
_OFFLINE = telemetry_pb2.VEHICLE_STATUS_OFFLINE
_EMERGENCY_STOP = telemetry_pb2.VEHICLE_STATUS_EMERGENCY_STOP
_FREE = (telemetry_pb2.MOTION_HOLD_UNSPECIFIED, telemetry_pb2.MOTION_HOLD_NONE)


def of_vehicle(vehicle: vehicle_pb2.Vehicle, alerts: Sequence[alert_pb2.Alert] | None, since_s: float = 0.0) -> Row:
    """As the fleet service told it `since_s` ago. `alerts`: None where nobody tells them one by one."""
    ages_s = {name: to_seconds(age) + since_s for name, age in vehicle.quantity_ages.items()}

    def known(name: str) -> Known | None:
        return Known(getattr(vehicle.current_reading, name), ages_s[name]) if name in ages_s else None

    return Row(
        vehicle.vehicle_id,
        vehicle.status,
        vehicle.sub_status,
        vehicle.motion_hold,
        vehicle.connectivity,
        min(ages_s.values(), default=None),
        known("speed_kph"),
        known("payload_tons"),
        known("engine_temperature_celsius"),
        known("fuel_level_percent"),
        sorted(alerts or (), key=lambda alert: (-alert.severity, alert.raised_time.seconds, alert.rule)),
        vehicle.open_alert_count if alerts is None else len(alerts),
    )


def of_motion_state(state: order_pb2.MotionState, since_s: float = 0.0) -> Row:
    """As a command service told it `since_s` ago."""
    age_s = to_seconds(state.age) + since_s if state.HasField("age") else None
    speed = Known(state.speed_kph, age_s) if age_s is not None and state.HasField("speed_kph") else None
    return Row(
        state.vehicle_id, state.status, state.sub_status, state.motion_hold, state.connectivity, age_s, speed_kph=speed
    )
