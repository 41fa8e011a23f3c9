"""Processor time of running processes."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS_S = os.sysconf("SC_CLK_TCK")


def processor_s(pids: Iterable[int]) -> float:
    """Seconds of user and system time that these processes have used so far."""
    return sum(map(_of_one, pids))


def _of_one(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS_S
