"""Filters: what is taken, what is meant by it, and how each mistake is told."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_service.filter_fields import ALERT_FIELDS, METRICS_FIELDS, VEHICLE_FIELDS
from fleet_service.filters import (
    MAX_COMPARISONS,
    MAX_FILTER_CHARACTERS,
    Comparison,
    Filter,
    InvalidFilter,
    Operator,
    Value,
    parse,
)

STATUS, CONNECTIVITY = ("HAULING", 4), ("LOST", 2)


def clauses(text: str) -> list[list[tuple[str, str, Value]]]:
    found = parse(text, VEHICLE_FIELDS | ALERT_FIELDS | METRICS_FIELDS)
    return [[(c.field, c.operator.value, c.value) for c in clause] for clause in found.clauses]


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_filter_takes_everything(text: str) -> None:
    assert parse(text, VEHICLE_FIELDS) == Filter()
    assert Filter().matches(lambda field: 0)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("status = HAULING", [[("status", "=", 4)]]),
        ("status=HAULING", [[("status", "=", 4)]]),
        ("status = VEHICLE_STATUS_HAULING", [[("status", "=", 4)]]),
        ('status = "HAULING"', [[("status", "=", 4)]]),
        ("connectivity != LOST", [[("connectivity", "!=", 2)]]),
        ("motion_hold = LINK_LOST", [[("motion_hold", "=", 3)]]),
        ("model = 930E-5", [[("model", "=", "930E-5")]]),
        ('model = "a \\"b\\" c"', [[("model", "=", 'a "b" c')]]),
        ("status = IDLE AND model = A", [[("status", "=", 1)], [("model", "=", "A")]]),
        ("status = IDLE OR model = A", [[("status", "=", 1), ("model", "=", "A")]]),
        (
            "model = A AND status = IDLE OR status = ERROR",
            [[("model", "=", "A")], [("status", "=", 1), ("status", "=", 10)]],
        ),
        ("acknowledged = false", [[("acknowledged", "=", False)]]),
        ("open = true", [[("open", "=", True)]]),
        ("severity >= CRITICAL", [[("severity", ">=", 3)]]),
        ("window_length = 60s", [[("window_length", "=", 60_000)]]),
        ("window_length = 0.5s", [[("window_length", "=", 500)]]),
        ('window_start_time < "1970-01-01T00:00:01.5Z"', [[("window_start_time", "<", 1_500_000_000)]]),
        ('window_start_time < "1970-01-01T01:00:01+01:00"', [[("window_start_time", "<", 1_000_000_000)]]),
    ],
)
def test_what_is_meant(text: str, meaning: list[list[tuple[str, str, Value]]]) -> None:
    assert clauses(text) == meaning


@pytest.mark.parametrize(
    ("text", "position", "names"),
    [
        ("stat = HAULING", 1, "did you mean status?"),
        ("colour = red", 1, "fields: connectivity, model, motion_hold, status"),
        ("status", 7, "= after status is missing"),
        ("status =", 9, "a value for status is missing"),
        ("status = FLYING", 10, "one of UNSPECIFIED, IDLE, ROUTING"),
        ("status HAULING", 8, "status takes = !="),
        ("status > IDLE", 8, "status takes = !="),
        ("status : IDLE", 8, "status takes = !="),
        ("status = = IDLE", 10, "field = VALUE"),
        ("status = IDLE model = A", 15, "AND or OR"),
        ("status = IDLE and model = A", 15, "AND or OR"),
        ("status = IDLE AND", 18, "a field is missing"),
        ("(status = IDLE)", 1, "without brackets"),
        ("status = IDLE  )", 16, "without brackets"),
        ('model = "A', 9, "field = VALUE"),
        ('"status" = IDLE', 1, "no field"),
        ("= IDLE", 1, "no field"),
        ("model = " + "A" * 201, 9, "at most 200"),
        ("x" * (MAX_FILTER_CHARACTERS + 1), MAX_FILTER_CHARACTERS + 1, "at most 1000"),
        (" AND ".join(["status = IDLE"] * (MAX_COMPARISONS + 1)), 18 * MAX_COMPARISONS - 3, "at most 32"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_the_mend(text: str, position: int, names: str) -> None:
    with pytest.raises(InvalidFilter, match=re.escape(names)) as caught:
        parse(text, VEHICLE_FIELDS)
    assert caught.value.position == position
    assert str(caught.value).startswith(f"position {position}: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("acknowledged = yes", "true or false"),
        ("window_length = 1m", "for example 60s"),
        ("window_length = 9999999s", "for example 60s"),
        ("window_start_time > yesterday", "RFC 3339"),
        ('window_start_time > "2026-11-01T12:00:00"', "time zone"),
    ],
)
def test_a_value_that_is_none_is_told(text: str, hint: str) -> None:
    with pytest.raises(InvalidFilter, match=hint):
        clauses(text)


@given(st.text(max_size=60))
def test_whatever_comes_is_taken_or_told(text: str) -> None:
    position = 1
    try:
        parse(text, VEHICLE_FIELDS)
    except InvalidFilter as error:
        position = error.position
    assert 1 <= position <= len(text) + 1


NAMES = st.sampled_from(["a", "b"])
COMPARISONS = st.builds(Comparison, NAMES, st.sampled_from(list(Operator)), st.integers(0, 3))


@given(
    st.lists(st.lists(COMPARISONS, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple),
    st.fixed_dictionaries({"a": st.integers(0, 3), "b": st.integers(0, 3)}),
)
def test_or_binds_closer_than_and(made: tuple[tuple[Comparison, ...], ...], actual: dict[str, int]) -> None:
    python = {"=": "=="}
    text = " and ".join(
        "(" + " or ".join(f"{c.field} {python.get(c.operator.value, c.operator.value)} {c.value}" for c in clause) + ")"
        for clause in made
    )
    assert Filter(made).matches(actual.__getitem__) == bool(eval(text or "True", {}, dict(actual)))
