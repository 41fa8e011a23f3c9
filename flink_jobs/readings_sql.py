"""From records to readings: bad ones to the dead letters, repeats out."""

from collections.abc import Iterable
from typing import Final

from flink_jobs.sql import headers, lines, literal
from flink_jobs.tables_sql import REGISTRY, STATUS_CHANGES, TELEMETRY

#: 0: a repeat, 1: new but late, 2: ahead of all that came before it; see src/main/java/pitwall/flink/Novelty.java.
NOVELTY: Final = "CREATE TEMPORARY FUNCTION novelty AS 'pitwall.flink.Novelty'"

_NOW: Final = "DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''')"


def fresh_readings(quantities: Iterable[str]) -> str:
    """Every reading once. Live ones and history are lanes of their own, each in the order of arrival.

    ``is_ahead``: it says how the vehicle is, and not only how it was before another reading that has come already.
    """
    columns = lines(f"`{name}`" for name in quantities)
    return f"""CREATE TEMPORARY VIEW fresh_readings AS
SELECT vehicle_id, backfilled, boot_epoch, `sequence`, event_ns, event_at, arrival, novelty = 2 AS is_ahead,
  {columns}
FROM (
  SELECT *, novelty(boot_epoch, `sequence`) OVER (PARTITION BY vehicle_id, backfilled ORDER BY arrival) AS novelty
  FROM (
    SELECT vehicle_id, COALESCE(backfilled, FALSE) AS backfilled, boot_epoch, `sequence`, event_ns, event_at, arrival,
      {columns}
    FROM readings
    WHERE undecodable IS NULL
  )
)
WHERE novelty > 0"""


def insert_dead_letters() -> str:
    """Of all three topics. The headers are those of the gateway's dead letters (ingest_gateway/dead_letters.py)."""
    return "INSERT INTO dead_letters\n" + "\nUNION ALL\n".join(
        (
            _dead_letters("readings", TELEMETRY, "haul.telemetry.v1.Reading"),
            _dead_letters("status_changes", STATUS_CHANGES, "haul.telemetry.v1.StatusChange"),
            _dead_letters("registry", REGISTRY, "haul.fleet.v1.RegistryEntry"),
        )
    )


def _dead_letters(table: str, topic: str, message: str) -> str:
    place = f"{literal(topic + ':')} || CAST(record_partition AS STRING) || ':' || CAST(record_offset AS STRING)"
    where = {
        "ce_type": literal(message),
        "ce_id": place,
        "ce_source": literal("flink_jobs"),
        "ce_time": _NOW,
        "content-type": literal("application/octet-stream"),
        "dl_where": place,
        "dl_reason": "undecodable.reason",
        "dl_message": "undecodable.explanation",
        "dl_time": _NOW,
    }
    # A key that is too long beside the bytes ends the job as they would; it is that of no vehicle.
    key = "CASE WHEN CHAR_LENGTH(DECODE(record_key, 'ISO-8859-1')) <= 1000 THEN record_key END"
    return f"""SELECT {key}, undecodable.record,
  {headers(where)}
FROM {table}
WHERE undecodable IS NOT NULL"""
