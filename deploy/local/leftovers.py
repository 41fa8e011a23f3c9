"""Processes of a stack whose supervisor is gone: found by what they carry, whoever started them."""

import os
import signal

from deploy.local.errors import StackError
from deploy.local.places import Places
from deploy.local.procfs import end, marked, working_in
from deploy.local.supervisord import MARK

_TERM_WITHIN_S = 15.0
_KILL_WITHIN_S = 5.0


def leftovers(places: Places) -> set[int]:
    """Every process of the stack, also without a supervisor. PostgreSQL's overwrite the environment that marks ours."""
    found = set(marked(MARK, str(places.home)))
    for data in places.postgres.glob("data-*") if places.postgres.exists() else ():
        found |= set(working_in(data))
    return found - {os.getpid()}


def stop_leftovers(places: Places) -> None:
    """Ends what a killed supervisor left behind: asked first, then killed."""
    for number, within_s in ((signal.SIGTERM, _TERM_WITHIN_S), (signal.SIGKILL, _KILL_WITHIN_S)):
        if pids := leftovers(places):
            end(pids, number, within_s)
    if pids := leftovers(places):
        raise StackError(f"these processes don't end: {sorted(pids)}; look at them with ps, then `make down` again")
