"""The alert rules: what is judged, from where to where, and what to tell people.

A rule raises when its quantity passes ``raise_at`` and clears when it has come back past ``clear_at``; between the two
it stays what it was. A value that is unknown does neither. Where a rule names several quantities, the worst of them
counts: one is enough to raise, and all must be known and back to clear.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from pitwall.domain.units import QUANTITIES, Quantity

_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


class InvalidRule(ValueError):
    """Names the rule, its field, what is wrong, and what would be right."""

    def __init__(self, rule: str, field: str, reason: str) -> None:
        super().__init__(f"rule {rule}: {field}: {reason}")
        self.rule, self.field = rule, field


class Side(Enum):
    """On which side of ``raise_at`` things are wrong."""

    ABOVE = "above"
    BELOW = "below"


class Severity(StrEnum):
    """haul.telemetry.v1.AlertSeverity by name."""

    INFO = "ALERT_SEVERITY_INFO"
    WARNING = "ALERT_SEVERITY_WARNING"
    CRITICAL = "ALERT_SEVERITY_CRITICAL"
    EMERGENCY = "ALERT_SEVERITY_EMERGENCY"


@dataclass(frozen=True, slots=True)
class Signal:
    """A quantity of a Reading by its field's name, and where it is measured if there are several places."""

    field: str
    place: str = ""

    @property
    def quantity(self) -> Quantity:
        return QUANTITIES[self.field]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. Limits are exclusive, in the signals' unit. ``subject`` begins the sentence for the operator."""

    name: str
    signals: tuple[Signal, ...]
    side: Side
    raise_at: float
    clear_at: float
    severity: Severity
    subject: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidRule(self.name, "name", "write it in capitals with underscores, as HIGH_SPEED")
        if not self.subject or "'" in self.subject:
            raise InvalidRule(self.name, "subject", "say in words what is measured, without quotes")
        _check_signals(self)
        for field, limit in (("raise_at", self.raise_at), ("clear_at", self.clear_at)):
            _check_limit(self, field, limit)
        if (self.clear_at < self.raise_at) is not (self.side is Side.ABOVE) or self.clear_at == self.raise_at:
            right = "below" if self.side is Side.ABOVE else "above"
            raise InvalidRule(self.name, "clear_at", f"{self.clear_at:g} must be {right} raise_at {self.raise_at:g}")

    @property
    def unit(self) -> str:
        return self.signals[0].quantity.unit

    @property
    def column(self) -> str:
        """The rule's name as part of a column's name."""
        return self.name.lower()


def _check_signals(rule: Rule) -> None:
    for signal in rule.signals:
        if signal.field not in QUANTITIES:
            raise InvalidRule(
                rule.name, "signals", f"{signal.field} is no quantity of a Reading; see pitwall.domain.units"
            )
    if len({signal.quantity.unit for signal in rule.signals}) != 1:
        raise InvalidRule(rule.name, "signals", "name at least one quantity, and only such as share a unit")
    if len({signal.place for signal in rule.signals}) != len(rule.signals):
        raise InvalidRule(rule.name, "signals", "give each of several signals a place of its own")


def _check_limit(rule: Rule, field: str, limit: float) -> None:
    """A limit that no possible value passes would make a rule that never raises, or never clears."""
    for quantity in (signal.quantity for signal in rule.signals):
        if not (math.isfinite(limit) and quantity.minimum < limit < quantity.maximum):
            within = f"between {quantity.minimum:g} and {quantity.maximum:g} {quantity.unit}"
            raise InvalidRule(rule.name, field, f"{limit:g} must be {within}, the range of {quantity.name}")


def checked(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The same rules; InvalidRule where two have one name."""
    seen: dict[str, Rule] = {}
    for rule in rules:
        if rule.name in seen:
            raise InvalidRule(rule.name, "name", "is given twice; choose another")
        seen[rule.name] = rule
    return tuple(seen.values())


_TIRES = (
    Signal("tire_pressure_front_left_psi", "front left"),
    Signal("tire_pressure_front_right_psi", "front right"),
    Signal("tire_pressure_rear_left_psi", "rear left"),
    Signal("tire_pressure_rear_right_psi", "rear right"),
)
_COOLANT = (Signal("engine_temperature_celsius"),)

RULES: Final = checked(
    (
        Rule("HIGH_SPEED", (Signal("speed_kph"),), Side.ABOVE, 60, 57, Severity.WARNING, "Speed"),
        Rule("OVERHEATING", _COOLANT, Side.ABOVE, 100, 97, Severity.CRITICAL, "Engine coolant"),
        Rule("LOW_FUEL", (Signal("fuel_level_percent"),), Side.BELOW, 15, 17, Severity.WARNING, "Fuel level"),
        Rule("LOW_BATTERY", (Signal("battery_level_percent"),), Side.BELOW, 20, 22, Severity.WARNING, "Battery level"),
        Rule("HIGH_TIRE_PRESSURE", _TIRES, Side.ABOVE, 120, 118, Severity.WARNING, "Tire pressure"),
        Rule("LOW_TIRE_PRESSURE", _TIRES, Side.BELOW, 80, 82, Severity.WARNING, "Tire pressure"),
    )
)
