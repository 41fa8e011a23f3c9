"""The SQL of the alerts: its expressions swept in SQLite, which knows NULL as Flink does."""

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import replace

import pytest

from flink_jobs import alerts_sql
from flink_jobs.levels_sql import level
from flink_jobs.rules import RULES, Rule
from flink_jobs.sentences_sql import message, threshold_of, value_of, worst_value
from flink_jobs.watched import Condition, Limit, Side, Threshold, columns
from pitwall.domain.units import QUANTITIES

THRESHOLDS = [rule for rule in RULES if isinstance(rule.when, Threshold)]
Value = float | str | bool | None


def when_of(rule: Rule) -> Threshold:
    assert isinstance(rule.when, Threshold)
    return rule.when


SEVERAL = [rule for rule in THRESHOLDS if len(when_of(rule).signals) > 1]


def evaluate(expression: str, row: Mapping[str, Value]) -> object:
    """Of one row, whose columns are ``row``. LEAST and GREATEST are NULL where one of theirs is, as in Flink."""
    database = sqlite3.connect(":memory:")
    database.create_function("GREATEST", -1, lambda *values: None if None in values else max(values))
    database.create_function("LEAST", -1, lambda *values: None if None in values else min(values))
    names = ", ".join(f"? AS `{name}`" for name in row)
    return database.execute(f"SELECT {expression} FROM (SELECT {names})", list(row.values())).fetchone()[0]


def row(rule: Rule, *values: float | None, registered: float | None = 100.0) -> dict[str, Value]:
    """Values of the rule's signals, and what the registry says wherever the rule asks it."""
    names = columns(rule.when)
    signals = [name for name in names if not name.startswith("entry_")]
    return {**dict(zip(signals, values, strict=True)), **{n: registered for n in names if n.startswith("entry_")}}


def limit(given: float | Limit | None, registered: float | None = 100.0) -> float:
    """Its number, said again by hand."""
    if not isinstance(given, Limit):
        assert given is not None
        return given
    assert registered is not None
    value = registered * given.factor
    return value if given.at_most is None else min(value, given.at_most)


def sweep(rule: Rule) -> list[tuple[float | None, int | None]]:
    """Values next to each limit, and what the level must be there."""
    when = when_of(rule)
    out, back = (math.inf, -math.inf) if when.side is Side.ABOVE else (-math.inf, math.inf)
    raises, clears = limit(when.raise_at), limit(when.clear_at)
    swept: list[tuple[float | None, int | None]] = [
        (math.nextafter(raises, out), 1),
        (raises, -1),
        (math.nextafter(raises, back), -1),
        (math.nextafter(clears, out), -1),
        (clears, -1),
        (math.nextafter(clears, back), 0),
        (None, None),
    ]
    if when.escalate_at is not None:
        escalates = limit(when.escalate_at)
        swept += [(math.nextafter(escalates, out), 2), (escalates, 1), (math.nextafter(escalates, back), 1)]
    return swept


@pytest.mark.parametrize("rule", [rule for rule in THRESHOLDS if rule not in SEVERAL], ids=lambda r: r.name)
def test_a_level_turns_exactly_past_its_limits(rule: Rule) -> None:
    for value, expected in sweep(rule):
        assert evaluate(level(rule), row(rule, value)) == expected, value


@pytest.mark.parametrize("rule", SEVERAL, ids=lambda r: r.name)
def test_with_several_quantities_one_raises_and_all_clear(rule: Rule) -> None:
    beyond, harmless = sweep(rule)[0][0], sweep(rule)[5][0]
    for place in range(4):
        for value, expected in sweep(rule):
            values = [harmless] * 4
            values[place] = value
            assert evaluate(level(rule), row(rule, *values)) == expected, (place, value)
    assert evaluate(level(rule), row(rule, None, None, beyond, None)) == 1
    assert evaluate(level(rule), row(rule, harmless, harmless, harmless, None)) is None
    assert evaluate(level(rule), row(rule, None, None, None, None)) is None


def named(name: str) -> Rule:
    return next(rule for rule in RULES if rule.name == name)


@pytest.mark.parametrize(
    ("name", "value", "registered", "expected"),
    [
        ("HIGH_SPEED", 60.1, None, 1),
        ("HIGH_SPEED", 60.0, None, -1),
        ("HIGH_SPEED", 56.9, None, 0),
        ("HIGH_SPEED", 60.1, 64.5, 1),
        ("HIGH_SPEED", 56.9, 64.5, 0),
        ("HIGH_SPEED", 40.1, 40.0, 1),
        ("HIGH_SPEED", 38.0, 40.0, -1),
        ("PAYLOAD_OVERLOAD", 500.0, None, None),
        ("PAYLOAD_OVERLOAD", 0.0, None, None),
        ("PAYLOAD_OVERLOAD", 319.1, 290.0, 1),
        ("PAYLOAD_OVERLOAD", 319.1, 369.0, 0),
    ],
)
def test_what_the_registry_says_moves_the_limits(
    name: str, value: float, registered: float | None, expected: int | None
) -> None:
    assert evaluate(level(named(name)), row(named(name), value, registered=registered)) == expected


@pytest.mark.parametrize(("name", "column"), [("GEOFENCE", "outside_zone"), ("LINK_LOST", "link_lost")])
def test_a_condition_is_so_or_not_or_unknown(name: str, column: str) -> None:
    found = [evaluate(level(named(name)), {column: value}) for value in (True, False, None)]
    assert found == [1, 0, None]


@pytest.mark.parametrize(
    ("model", "is_reading", "expected"),
    [
        ("930E-5", True, 1),
        ("930E-5", False, 1),
        ("980E-5", True, 0),
        ("980E-5", False, None),
        (None, True, None),
        (None, False, None),
    ],
)
def test_a_rule_for_a_model_finds_others_well_and_says_nothing_of_the_unknown(
    model: str | None, is_reading: bool, expected: int | None
) -> None:
    rule = replace(named("LOW_FUEL"), models=("730E", "930E"))
    values: dict[str, Value] = {"fuel_level_percent": 10.0, "entry_model": model, "is_reading": is_reading}
    assert evaluate(level(rule), values) == expected


@pytest.mark.parametrize("rule", SEVERAL, ids=lambda r: r.name)
def test_the_worst_value_is_a_known_one(rule: Rule) -> None:
    worse = 1 if when_of(rule).side is Side.ABOVE else -1
    for place in range(4):
        values: list[float | None] = [100.0, None, 100.0, None]
        values[place] = 100.0 + worse
        assert evaluate(worst_value(when_of(rule)), row(rule, *values)) == 100.0 + worse


def test_every_field_that_a_rule_looks_at_is_read_once() -> None:
    found = alerts_sql.quantities(RULES)
    assert len(found) == len(set(found)) == 11
    assert found == [name for name in QUANTITIES if name in found]
    assert {"payload_tons", "latitude_degrees", "longitude_degrees", "speed_kph"} <= set(found)


@pytest.mark.parametrize("rule", THRESHOLDS, ids=lambda r: r.name)
def test_the_sentence_names_value_unit_and_limit(rule: Rule) -> None:
    when, text = when_of(rule), message(rule)
    assert f"'{when.subject} ' || CAST(" in text
    for said, at in ((when.side.value, when.raise_at), (f"back {when.side.other.value}", when.clear_at)):
        if isinstance(at, Limit):
            assert f"' is {said} ' ||" in text
        else:
            assert f"' is {said} {at:g} {when.unit}'" in text
    assert ("|| ' for 60 s'" in text) is (rule.hold_s == 60)
    assert all((f"' ({signal.place})'" in text) == bool(signal.place) for signal in when.signals)


def test_threshold_and_value_go_by_the_step() -> None:
    steps = [(f"ALERT_STATE_{name}", at) for name, at in (("RAISED", 100), ("ESCALATED", 110), ("CLEARED", 97))]
    for state, expected in steps:
        values: dict[str, Value] = {"alert_state": state, "engine_temperature_celsius": 111.0}
        assert evaluate(threshold_of(named("OVERHEATING")), values) == expected
        assert evaluate(value_of(named("OVERHEATING")), values) == 111.0


def test_a_condition_has_words_alone() -> None:
    for state, expected in (("RAISED", "Outside of its zone: North"), ("CLEARED", "Back inside of where it may be")):
        values: dict[str, Value] = {"alert_state": f"ALERT_STATE_{state}", "entry_zone_name": "North"}
        assert evaluate(message(named("GEOFENCE")), values) == expected
    assert evaluate(value_of(named("GEOFENCE")), {"x": 1}) is None
    assert isinstance(named("GEOFENCE").when, Condition)


def test_the_judge_is_told_names_and_hold_times_in_the_order_of_the_levels() -> None:
    rules = [replace(RULES[0], hold_s=2.5), RULES[3]]
    assert alerts_sql.judged(rules) == f"15000;{RULES[0].name}=2500;{RULES[3].name}=0"
    arguments = f"event_ns, {RULES[0].column}_level, {RULES[3].column}_level)"
    assert arguments in alerts_sql.views(rules)[-1]


def test_a_new_row_is_all_that_a_new_rule_takes() -> None:
    extra = Rule(
        "HOT_BRAKES",
        replace(when_of(named("LOW_FUEL")), subject="Brakes"),
        named("LOW_FUEL").severity,
        named("LOW_FUEL").escalated,
    )
    views = alerts_sql.views([*RULES, extra])
    assert "AS hot_brakes_level" in views[-2]
    assert "HOT_BRAKES=0" in views[-1]
    assert "WHEN 'HOT_BRAKES' THEN" in alerts_sql.insert_alerts([*RULES, extra])


def test_what_is_kept_has_the_same_shape_whatever_the_rules() -> None:
    """Of each of the two aggregates there is one, and its state is its own: no column of a rule is in it."""
    for rules in (RULES, RULES[:1], RULES[3:4]):
        views = "\n".join(alerts_sql.views(rules))
        assert [views.count(f"{name}(") for name in ("judge", "rates", "registered")] == [1, 1, 1]
