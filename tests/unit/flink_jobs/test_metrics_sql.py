"""The figures: those of the record, and what they are added up from."""

import re

import pytest
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics

from flink_jobs import metrics_sql
from flink_jobs.metrics_sql import FIGURES, Figures, InvalidFigure, Statistic
from pitwall.domain.units import QUANTITIES

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


def test_windows_add_up_the_ones_below_them_and_the_fleets_the_vehicles() -> None:
    views = {view.split()[3]: view for view in metrics_sql.views([Figures("speed_kph", tuple(Statistic))])}
    below = {
        "short_windows": ("possible_readings", 1),
        "long_windows": ("short_windows", 5),
        "fleet_short_windows": ("short_windows", 1),
        "fleet_long_windows": ("fleet_short_windows", 5),
    }
    assert list(views) == ["possible_readings", *below, "windows"]
    for of_readings in ("COUNT(`speed_kph`)", "MAX(`speed_kph`)", "MIN(`speed_kph`)", "COUNT(*)"):
        assert f"{of_readings} AS" in views["short_windows"]
    for name, (source, minutes) in below.items():
        assert f"TABLE {source}, " in views[name]
        assert f"INTERVAL '{minutes}' MINUTES" in views[name]
        assert ("GROUP BY vehicle_id, " in views[name]) is not name.startswith("fleet_")
        if name != "short_windows":
            for total in (
                "SUM(speed_kph_millionths)",
                "SUM(speed_kph_count)",
                "MAX(speed_kph_max)",
                "SUM(reading_count)",
            ):
                assert f"{total} AS" in views[name]
        assert f"FROM {name}" in views["windows"]


def test_no_sum_is_of_floating_point_numbers() -> None:
    for view in metrics_sql.views():
        for summed in re.findall(r"\bSUM\((.+)\) AS", view):
            assert summed.startswith("CAST(FLOOR(") or re.fullmatch(r"\w+_(millionths|count)", summed), summed


def test_a_value_that_can_not_be_is_none() -> None:
    possible = metrics_sql.views()[0]
    for figures in FIGURES:
        quantity = QUANTITIES[figures.quantity]
        within = f"BETWEEN CAST({float(quantity.minimum)!r} AS DOUBLE) AND CAST({float(quantity.maximum)!r} AS DOUBLE)"
        assert f"CASE WHEN `{quantity.name}` {within} THEN `{quantity.name}` END AS `{quantity.name}`" in possible


def test_an_average_of_nothing_is_unknown_and_never_a_division_by_zero() -> None:
    text = metrics_sql.views()[-1]
    for figures in FIGURES:
        if Statistic.AVERAGE in figures.statistics:
            assert text.count(f"NULLIF({figures.quantity}_count, 0)") == 4
    assert text.count("NULLIF") == text.count("_avg")


def test_the_id_of_a_record_tells_window_and_revision() -> None:
    text = metrics_sql.insert_metrics("revision", "different_windows")
    fields = " || '.' || ".join(
        ["vehicle_id", *(f"CAST({name} AS STRING)" for name in ("starts_s", "length_s", "revision"))]
    )
    assert f"'ce_id', ENCODE({fields}, 'UTF-8')" in text
    assert text.endswith("FROM different_windows")
