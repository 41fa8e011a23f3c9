"""A process of its own: how it ends."""

import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from flink_jobs.apart import ApartFailed, ApartTimedOut, run_apart

WAITS = "import signal; signal.pause()"


def run(monkeypatch: pytest.MonkeyPatch, code: str, ended: Event, timeout_s: float) -> str:
    """This code instead of the program."""
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **options: real([sys.executable, "-c", code], **options))
    return run_apart(Path("x.toml"), [], ended, timeout_s)


def test_its_last_line_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "print('on its way'); print('done')", Event(), 60) == "done"


def test_one_that_takes_too_long_is_killed_and_told_from_one_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ApartTimedOut, match="exit code -9: killed after 0 s"):
        run(monkeypatch, WAITS, Event(), 0)


@pytest.mark.parametrize(("code", "ends"), [(WAITS, True), ("raise SystemExit(7)", False)])
def test_one_that_fails_or_is_no_longer_wanted_has_not_timed_out(
    monkeypatch: pytest.MonkeyPatch, code: str, ends: bool
) -> None:
    ended = Event()
    if ends:
        ended.set()
    with pytest.raises(ApartFailed) as raised:
        run(monkeypatch, code, ended, 60)
    assert type(raised.value) is ApartFailed
    assert raised.value.code == (-9 if ends else 7)
