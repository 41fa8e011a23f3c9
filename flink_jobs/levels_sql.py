"""A rule's level as SQL: 2 past escalate_at, 1 past raise_at, 0 back past clear_at, -1 in between, NULL unknown."""

from collections.abc import Iterable

from flink_jobs.rules import Rule
from flink_jobs.sql import literal, number
from flink_jobs.watched import ENTRY, Condition, Limit, Observed, Side, Threshold


def level(rule: Rule) -> str:
    """Over the columns of ``situations``. A vehicle of another model than the rule is for is as one that is well."""
    when = rule.when
    cases = _condition(when) if isinstance(when, Condition) else _threshold(when)
    return f"CASE {_of_other_models(rule)}{cases} END"


def limit_sql(limit: float | Limit) -> str:
    """A DOUBLE; NULL where it goes by the registry and the registry doesn't know."""
    if not isinstance(limit, Limit):
        return number(limit)
    value = f"{ENTRY}{limit.entry_field}"
    if limit.factor != 1:
        value = f"{value} * {number(limit.factor)}"
    if limit.at_most is None:
        return value
    return f"LEAST(COALESCE({value}, {number(limit.at_most)}), {number(limit.at_most)})"


def _condition(when: Condition) -> str:
    return f"WHEN {when.sql} THEN 1 WHEN NOT ({when.sql}) THEN 0"


def _threshold(when: Threshold) -> str:
    """With several signals: any of them raises, all of them clear."""
    past, back = (">", "<") if when.side is Side.ABOVE else ("<", ">")
    escalates = "" if when.escalate_at is None else f"WHEN {_any(when, past, when.escalate_at)} THEN 2 "
    raises = f"WHEN {_any(when, past, when.raise_at)} THEN 1"
    clears = f"WHEN {_all(f'{s.sql} {back} {limit_sql(when.clear_at)}' for s in when.signals)} THEN 0"
    known = _all(f"{s.sql} IS NOT NULL" for s in when.signals)
    if isinstance(when.raise_at, Limit):
        known += f" AND {limit_sql(when.raise_at)} IS NOT NULL"
    return f"{escalates}{raises} {clears} WHEN {known} THEN -1"


def _any(when: Threshold, past: str, limit: float | Limit) -> str:
    return " OR ".join(f"{signal.sql} {past} {limit_sql(limit)}" for signal in when.signals)


def _all(conditions: Iterable[str]) -> str:
    return " AND ".join(conditions)


def _of_other_models(rule: Rule) -> str:
    """Says nothing while the model is unknown, nor at observations that aren't the rule's."""
    if not rule.models:
        return ""
    model = f"{ENTRY}model"
    observed = "is_reading" if rule.observed is Observed.READING else "NOT is_reading"
    begins = " OR ".join(f"{model} LIKE {literal(name + '%')}" for name in rule.models)
    return f"WHEN {model} IS NULL THEN NULL WHEN {observed} AND NOT ({begins}) THEN 0 WHEN NOT ({begins}) THEN NULL "
