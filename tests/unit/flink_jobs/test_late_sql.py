"""Late readings: when one counts as late, and how often its window is announced."""

from flink_jobs import late_sql
from flink_jobs.metrics_sql import LONG_WINDOW_S, SHORT_WINDOW_S


def test_a_reading_is_late_once_its_short_window_may_be_out() -> None:
    readings, _ = late_sql.views()
    closes = f"TO_TIMESTAMP_LTZ((EXTRACT(EPOCH FROM event_at) / {SHORT_WINDOW_S} + 1) * {SHORT_WINDOW_S}000 - 1, 3)"
    assert f"WHERE may_be_out(CURRENT_WATERMARK(event_at), {closes})" in readings
    assert f"EXTRACT(EPOCH FROM event_at) / {LONG_WINDOW_S} * {LONG_WINDOW_S} AS window_start_s" in readings


def test_a_window_is_announced_where_it_is_another_than_before_or_time_has_gone_on() -> None:
    _, announced = late_sql.views()
    when = announced.partition("WHERE ")[2]
    assert when.split(" OR ") == [
        "start_before IS NULL",
        "window_start_s <> start_before",
        "announced_in <> announced_in_before",
    ]
    assert announced.count("OVER (PARTITION BY vehicle_id, backfilled ORDER BY arrival)") == 2
