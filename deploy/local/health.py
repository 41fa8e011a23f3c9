"""Waits until every process of a stack is healthy, and says which one isn't and why when that doesn't happen."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.places import Places
from deploy.local.process import Process
from deploy.local.supervisor import ProcessState
from deploy.local.supervisord import log_file

# Third-party servers tell nobody when they are ready, so they are asked this often.
_POLL_S = 0.1
_TAIL_LINES = 25
# So many starts without becoming healthy, and it won't become so by waiting.
_MOST_STARTS = 3


def await_healthy(
    processes: Iterable[Process],
    places: Places,
    states: Callable[[], list[ProcessState]],
    within_s: float,
) -> None:
    """Returns when every one of ``processes`` is healthy.

    Raises StackError with the end of its log when one dies again and again or isn't healthy ``within_s`` seconds.
    states: what the supervisor says, asked before each round.
    """
    deadline = time.monotonic() + within_s
    waiting = {process.name: process for process in processes}
    starts: defaultdict[str, set[int]] = defaultdict(set)
    while waiting:
        _refuse_hopeless(waiting, places, states(), starts)
        reasons = {name: process.health.check() for name, process in waiting.items()}
        waiting = {name: process for name, process in waiting.items() if reasons[name]}
        if waiting and time.monotonic() > deadline:
            raise _unhealthy(places, {name: str(reasons[name]) for name in waiting}, within_s)
        if waiting:
            time.sleep(_POLL_S)


def tail(path: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log, or that there is none."""
    if not path.exists():
        return f"({path} doesn't exist)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _refuse_hopeless(
    waiting: Mapping[str, Process],
    places: Places,
    states: Iterable[ProcessState],
    starts: defaultdict[str, set[int]],
) -> None:
    for state in states:
        if state.name not in waiting:
            continue
        if state.pid:
            starts[state.name].add(state.pid)
        if state.state == "FATAL" or len(starts[state.name]) >= _MOST_STARTS:
            raise StackError(f"{state.name} doesn't stay up ({state.reason}). {_log_end(places, state.name)}")


def _unhealthy(places: Places, reasons: Mapping[str, str], within_s: float) -> StackError:
    lines = [f"not healthy after {within_s:.0f} s:"]
    lines += [f"  {name}: {reason}" for name, reason in reasons.items()]
    return StackError("\n".join((*lines, *(_log_end(places, name) for name in reasons))))


def _log_end(places: Places, name: str) -> str:
    path = log_file(places, name)
    return f"The end of {path}:\n{tail(path)}\n"
