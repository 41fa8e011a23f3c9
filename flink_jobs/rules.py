"""The table of alert rules: what is judged, from where to where, and what to tell people.

A rule raises when what it watches goes past ``raise_at`` and clears when it has come back past ``clear_at``; between
the two it stays what it was. A value that is unknown does neither. Where a rule watches several values, the worst of
them counts: one is enough to raise, all must be known and back to clear. What a row is made of is in watched.py.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flink_jobs.watched import Condition, Expression, Fall, Invalid, Limit, Observed, Side, Signal, Threshold

_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]*")
#: Longer than a shift is no hold time but a report.
MOST_HOLD_S: Final = 3_600.0
#: A vehicle that says nothing for longer has held nothing: its hold times begin anew.
LONGEST_SILENCE_S: Final = 15.0


class InvalidRule(ValueError):
    """Names the rule, its field, what is wrong, and what would be right."""

    def __init__(self, rule: str, field: str, reason: str) -> None:
        super().__init__(f"rule {rule}: {field}: {reason}")
        self.rule, self.field = rule, field


class Severity(StrEnum):
    """haul.telemetry.v1.AlertSeverity by name, the worse the later."""

    INFO = "ALERT_SEVERITY_INFO"
    WARNING = "ALERT_SEVERITY_WARNING"
    CRITICAL = "ALERT_SEVERITY_CRITICAL"
    EMERGENCY = "ALERT_SEVERITY_EMERGENCY"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row.

    escalated: severity past the threshold's escalate_at. hold_s: it must have been past raise_at for so long, by event
    time, reading after reading. models: how the vehicle's model must begin; none: all vehicles.
    """

    name: str
    when: Threshold | Condition
    severity: Severity
    escalated: Severity | None = None
    hold_s: float = 0.0
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidRule(self.name, "name", "write it in capitals with underscores, as HIGH_SPEED")
        try:
            self.when.check()
        except Invalid as invalid:
            raise InvalidRule(self.name, invalid.field, invalid.reason) from None
        self._check_escalation()
        self._check_hold()
        for model in self.models:
            if not _MODEL.fullmatch(model):
                raise InvalidRule(self.name, "models", f"{model!r} begins no model; write it as 930E")

    def _check_escalation(self) -> None:
        escalates = isinstance(self.when, Threshold) and self.when.escalate_at is not None
        if escalates is not (self.escalated is not None):
            raise InvalidRule(self.name, "escalated", "give escalate_at and its severity, or neither")
        severities = list(Severity)
        if self.escalated is not None and severities.index(self.escalated) <= severities.index(self.severity):
            raise InvalidRule(self.name, "escalated", f"must be worse than {self.severity.name}")

    def _check_hold(self) -> None:
        if not 0 <= self.hold_s <= MOST_HOLD_S:
            raise InvalidRule(self.name, "hold_s", f"{self.hold_s:g} must be 0 to {MOST_HOLD_S:g} s")
        if self.hold_s and self.observed is Observed.LINK:
            raise InvalidRule(self.name, "hold_s", "must be 0: the link is told of once, only readings hold on")

    @property
    def observed(self) -> Observed:
        return self.when.observed if isinstance(self.when, Condition) else Observed.READING

    @property
    def column(self) -> str:
        """The rule's name as part of a column's name."""
        return self.name.lower()


def checked(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The same rules; InvalidRule where two have one name."""
    seen: dict[str, Rule] = {}
    for rule in rules:
        if rule.name in seen:
            raise InvalidRule(rule.name, "name", "is given twice; choose another")
        seen[rule.name] = rule
    return tuple(seen.values())


_COOLANT = (Signal("engine_temperature_celsius"),)
#: Above 100 °C OVERHEATING speaks, so there it is unknown: it begins no early warning, and ends none.
_COOLANT_UP_TO_100 = Expression(
    "CASE WHEN `engine_temperature_celsius` <= 100 THEN `engine_temperature_celsius` END", "°C", (-60, 210)
)
_TIRES = (
    Signal("tire_pressure_front_left_psi", "front left"),
    Signal("tire_pressure_front_right_psi", "front right"),
    Signal("tire_pressure_rear_left_psi", "rear left"),
    Signal("tire_pressure_rear_right_psi", "rear right"),
)

#: The site's limit; what the registry says of a vehicle, or of its safety envelope, lowers it and never lifts it.
_SPEED: Final = Threshold(
    "Speed",
    (Signal("speed_kph"),),
    Side.ABOVE,
    raise_at=Limit("max_speed_kph", at_most=60),
    clear_at=Limit("max_speed_kph", 0.95, at_most=57),
)
_PAYLOAD: Final = Threshold(
    "Payload",
    (Signal("payload_tons"),),
    Side.ABOVE,
    raise_at=Limit("rated_payload_tons", 1.10),
    clear_at=Limit("rated_payload_tons", 1.08),
)
#: The service brake gives 9.0 (laden) to 10.8 km/h/s (empty) in any stop, ordered or not, and the retarder 3.6. What is
#: beyond 12.6 (3.5 m/s²) is no braking but a slide, a blow, or a sensor at fault.
_BRAKING: Final = Threshold("Deceleration", (Fall("speed_kph"),), Side.ABOVE, raise_at=12.6, clear_at=7.2)
_OUTSIDE: Final = Condition(
    "`outside_zone`", "Outside of its zone", "Back inside of where it may be", detail="entry_zone_name"
)
_LOST: Final = Condition(
    "`link_lost`", "No link to the vehicle", "The link to the vehicle is back", observed=Observed.LINK
)

RULES: Final = checked(
    (
        Rule("HIGH_SPEED", _SPEED, Severity.WARNING),
        Rule(
            "OVERHEATING",
            Threshold("Engine coolant", _COOLANT, Side.ABOVE, 100, 97, 110),
            Severity.CRITICAL,
            Severity.EMERGENCY,
        ),
        Rule(
            "HOT_COOLANT",
            Threshold("Engine coolant", (_COOLANT_UP_TO_100,), Side.ABOVE, 97, 95),
            Severity.WARNING,
            hold_s=60,
        ),
        Rule(
            "LOW_FUEL",
            Threshold("Fuel level", (Signal("fuel_level_percent"),), Side.BELOW, 15, 17, 5),
            Severity.WARNING,
            Severity.CRITICAL,
        ),
        Rule(
            "LOW_BATTERY",
            Threshold("Battery level", (Signal("battery_level_percent"),), Side.BELOW, 20, 22),
            Severity.WARNING,
        ),
        Rule("HIGH_TIRE_PRESSURE", Threshold("Tire pressure", _TIRES, Side.ABOVE, 120, 118), Severity.WARNING),
        Rule("LOW_TIRE_PRESSURE", Threshold("Tire pressure", _TIRES, Side.BELOW, 80, 82), Severity.WARNING),
        Rule("PAYLOAD_OVERLOAD", _PAYLOAD, Severity.WARNING),
        Rule("HARSH_BRAKING", _BRAKING, Severity.WARNING),
        Rule("GEOFENCE", _OUTSIDE, Severity.CRITICAL),
        Rule("LINK_LOST", _LOST, Severity.WARNING),
    )
)
