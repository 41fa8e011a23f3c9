"""The figures: those of the record, and what they are added up from."""

import pytest
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics

from flink_jobs import metrics_sql
from flink_jobs.metrics_sql import FIGURES, Figures, InvalidFigure, Statistic

#: Fields of the record that are no figure.
OTHERS = {"vehicle_id", "window_start_time", "window_length", "revision", "reading_count", "missing_count"}


def test_the_figures_are_those_of_the_record() -> None:
    assert set(metrics_sql.names()) == {field.name for field in VehicleMetrics.DESCRIPTOR.fields} - OTHERS


@pytest.mark.parametrize(
    ("quantity", "statistics", "reason"),
    [
        pytest.param("speed", (Statistic.AVERAGE,), "no quantity", id="a quantity that is no field"),
        pytest.param("speed_kph", (), "at least one", id="no statistic"),
        pytest.param("speed_kph", (Statistic.MAXIMUM, Statistic.MAXIMUM), "each once", id="one statistic twice"),
    ],
)
def test_a_row_that_could_not_work_is_refused(quantity: str, statistics: tuple[Statistic, ...], reason: str) -> None:
    with pytest.raises(InvalidFigure, match=reason):
        Figures(quantity, statistics)


def test_long_windows_add_up_the_short_ones() -> None:
    short, long = metrics_sql.views([Figures("speed_kph", tuple(Statistic))])
    for of_readings in ("SUM(`speed_kph`)", "COUNT(`speed_kph`)", "MAX(`speed_kph`)", "MIN(`speed_kph`)", "COUNT(*)"):
        assert f"{of_readings} AS" in short
    for of_sums in ("SUM(speed_kph_sum)", "SUM(speed_kph_count)", "MAX(speed_kph_max)", "MIN(speed_kph_min)"):
        assert f"{of_sums} AS" in long
    assert "SUM(reading_count) AS" in long
    assert ("INTERVAL '1' MINUTES" in short, "INTERVAL '5' MINUTES" in long) == (True, True)


def test_an_average_of_nothing_is_unknown_and_never_a_division_by_zero() -> None:
    text = metrics_sql.insert_metrics()
    for figures in FIGURES:
        if Statistic.AVERAGE in figures.statistics:
            assert text.count(f"{figures.quantity}_sum / NULLIF({figures.quantity}_count, 0)") == 2
