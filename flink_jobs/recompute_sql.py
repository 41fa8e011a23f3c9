"""The recompute as text: the windows of some ranges of time from all their readings, in batch mode.

The windows are compiled by metrics_sql, as those of the stream are. What differs is how readings come: a bounded part
of the topic, each once by its identity. A window that differs from the highest revision that is out goes out again with
the next one. So a second recompute of the same readings writes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from flink_jobs import metrics_sql, tables_sql
from flink_jobs.job import Job
from flink_jobs.sql import lines
from flink_jobs.tables_sql import Kafka
from flink_jobs.timespans import Span

_COMPARED: Final = ("reading_count", *metrics_sql.names())


def compose_recompute(kafka: Kafka, spans: Sequence[Span]) -> Job:
    """``spans``: apart from each other, of whole long windows that are out."""
    quantities = [figures.quantity for figures in metrics_sql.FIGURES]
    since_s = min(span.begin_s for span in spans)
    return Job(
        declarations=(
            tables_sql.past_readings(kafka, quantities, since_s),
            tables_sql.known_metrics(kafka, metrics_sql.names(), since_s),
            tables_sql.metrics(kafka.apart(), metrics_sql.names()),
            _fresh_readings(quantities, spans),
            *metrics_sql.views(),
            _latest_windows(spans),
            _different_windows(),
        ),
        inserts=(metrics_sql.insert_metrics("revision", "different_windows"),),
    )


def _fresh_readings(quantities: Iterable[str], spans: Iterable[Span]) -> str:
    """Of each reading the record that came first, as the stream takes it."""
    columns = lines(f"`{name}`" for name in quantities)
    within = " OR ".join(f"(event_at >= {_at(span.begin_s)} AND event_at < {_at(span.end_s)})" for span in spans)
    return f"""CREATE TEMPORARY VIEW fresh_readings AS
SELECT vehicle_id, event_at,
  {columns}
FROM (
  SELECT vehicle_id, event_at, ROW_NUMBER() OVER (
      PARTITION BY vehicle_id, boot_epoch, `sequence` ORDER BY record_partition, record_offset) AS place,
    {columns}
  FROM readings
  WHERE undecodable IS NULL AND ({within})
)
WHERE place = 1"""


def _at(seconds: int) -> str:
    return f"TO_TIMESTAMP_LTZ({seconds * 1000}, 3)"


def _latest_windows(spans: Iterable[Span]) -> str:
    """Of each window the highest revision that is out."""
    within = " OR ".join(f"(starts_s >= {span.begin_s} AND starts_s < {span.end_s})" for span in spans)
    window = "vehicle_id, starts_s, length_s"
    return f"""CREATE TEMPORARY VIEW latest_windows AS
SELECT * FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY {window} ORDER BY revision DESC) AS place
  FROM (
    SELECT *, window_start_time.seconds AS starts_s, window_length.seconds AS length_s
    FROM known_metrics
  )
  WHERE {within}
)
WHERE place = 1"""


def _different_windows() -> str:
    """A window that is not out at all gets 2 too: it may have come out and be committed only now."""
    same = " AND ".join(f"w.{name} = l.{name}" for name in ("vehicle_id", "starts_s", "length_s"))
    differs = " OR ".join(f"w.{name} IS DISTINCT FROM l.{name}" for name in _COMPARED)
    return f"""CREATE TEMPORARY VIEW different_windows AS
SELECT w.*, COALESCE(l.revision, 1) + 1 AS revision
FROM windows AS w LEFT JOIN latest_windows AS l ON {same}
WHERE l.revision IS NULL OR {differs}"""
