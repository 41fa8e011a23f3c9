"""Runs this program in a process of its own, so that PyFlink's JVM stays no longer than it is needed."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_POLL_S: Final = 0.1
#: A JVM that lives for seconds gains nothing from the optimizing compiler.
_SHORT_LIVED_JVM: Final = {"JVM_ARGS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
_LAST_WORDS: Final = 2_000


class ApartFailed(Exception):
    """Exit code, and the end of what the process said. last_line: of its standard output."""

    def __init__(self, code: int, complained: str = "", said: str = "") -> None:
        words = f"{complained.strip()} {said.strip()}".strip()
        super().__init__(f"exit code {code}: {words[-_LAST_WORDS:]}")
        self.code, self.last_line = code, "".join(said.splitlines()[-1:])


class ApartTimedOut(ApartFailed):
    """It was killed. What it has handed to a cluster goes on there."""


def run_apart(config: Path, arguments: Sequence[str], ended: threading.Event, timeout_s: float) -> str:
    """The last line of its standard output. It is killed once ``ended``, or after that time.

    Raises ApartFailed, ApartTimedOut.
    """
    command = [sys.executable, "-m", "flink_jobs", "--config", str(config), *arguments]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ | _SHORT_LIVED_JVM)
    deadline, timed_out = time.monotonic() + timeout_s, False
    while True:
        try:
            said, complained = child.communicate(timeout=_POLL_S)
            break
        except subprocess.TimeoutExpired:
            timed_out = time.monotonic() > deadline
            if ended.is_set() or timed_out:
                child.kill()
    if child.returncode != 0:
        if timed_out:
            raise ApartTimedOut(child.returncode, complained, f"{said}\nkilled after {timeout_s:g} s")
        raise ApartFailed(child.returncode, complained, said)
    return said.splitlines()[-1]
