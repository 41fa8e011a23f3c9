"""Processor time of running processes."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICKS_S = os.sysconf("SC_CLK_TCK")


def processor_s(pids: Iterable[int]) -> float:
    """Seconds of user and system time that these processes have used so far."""
    return sum(map(_of_one, pids))


def _of_one(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS_S


def with_descendants(pid: int) -> list[int]:
    """The process, those that it has started, and so on."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
                parents[int(folder.name)] = int(text.rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found
