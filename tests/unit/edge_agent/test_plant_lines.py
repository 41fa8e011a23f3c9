"""The plant files: what tests judge by must be complete, in order, bounded, and never in the physics' way."""

import errno
import itertools
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.simulator.plant import STEP_PERIOD_S
from edge_agent.simulator.plant_files import MOST_WAITING, SMALLEST_FILE_BYTES, PlantFile, PlantFiles
from edge_agent.simulator.plant_line import LONGEST_SILENCE_S, LineClock, plant_line
from edge_agent.simulator.plant_vehicle import PlantState
from pitwall.domain.vehicle_state import VehicleStatus
from tests.support.plant import Plant

DRIVING = PlantState(36.0, False, True, VehicleStatus.HAULING, "", 7, 100)


def test_a_line_is_the_json_of_the_contract() -> None:
    line = plant_line(replace(DRIVING, cause='say "stop"\n'), 12.3456789)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "t": 12.345679,
        "speed_kph": 36.0,
        "brake": False,
        "permitted": True,
        "status": "HAULING",
        "cause": 'say "stop"\n',
        "boot_epoch": 7,
        "sequence": 100,
    }


def test_before_the_first_verdict_the_status_is_null() -> None:
    assert json.loads(plant_line(replace(DRIVING, status=None), 0.0))["status"] is None


@given(speed_kph=st.floats(0.0036, 130), cause=st.text(max_size=50))
def test_a_line_can_be_read_back_and_says_0_only_of_a_vehicle_that_stands(speed_kph: float, cause: str) -> None:
    read = json.loads(plant_line(replace(DRIVING, speed_kph=speed_kph, cause=cause), 1.0))
    assert read["speed_kph"] == pytest.approx(speed_kph, abs=0.0006)
    assert read["speed_kph"] > 0
    assert read["cause"] == cause


CHANGES = [
    ("brake", replace(DRIVING, brake=True)),
    ("permitted", replace(DRIVING, permitted=False)),
    ("status", replace(DRIVING, status=VehicleStatus.DUMPING)),
    ("cause", replace(DRIVING, cause="stop 1")),
    ("boot_epoch", replace(DRIVING, boot_epoch=8)),
    ("standing", replace(DRIVING, speed_kph=0.0)),
    ("speed up", replace(DRIVING, speed_kph=37.0)),
    ("speed down", replace(DRIVING, speed_kph=35.0)),
]


@pytest.mark.parametrize(("what", "state"), CHANGES)
def test_each_change_is_a_line_at_once_and_only_once(what: str, state: PlantState) -> None:
    clock = LineClock()
    assert clock.due(DRIVING, 0.0)
    assert not clock.due(DRIVING, 0.001)
    assert clock.due(state, 0.002), what
    assert not clock.due(state, 0.003)


@pytest.mark.parametrize("state", [replace(DRIVING, speed_kph=36.9), replace(DRIVING, sequence=101)])
def test_a_little_speed_and_the_sequence_wait_for_the_next_line(state: PlantState) -> None:
    clock = LineClock()
    clock.due(DRIVING, 0.0)
    assert not clock.due(state, 0.1)


def test_the_first_movement_is_a_line_however_slow() -> None:
    clock = LineClock()
    clock.due(replace(DRIVING, speed_kph=0.0), 0.0)
    assert clock.due(replace(DRIVING, speed_kph=0.01), 0.1)


@pytest.mark.parametrize("late_s", [0.0, 0.02, 0.04])
def test_a_line_comes_at_least_once_a_second_also_when_steps_are_late(late_s: float) -> None:
    clock, written = LineClock(), []
    for step in range(200):
        now_s = step * STEP_PERIOD_S + (late_s if step % 2 else 0.0)
        if clock.due(DRIVING, now_s):
            written.append(now_s)
    assert max(b - a for a, b in itertools.pairwise(written)) <= LONGEST_SILENCE_S + 1e-9
    assert len(written) <= 30


# The files


def test_lines_arrive_in_order_in_the_file_of_their_vehicle(tmp_path: Path) -> None:
    files = PlantFiles(tmp_path / "plant", ["A-01", "B-02"])
    for number in range(500):
        for vehicle_id in ("B-02", "A-01"):
            files.write(vehicle_id, plant_line(replace(DRIVING, sequence=number), float(number)))
    files.close()
    plant = Plant(tmp_path / "plant")
    assert plant.vehicle_ids() == ["A-01", "B-02"]
    for vehicle_id in plant.vehicle_ids():
        assert [line.sequence for line in plant.lines(vehicle_id)] == list(range(500))
    assert files.lost == 0


def test_a_restarted_plant_goes_on_with_the_file(tmp_path: Path) -> None:
    for sequence in (1, 2):
        files = PlantFiles(tmp_path, ["A-01"])
        files.write("A-01", plant_line(replace(DRIVING, sequence=sequence), 0.0))
        files.close()
    assert [line.sequence for line in Plant(tmp_path).lines("A-01")] == [1, 2]


def test_a_file_that_is_full_becomes_the_older_generation(tmp_path: Path) -> None:
    path = tmp_path / "A-01.jsonl"
    file = PlantFile(path, limit_bytes=100)
    for number in range(10):
        file.append(b"%039d\n" % number)
    file.close()
    kept = path.with_name("A-01.jsonl.1").read_bytes() + path.read_bytes()
    assert kept == b"".join(b"%039d\n" % number for number in range(6, 10))


def test_a_file_of_an_earlier_process_counts_towards_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "A-01.jsonl"
    path.write_bytes(b"x" * 90)
    file = PlantFile(path, limit_bytes=100)
    file.append(b"y" * 20)
    file.close()
    assert path.read_bytes() == b"y" * 20
    assert path.with_name("A-01.jsonl.1").read_bytes() == b"x" * 90


@pytest.mark.parametrize(
    ("budget", "vehicles", "expected"),
    [(100 * SMALLEST_FILE_BYTES, 10, 5 * SMALLEST_FILE_BYTES), (SMALLEST_FILE_BYTES, 10, SMALLEST_FILE_BYTES)],
)
def test_the_budget_is_shared_but_no_file_is_cut_too_short(
    tmp_path: Path, budget: int, vehicles: int, expected: int
) -> None:
    files = PlantFiles(tmp_path, [f"V-{n}" for n in range(vehicles)], budget)
    assert {file.limit_bytes for file in files._files.values()} == {expected}
    files.close()


class StuckDisk:
    """Stands in for os.write, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.go, self.error = threading.Event(), threading.Event(), 0
        self._write = os.write
        monkeypatch.setattr("edge_agent.simulator.plant_files.os.write", self._stuck)

    def _stuck(self, fd: int, data: bytes) -> int:
        self.entered.set()
        self.go.wait(10)
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return self._write(fd, data)


def test_a_hung_disk_holds_nobody_and_what_does_not_fit_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = StuckDisk(monkeypatch)
    files = PlantFiles(tmp_path, ["A-01"])
    files.write("A-01", "first\n")
    assert disk.entered.wait(5)
    for _ in range(MOST_WAITING + 7):
        files.write("A-01", "later\n")
    assert files.lost == 7
    disk.go.set()
    files.close()
    assert len((tmp_path / "A-01.jsonl").read_text().splitlines()) == 1 + MOST_WAITING


def test_a_full_disk_is_said_counted_and_got_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = StuckDisk(monkeypatch)
    disk.error = errno.ENOSPC
    files = PlantFiles(tmp_path, ["A-01"])
    files.write("A-01", "lost\n")
    assert disk.entered.wait(5)
    disk.go.set()
    files.close()
    assert files.lost == 1
    assert files.problem == "A-01.jsonl: No space left on device"
    disk.error = 0
    again = PlantFiles(tmp_path, ["A-01"])
    again.write("A-01", "kept\n")
    again.close()
    assert (tmp_path / "A-01.jsonl").read_text() == "kept\n"
    assert again.problem == ""


def test_a_line_that_the_disk_takes_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr("edge_agent.simulator.plant_files.os.write", lambda fd, data: write(fd, data[:3]))
    files = PlantFiles(tmp_path, ["A-01"])
    files.write("A-01", "a long line\n")
    files.close()
    assert (tmp_path / "A-01.jsonl").read_text() == "a long line\n"
