"""The SQL of the alerts: its expressions swept in SQLite, which knows NULL as Flink does."""

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import replace

import pytest

from flink_jobs import alerts_sql
from flink_jobs.rules import RULES, Rule, Side

SINGLE = [rule for rule in RULES if len(rule.signals) == 1]
SEVERAL = [rule for rule in RULES if len(rule.signals) > 1]


def evaluate(expression: str, row: Mapping[str, float | None]) -> object:
    """Of one row, whose columns are ``row``."""
    database = sqlite3.connect(":memory:")
    database.create_function("GREATEST", -1, lambda *values: None if None in values else max(values))
    database.create_function("LEAST", -1, lambda *values: None if None in values else min(values))
    columns = ", ".join(f"? AS `{name}`" for name in row)
    return database.execute(f"SELECT {expression} FROM (SELECT {columns})", list(row.values())).fetchone()[0]


def row(rule: Rule, *values: float | None) -> dict[str, float | None]:
    return dict(zip((signal.field for signal in rule.signals), values, strict=True))


def sweep(rule: Rule) -> list[tuple[float | None, int | None]]:
    """Values next to each limit, and what the signal must be there."""
    out, back = (math.inf, -math.inf) if rule.side is Side.ABOVE else (-math.inf, math.inf)
    return [
        (math.nextafter(rule.raise_at, out), 1),
        (rule.raise_at, None),
        (math.nextafter(rule.raise_at, back), None),
        (math.nextafter(rule.clear_at, out), None),
        (rule.clear_at, None),
        (math.nextafter(rule.clear_at, back), 0),
        (None, None),
    ]


@pytest.mark.parametrize("rule", SINGLE, ids=lambda r: r.name)
def test_a_signal_turns_exactly_past_its_limits(rule: Rule) -> None:
    for value, expected in sweep(rule):
        assert evaluate(alerts_sql.signal(rule), row(rule, value)) == expected, value


@pytest.mark.parametrize("rule", SEVERAL, ids=lambda r: r.name)
def test_with_several_quantities_one_raises_and_all_clear(rule: Rule) -> None:
    beyond, harmless = sweep(rule)[0][0], sweep(rule)[5][0]
    signal = alerts_sql.signal(rule)
    for place in range(4):
        for value, expected in sweep(rule):
            values = [harmless] * 4
            values[place] = value
            assert evaluate(signal, row(rule, *values)) == expected, (place, value)
    assert evaluate(signal, row(rule, None, None, beyond, None)) == 1
    assert evaluate(signal, row(rule, harmless, harmless, harmless, None)) is None
    assert evaluate(signal, row(rule, None, None, None, None)) is None


@pytest.mark.parametrize("rule", SEVERAL, ids=lambda r: r.name)
def test_the_worst_value_is_a_known_one(rule: Rule) -> None:
    worse = 1 if rule.side is Side.ABOVE else -1
    for place in range(4):
        values: list[float | None] = [100.0, None, 100.0, None]
        values[place] = 100.0 + worse
        assert evaluate(alerts_sql.worst_value(rule), row(rule, *values)) == 100.0 + worse


def test_every_field_that_a_rule_looks_at_is_read_once() -> None:
    found = alerts_sql.quantities(RULES)
    assert len(found) == len(set(found)) == 8
    assert {signal.field for rule in RULES for signal in rule.signals} == set(found)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_the_sentence_names_value_unit_and_limit(rule: Rule) -> None:
    raised, cleared = (alerts_sql.message(rule, raised=raised) for raised in (True, False))
    other = "below" if rule.side is Side.ABOVE else "above"
    assert raised.startswith(f"'{rule.subject} ' || CAST(")
    assert raised.endswith(f"' is {rule.side.value} {rule.raise_at:g} {rule.unit}'")
    assert cleared.endswith(f"' is back {other} {rule.clear_at:g} {rule.unit}'")
    assert all((f"' ({signal.place})'" in raised) == bool(signal.place) for signal in rule.signals)


def test_a_new_row_is_all_that_a_new_rule_takes() -> None:
    extra = replace(SINGLE[0], name="VERY_HIGH_SPEED", raise_at=80, clear_at=75)
    views = alerts_sql.views([*RULES, extra])
    assert all("very_high_speed_now" in view for view in views)
    assert "'VERY_HIGH_SPEED' AS rule" in views[-1]
