"""Metrics: tumbling windows by event time, compiled from a table of figures.

The short windows are added up from readings, the long ones from the short ones. Sums and counts are kept apart until
end, so that an average is that of its readings. Aggregates skip NULL: a figure that no reading had a value for is NULL.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flink_jobs.sql import headers, lines, literal
from pitwall.domain.units import QUANTITIES


class InvalidFigure(ValueError):
    """Names the quantity and what would be right."""


class Statistic(StrEnum):
    """The last part of a figure's name."""

    AVERAGE = "avg"
    MAXIMUM = "max"
    MINIMUM = "min"


@dataclass(frozen=True, slots=True)
class Figures:
    """What is computed of one quantity."""

    quantity: str
    statistics: tuple[Statistic, ...]

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise InvalidFigure(f"{self.quantity} is no quantity of a Reading; see pitwall.domain.units")
        if not self.statistics or len(set(self.statistics)) != len(self.statistics):
            raise InvalidFigure(f"{self.quantity}: name at least one statistic, and each once")

    @property
    def names(self) -> list[str]:
        """Fields of haul.telemetry.v1.VehicleMetrics."""
        return [f"{self.quantity}_{statistic}" for statistic in self.statistics]


_ALL: Final = (Statistic.AVERAGE, Statistic.MAXIMUM, Statistic.MINIMUM)
_AVERAGE_MAXIMUM: Final = _ALL[:2]

FIGURES: Final = (
    Figures("speed_kph", _ALL),
    Figures("fuel_level_percent", (Statistic.AVERAGE,)),
    Figures("battery_level_percent", (Statistic.AVERAGE,)),
    Figures("engine_temperature_celsius", _AVERAGE_MAXIMUM),
    Figures("payload_tons", _AVERAGE_MAXIMUM),
)
SHORT_WINDOW_S: Final = 60
LONG_WINDOW_S: Final = 300
#: Windows begin at multiples of their length since 1970, so a long one is made of whole short ones.
assert LONG_WINDOW_S % SHORT_WINDOW_S == 0
assert SHORT_WINDOW_S % 60 == 0
assert len({figures.quantity for figures in FIGURES}) == len(FIGURES)


def names(figures: Iterable[Figures] = FIGURES) -> list[str]:
    """The figures' fields in their order."""
    return [name for each in figures for name in each.names]


def views(figures: Sequence[Figures] = FIGURES) -> list[str]:
    """From fresh_readings to short_windows and long_windows."""
    short = _view("short_windows", SHORT_WINDOW_S, "fresh_readings", "event_at", "COUNT(*)", _first_sums(figures))
    counted = "SUM(reading_count)"
    long = _view("long_windows", LONG_WINDOW_S, "short_windows", "closes_at", counted, _further_sums(figures))
    return [short, long]


def insert_metrics(figures: Sequence[Figures] = FIGURES) -> str:
    """Both lengths by one statement: two would be two writers with the same transactions."""
    short, long = (
        _select(*pair, figures) for pair in (("short_windows", SHORT_WINDOW_S), ("long_windows", LONG_WINDOW_S))
    )
    return f"INSERT INTO vehicle_metrics\n{short}\nUNION ALL\n{long}"


def _view(name: str, length_s: int, source: str, time: str, count: str, sums: Iterable[str]) -> str:
    return f"""CREATE TEMPORARY VIEW {name} AS
SELECT vehicle_id, window_start AS starts_at, window_time AS closes_at, {count} AS reading_count,
  {lines(sums)}
FROM TABLE(TUMBLE(TABLE {source}, DESCRIPTOR({time}), INTERVAL '{length_s // 60}' MINUTES))
GROUP BY vehicle_id, window_start, window_end, window_time"""


def _first_sums(figures: Iterable[Figures]) -> list[str]:
    return [f"{function}(`{each.quantity}`) AS {column}" for each in figures for function, column in _aggregates(each)]


def _further_sums(figures: Iterable[Figures]) -> list[str]:
    """Of short windows: counts are added up too."""
    return [
        f"{'SUM' if function == 'COUNT' else function}({column}) AS {column}"
        for each in figures
        for function, column in _aggregates(each)
    ]


def _aggregates(figures: Figures) -> list[tuple[str, str]]:
    """(function, column) of what a window keeps."""
    kept = {
        Statistic.AVERAGE: [("SUM", "sum"), ("COUNT", "count")],
        Statistic.MAXIMUM: [("MAX", "max")],
        Statistic.MINIMUM: [("MIN", "min")],
    }
    return [(function, f"{figures.quantity}_{ending}") for s in figures.statistics for function, ending in kept[s]]


def _figure(quantity: str, statistic: Statistic) -> str:
    if statistic is Statistic.AVERAGE:
        return f"{quantity}_sum / NULLIF({quantity}_count, 0)"
    return f"{quantity}_{statistic}"


def _select(view: str, length_s: int, figures: Iterable[Figures]) -> str:
    seconds = "EXTRACT(EPOCH FROM starts_at)"
    where = {
        "ce_type": literal("haul.telemetry.v1.VehicleMetrics"),
        "ce_id": f"vehicle_id || '.' || CAST({seconds} AS STRING) || {literal(f'.{length_s}.1')}",
        "ce_source": literal("flink_jobs"),
        "ce_time": "DATE_FORMAT(closes_at, 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''')",
        "content-type": literal("application/protobuf"),
    }
    return f"""SELECT vehicle_id, ROW({seconds}, 0), ROW(CAST({length_s} AS BIGINT), 0), 1, reading_count,
  {lines(_figure(each.quantity, statistic) for each in figures for statistic in each.statistics)},
  {headers(where)}
FROM {view}"""
