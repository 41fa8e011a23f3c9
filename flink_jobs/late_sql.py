"""Late readings: which windows that are out lack something, announced for the recompute.

A vehicle's late readings come in a row, so with the window before it in mind, its windows are announced once each and
not once a reading; and again after a while, because a recompute may have been in between.

A job that has just started doesn't know how far time had come, though its windows do: they were restored. What it
reads before time comes to it again counts as late, and so does what belongs to a window that was over shortly before
the start (MayBeOut.java). So the windows in which a job was restarted are always recomputed.
"""

from typing import Final

from flink_jobs.metrics_sql import LONG_WINDOW_S, SHORT_WINDOW_S

MAY_BE_OUT: Final = "CREATE TEMPORARY FUNCTION may_be_out AS 'pitwall.flink.MayBeOut'"
#: An announcement speaks for the readings that come within this time after it.
ANNOUNCED_AGAIN_S: Final = 10

_LANE: Final = "PARTITION BY vehicle_id, backfilled ORDER BY arrival"
_START: Final = f"EXTRACT(EPOCH FROM event_at) / {LONG_WINDOW_S} * {LONG_WINDOW_S}"
#: The last millisecond of the reading's short window: where time has come so far, that is out.
_CLOSES: Final = (
    f"TO_TIMESTAMP_LTZ((EXTRACT(EPOCH FROM event_at) / {SHORT_WINDOW_S} + 1) * {SHORT_WINDOW_S * 1000} - 1, 3)"
)


def views() -> list[str]:
    """From fresh_readings to announced_windows."""
    return [
        f"""CREATE TEMPORARY VIEW late_readings AS
SELECT vehicle_id, backfilled, arrival, {_START} AS window_start_s,
  EXTRACT(EPOCH FROM CAST(arrival AS TIMESTAMP_LTZ(3))) / {ANNOUNCED_AGAIN_S} AS announced_in
FROM fresh_readings
WHERE may_be_out(CURRENT_WATERMARK(event_at), {_CLOSES})""",
        f"""CREATE TEMPORARY VIEW announced_windows AS
SELECT vehicle_id, window_start_s FROM (
  SELECT vehicle_id, window_start_s, announced_in,
    LAG(window_start_s) OVER ({_LANE}) AS start_before, LAG(announced_in) OVER ({_LANE}) AS announced_in_before
  FROM late_readings
)
WHERE start_before IS NULL OR window_start_s <> start_before OR announced_in <> announced_in_before""",
    ]


def insert_late_windows() -> str:
    return f"""INSERT INTO late_windows
SELECT vehicle_id, window_start_s, CAST({LONG_WINDOW_S} AS BIGINT) FROM announced_windows"""
