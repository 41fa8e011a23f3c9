import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.procfs import await_end, end, marked, working_in

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


@contextmanager
def child(program: str, *, mark: str = "", cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A Python child that has said something, so that it is past its start."""
    environment = os.environ | {"PITWALL_TEST_MARK": mark}
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, cwd=cwd, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    with process:
        process.stdout.readline()
        yield process
        process.kill()


WAITING = "import signal; print('ready', flush=True); signal.pause()"


def test_a_process_is_found_by_the_exact_mark_in_its_environment(tmp_path: Path) -> None:
    with child(WAITING, mark=str(tmp_path)) as ours, child(WAITING, mark=f"{tmp_path}2"):
        assert set(marked("PITWALL_TEST_MARK", str(tmp_path))) == {ours.pid}


def test_a_process_is_found_by_its_working_directory(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    with child(WAITING, cwd=tmp_path) as ours, child(WAITING, cwd=tmp_path / "below"):
        assert set(working_in(tmp_path)) == {ours.pid}


def test_a_process_that_obeys_has_ended_when_end_returns() -> None:
    with child(WAITING) as process:
        end([process.pid], signal.SIGTERM, within_s=30)
        assert process.poll() == -signal.SIGTERM


def test_a_hung_process_is_woken_to_end() -> None:
    with child(WAITING) as process:
        os.kill(process.pid, signal.SIGSTOP)
        end([process.pid], signal.SIGTERM, within_s=30)
        assert process.poll() == -signal.SIGTERM


def test_waiting_for_one_that_ignores_the_signal_has_an_end() -> None:
    with child(STUBBORN) as process:
        end([process.pid], signal.SIGTERM, within_s=0.05)
        assert process.poll() is None
        assert not await_end([process.pid], within_s=0.01)
        end([process.pid], signal.SIGKILL, within_s=30)
        assert process.poll() == -signal.SIGKILL


def test_a_process_that_is_gone_already_counts_as_ended() -> None:
    with child("print()") as process:
        process.wait()
    assert await_end([process.pid], within_s=1)
