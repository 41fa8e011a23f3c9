"""Readings that sweep each alert rule across its limits, and the steps that must come of them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import Message
from google.protobuf.timestamp_pb2 import Timestamp
from haul.fleet.v1.registry_pb2 import RegistryEntry
from haul.telemetry.v1.alert_pb2 import Alert, AlertSeverity, AlertState
from haul.telemetry.v1.telemetry_pb2 import Reading

#: Seconds since 1970 at which the tests' time begins: a whole five minutes, long enough ago.
BEGIN_S = int(time.time()) // 300 * 300 - 7_200
FIRST_BOOT, SECOND_BOOT, THIRD_BOOT = 1_763_000_000_000, 1_763_000_100_000, 1_763_000_200_000
WARNING, CRITICAL = AlertSeverity.ALERT_SEVERITY_WARNING, AlertSeverity.ALERT_SEVERITY_CRITICAL
RAISED, CLEARED = AlertState.ALERT_STATE_RAISED, AlertState.ALERT_STATE_CLEARED


def reading(
    vehicle_id: str,
    sequence: int,
    at_s: float,
    fields: Mapping[str, float | None],
    *,
    boot_epoch: int = FIRST_BOOT,
    backfilled: bool = False,
) -> Reading:
    made = Reading(vehicle_id=vehicle_id, boot_epoch=boot_epoch, sequence=sequence, backfilled=backfilled)
    made.event_time.FromNanoseconds(round(at_s * 1000) * 1_000_000 + 7)
    for name, value in fields.items():
        if value is not None:
            setattr(made, name, value)
    return made


@dataclass(frozen=True)
class Sweep:
    """A rule with its limits. Where it looks at all tires, those that are not ``field`` are harmless."""

    rule: str
    field: str
    harmless: float
    at_clear: float
    between: float
    at_raise: float
    beyond: float
    severity: AlertSeverity.ValueType
    raised: str
    cleared: str
    #: What the registry says of the vehicle, by field; None: nothing.
    registered: Mapping[str, float] | None = None

    @property
    def vehicle_id(self) -> str:
        known = "".join(f"-{value}" for value in (self.registered or {}).values()).replace(".", "-")
        return f"SWEEP-{self.rule}-{self.field}{known}".upper().replace("_", "-")

    @property
    def entry(self) -> RegistryEntry | None:
        if self.registered is None:
            return None
        made = RegistryEntry(vehicle_id=self.vehicle_id)
        for name, value in self.registered.items():
            setattr(made, name, value)
        return made

    def fields(self, value: float | None) -> dict[str, float | None]:
        if not self.field.startswith("tire"):
            return {self.field: value}
        return {f"tire_pressure_{wheel}_psi": 100.0 for wheel in WHEELS} | {self.field: value}


WHEELS = ("front_left", "front_right", "rear_left", "rear_right")
SWEEPS = [
    Sweep(
        "HIGH_SPEED", "speed_kph", 56.9, 57, 58.5, 60, 60.1, WARNING,
        "Speed 60.10 km/h is above 60 km/h", "Speed 56.90 km/h is back below 57 km/h",
    ),
    Sweep(
        "HIGH_SPEED", "speed_kph", 37.9, 38, 39, 40, 40.1, WARNING,
        "Speed 40.10 km/h is above 40 km/h", "Speed 37.90 km/h is back below 38 km/h", {"max_speed_kph": 40},
    ),
    Sweep(
        "HIGH_SPEED", "speed_kph", 56.9, 57, 58.5, 60, 60.1, WARNING,
        "Speed 60.10 km/h is above 60 km/h", "Speed 56.90 km/h is back below 57 km/h", {"max_speed_kph": 64.5},
    ),
    Sweep(
        "PAYLOAD_OVERLOAD", "payload_tons", 313.1, 290 * 1.08, 315, 290 * 1.1, 319.1, WARNING,
        "Payload 319.10 t is above 319 t", "Payload 313.10 t is back below 313.2 t", {"rated_payload_tons": 290},
    ),
    Sweep(
        "OVERHEATING", "engine_temperature_celsius", 96.9, 97, 98.5, 100, 100.1, CRITICAL,
        "Engine coolant 100.10 °C is above 100 °C", "Engine coolant 96.90 °C is back below 97 °C",
    ),
    Sweep(
        "LOW_FUEL", "fuel_level_percent", 17.1, 17, 16, 15, 14.9, WARNING,
        "Fuel level 14.90 % is below 15 %", "Fuel level 17.10 % is back above 17 %",
    ),
    Sweep(
        "LOW_BATTERY", "battery_level_percent", 22.1, 22, 21, 20, 19.9, WARNING,
        "Battery level 19.90 % is below 20 %", "Battery level 22.10 % is back above 22 %",
    ),
    *(
        Sweep(
            "HIGH_TIRE_PRESSURE", f"tire_pressure_{wheel}_psi", 117.9, 118, 119, 120, 120.1, WARNING,
            f"Tire pressure 120.10 psi ({wheel.replace('_', ' ')}) is above 120 psi",
            f"Tire pressure 117.90 psi ({wheel.replace('_', ' ')}) is back below 118 psi",
        )
        for wheel in WHEELS
    ),
    *(
        Sweep(
            "LOW_TIRE_PRESSURE", f"tire_pressure_{wheel}_psi", 82.1, 82, 81, 80, 79.9, WARNING,
            f"Tire pressure 79.90 psi ({wheel.replace('_', ' ')}) is below 80 psi",
            f"Tire pressure 82.10 psi ({wheel.replace('_', ' ')}) is back above 82 psi",
        )
        for wheel in WHEELS
    ),
]  # fmt: skip


def story(sweep: Sweep) -> list[Reading]:
    """Every way past the limits; the sequences of ``expected_steps``. 100 to 199 are history, 2xx live again."""

    def made(sequence: int, value: float | None, boot_epoch: int = FIRST_BOOT, *, backfilled: bool = False) -> Reading:
        at_s = BEGIN_S + sequence / 10 + (100 if boot_epoch == SECOND_BOOT else 0)
        fields = sweep.fields(value)
        return reading(sweep.vehicle_id, sequence, at_s, fields, boot_epoch=boot_epoch, backfilled=backfilled)

    return [
        made(1, sweep.between),
        made(2, sweep.harmless),
        made(3, sweep.at_raise),
        made(4, sweep.beyond),  # raises
        made(5, None),
        made(6, sweep.between),
        made(7, sweep.at_clear),
        made(2, sweep.harmless),  # a repeat of what is long over
        made(100, sweep.harmless, backfilled=True),  # clears nothing live
        made(8, sweep.beyond),
        made(9, sweep.harmless),  # clears
        made(4, sweep.beyond),  # a repeat that would raise
        made(12, sweep.harmless),
        made(10, sweep.beyond),  # new, but late: it tells how it was
        made(101, sweep.beyond, backfilled=True),  # raises in history alone
        made(200, sweep.between),
        made(102, None, backfilled=True),
        made(103, sweep.harmless, backfilled=True),  # clears in history
        made(201, sweep.beyond),  # raises
        made(1, None, SECOND_BOOT),
        made(2, sweep.between, SECOND_BOOT),
        made(3, sweep.harmless, SECOND_BOOT),  # clears what was raised before the boot
        made(201, sweep.beyond),  # a repeat from before the boot
    ]


#: (backfilled, state, sequence that raised, boot and sequence of this step); all are raised in the first boot.
EXPECTED_STEPS = [
    (False, RAISED, 4, FIRST_BOOT, 4),
    (False, CLEARED, 4, FIRST_BOOT, 9),
    (False, RAISED, 201, FIRST_BOOT, 201),
    (False, CLEARED, 201, SECOND_BOOT, 3),
    (True, RAISED, 101, FIRST_BOOT, 101),
    (True, CLEARED, 101, FIRST_BOOT, 103),
]


def alerts_of(records: list[Message], vehicle_id: str) -> list[Alert]:
    return [Alert.FromString(r.value() or b"") for r in records if r.key() == vehicle_id.encode()]


def steps_of(records: list[Message], vehicle_id: str) -> list[Alert]:
    """Each step once, as every consumer keeps it: after a failure a step may come again, with the same id and state."""
    alerts = alerts_of(records, vehicle_id)
    return list({(alert.alert_id, alert.state): alert for alert in alerts}.values())


def raised_by(alert: Alert) -> int:
    """The sequence that raised it."""
    return int(alert.alert_id.split(".")[3])


def check_step(sweep: Sweep, alert: Alert, times: Mapping[tuple[int, int], Timestamp]) -> None:
    raising = raised_by(alert)
    ending = ".backfilled" if alert.backfilled else ""
    assert alert.alert_id == f"{sweep.vehicle_id}.{sweep.rule}.{FIRST_BOOT}.{raising}{ending}"
    assert (alert.rule, alert.severity) == (sweep.rule, sweep.severity)
    assert alert.raised_time == times[FIRST_BOOT, raising]
    assert alert.event_time == times[alert.boot_epoch, alert.sequence]
    is_raised = alert.state == RAISED
    assert alert.value == (sweep.beyond if is_raised else sweep.harmless)
    assert alert.threshold == (sweep.at_raise if is_raised else sweep.at_clear)
    assert alert.message == (sweep.raised if is_raised else sweep.cleared)
