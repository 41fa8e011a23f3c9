"""Alerts, compiled from the rules.

What tells of vehicles comes together in ``observations``: readings, news of the link, entries of the registry. Two
aggregates over each vehicle's go by arrival, so no step waits for a watermark or a checkpoint, and history has its own,
because its readings are partitioned apart from the live ones. ``situations`` has what the registry said last and how
fast things change; from it SQL computes each rule's level, and ``judge`` (Judge.java) remembers and says where one has
become an alert. What they keep is theirs, by name, so state outlives a change of the rules.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from flink_jobs.levels_sql import level
from flink_jobs.rules import LONGEST_SILENCE_S, Rule, Severity
from flink_jobs.sentences_sql import message, threshold_of, value_of
from flink_jobs.sql import headers, lines, literal, rfc3339, timestamp
from flink_jobs.tables_sql import ZONE
from flink_jobs.watched import ENTRY, FALL, LINK_LOST, OUTSIDE_ZONE, columns
from pitwall.domain.units import QUANTITIES

FUNCTIONS: Final = (
    "CREATE TEMPORARY FUNCTION judge AS 'pitwall.flink.Judge'",
    "CREATE TEMPORARY FUNCTION rates AS 'pitwall.flink.Rates'",
    "CREATE TEMPORARY FUNCTION registered AS 'pitwall.flink.Registered'",
    "CREATE TEMPORARY FUNCTION zone_contains AS 'pitwall.flink.ZoneContains'",
)

_LANE: Final = "PARTITION BY vehicle_id, backfilled ORDER BY arrival"
#: What the registry says of a vehicle, as Registered.java takes it.
_TOLD: Final = (
    "ROW<`model` STRING, `rated_payload_tons` DOUBLE, `max_payload_tons` DOUBLE, `max_speed_kph` DOUBLE, "
    f"`zone` {ZONE}>"
)
_POSITION: Final = ("latitude_degrees", "longitude_degrees")
#: A session's news are counted; more than this no session has. It keeps (connect_count, count) in one number.
_MOST_NEWS: Final = 1_000_000


def quantities(rules: Iterable[Rule]) -> list[str]:
    """The fields of a Reading that the rules look at, each once, in the order of QUANTITIES."""
    looked_at = _columns(rules)
    position = _POSITION if OUTSIDE_ZONE in looked_at else ()
    return [name for name in QUANTITIES if {name, name + FALL} & looked_at or name in position]


def views(rules: Sequence[Rule]) -> list[str]:
    """From fresh_readings, status_changes and registry to alert_steps: a row for each step of each rule."""
    return [_link_news(), _observations(rules), _situations(rules), _levels(rules), _alert_steps(rules)]


def insert_alerts(rules: Sequence[Rule]) -> str:
    """Every step with what raised it, from which it has its id."""
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
  SELECT *,
    vehicle_id || '.' || rule || '.' || CAST(raised_boot_epoch AS STRING) || '.' || CAST(raised_sequence AS STRING) ||
      CASE WHEN backfilled THEN '.backfilled' ELSE '' END AS alert_id,
    {_by_rule(rules, _severity)} AS severity,
    {_by_rule(rules, message)} AS message,
    {_by_rule(rules, value_of)} AS reading_value,
    {_by_rule(rules, threshold_of)} AS threshold
  FROM alert_steps
)"""


def judged(rules: Iterable[Rule]) -> str:
    """The rules as Judge is told of them (Rules.java)."""
    return ";".join([_millis(LONGEST_SILENCE_S), *(f"{rule.name}={_millis(rule.hold_s)}" for rule in rules)])


def _link_news() -> str:
    """The newest session of the newest boot counts; what is told again, or later than that, says nothing any more."""
    by_arrival = "PARTITION BY vehicle_id ORDER BY arrival"
    number = "COALESCE(TRY_CAST(REGEXP_EXTRACT(change_id, ':([0-9]+)$', 1) AS BIGINT), 0)"
    return f"""CREATE TEMPORARY VIEW link_news AS
SELECT vehicle_id, boot_epoch, `sequence`, event_ns, arrival, is_lost
FROM (
  SELECT *, novelty(boot_epoch, `sequence`) OVER ({by_arrival}) AS novelty,
    MAX(boot_epoch) OVER ({by_arrival}) AS newest_boot
  FROM (
    SELECT vehicle_id, boot_epoch, event_ns, arrival, connectivity = 'CONNECTIVITY_LOST' AS is_lost,
      COALESCE(connect_count, 0) * {_MOST_NEWS} + {number} AS `sequence`
    FROM status_changes
    WHERE undecodable IS NULL AND connectivity IN ('CONNECTIVITY_CONNECTED', 'CONNECTIVITY_LOST')
  )
)
WHERE novelty = 2 AND boot_epoch = newest_boot"""


def _observations(rules: Sequence[Rule]) -> str:
    """A registry entry is for both lanes, news of the link are never history. is_reading: NULL where the registry has
    forgotten the vehicle.
    """
    names = quantities(rules)
    no_values = [f"{_nothing('DOUBLE')} AS `{name}`" for name in names]
    return f"""CREATE TEMPORARY VIEW observations AS
SELECT vehicle_id, backfilled, boot_epoch, `sequence`, event_ns, arrival, TRUE AS is_reading,
  {lines([*(f"`{name}`" for name in names), f"{_nothing('BOOLEAN')} AS {LINK_LOST}", f"{_nothing(_TOLD)} AS told"])}
FROM fresh_readings
WHERE is_ahead
UNION ALL
SELECT vehicle_id, FALSE, boot_epoch, `sequence`, event_ns, arrival, FALSE,
  {lines([*no_values, "is_lost", _nothing(_TOLD)])}
FROM link_news
UNION ALL
{_entries(no_values, backfilled="FALSE")}
UNION ALL
{_entries(no_values, backfilled="TRUE")}"""


def _entries(no_values: Sequence[str], *, backfilled: str) -> str:
    no_place = [f"{_nothing('BIGINT')} AS {name}" for name in ("boot_epoch", "`sequence`", "event_ns")]
    told = f"CAST(ROW(`model`, `rated_payload_tons`, `max_payload_tons`, `max_speed_kph`, `zone`) AS {_TOLD})"
    is_reading = "CASE WHEN vehicle_id IS NOT NULL THEN FALSE END"
    return f"""SELECT COALESCE(vehicle_id, DECODE(record_key, 'UTF-8')), {backfilled}, {", ".join(no_place)}, arrival,
  {is_reading},
  {lines([*no_values, _nothing("BOOLEAN"), told])}
FROM registry
WHERE undecodable IS NULL AND (vehicle_id IS NOT NULL OR record_key IS NOT NULL)"""


def _situations(rules: Sequence[Rule]) -> str:
    """How the vehicle is, with all that rules look at: see watched.py."""
    looked_at, falling = _columns(rules), _falling(rules)
    own = [f"`{name}`" for name in quantities(rules) if name in looked_at]
    falls = [f"-changes[{number}] AS `{name}{FALL}`" for number, name in enumerate(falling, 1)]
    entry = [f"entry.`{name.removeprefix(ENTRY)}` AS {name}" for name in sorted(looked_at) if name.startswith(ENTRY)]
    contains = f"zone_contains(entry.`zone`, {', '.join(_POSITION)})"
    outside = f"CASE WHEN is_reading THEN NOT {contains} END AS {OUTSIDE_ZONE}"
    rates = [literal(";".join(falling)), "CASE WHEN is_reading THEN event_ns END", *(f"`{name}`" for name in falling)]
    return f"""CREATE TEMPORARY VIEW situations AS
SELECT vehicle_id, backfilled, boot_epoch, `sequence`, event_ns, arrival, is_reading, {LINK_LOST},
  {lines([*own, *falls, *entry, *([outside] if OUTSIDE_ZONE in looked_at else [])])}
FROM (
  SELECT *, registered(told) OVER ({_LANE}) AS entry, rates({", ".join(rates)}) OVER ({_LANE}) AS changes
  FROM observations
)
WHERE told IS NULL OR is_reading IS NULL"""


def _levels(rules: Sequence[Rule]) -> str:
    return f"""CREATE TEMPORARY VIEW levels AS
SELECT *,
  {lines(f"{level(rule)} AS {rule.column}_level" for rule in rules)}
FROM situations"""


def _alert_steps(rules: Sequence[Rule]) -> str:
    arguments = ["is_reading", "boot_epoch", "`sequence`", "event_ns", *(f"{rule.column}_level" for rule in rules)]
    return f"""CREATE TEMPORARY VIEW alert_steps AS
SELECT judged.*, step.rule, step.alert_state, step.escalated,
  step.raised_boot_epoch, step.raised_sequence, step.raised_ns
FROM (
  SELECT *, judge({literal(judged(rules))},
    {", ".join(arguments)}) OVER ({_LANE}) AS steps
  FROM levels
) AS judged CROSS JOIN UNNEST(judged.steps)
  AS step (rule, alert_state, escalated, raised_boot_epoch, raised_sequence, raised_ns)
WHERE judged.steps IS NOT NULL"""


def _by_rule(rules: Iterable[Rule], expression: Callable[[Rule | None], str]) -> str:
    """None: a rule that there no longer is, whose alert was open."""
    cases = "\n      ".join(f"WHEN {literal(rule.name)} THEN {expression(rule)}" for rule in rules)
    return f"CASE rule\n      {cases}\n      ELSE {expression(None)} END"


def _severity(rule: Rule | None) -> str:
    if rule is None:
        return literal(Severity.INFO)
    if rule.escalated is None:
        return literal(rule.severity)
    return f"CASE WHEN escalated THEN {literal(rule.escalated)} ELSE {literal(rule.severity)} END"


def _columns(rules: Iterable[Rule]) -> set[str]:
    of_models = {ENTRY + "model" for rule in rules if rule.models}
    return {name for rule in rules for name in columns(rule.when)} | of_models


def _falling(rules: Iterable[Rule]) -> list[str]:
    looked_at = _columns(rules)
    return [name for name in QUANTITIES if name + FALL in looked_at]


def _nothing(kind: str) -> str:
    return f"CAST(NULL AS {kind})"


def _millis(seconds: float) -> str:
    return str(round(seconds * 1000))
