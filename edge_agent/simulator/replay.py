"""A vehicle that plays a recording, in a loop.

What the recording holds is reported as it is, what it lacks is unknown. The recorded machine can't be braked, so this
one is held by its reported speed: denied, it falls by the service brake's deceleration to 0 and stays there, whatever
was recorded; permitted, it follows the recording again, no faster than a truck gathers speed. A speed that isn't
recorded stays unknown, denied or not.
"""

import csv
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.simulator.body import UNKNOWN, Drive, FaultImpossible, steps
from edge_agent.simulator.faults import FaultKind
from edge_agent.simulator.truck import SERVICE_BRAKE_MPS2, TRACTION_MPS2
from edge_agent.vehicle_wire import QUANTITY_NAMES
from pitwall.domain.units import QUANTITIES, kpa_to_psi, kph_to_mps, mps_to_kph

TIME_COLUMN: Final = "t_s"
#: Column of the recording by quantity. Numbers in brackets are those of SAE J1939.
COLUMNS: Final[dict[str, str]] = {
    "speed_kph": "kmh(84)",
    "engine_temperature_celsius": "coolantC(110)",
    "engine_rpm": "rpm(190)",
    "fuel_level_percent": "fuel%(96)",
    "battery_volts": "battV(168)",
}
#: The two circuits of the service brake, kPa. The weaker one counts.
BRAKE_COLUMNS: Final = ("prim kPa(1087)", "sec kPa(1088)")
#: About a day at ten rows a second.
MOST_ROWS: Final = 1_000_000

_SPEED_AT: Final = QUANTITY_NAMES.index("speed_kph")


class InvalidRecording(ValueError):
    """The text names file, line and column, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Rows of quantities, in the order of a body's `quantities`, with their seconds from the start."""

    times_s: Sequence[float]
    rows: Sequence[tuple[float, ...]]
    #: Of one turn: from the first row to the last, and one usual interval more.
    length_s: float

    def at(self, elapsed_s: float) -> tuple[float, ...]:
        """The row that holds then; after the last one comes the first again."""
        return self.rows[bisect_right(self.times_s, elapsed_s % self.length_s) - 1]


def read_recording(path: Path) -> Recording:
    """Reads a CSV with a heading. Raises InvalidRecording."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(path, csv.DictReader(file))
    except OSError as error:
        raise InvalidRecording(
            f"recording {path} can't be read ({error.strerror}); set `replay` to an existing file"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidRecording(f"recording {path} isn't text in UTF-8; set `replay` to a CSV file") from error


def _read(path: Path, reader: "csv.DictReader[str]") -> Recording:
    wanted = [TIME_COLUMN, *COLUMNS.values(), *BRAKE_COLUMNS]
    missing = [name for name in wanted if name not in (reader.fieldnames or ())]
    if missing:
        raise InvalidRecording(f"recording {path} has no column {', '.join(map(repr, missing))}")
    times_s: list[float] = []
    rows: list[tuple[float, ...]] = []
    for row in reader:
        where = f"recording {path}, line {reader.line_num}"
        if len(rows) == MOST_ROWS:
            raise InvalidRecording(f"{where}: more than {MOST_ROWS} rows; cut it into shorter ones")
        times_s.append(_time(where, row, times_s))
        rows.append(_row(where, row))
    if len(rows) < 2:
        raise InvalidRecording(f"recording {path} has {len(rows)} rows; it needs two or more")
    start_s = times_s[0]
    times_s = [time_s - start_s for time_s in times_s]
    return Recording(times_s, rows, times_s[-1] + times_s[-1] / (len(times_s) - 1))


def _time(where: str, row: dict[str, str], before: list[float]) -> float:
    time_s = _number(where, row, TIME_COLUMN)
    if math.isnan(time_s):
        raise InvalidRecording(f"{where}, column {TIME_COLUMN!r}: empty; every row needs its time")
    if before and time_s <= before[-1]:
        raise InvalidRecording(f"{where}, column {TIME_COLUMN!r}: {time_s:g} is not after {before[-1]:g}")
    return time_s


def _row(where: str, row: dict[str, str]) -> tuple[float, ...]:
    values = {name: _number(where, row, column) for name, column in COLUMNS.items()}
    circuits = [kpa_to_psi(_number(where, row, column)) for column in BRAKE_COLUMNS]
    known = [psi for psi in circuits if not math.isnan(psi)]
    values["brake_pressure_psi"] = min(known) if known else UNKNOWN
    return tuple(_measurable(name, values.get(name, UNKNOWN)) for name in QUANTITY_NAMES)


def _number(where: str, row: dict[str, str], column: str) -> float:
    """NaN for an empty cell, or one that a short row lacks."""
    text = (row[column] or "").strip()
    if not text:
        return UNKNOWN
    try:
        value = float(text)
    except ValueError:
        value = UNKNOWN
    if not math.isfinite(value):
        raise InvalidRecording(f"{where}, column {column!r}: {text[:40]!r} is no number; leave unknown cells empty")
    return value


def _measurable(name: str, value: float) -> float:
    """What no sensor can measure is the recording's way to say that it doesn't know."""
    return value if QUANTITIES[name].admits(value) else UNKNOWN


class ReplayVehicle:
    """Implements Body."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._elapsed_s = 0.0
        self._speed_mps = 0.0
        self._braking = True

    @property
    def speed_kph(self) -> float:
        """0 while it is unknown: the plant's log needs a number, and an unknown vehicle can't be seen to move."""
        return mps_to_kph(self._speed_mps)

    @property
    def braking(self) -> bool:
        return self._braking

    def advance(self, since_s: float, drive: Drive) -> None:
        self._braking = not drive.may_move
        for step_s in steps(since_s):
            self._elapsed_s = (self._elapsed_s + step_s) % self._recording.length_s
            self._follow(step_s, stand=drive.slowing or not drive.may_move)

    def _follow(self, since_s: float, *, stand: bool) -> None:
        recorded = self._recording.at(self._elapsed_s)[_SPEED_AT]
        target = 0.0 if stand or math.isnan(recorded) else kph_to_mps(recorded)
        lowest = self._speed_mps - SERVICE_BRAKE_MPS2 * since_s
        highest = self._speed_mps + TRACTION_MPS2 * since_s
        self._speed_mps = max(min(max(target, lowest), highest), 0.0)

    def quantities(self) -> tuple[float, ...]:
        row = self._recording.at(self._elapsed_s)
        if math.isnan(row[_SPEED_AT]):
            return row
        return (*row[:_SPEED_AT], self.speed_kph, *row[_SPEED_AT + 1 :])

    def start_fault(self, kind: FaultKind) -> None:
        raise FaultImpossible(f"a recording can't have the fault {kind.value}; name a simulated vehicle")

    def end_fault(self, kind: FaultKind) -> None:
        """There is none."""

    @property
    def active_faults(self) -> frozenset[FaultKind]:
        return frozenset()
