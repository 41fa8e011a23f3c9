"""The table of rules: what it holds, and what it refuses to hold."""

from dataclasses import replace

import pytest
from haul.telemetry.v1.alert_pb2 import AlertSeverity

from flink_jobs.rules import RULES, InvalidRule, Rule, Severity, Side, Signal, checked

SPEED = Rule("HIGH_SPEED", (Signal("speed_kph"),), Side.ABOVE, 60, 57, Severity.WARNING, "Speed")
FUEL = Rule("LOW_FUEL", (Signal("fuel_level_percent"),), Side.BELOW, 15, 17, Severity.WARNING, "Fuel level")


def test_the_rules_are_those_of_the_contract() -> None:
    assert [(r.name, r.side.value, r.raise_at, r.clear_at, r.unit, r.severity.name) for r in RULES] == [
        ("HIGH_SPEED", "above", 60, 57, "km/h", "WARNING"),
        ("OVERHEATING", "above", 100, 97, "°C", "CRITICAL"),
        ("LOW_FUEL", "below", 15, 17, "%", "WARNING"),
        ("LOW_BATTERY", "below", 20, 22, "%", "WARNING"),
        ("HIGH_TIRE_PRESSURE", "above", 120, 118, "psi", "WARNING"),
        ("LOW_TIRE_PRESSURE", "below", 80, 82, "psi", "WARNING"),
    ]


def test_severities_are_those_of_the_record() -> None:
    assert {f"{severity}" for severity in Severity} == set(AlertSeverity.keys()) - {"ALERT_SEVERITY_UNSPECIFIED"}


@pytest.mark.parametrize(
    ("rule", "change", "field"),
    [
        pytest.param(SPEED, {"name": "high speed"}, "name", id="a name that is no word"),
        pytest.param(SPEED, {"name": ""}, "name", id="no name"),
        pytest.param(SPEED, {"subject": ""}, "subject", id="no subject"),
        pytest.param(SPEED, {"subject": "it's"}, "subject", id="a subject with a quote"),
        pytest.param(SPEED, {"signals": ()}, "signals", id="no signal"),
        pytest.param(SPEED, {"signals": (Signal("speed"),)}, "signals", id="a signal that is no field"),
        pytest.param(
            SPEED, {"signals": (Signal("speed_kph", "a"), Signal("engine_rpm", "b"))}, "signals", id="two units"
        ),
        pytest.param(
            SPEED, {"signals": (Signal("speed_kph"), Signal("speed_kph"))}, "signals", id="two signals, one place"
        ),
        pytest.param(SPEED, {"raise_at": 130.0}, "raise_at", id="no possible value is above it"),
        pytest.param(SPEED, {"raise_at": float("nan")}, "raise_at", id="no number"),
        pytest.param(SPEED, {"clear_at": 0.0}, "clear_at", id="no possible value is below it"),
        pytest.param(SPEED, {"clear_at": 60.0}, "clear_at", id="no room between the limits"),
        pytest.param(SPEED, {"clear_at": 60.1}, "clear_at", id="clears above where it raises"),
        pytest.param(FUEL, {"raise_at": 0.0}, "raise_at", id="nothing is below an empty tank"),
        pytest.param(FUEL, {"clear_at": 100.0}, "clear_at", id="nothing is above a full tank"),
        pytest.param(FUEL, {"clear_at": 15.0}, "clear_at", id="no room between the limits, from below"),
        pytest.param(FUEL, {"clear_at": 14.9}, "clear_at", id="clears below where it raises"),
        pytest.param(FUEL, {"side": Side.ABOVE}, "clear_at", id="the limits of the other side"),
    ],
)
def test_a_row_that_could_not_work_is_refused_by_name(rule: Rule, change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRule, match=f"{field}: ") as refused:
        replace(rule, **change)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidRule, match="HIGH_SPEED: name: is given twice"):
        checked([SPEED, FUEL, replace(SPEED, raise_at=61)])
