"""Where the job's state lies, in a folder or in S3, and which of it is gone on from.

    CHECKPOINT_DIR/name
    CHECKPOINT_DIR/<fingerprint of the text that made it>/<Flink's job id>/chk-<n>/_metadata
    CHECKPOINT_DIR/<fingerprint of the text that made it>/savepoint-<...>/_metadata

Each submission gets a new job id from Flink. An operator finds its state by its name (uids.py), whatever the text that
made it, so the newest state of all is the one to go on from. Nothing there tells one job's state from another's, so a
job needs a folder of its own: `name` has the name of the one that was there first.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

#: States of other texts that are kept, the newest: for people who look for what went wrong.
KEPT_OTHERS: Final = 3
#: Savepoints that are kept, of all texts. Each upgrade makes one; Flink removes none of them.
KEPT_SAVEPOINTS: Final = 3

_NAME: Final = "name"
_COMPLETE: Final = "_metadata"
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{12}")
_CHECKPOINT: Final = re.compile(r"chk-(\d+)")
_SAVEPOINT: Final = "savepoint-"


class StateGone(Exception):
    """Names the state that was there a moment ago."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is in a folder. modified_ms: since 1970; S3 tells whole seconds, and nothing of folders."""

    name: str
    is_folder: bool
    modified_ms: int


class Files(Protocol):
    """A file system, as Flink has it. Paths are URLs without a slash at their end."""

    def listed(self, folder: str) -> list[Entry]:
        """Empty where there is no such folder."""

    def remove(self, path: str) -> None:
        """With all that is in it; nothing where there is none."""

    def read(self, path: str) -> bytes:
        """All of a file that is there."""

    def write(self, path: str, content: bytes) -> None:
        """In place of what is there; makes the folder."""


@dataclass(frozen=True, slots=True)
class State:
    """A complete checkpoint or savepoint: its _metadata comes last, and whole. ``number``: counts those of one job."""

    at_ms: int
    number: int
    folder: str
    fingerprint: str

    @property
    def is_savepoint(self) -> bool:
        return self.folder.rpartition("/")[2].startswith(_SAVEPOINT)


def directory(checkpoint_url: str, fingerprint: str) -> str:
    """Where the job of this text puts its own."""
    return f"{checkpoint_url}/{fingerprint}"


def claim(files: Files, checkpoint_url: str, name: str) -> str:
    """The name of the job whose folder this is: ``name``, unless another was here first."""
    place = f"{checkpoint_url}/{_NAME}"
    is_there = any(entry.name == _NAME for entry in files.listed(checkpoint_url))
    # Empty: whoever wrote it was killed.
    owner = files.read(place).decode() if is_there else ""
    if not owner:
        files.write(place, name.encode())
    return owner or name


def states(files: Files, checkpoint_url: str) -> list[State]:
    """All complete ones, the newest first: in one second of S3 a savepoint is what its job did last."""
    found = [
        state
        for text in files.listed(checkpoint_url)
        if text.is_folder and _FINGERPRINT.fullmatch(text.name)
        for state in _of_text(files, directory(checkpoint_url, text.name), text.name)
    ]
    return sorted(found, key=lambda state: (state.at_ms, state.is_savepoint, state.number), reverse=True)


def remove_old(files: Files, checkpoint_url: str, fingerprint: str, known: Iterable[State]) -> set[str]:
    """What ``known``, the newest first, makes superfluous; jobs without a complete checkpoint too.

    Returns the fingerprints that are left. Only while no job runs, or it is the newest state that is gone on from.
    """
    known = list(known)
    others = list(dict.fromkeys(state.fingerprint for state in known if state.fingerprint != fingerprint))
    kept = {fingerprint, *others[:KEPT_OTHERS]}
    savepoints = [state.folder for state in known if state.is_savepoint]
    for superfluous in savepoints[KEPT_SAVEPOINTS:]:
        files.remove(superfluous)
    for text in files.listed(checkpoint_url):
        if _FINGERPRINT.fullmatch(text.name) and text.name not in kept:
            files.remove(directory(checkpoint_url, text.name))
    _remove_remains(files, directory(checkpoint_url, fingerprint), {state.folder for state in known})
    return kept


def _remove_remains(files: Files, jobs: str, complete: set[str]) -> None:
    for job in files.listed(jobs):
        folder = f"{jobs}/{job.name}"
        if not any(state == folder or state.startswith(f"{folder}/") for state in complete):
            files.remove(folder)


def _of_text(files: Files, jobs: str, fingerprint: str) -> Iterable[State]:
    for job in files.listed(jobs):
        folder = f"{jobs}/{job.name}"
        if job.name.startswith(_SAVEPOINT):
            yield from _complete(files, folder, 0, fingerprint)
            continue
        for checkpoint in files.listed(folder):
            if number := _CHECKPOINT.fullmatch(checkpoint.name):
                yield from _complete(files, f"{folder}/{checkpoint.name}", int(number[1]), fingerprint)


def _complete(files: Files, folder: str, number: int, fingerprint: str) -> Iterable[State]:
    for file in files.listed(folder):
        if file.name == _COMPLETE:
            yield State(file.modified_ms, number, folder, fingerprint)
