"""What an alert says, as SQL over a step and its situation: the sentence, the value, the limit."""

from typing import Final

from flink_jobs.levels_sql import limit_sql
from flink_jobs.rules import Rule
from flink_jobs.sql import literal, number
from flink_jobs.watched import Condition, Limit, Side, Threshold, Watched

RAISED: Final = literal("ALERT_STATE_RAISED")
ESCALATED: Final = literal("ALERT_STATE_ESCALATED")
CLEARED: Final = literal("ALERT_STATE_CLEARED")


def message(rule: Rule | None) -> str:
    """What is how much, where, and past which limit. Of a rule that there no longer is just that."""
    if rule is None:
        return literal("This rule is no longer in use")
    if isinstance(rule.when, Condition):
        return _by_condition(rule.when)
    cases = [f"WHEN {ESCALATED} THEN {_sentence(rule.when, rule.when.escalate_at)}"] if rule.escalated else []
    held = f" || {literal(f' for {rule.hold_s:g} s')}" if rule.hold_s else ""
    cases.append(f"WHEN {RAISED} THEN {_sentence(rule.when, rule.when.raise_at)}{held}")
    return f"CASE alert_state {' '.join(cases)} ELSE {_sentence(rule.when, rule.when.clear_at, back=True)} END"


def value_of(rule: Rule | None) -> str:
    """The value that counts at the step, in the rule's unit."""
    return worst_value(rule.when) if rule and isinstance(rule.when, Threshold) else "CAST(NULL AS DOUBLE)"


def threshold_of(rule: Rule | None) -> str:
    """The limit that it crossed, in the same unit."""
    if rule is None or isinstance(rule.when, Condition):
        return "CAST(NULL AS DOUBLE)"
    when = rule.when
    escalate = f"WHEN {ESCALATED} THEN {limit_sql(when.escalate_at)} " if when.escalate_at is not None else ""
    raise_at, clear_at = limit_sql(when.raise_at), limit_sql(when.clear_at)
    return f"CASE alert_state {escalate}WHEN {RAISED} THEN {raise_at} ELSE {clear_at} END"


def worst_value(when: Threshold) -> str:
    """An unknown one stands at the harmless end of its range and never counts."""
    if len(when.signals) == 1:
        return when.signals[0].sql
    pick = "GREATEST" if when.side is Side.ABOVE else "LEAST"
    return f"{pick}({', '.join(_or_harmless(when.side, signal) for signal in when.signals)})"


def _by_condition(when: Condition) -> str:
    raised = literal(when.raised)
    if when.detail:
        raised = f"{raised} || COALESCE(': ' || {when.detail}, '')"
    return f"CASE alert_state WHEN {CLEARED} THEN {literal(when.cleared)} ELSE {raised} END"


def _sentence(when: Threshold, limit: float | Limit | None, *, back: bool = False) -> str:
    assert limit is not None
    there = f" || {_worst_place(when)}" if len(when.signals) > 1 else ""
    value = f"CAST(TRY_CAST({worst_value(when)} AS DECIMAL(12, 2)) AS STRING)"
    side = f"back {when.side.other.value}" if back else when.side.value
    start = f"{literal(when.subject + ' ')} || {value} || {literal(' ' + when.unit)}{there}"
    if isinstance(limit, Limit):
        return f"{start} || {literal(f' is {side} ')} || {_short(limit_sql(limit))} || {literal(' ' + when.unit)}"
    return f"{start} || {literal(f' is {side} {limit:g} {when.unit}')}"


def _short(expression: str) -> str:
    """Two decimals at most, and no zeros at their end."""
    text = f"CAST(CAST({expression} AS DECIMAL(12, 2)) AS STRING)"
    return f"TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {text}))"


def _worst_place(when: Threshold) -> str:
    worst = worst_value(when)
    cases = " ".join(
        f"WHEN {_or_harmless(when.side, s)} = {worst} THEN {literal(f' ({s.place})')}" for s in when.signals
    )
    return f"CASE {cases} END"


def _or_harmless(side: Side, of: Watched) -> str:
    return f"COALESCE({of.sql}, {number(of.range[0] if side is Side.ABOVE else of.range[1])})"
