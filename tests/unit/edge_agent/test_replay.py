"""A recording becomes a vehicle: what it has, in our units; what it lacks, unknown; and it can be held."""

import csv
import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.simulator.body import Drive, FaultImpossible
from edge_agent.simulator.faults import FaultKind
from edge_agent.simulator.replay import InvalidRecording, Recording, ReplayVehicle, read_recording
from edge_agent.vehicle_wire import QUANTITY_NAMES
from pitwall.domain.vehicle_state import VehicleStatus

COLUMNS = [
    "t_s",
    "rpm(190)",
    "kmh(84)",
    "coolantC(110)",
    "fuel%(96)",
    "battV(168)",
    "prim kPa(1087)",
    "sec kPa(1088)",
    "ambC(171)",
]
MOVING, DENIED = Drive(True, VehicleStatus.ROUTING), Drive(False, VehicleStatus.ROUTING)


def write(path: Path, rows: list[list[object]], columns: list[str] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def row(t_s: float, **cells: object) -> list[object]:
    names = {"rpm": 1, "kmh": 2, "coolant": 3, "fuel": 4, "volts": 5, "prim": 6, "sec": 7, "amb": 8}
    found: list[object] = [t_s, *[""] * 8]
    for name, cell in cells.items():
        found[names[name]] = cell
    return found


def known(values: tuple[float, ...]) -> dict[str, float]:
    return {name: value for name, value in zip(QUANTITY_NAMES, values, strict=True) if not math.isnan(value)}


def driven(*speeds: float | None) -> ReplayVehicle:
    """A recording of one row a second."""
    at, blank = QUANTITY_NAMES.index("speed_kph"), [math.nan] * len(QUANTITY_NAMES)
    rows = [(*blank[:at], math.nan if kph is None else kph, *blank[at + 1 :]) for kph in speeds]
    return ReplayVehicle(Recording([float(i) for i in range(len(rows))], rows, float(len(rows))))


def test_what_is_recorded_is_mapped_in_our_units(tmp_path: Path) -> None:
    full = row(0.1, rpm=650, kmh=12.5, coolant=83, fuel=56, volts=27.4, prim=827.37, sec=689.476, amb=17)
    recording = read_recording(write(tmp_path / "r.csv", [row(0.0), full]))
    assert known(recording.rows[0]) == {}
    assert known(recording.rows[1]) == {
        "speed_kph": 12.5,
        "engine_rpm": 650,
        "engine_temperature_celsius": 83,
        "fuel_level_percent": 56,
        "battery_volts": 27.4,
        "brake_pressure_psi": pytest.approx(100.0, abs=0.001),
    }


@pytest.mark.parametrize(
    ("prim", "sec", "psi"), [(689.476, 827.4, 100), (827.4, 689.476, 100), ("", 689.476, 100), (689.476, "", 100)]
)
def test_the_weaker_brake_circuit_counts(tmp_path: Path, prim: object, sec: object, psi: float) -> None:
    recording = read_recording(write(tmp_path / "r.csv", [row(0, prim=prim, sec=sec), row(1)]))
    assert known(recording.rows[0])["brake_pressure_psi"] == pytest.approx(psi, abs=0.01)


def test_what_no_sensor_can_measure_is_unknown(tmp_path: Path) -> None:
    recording = read_recording(write(tmp_path / "r.csv", [row(0, rpm=9_000, fuel=102, coolant=-80), row(1, rpm=0)]))
    assert known(recording.rows[0]) == {}
    assert known(recording.rows[1]) == {"engine_rpm": 0}


def test_a_short_row_leaves_the_rest_unknown_and_a_byte_order_mark_is_no_part_of_the_heading(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("\ufeff" + ",".join(COLUMNS) + "\n0.0,650\n0.1,651,3\n")
    recording = read_recording(path)
    assert known(recording.rows[0]) == {"engine_rpm": 650}
    assert known(recording.rows[1]) == {"engine_rpm": 651, "speed_kph": 3}


def test_it_plays_in_a_loop(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", [row(5, rpm=600), row(6, rpm=700), row(7, rpm=800)])
    one = ReplayVehicle(read_recording(path))
    one.advance(0.5, DENIED)
    found = []
    for _ in range(9):
        found.append(known(one.quantities())["engine_rpm"])
        one.advance(1.0, DENIED)
    assert found == [600, 700, 800] * 3


@pytest.mark.parametrize(
    ("elapsed_s", "rpm"), [(0, 1), (0.99, 1), (1, 2), (2.5, 3), (3.99, 4), (4, 1), (4.5, 1), (401, 2)]
)
def test_a_row_holds_until_the_next_one(elapsed_s: float, rpm: float) -> None:
    recording = Recording([0.0, 1.0, 2.0, 3.0], [(1.0,), (2.0,), (3.0,), (4.0,)], 4.0)
    assert recording.at(elapsed_s) == (rpm,)


# Bad recordings


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidRecording, match=r"nothing\.csv can't be read \(No such file or directory\); set `replay`"
    ):
        read_recording(tmp_path / "nothing.csv")


@pytest.mark.parametrize("missing", COLUMNS[:-1])
def test_a_missing_column_is_named(tmp_path: Path, missing: str) -> None:
    columns = [name for name in COLUMNS if name != missing]
    path = write(tmp_path / "r.csv", [[0] * len(columns)] * 2, columns)
    with pytest.raises(InvalidRecording) as caught:
        read_recording(path)
    assert str(caught.value).endswith(f"r.csv has no column {missing!r}")


BAD_ROWS: list[tuple[str, list[list[object]], str]] = [
    ("a word for a number", [row(0), row(1, rpm="fast")], "line 3, column 'rpm(190)': 'fast' is no number"),
    ("an infinite value", [row(0), row(1, kmh="inf")], "line 3, column 'kmh(84)': 'inf' is no number"),
    ("a NaN, which no sensor sends", [row(0, kmh="nan"), row(1)], "line 2, column 'kmh(84)': 'nan' is no number"),
    ("time that goes back", [row(1), row(0.5)], "line 3, column 't_s': 0.5 is not after 1"),
    ("time that stands", [row(1), row(1)], "line 3, column 't_s': 1 is not after 1"),
    ("a row without time", [row(0), ["", *[1] * 8]], "line 3, column 't_s': empty; every row needs its time"),
    ("one row only", [row(0)], "has 1 rows; it needs two or more"),
    ("no rows", [], "has 0 rows; it needs two or more"),
]


@pytest.mark.parametrize(("what", "rows", "told"), BAD_ROWS)
def test_a_bad_row_is_refused_with_its_place(tmp_path: Path, what: str, rows: list[list[object]], told: str) -> None:
    with pytest.raises(InvalidRecording) as caught:
        read_recording(write(tmp_path / "r.csv", rows))
    assert told in str(caught.value), what


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InvalidRecording, match="isn't text in UTF-8"):
        read_recording(path)


# The vehicle


def test_it_stands_braked_before_anybody_says_anything() -> None:
    one = driven(30, 30)
    assert one.braking
    assert known(one.quantities())["speed_kph"] == 0


def test_permitted_it_follows_the_recording_no_faster_than_a_truck_gathers_speed() -> None:
    one = driven(*[30.0] * 60)
    speeds = [one.speed_kph]
    for _ in range(300):
        one.advance(0.1, MOVING)
        speeds.append(one.speed_kph)
    assert speeds == sorted(speeds)
    assert speeds[-1] == pytest.approx(30)
    assert max(b - a for a, b in itertools.pairwise(speeds)) <= 0.8 * 0.1 * 3.6 + 1e-9


@pytest.mark.parametrize("drive", [DENIED, Drive(True, VehicleStatus.ROUTING, slowing=True)])
def test_denied_it_comes_to_rest_and_stays_whatever_was_recorded(drive: Drive) -> None:
    one = driven(*[30.0] * 60)
    one.advance(12.0, MOVING)
    one.advance(3.0, MOVING)
    assert one.speed_kph == pytest.approx(30)
    one.advance(0.1, drive)
    assert one.speed_kph == pytest.approx(30 - 3 * 0.1 * 3.6)
    one.advance(3.0, drive)
    for _ in range(500):
        one.advance(0.1, drive)
        assert one.speed_kph == 0
        assert known(one.quantities())["speed_kph"] == 0


@pytest.mark.parametrize("drive", [MOVING, DENIED])
def test_a_speed_that_is_not_recorded_stays_unknown(drive: Drive) -> None:
    one = driven(None, None)
    one.advance(5.0, drive)
    assert "speed_kph" not in known(one.quantities())
    assert one.speed_kph == 0


@pytest.mark.parametrize("kind", FaultKind)
def test_a_recording_can_have_no_faults(kind: FaultKind) -> None:
    one = driven(0, 0)
    with pytest.raises(FaultImpossible, match=kind.value):
        one.start_fault(kind)
    one.end_fault(kind)
    assert one.active_faults == frozenset()


@given(
    speeds=st.lists(st.one_of(st.none(), st.floats(0, 130)), min_size=2, max_size=20),
    run=st.lists(st.tuples(st.floats(0, 5), st.booleans(), st.booleans()), max_size=40),
)
def test_whatever_was_recorded_the_laws_hold(speeds: list[float | None], run: list[tuple[float, bool, bool]]) -> None:
    one = driven(*speeds)
    for since_s, may_move, slowing in run:
        before = one.speed_kph
        one.advance(since_s, Drive(may_move, VehicleStatus.HAULING, slowing))
        assert one.speed_kph >= 0
        assert before - one.speed_kph <= 3.0 * since_s * 3.6 + 1e-6
        assert one.braking is not may_move
        if not may_move:
            assert one.speed_kph <= max(before - 3.0 * min(since_s, 10) * 3.6, 0) + 1e-6
