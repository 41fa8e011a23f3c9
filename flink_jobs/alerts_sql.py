"""Alerts, compiled from the rules.

Per rule a signal that is 1 past raise_at, 0 back past clear_at, NULL between and where the value is unknown; LAST_VALUE
skips NULL, so over a vehicle's readings it is the rule's state. A step is where a state differs from the one before it.
All of it goes by arrival: no step waits for a watermark or a checkpoint. History has states of its own, because its
readings are partitioned apart from the live ones. (`prev` and `state` would trip Flink's parser.)
"""

from collections.abc import Sequence
from typing import Final

from flink_jobs.rules import Rule, Side, Signal
from flink_jobs.sql import headers, lines, literal, number, rfc3339, timestamp

_LANE: Final = "PARTITION BY vehicle_id, backfilled ORDER BY arrival"
_INCIDENT: Final = "PARTITION BY vehicle_id, backfilled, rule ORDER BY arrival"
_READING: Final = "vehicle_id, backfilled, boot_epoch, `sequence`, event_ns, arrival"


def quantities(rules: Sequence[Rule]) -> list[str]:
    """The fields that the rules look at, each once."""
    return list(dict.fromkeys(signal.field for rule in rules for signal in rule.signals))


def views(rules: Sequence[Rule]) -> list[str]:
    """From fresh_readings to alert_steps: a row for each step of each rule."""
    return [_rule_states(rules), _changed_states(rules), _alert_steps(rules)]


def insert_alerts() -> str:
    """Every step with the reading that raised it, from which it has its id."""
    raised = "alert_state = 'ALERT_STATE_RAISED'"
    where = {
        "ce_type": literal("haul.telemetry.v1.Alert"),
        "ce_id": "alert_id || '.' || REPLACE(alert_state, 'ALERT_STATE_', '')",
        "ce_source": literal("flink_jobs"),
        "ce_time": rfc3339("event_ns"),
        "content-type": literal("application/protobuf"),
    }
    return f"""INSERT INTO vehicle_alerts
SELECT alert_id, vehicle_id, rule, severity, alert_state, message, reading_value, threshold, boot_epoch, `sequence`,
  {timestamp("raised_ns")}, {timestamp("event_ns")}, backfilled,
  {headers(where)}
FROM (
  SELECT *, vehicle_id || '.' || rule || '.' || CAST(raised_boot_epoch AS STRING) || '.' ||
    CAST(raised_sequence AS STRING) || CASE WHEN backfilled THEN '.backfilled' ELSE '' END AS alert_id
  FROM (
    SELECT *,
      LAST_VALUE(CASE WHEN {raised} THEN boot_epoch END) OVER ({_INCIDENT}) AS raised_boot_epoch,
      LAST_VALUE(CASE WHEN {raised} THEN `sequence` END) OVER ({_INCIDENT}) AS raised_sequence,
      LAST_VALUE(CASE WHEN {raised} THEN event_ns END) OVER ({_INCIDENT}) AS raised_ns
    FROM alert_steps
  )
)"""


def signal(rule: Rule) -> str:
    """1, 0 or NULL. With several quantities: any of them raises, all of them clear; NULL behaves as unknown does."""
    above, below = (">", "<") if rule.side is Side.ABOVE else ("<", ">")
    raises = " OR ".join(f"`{s.field}` {above} {number(rule.raise_at)}" for s in rule.signals)
    clears = " AND ".join(f"`{s.field}` {below} {number(rule.clear_at)}" for s in rule.signals)
    return f"CASE WHEN {raises} THEN 1 WHEN {clears} THEN 0 END"


def worst_value(rule: Rule) -> str:
    """The value that counts at a step. An unknown one stands at the harmless end of its range and never counts."""
    if len(rule.signals) == 1:
        return f"`{rule.signals[0].field}`"
    pick = "GREATEST" if rule.side is Side.ABOVE else "LEAST"
    return f"{pick}({', '.join(_or_harmless(rule, s) for s in rule.signals)})"


def message(rule: Rule, *, raised: bool) -> str:
    """The sentence: what is how much, where, and past which limit."""
    there = f" || {_worst_place(rule)}" if len(rule.signals) > 1 else ""
    value = f"CAST(TRY_CAST({worst_value(rule)} AS DECIMAL(12, 2)) AS STRING)"
    back = "" if raised else "back "
    side = rule.side if raised else (Side.BELOW if rule.side is Side.ABOVE else Side.ABOVE)
    limit = rule.raise_at if raised else rule.clear_at
    ending = f" is {back}{side.value} {limit:g} {rule.unit}"
    return f"{literal(rule.subject + ' ')} || {value} || {literal(' ' + rule.unit)}{there} || {literal(ending)}"


def _worst_place(rule: Rule) -> str:
    cases = " ".join(
        f"WHEN {_or_harmless(rule, s)} = {worst_value(rule)} THEN {literal(f' ({s.place})')}" for s in rule.signals
    )
    return f"CASE {cases} END"


def _or_harmless(rule: Rule, of: Signal) -> str:
    harmless = of.quantity.minimum if rule.side is Side.ABOVE else of.quantity.maximum
    return f"COALESCE(`{of.field}`, {number(harmless)})"


def _rule_states(rules: Sequence[Rule]) -> str:
    states = lines(f"COALESCE(LAST_VALUE({signal(rule)}) OVER ({_LANE}), 0) AS {rule.column}_now" for rule in rules)
    return f"""CREATE TEMPORARY VIEW rule_states AS
SELECT {_READING},
  {lines(f"`{name}`" for name in quantities(rules))},
  {states}
FROM fresh_readings
WHERE is_ahead"""


def _changed_states(rules: Sequence[Rule]) -> str:
    before = lines(f"COALESCE(LAG({rule.column}_now) OVER ({_LANE}), 0) AS {rule.column}_before" for rule in rules)
    changed = " OR ".join(f"{rule.column}_now <> {rule.column}_before" for rule in rules)
    return f"""CREATE TEMPORARY VIEW changed_states AS
SELECT * FROM (
  SELECT *,
  {before}
  FROM rule_states
)
WHERE {changed}"""


def _alert_steps(rules: Sequence[Rule]) -> str:
    return "CREATE TEMPORARY VIEW alert_steps AS\n" + "\nUNION ALL\n".join(map(_steps_of, rules))


def _steps_of(rule: Rule) -> str:
    is_raised = f"{rule.column}_now = 1"
    return f"""SELECT {_READING}, {literal(rule.name)} AS rule, {literal(rule.severity)} AS severity,
  CASE WHEN {is_raised} THEN 'ALERT_STATE_RAISED' ELSE 'ALERT_STATE_CLEARED' END AS alert_state,
  CASE WHEN {is_raised} THEN {message(rule, raised=True)} ELSE {message(rule, raised=False)} END AS message,
  {worst_value(rule)} AS reading_value,
  CASE WHEN {is_raised} THEN {number(rule.raise_at)} ELSE {number(rule.clear_at)} END AS threshold
FROM changed_states
WHERE {rule.column}_now <> {rule.column}_before"""
