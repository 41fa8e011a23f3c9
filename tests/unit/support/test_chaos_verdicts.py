"""What `make chaos` judges by finds a vehicle that moves when it was said to stand, and one that was let go again."""

import json
from pathlib import Path

import pytest

from tests.chaos.line import held_for_good
from tests.chaos.told import lies
from tests.support.plant import Plant, PlantLine

VEHICLE = "KOMATSU-930E-001"
STANDING = {"vehicleId": VEHICLE, "stage": "STOP_STAGE_STANDSTILL"}


def written(folder: Path, speeds: dict[float, float]) -> Plant:
    """One vehicle's log: moment -> speed, km/h."""
    rest = {"brake": True, "permitted": False, "status": "HAULING", "cause": "", "boot_epoch": 1, "sequence": 1}
    lines = [json.dumps({"t": t, "speed_kph": kph} | rest) + "\n" for t, kph in speeds.items()]
    (folder / f"{VEHICLE}.jsonl").write_text("".join(lines))
    return Plant(folder)


@pytest.mark.parametrize(
    ("speeds", "is_true"),
    [
        ({1.0: 20.0, 2.0: 0.0, 4.0: 0.0}, True),
        ({1.0: 20.0, 2.0: 0.1, 4.0: 0.0}, False),
        ({1.0: 20.0, 2.0: 0.0, 4.0: 0.1}, False),
    ],
    ids=["it stood when that was said", "it moved when that was said", "it moved later"],
)
def test_who_is_called_standing_stands_and_stays(tmp_path: Path, speeds: dict[float, float], is_true: bool) -> None:
    assert (lies(written(tmp_path, speeds), [(3.0, STANDING)]) == []) == is_true


def test_who_is_not_called_standing_may_move(tmp_path: Path) -> None:
    braking = STANDING | {"stage": "STOP_STAGE_BRAKING"}
    assert lies(written(tmp_path, {1.0: 20.0}), [(3.0, braking)]) == []


def line(t: float, *, brake: bool, permitted: bool) -> PlantLine:
    return PlantLine(t, 0.0, brake, permitted, "HAULING", "", 1, 1)


@pytest.mark.parametrize(
    ("after", "held_t"),
    [
        ([], 2.0),
        ([line(3.0, brake=True, permitted=False)], 2.0),
        ([line(3.0, brake=True, permitted=True)], None),
        ([line(3.0, brake=False, permitted=False), line(4.0, brake=True, permitted=False)], 4.0),
    ],
    ids=["held", "still held", "let go", "let go and held again"],
)
def test_a_vehicle_is_held_from_when_it_was_never_let_go_again(after: list[PlantLine], held_t: float | None) -> None:
    before = [line(1.0, brake=False, permitted=True), line(2.0, brake=True, permitted=False)]
    assert held_for_good([*before, *after]) == held_t
