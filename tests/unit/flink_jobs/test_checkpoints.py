"""Finding the state to go on from."""

import os
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from flink_jobs import checkpoints, plans


def checkpoint(jobs: Path, job: str, number: int, at_s: float, *, complete: bool = True) -> Path:
    made = jobs / job / f"chk-{number}"
    made.mkdir(parents=True)
    (made / "part").touch()
    if complete:
        (made / "_metadata").touch()
        os.utime(made / "_metadata", (at_s, at_s))
    return made


def test_none_before_the_first_start(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path / "nothing") is None
    assert checkpoints.completed_s(tmp_path / "nothing") == 0


def test_the_latest_complete_one_of_all_submissions_counts_whatever_its_number(tmp_path: Path) -> None:
    checkpoint(tmp_path, "a" * 32, 99, at_s=1_000)
    wanted = checkpoint(tmp_path, "b" * 32, 7, at_s=2_000)
    checkpoint(tmp_path, "b" * 32, 8, at_s=3_000, complete=False)
    checkpoint(tmp_path, "c" * 32, 3, at_s=1_500)
    assert checkpoints.latest(tmp_path) == wanted
    assert checkpoints.completed_s(tmp_path) == 2_000


def test_a_job_that_goes_while_it_is_looked_at_takes_nothing_else_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [checkpoint(tmp_path, job * 32, 1, at_s=1_000) for job in "ac"]
    checkpoint(tmp_path, "b" * 32, 1, at_s=2_000)
    real = os.scandir

    def scandir(path: Path) -> Any:
        if Path(path).name == "b" * 32:
            raise FileNotFoundError(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert checkpoints.latest(tmp_path) == max(wanted)


def test_jobs_of_another_text_are_apart(tmp_path: Path) -> None:
    checkpoint(checkpoints.directory(str(tmp_path), "one"), "a" * 32, 1, at_s=1_000)
    assert checkpoints.latest(checkpoints.directory(str(tmp_path), "other")) is None


def test_what_dead_submissions_left_is_removed_and_their_last_state_is_not(tmp_path: Path) -> None:
    kept = checkpoint(tmp_path, "a" * 32, 1, at_s=1_000)
    checkpoint(tmp_path, "b" * 32, 1, at_s=1_000, complete=False)
    (tmp_path / ("c" * 32) / "shared").mkdir(parents=True)
    checkpoints.remove_remains(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a" * 32]
    assert kept.exists()
    checkpoints.remove_remains(tmp_path / "nothing")


def test_of_other_texts_the_newest_states_and_their_plans_are_kept(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    (tmp_path / "somebody else's").mkdir()
    names = [f"{number:012x}" for number in range(6)]
    for at_s, name in enumerate(names):
        checkpoint(tmp_path / name, "a" * 32, 1, at_s=1_000 + at_s)
        os.utime(tmp_path / name, (1_000, 1_000))
        (tmp_path / "plans" / f"{name}.key").touch()
    kept = checkpoints.remove_old(str(tmp_path), names[0])
    plans.remove_old(str(tmp_path), kept)
    assert kept == {names[0], *names[3:]}
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "plans", "somebody else's"}
    assert {path.name for path in (tmp_path / "plans").iterdir()} == {f"{name}.key" for name in kept}


def test_one_submission_at_a_time(tmp_path: Path) -> None:
    has_its_turn = Event()

    def other() -> None:
        with checkpoints.locked(str(tmp_path / "new")):
            has_its_turn.set()

    with checkpoints.locked(str(tmp_path / "new")):
        thread = Thread(target=other)
        thread.start()
        assert not has_its_turn.wait(0.2)
    assert has_its_turn.wait(10)
    thread.join()
