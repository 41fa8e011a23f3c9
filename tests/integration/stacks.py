"""Stacks for tests: the code of `make up`, with ports and a home of their own in .pitwall-test/ of the checkout."""

import os
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from shutil import rmtree

from deploy.local import lifecycle
from deploy.local.clean import remove
from deploy.local.health import await_healthy
from deploy.local.options import StackOptions
from deploy.local.places import Places
from deploy.local.ports import DEFAULT_PORTS, Ports
from deploy.local.procfs import end
from deploy.local.stack import Stack
from deploy.local.supervisor import Supervisor
from deploy.local.tools import CHECKOUT
from pitwall.rpc.ports import is_taken

HOMES = CHECKOUT / ".pitwall-test"
# Below the ephemeral ports, so that no outgoing connection has taken one by chance.
_FIRST_PORTS = range(20_000, 32_000, len(DEFAULT_PORTS))
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A stack that is up. Processes go by the names in deploy.local.stack, as gateway-1 or kafka."""

    stack: Stack

    @property
    def options(self) -> StackOptions:
        return self.stack.options

    @property
    def places(self) -> Places:
        return self.stack.places

    @property
    def home(self) -> Path:
        return self.stack.options.home

    def address(self, port: str) -> str:
        """host:port by the port's name, as command-1 or kafka."""
        return f"{_LOOPBACK}:{self.options.ports[port]}"

    @property
    def kafka_bootstrap(self) -> str:
        return self.address("kafka")

    @property
    def supervisor(self) -> Supervisor:
        """Stops a process for good, and starts it; both take as long as the process does."""
        return Supervisor(self.places.supervisor_socket, timeout_s=60.0)

    def pid(self, name: str) -> int:
        return next(state.pid for state in self.supervisor.processes() if state.name == name)

    def kill(self, name: str) -> None:
        """As kill -9 does; returns when it has ended. The supervisor starts it again within a second."""
        end([self.pid(name)], signal.SIGKILL, within_s=10)

    def lose(self, name: str) -> None:
        """As kill -9 does, and it stays away until it is started through the supervisor."""
        self.hang(name)  # so that the signal by which the supervisor asks it to end does nothing
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(self.supervisor.stop, name)
            while not any(state.name == name and state.state == "STOPPING" for state in self.supervisor.processes()):
                assert not stopped.done(), f"{name} has ended by itself"
            self.kill(name)
            stopped.result()

    def runs(self, name: str) -> bool:
        """Whether the supervisor has it, or tries to."""
        state = next(state for state in self.supervisor.processes() if state.name == name)
        return state.state in ("STARTING", "RUNNING", "BACKOFF")

    def hang(self, name: str) -> None:
        """It keeps its connections and does nothing, until ``wake``."""
        os.kill(self.pid(name), signal.SIGSTOP)

    def wake(self, name: str) -> None:
        os.kill(self.pid(name), signal.SIGCONT)

    def await_healthy(self, *names: str, within_s: float = 60) -> None:
        """Of these processes, or of all where none is named."""
        chosen = [process for process in self.stack.processes if process.name in names or not names]
        await_healthy(chosen, self.places, self.supervisor.processes, within_s)


@contextmanager
def running(name: str, **options: object) -> Iterator[RunningStack]:
    """A stack in a home of its own, stopped and removed at the end. options: those of StackOptions.

    One command service where nothing else is said: what takes three has tests of its own.
    """
    home = HOMES / f"{os.getpid()}-{name}"
    with _free_block() as first:
        wanted = StackOptions(home, Ports.block(first), **{"command_services": 1} | options)  # type: ignore[arg-type]
        try:
            yield RunningStack(lifecycle.up(wanted))
        finally:
            lifecycle.down(home)
            remove(Places(home))


def remove_stale_homes() -> None:
    """Stops and removes what a test run left behind that was killed. Those of test runs that live are left alone.

    One process at a time: another one that starts now waits, and finds nothing left to do.
    """
    HOMES.mkdir(exist_ok=True)
    with (HOMES / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        for home in HOMES.iterdir():
            owner = home.name.partition("-")[0]
            if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
                lifecycle.down(home)
                remove(Places(home))
                rmtree(home, ignore_errors=True)


@contextmanager
def _free_block() -> Iterator[int]:
    """The first port of a free block. It stays ours: other test runs see the lock before anything listens there."""
    HOMES.mkdir(exist_ok=True)
    for first in random.sample(_FIRST_PORTS, len(_FIRST_PORTS)):
        with (HOMES / f"ports-{first}").open("w") as lock:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                continue
            if not any(is_taken(_LOOPBACK, first + i) for i in range(len(DEFAULT_PORTS))):
                yield first
                return
    raise RuntimeError(f"no free block of {len(DEFAULT_PORTS)} ports between 20000 and 32000")
