"""The table of rules: what it holds, and what it refuses to hold."""

import math
from dataclasses import replace

import pytest
from haul.fleet.v1.registry_pb2 import RegistryEntry
from haul.telemetry.v1.alert_pb2 import AlertSeverity

from flink_jobs import watched
from flink_jobs.rules import RULES, InvalidRule, Rule, Severity, checked
from flink_jobs.watched import Condition, Expression, Fall, Limit, Observed, Side, Signal, Threshold

SPEED = Threshold("Speed", (Signal("speed_kph"),), Side.ABOVE, 60, 57)
FUEL = Threshold("Fuel level", (Signal("fuel_level_percent"),), Side.BELOW, 15, 17)
PAYLOAD = Threshold(
    "Payload",
    (Signal("payload_tons"),),
    Side.ABOVE,
    Limit("rated_payload_tons", 1.1),
    Limit("rated_payload_tons", 1.05),
)
OUTSIDE = Condition("`outside_zone`", "Outside", "Inside")
RULE = Rule("HIGH_SPEED", SPEED, Severity.WARNING)


def test_the_rules_are_those_of_the_contract_and_four_more() -> None:
    found = {
        rule.name: (rule.when.side.value, rule.severity.name) for rule in RULES if isinstance(rule.when, Threshold)
    }
    assert found == {
        "HIGH_SPEED": ("above", "WARNING"),
        "OVERHEATING": ("above", "CRITICAL"),
        "HOT_COOLANT": ("above", "WARNING"),
        "LOW_FUEL": ("below", "WARNING"),
        "LOW_BATTERY": ("below", "WARNING"),
        "HIGH_TIRE_PRESSURE": ("above", "WARNING"),
        "LOW_TIRE_PRESSURE": ("below", "WARNING"),
        "PAYLOAD_OVERLOAD": ("above", "WARNING"),
        "HARSH_BRAKING": ("above", "WARNING"),
    }
    assert {rule.name for rule in RULES} - set(found) == {"GEOFENCE", "LINK_LOST"}


@pytest.mark.parametrize(
    ("name", "raise_at", "clear_at", "escalate_at", "unit"),
    [
        ("OVERHEATING", 100, 97, 110, "°C"),
        ("LOW_FUEL", 15, 17, 5, "%"),
        ("LOW_BATTERY", 20, 22, None, "%"),
        ("HIGH_TIRE_PRESSURE", 120, 118, None, "psi"),
        ("LOW_TIRE_PRESSURE", 80, 82, None, "psi"),
    ],
)
def test_the_limits_are_those_of_the_contract(
    name: str, raise_at: float, clear_at: float, escalate_at: float | None, unit: str
) -> None:
    when = next(rule.when for rule in RULES if rule.name == name)
    assert isinstance(when, Threshold)
    assert (when.raise_at, when.clear_at, when.escalate_at, when.unit) == (raise_at, clear_at, escalate_at, unit)


def test_severities_are_those_of_the_record() -> None:
    assert {f"{severity}" for severity in Severity} == set(AlertSeverity.keys()) - {"ALERT_SEVERITY_UNSPECIFIED"}


def test_what_the_registry_knows_are_fields_of_its_record() -> None:
    fields = {field.name for field in RegistryEntry.DESCRIPTOR.fields}
    assert {*watched.ENTRY_NUMBERS, "model"} <= fields


REFUSED = [
    pytest.param(replace, RULE, {"name": "high speed"}, "name", id="a name that is no word"),
    pytest.param(replace, RULE, {"name": ""}, "name", id="no name"),
    pytest.param(replace, RULE, {"hold_s": -1.0}, "hold_s", id="a hold time below 0"),
    pytest.param(replace, RULE, {"hold_s": 3601.0}, "hold_s", id="a hold time of more than an hour"),
    pytest.param(replace, RULE, {"hold_s": math.nan}, "hold_s", id="a hold time that is no number"),
    pytest.param(replace, RULE, {"models": ("",)}, "models", id="a model that is every model"),
    pytest.param(replace, RULE, {"models": ("930%",)}, "models", id="a model with a wildcard"),
    pytest.param(replace, RULE, {"escalated": Severity.CRITICAL}, "escalated", id="a severity for no escalation"),
]


def of(when: Threshold | Condition, **change: object) -> object:
    """The rule that such a `when` makes."""
    hold_s = change.pop("hold_s", 0.0)
    severities = change.pop("severities", (Severity.WARNING, None))
    return Rule("A_RULE", replace(when, **change), *severities, hold_s=hold_s)  # type: ignore


@pytest.mark.parametrize(
    ("rule", "change", "field"),
    [
        pytest.param(SPEED, {"subject": ""}, "subject", id="no subject"),
        pytest.param(SPEED, {"subject": "it's"}, "subject", id="a subject with a quote"),
        pytest.param(SPEED, {"signals": ()}, "signals", id="no signal"),
        pytest.param(SPEED, {"signals": (Signal("speed"),)}, "signals", id="a signal that is no field"),
        pytest.param(SPEED, {"signals": (Fall("speed"),)}, "signals", id="the fall of no field"),
        pytest.param(
            SPEED, {"signals": (Signal("speed_kph", "a"), Signal("engine_rpm", "b"))}, "signals", id="two units"
        ),
        pytest.param(
            SPEED, {"signals": (Signal("speed_kph"), Fall("speed_kph", "b"))}, "signals", id="a rate beside it"
        ),
        pytest.param(
            SPEED, {"signals": (Signal("speed_kph"), Signal("speed_kph"))}, "signals", id="two signals, one place"
        ),
        pytest.param(SPEED, {"raise_at": 130.0}, "raise_at", id="no possible value is above it"),
        pytest.param(SPEED, {"raise_at": float("nan")}, "raise_at", id="no number"),
        pytest.param(SPEED, {"clear_at": 0.0}, "clear_at", id="no possible value is below it"),
        pytest.param(SPEED, {"clear_at": 60.0}, "clear_at", id="no room between the limits"),
        pytest.param(SPEED, {"clear_at": 60.1}, "clear_at", id="clears above where it raises"),
        pytest.param(
            SPEED,
            {"escalate_at": 60.0, "severities": (Severity.WARNING, Severity.CRITICAL)},
            "raise_at",
            id="escalates where it raises",
        ),
        pytest.param(SPEED, {"escalate_at": 70.0}, "escalated", id="escalates to nothing"),
        pytest.param(
            SPEED,
            {"escalate_at": 70.0, "severities": (Severity.WARNING, Severity.WARNING)},
            "escalated",
            id="escalates to what it is",
        ),
        pytest.param(FUEL, {"raise_at": 0.0}, "raise_at", id="nothing is below an empty tank"),
        pytest.param(FUEL, {"clear_at": 100.0}, "clear_at", id="nothing is above a full tank"),
        pytest.param(FUEL, {"clear_at": 15.0}, "clear_at", id="no room between the limits, from below"),
        pytest.param(FUEL, {"clear_at": 14.9}, "clear_at", id="clears below where it raises"),
        pytest.param(FUEL, {"side": Side.ABOVE}, "clear_at", id="the limits of the other side"),
        pytest.param(PAYLOAD, {"raise_at": Limit("payload")}, "raise_at", id="the registry has no such number"),
        pytest.param(PAYLOAD, {"clear_at": Limit("rated_payload_tons", -1)}, "clear_at", id="a factor below 0"),
        pytest.param(PAYLOAD, {"clear_at": Limit("rated_payload_tons", 1.1)}, "clear_at", id="one factor for both"),
        pytest.param(PAYLOAD, {"clear_at": Limit("max_payload_tons")}, "clear_at", id="two numbers of the registry"),
        pytest.param(PAYLOAD, {"clear_at": 300.0}, "clear_at", id="the registry against a number"),
        pytest.param(
            PAYLOAD, {"clear_at": Limit("rated_payload_tons", 1.05, 300)}, "clear_at", id="one with a default"
        ),
        pytest.param(
            PAYLOAD,
            {"raise_at": Limit("rated_payload_tons", 1.1, 600)},
            "raise_at",
            id="a default that no possible value is above",
        ),
        pytest.param(
            PAYLOAD,
            {"raise_at": Limit("rated_payload_tons", 1.1, 300), "clear_at": Limit("rated_payload_tons", 1, 300)},
            "clear_at",
            id="no room between the defaults",
        ),
        pytest.param(OUTSIDE, {"sql": "TRUE"}, "sql", id="it looks at nothing"),
        pytest.param(OUTSIDE, {"sql": "`outside`"}, "sql", id="no such column"),
        pytest.param(OUTSIDE, {"sql": "`outside_zone` AND speed_kph > 3"}, "sql", id="a column without backticks"),
        pytest.param(OUTSIDE, {"raised": ""}, "raised", id="no words"),
        pytest.param(OUTSIDE, {"cleared": "it's"}, "cleared", id="words with a quote"),
        pytest.param(OUTSIDE, {"detail": "speed_kph"}, "detail", id="a detail that is no text"),
        pytest.param(OUTSIDE, {"observed": Observed.LINK}, "observed", id="the link tells of no zone"),
        pytest.param(OUTSIDE, {"sql": "`link_lost`"}, "observed", id="readings tell of no link"),
        pytest.param(
            OUTSIDE,
            {"sql": "`link_lost`", "observed": Observed.LINK, "hold_s": 1.0},
            "hold_s",
            id="news of the link don't hold on",
        ),
    ],
)
def test_a_rule_of_what_could_not_work_is_refused_by_name(
    rule: Threshold | Condition, change: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidRule, match=f"A_RULE: {field}: ") as refused:
        of(rule, **change)
    assert refused.value.field == field


@pytest.mark.parametrize(("made", "rule", "change", "field"), REFUSED)
def test_a_row_that_could_not_work_is_refused_by_name(
    made: type, rule: Rule, change: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidRule, match=f"{field}: ") as refused:
        made(rule, **change)
    assert refused.value.field == field


def test_an_expression_may_be_made_of_quantities_rates_and_what_the_registry_knows() -> None:
    share = Expression("`payload_tons` / `entry_rated_payload_tons` - ABS(`speed_kph_fall`)", "", (0, 2))
    rule = Rule("OVER", Threshold("Share", (share,), Side.ABOVE, 1.1, 1.0), Severity.INFO, hold_s=30, models=("930E",))
    assert watched.columns(rule.when) == ["payload_tons", "entry_rated_payload_tons", "speed_kph_fall"]


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidRule, match="HIGH_SPEED: name: is given twice"):
        checked([RULE, Rule("LOW_FUEL", FUEL, Severity.WARNING), replace(RULE, hold_s=5)])
