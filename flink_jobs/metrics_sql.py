"""Metrics: tumbling windows by event time, of each vehicle and of the fleet, compiled from a table of figures.

A vehicle's short windows are added up from its readings; its long ones, and the fleet's, from windows. So the fleet is
no key that all readings go to. The stream job and the recompute have all of this text in common.

Sums are of whole millionths, so that neither order nor grouping of additions changes a figure: whoever adds up the same
readings has the same bits. Sums and counts are kept apart until the end, so that an average is that of its readings.
Aggregates skip NULL: a figure that no reading had a value for is NULL.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flink_jobs.sql import headers, lines, literal, number
from pitwall.domain.units import QUANTITIES, Quantity


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
#: What sums are of: no sensor is as fine as a millionth of its unit.
PARTS_PER_UNIT: Final = 1e6
#: Of one window, the fleet's too: three thousand a second, for instance, are a million in five minutes.
MOST_READINGS: Final = 10**9
#: Windows begin at multiples of their length since 1970, so a long one is made of whole short ones.
assert LONG_WINDOW_S % SHORT_WINDOW_S == 0
assert SHORT_WINDOW_S % 60 == 0
assert len({figures.quantity for figures in FIGURES}) == len(FIGURES)
assert all(max(-q.minimum, q.maximum) * PARTS_PER_UNIT * MOST_READINGS < 2**63 for q in QUANTITIES.values())


@dataclass(frozen=True, slots=True)
class _Windows:
    """A view of windows: which rows of which other view it adds up."""

    name: str
    length_s: int
    source: str
    time: str
    of_fleet: bool = False


_READINGS: Final = "possible_readings"
_VIEWS: Final = (
    _Windows("short_windows", SHORT_WINDOW_S, _READINGS, "event_at"),
    _Windows("long_windows", LONG_WINDOW_S, "short_windows", "closes_at"),
    _Windows("fleet_short_windows", SHORT_WINDOW_S, "short_windows", "closes_at", of_fleet=True),
    _Windows("fleet_long_windows", LONG_WINDOW_S, "fleet_short_windows", "closes_at", of_fleet=True),
)


def names(figures: Iterable[Figures] = FIGURES) -> list[str]:
    """The figures' fields in their order."""
    return [name for each in figures for name in each.names]


def views(figures: Sequence[Figures] = FIGURES) -> list[str]:
    """From fresh_readings to windows: a row for each that has closed. The fleet's have an empty vehicle_id."""
    added_up = [_view(each, figures) for each in _VIEWS]
    return [_possible_readings(figures), *added_up, _windows(figures)]


def insert_metrics(revision: str = "1", source: str = "windows", figures: Sequence[Figures] = FIGURES) -> str:
    """Into vehicle_metrics. revision: an INT over ``source``, which has the columns of windows.

    One statement for all of them: several would be several writers with the same transactions.
    """
    place = ("starts_s", "length_s", revision)
    where = {
        "ce_type": literal("haul.telemetry.v1.VehicleMetrics"),
        # No vehicle's id is empty, so those of the fleet's windows begin with the dot.
        "ce_id": " || '.' || ".join(["vehicle_id", *(f"CAST({part} AS STRING)" for part in place)]),
        "ce_source": literal("flink_jobs"),
        "ce_time": "DATE_FORMAT(closes_at, 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''')",
        "content-type": literal("application/protobuf"),
    }
    return f"""INSERT INTO vehicle_metrics
SELECT vehicle_id, ROW(starts_s, 0), ROW(length_s, 0), {revision}, reading_count,
  {lines(names(figures))},
  {headers(where)}
FROM {source}"""


def _possible_readings(figures: Iterable[Figures]) -> str:
    """A gateway rejects values that can't be. Where another program wrote one, it is no value here."""
    values = lines(_possible(QUANTITIES[each.quantity]) for each in figures)
    return f"""CREATE TEMPORARY VIEW {_READINGS} AS
SELECT vehicle_id, event_at,
  {values}
FROM fresh_readings"""


def _possible(quantity: Quantity) -> str:
    name = f"`{quantity.name}`"
    within = f"{name} BETWEEN {number(float(quantity.minimum))} AND {number(float(quantity.maximum))}"
    return f"CASE WHEN {within} THEN {name} END AS {name}"


def _view(windows: _Windows, figures: Iterable[Figures]) -> str:
    is_first = windows.source == _READINGS
    aggregates = _first_sums(figures) if is_first else _further_sums(figures)
    count = "COUNT(*)" if is_first else "SUM(reading_count)"
    vehicle_id, group = ("CAST('' AS STRING) AS vehicle_id", "") if windows.of_fleet else ("vehicle_id", "vehicle_id, ")
    interval = f"INTERVAL '{windows.length_s // 60}' MINUTES"
    return f"""CREATE TEMPORARY VIEW {windows.name} AS
SELECT {vehicle_id}, window_start AS starts_at, window_time AS closes_at, {count} AS reading_count,
  {lines(aggregates)}
FROM TABLE(TUMBLE(TABLE {windows.source}, DESCRIPTOR({windows.time}), {interval}))
GROUP BY {group}window_start, window_end, window_time"""


def _first_sums(figures: Iterable[Figures]) -> list[str]:
    def argument(function: str, quantity: str) -> str:
        return _millionths(quantity) if function == "SUM" else f"`{quantity}`"

    return [
        f"{function}({argument(function, each.quantity)}) AS {column}"
        for each in figures
        for function, column in _aggregates(each)
    ]


def _millionths(quantity: str) -> str:
    """The nearest whole number of them, of two the higher one, computed in binary floating point."""
    return f"CAST(FLOOR(`{quantity}` * {number(PARTS_PER_UNIT)} + {number(0.5)}) AS BIGINT)"


def _further_sums(figures: Iterable[Figures]) -> list[str]:
    """Of windows: counts are added up too."""
    return [
        f"{'SUM' if function == 'COUNT' else function}({column}) AS {column}"
        for each in figures
        for function, column in _aggregates(each)
    ]


def _aggregates(figures: Figures) -> list[tuple[str, str]]:
    """(function, column) of what a window keeps."""
    kept = {
        Statistic.AVERAGE: [("SUM", "millionths"), ("COUNT", "count")],
        Statistic.MAXIMUM: [("MAX", "max")],
        Statistic.MINIMUM: [("MIN", "min")],
    }
    return [(function, f"{figures.quantity}_{ending}") for s in figures.statistics for function, ending in kept[s]]


def _windows(figures: Sequence[Figures]) -> str:
    return "CREATE TEMPORARY VIEW windows AS\n" + "\nUNION ALL\n".join(_select(each, figures) for each in _VIEWS)


def _select(windows: _Windows, figures: Iterable[Figures]) -> str:
    values = (f"{_figure(each.quantity, s)} AS {each.quantity}_{s}" for each in figures for s in each.statistics)
    return f"""SELECT vehicle_id, EXTRACT(EPOCH FROM starts_at) AS starts_s,
  CAST({windows.length_s} AS BIGINT) AS length_s, closes_at, reading_count,
  {lines(values)}
FROM {windows.name}"""


def _figure(quantity: str, statistic: Statistic) -> str:
    if statistic is Statistic.AVERAGE:
        count = f"CAST(NULLIF({quantity}_count, 0) AS DOUBLE)"
        return f"CAST({quantity}_millionths AS DOUBLE) / ({count} * {number(PARTS_PER_UNIT)})"
    return f"{quantity}_{statistic}"
