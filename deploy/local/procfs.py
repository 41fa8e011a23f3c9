"""What /proc says of processes: which ones belong to a stack, and when they have ended."""

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
# /proc went away or isn't ours to read: the process ended, or belongs to somebody else.
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def marked(name: str, value: str) -> Iterator[int]:
    """Processes that were started with ``name=value`` in their environment."""
    wanted = f"{name}={value}".encode()
    for pid in _pids():
        with suppress(*_GONE):
            if wanted in (_PROC / f"{pid}/environ").read_bytes().split(b"\0"):
                yield pid


def working_in(directory: Path) -> Iterator[int]:
    """Processes whose working directory is exactly this one."""
    for pid in _pids():
        with suppress(*_GONE):
            if os.readlink(_PROC / f"{pid}/cwd") == str(directory):
                yield pid


def end(pids: Iterable[int], signal_number: signal.Signals, within_s: float) -> None:
    """Signals them, wakes those that were stopped, and waits for their end."""
    pids = tuple(pids)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)
            os.kill(pid, signal.SIGCONT)
    await_end(pids, within_s)


def await_end(pids: Iterable[int], within_s: float) -> bool:
    """Whether all of them ended in time. No polling: the kernel reports an end by the process's file descriptor."""
    poll, left = select.poll(), set[int]()
    for pid in pids:
        with suppress(ProcessLookupError):
            left.add(os.pidfd_open(pid))
    for descriptor in left:
        poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + within_s
    try:
        while left and (remaining_s := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(remaining_s * 1_000):
                poll.unregister(descriptor)
                left.discard(descriptor)
                os.close(descriptor)
    finally:
        for descriptor in left:
            os.close(descriptor)
    return not left


def _pids() -> Iterator[int]:
    for entry in os.listdir(_PROC):
        if entry.isdecimal():
            yield int(entry)
