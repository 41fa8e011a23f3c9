"""Homes of test runs: those of the dead are cleared away, once, and those of the living left alone."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import pytest

from tests.integration import stacks


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stacks, "HOMES", tmp_path / "homes")
    return tmp_path / "homes"


def a_dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_the_dead_are_cleared_away_by_whoever_comes_first_and_the_living_stay(homes: Path) -> None:
    for owner in (a_dead_process(), os.getpid()):
        (homes / f"{owner}-kafka" / "logs").mkdir(parents=True)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(stacks.remove_stale_homes) for _ in range(4)]:
            done.result()
    assert [home.name for home in homes.iterdir() if home.is_dir()] == [f"{os.getpid()}-kafka"]


def test_a_first_run_finds_nothing_to_clear_away(homes: Path) -> None:
    stacks.remove_stale_homes()
    assert not [home for home in homes.iterdir() if home.is_dir()]


def test_blocks_of_ports_are_held_by_one_at_a_time(homes: Path) -> None:
    with stacks._free_block() as one, stacks._free_block() as other:
        assert one != other
        with (homes / f"ports-{one}").open("w") as file, pytest.raises(BlockingIOError):
            flock(file, LOCK_EX | LOCK_NB)
