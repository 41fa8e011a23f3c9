"""The whole job as text: what to declare, what to insert, how to plan it. One statement set is one job."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flink_jobs import alerts_sql, late_sql, metrics_sql, readings_sql, tables_sql
from flink_jobs.rules import RULES, Rule
from flink_jobs.tables_sql import Kafka
from pitwall.domain.units import QUANTITIES

#: Flink's settings that belong to the text rather than to a place.
PLANNING: Final[Mapping[str, str]] = {
    # Formats timestamps; nothing else depends on it.
    "table.local-time-zone": "UTC",
    # Alerts and metrics share their common part only where the planner looks for it by content.
    "table.optimizer.reuse-optimize-block-with-digest-enabled": "true",
    "pipeline.object-reuse": "true",
    # Half-full buffers between tasks go out after this: part of an alert's latency, once per exchange.
    "execution.buffer-timeout.interval": "10 ms",
}


@dataclass(frozen=True, slots=True)
class Job:
    """SQL texts in the order in which they run; the inserts run as one."""

    declarations: tuple[str, ...]
    inserts: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Equal for equal text. State belongs to the text that made it, and fits no other."""
        return hashlib.sha256("\n".join((*self.declarations, *self.inserts)).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return ";\n\n".join((*self.declarations, *self.inserts)) + ";"


def compose(kafka: Kafka, rules: Sequence[Rule] = RULES) -> Job:
    """Alerts by ``rules``, metrics, and dead letters, in one job."""
    used = {*alerts_sql.quantities(rules), *(figures.quantity for figures in metrics_sql.FIGURES)}
    quantities = [name for name in QUANTITIES if name in used]
    return Job(
        declarations=(
            readings_sql.NOVELTY,
            *alerts_sql.FUNCTIONS,
            tables_sql.PATIENCE,
            late_sql.MAY_BE_OUT,
            tables_sql.readings(kafka, quantities),
            tables_sql.status_changes(kafka),
            tables_sql.registry(kafka),
            tables_sql.alerts(kafka),
            tables_sql.metrics(kafka, metrics_sql.names()),
            tables_sql.dead_letters(kafka),
            tables_sql.late_windows(kafka),
            readings_sql.fresh_readings(quantities),
            *alerts_sql.views(rules),
            *metrics_sql.views(),
            *late_sql.views(),
        ),
        inserts=(
            alerts_sql.insert_alerts(rules),
            metrics_sql.insert_metrics(),
            late_sql.insert_late_windows(),
            readings_sql.insert_dead_letters(),
        ),
    )
