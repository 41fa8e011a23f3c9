"""Finding the state to go on from, and removing what is superfluous."""

import os
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import pytest

from flink_jobs import checkpoints
from flink_jobs.checkpoints import Entry, State

ONE, OTHER = "0" * 11 + "1", "0" * 11 + "2"


class LocalFiles:
    """``on_list``: called with each folder before it is listed."""

    def __init__(self, on_list: Callable[[str], None] = lambda _: None) -> None:
        self.on_list = on_list

    def listed(self, folder: str) -> list[Entry]:
        self.on_list(folder)
        path = Path(folder)
        found = sorted(path.iterdir()) if path.is_dir() else []
        return [Entry(each.name, each.is_dir(), int(each.stat().st_mtime * 1000)) for each in found]

    def remove(self, path: str) -> None:
        rmtree(path)

    def read(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content)


@pytest.fixture
def files() -> LocalFiles:
    return LocalFiles()


def complete(folder: Path, at_s: float) -> str:
    folder.mkdir(parents=True)
    (folder / "_metadata").touch()
    os.utime(folder / "_metadata", (at_s, at_s))
    return str(folder)


def checkpoint(root: Path, text: str, job: str, number: int, at_s: float) -> str:
    return complete(root / text / (job * 32) / f"chk-{number}", at_s)


def folders(states: list[State]) -> list[str]:
    return [state.folder for state in states]


def test_none_before_the_first_start(tmp_path: Path, files: LocalFiles) -> None:
    assert checkpoints.states(files, str(tmp_path / "nothing")) == []


def test_the_newest_complete_one_comes_first_whatever_its_text_job_and_number(
    tmp_path: Path, files: LocalFiles
) -> None:
    oldest = checkpoint(tmp_path, ONE, "a", 99, at_s=1_000)
    newest = checkpoint(tmp_path, OTHER, "b", 7, at_s=2_000)
    between = checkpoint(tmp_path, ONE, "c", 3, at_s=1_500)
    (tmp_path / ONE / ("b" * 32) / "chk-8").mkdir(parents=True)
    (tmp_path / "plans" / "x").mkdir(parents=True)
    found = checkpoints.states(files, str(tmp_path))
    assert folders(found) == [newest, between, oldest]
    assert [(state.fingerprint, state.at_ms) for state in found[:1]] == [(OTHER, 2_000_000)]


def test_in_one_second_a_savepoint_is_the_last_and_checkpoints_go_by_their_number(
    tmp_path: Path, files: LocalFiles
) -> None:
    ninth, tenth = (checkpoint(tmp_path, ONE, "a", number, at_s=1_000) for number in (9, 10))
    savepoint = complete(tmp_path / ONE / "savepoint-aaaaaa-0123", at_s=1_000)
    assert folders(checkpoints.states(files, str(tmp_path))) == [savepoint, tenth, ninth]


def test_a_job_that_goes_while_it_is_looked_at_takes_nothing_else_with_it(tmp_path: Path) -> None:
    wanted = [checkpoint(tmp_path, ONE, job, 1, at_s=1_000) for job in "ac"]
    doomed = checkpoint(tmp_path, ONE, "b", 1, at_s=2_000)
    files = LocalFiles(lambda folder: rmtree(folder) if folder == doomed else None)
    assert sorted(folders(checkpoints.states(files, str(tmp_path)))) == wanted


def test_a_folder_is_that_of_the_job_that_was_there_first(tmp_path: Path, files: LocalFiles) -> None:
    url = str(tmp_path / "new")
    owners = [checkpoints.claim(files, url, name) for name in ("zürich", "bern", "zürich")]
    assert owners == ["zürich"] * 3


def test_a_name_that_was_not_written_claims_nothing(tmp_path: Path, files: LocalFiles) -> None:
    (tmp_path / "name").touch()
    assert [checkpoints.claim(files, str(tmp_path), name) for name in ("a", "b")] == ["a", "a"]


def test_what_dead_submissions_left_is_removed_and_their_last_state_is_not(tmp_path: Path, files: LocalFiles) -> None:
    kept = [checkpoint(tmp_path, ONE, "a", 1, at_s=1_000), complete(tmp_path / ONE / "savepoint-a-1", at_s=1_001)]
    (tmp_path / ONE / ("b" * 32) / "chk-2").mkdir(parents=True)
    (tmp_path / ONE / ("c" * 32) / "shared").mkdir(parents=True)
    known = checkpoints.states(files, str(tmp_path))
    checkpoints.remove_old(files, str(tmp_path), ONE, known)
    assert sorted(path.name for path in (tmp_path / ONE).iterdir()) == ["a" * 32, "savepoint-a-1"]
    assert all(Path(folder).exists() for folder in kept)


def test_before_the_first_state_there_is_nothing_to_remove(tmp_path: Path, files: LocalFiles) -> None:
    assert checkpoints.remove_old(files, str(tmp_path / "nothing"), ONE, []) == {ONE}


def test_of_other_texts_the_newest_states_are_kept(tmp_path: Path, files: LocalFiles) -> None:
    (tmp_path / "somebody else's").mkdir()
    names = [f"{number:012x}" for number in range(6)]
    for at_s, name in enumerate(names):
        checkpoint(tmp_path, name, "a", 1, at_s=1_000 + at_s)
    kept = checkpoints.remove_old(files, str(tmp_path), names[0], checkpoints.states(files, str(tmp_path)))
    assert kept == {names[0], *names[3:]}
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "somebody else's"}


def test_of_savepoints_the_newest_are_kept(tmp_path: Path, files: LocalFiles) -> None:
    made = [complete(tmp_path / ONE / f"savepoint-a-{number}", at_s=1_000 + number) for number in range(5)]
    checkpoints.remove_old(files, str(tmp_path), OTHER, checkpoints.states(files, str(tmp_path)))
    assert [folder for folder in made if Path(folder).exists()] == made[2:]
