"""Ports for processes that a test starts and that can't be asked which one they took."""

import os
import random
from collections.abc import Iterator, Sequence

from pitwall.rpc.ports import is_taken

#: Below the ephemeral ports, so that no outgoing connection and no bind to port 0 takes one between the look and the
#: start of the process; and below the blocks that tests.integration.stacks takes.
PORTS = range(10_000, 20_000)
LOOPBACK = "127.0.0.1"


def free_ports(ports: Sequence[int]) -> Iterator[int]:
    """Those that nobody listens on, each once; in any order, since another checkout's tests may look for some too."""
    return (port for port in random.sample(ports, len(ports)) if not is_taken(LOOPBACK, port))


def share(worker: str, workers: int) -> range:
    """The ports of one of several test processes, by pytest-xdist's name for it; empty where there is but one."""
    return PORTS[int(worker.removeprefix("gw") or 0) :: workers]


_mine = free_ports(
    share(os.environ.get("PYTEST_XDIST_WORKER", ""), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
)


def free_port() -> int:
    """On loopback. Never one that this test run has given out before."""
    return next(_mine)
