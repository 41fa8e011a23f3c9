"""Starts a stack and stops it. Both may be repeated."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from deploy.local import fleet
from deploy.local.errors import StackError
from deploy.local.health import await_healthy, tail
from deploy.local.leftovers import stop_leftovers
from deploy.local.options import Server, StackOptions
from deploy.local.places import OUR_ENTRIES, Places
from deploy.local.prepare import check_ports, make_directory, prepare, write_files, write_private
from deploy.local.process import ConfigFile, Directory, Process
from deploy.local.procfs import await_end
from deploy.local.stack import Stack, describe
from deploy.local.supervisor import Supervisor
from deploy.local.supervisord import environment_for, log_file, supervisord_command
from deploy.local.tools import Tools, check_tools

HEALTHY_WITHIN_S = 180.0
_SUPERVISOR_WITHIN_S = 15.0
_STOPS_WITHIN_S = 60.0
_POLL_S = 0.05

Say = Callable[[str], None]


def _nothing(step: str) -> None:
    """For callers that don't show progress."""


def up(options: StackOptions, say: Say = _nothing) -> Stack:
    """Starts the stack and returns it once all of it is healthy, every vehicle connected and resumed.

    A stack that runs with the same options is only awaited. say: told of each step, for those who wait. Raises
    StackError; nothing is left running then, unless it ran before.
    """
    places, tools = Places(options.home), Tools(os.environ)
    with _locked(places):
        check_tools(tools, options.servers)
        stack = describe(options, tools, first_start=_is_new(places))
        if running(places):
            _refuse_other_options(stack)
            prepare(stack)
            _await_all(stack, say)
            return stack
        _refuse_other_site(stack)
        stop_leftovers(places)
        check_ports(stack)
        say("writing configuration and certificates")
        prepare(stack)
        write_private(ConfigFile(_fingerprint(places), options.fingerprint))
        try:
            say(f"starting {len(stack.processes)} processes; logs are in {places.logs}")
            _start(stack)
            _await_all(stack, say)
        except BaseException:
            _stop(places)
            raise
        # From here on a command service that finds no journal has lost it, and mustn't begin anew on a restart.
        if options.command_services:
            write_private(ConfigFile(_site(places), str(options.command_services)))
        write_files(describe(options, tools, first_start=False))
        return stack


def down(home: Path) -> None:
    """Stops whatever runs of the stack in ``home``; returns when no process of it is left. Raises StackError."""
    places = Places(home)
    if not home.exists():
        stop_leftovers(places)
        return
    with _locked(places):
        _stop(places)


def running(places: Places) -> bool:
    """Whether a supervisor answers."""
    try:
        Supervisor(places.supervisor_socket).pid()
    except OSError:
        return False
    return True


def _start(stack: Stack) -> None:
    places = stack.places
    environment = environment_for(places.home, os.environ)
    with log_file(places, "supervisord").open("ab") as log:
        child = subprocess.Popen(
            supervisord_command(places),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment,
            cwd=places.home,
            start_new_session=True,
        )
    deadline = time.monotonic() + _SUPERVISOR_WITHIN_S
    while not running(places):
        if child.poll() is not None or time.monotonic() > deadline:
            path = log_file(places, "supervisord")
            raise StackError(f"supervisord doesn't start. The end of {path}:\n{tail(path)}")
        time.sleep(_POLL_S)


def _await_all(stack: Stack, say: Say) -> None:
    after_topics = [process for process in stack.processes if process.needs_topics]
    if Server.KAFKA in stack.options.servers and (stack.options.gateways or after_topics):
        _await(stack, [stack.process(Server.KAFKA)])
        say("Kafka answers; making its topics")
        fleet.make_topics(stack)
    for process in after_topics:
        Supervisor(stack.places.supervisor_socket).ensure_started(process.name)
    _await(stack, stack.processes)
    say("all processes are healthy")
    if stack.options.vehicle_ids and stack.options.command_services:
        fleet.resume(stack)
        say(f"{len(stack.options.vehicle_ids)} vehicles are connected and resumed")


def _await(stack: Stack, processes: Sequence[Process]) -> None:
    states = Supervisor(stack.places.supervisor_socket).processes
    await_healthy(processes, stack.places, states, HEALTHY_WITHIN_S)


def _stop(places: Places) -> None:
    supervisor = Supervisor(places.supervisor_socket)
    with suppress(OSError):
        pid = supervisor.pid()
        supervisor.shutdown()
        await_end([pid], _STOPS_WITHIN_S)
    stop_leftovers(places)
    for path in (places.supervisor_socket, places.run / "supervisord.pid", _fingerprint(places)):
        path.unlink(missing_ok=True)


def _refuse_other_options(stack: Stack) -> None:
    path = _fingerprint(stack.places)
    if not path.exists() or path.read_text() != stack.options.fingerprint:
        raise StackError("a stack with other options runs in this home: stop it with `make down` first")


def _fingerprint(places: Places) -> Path:
    """What the running stack was asked to be."""
    return places.run / "fingerprint"


def _site(places: Places) -> Path:
    """Written once all command services have started here: how many of them the site has."""
    return places.data / "site"


def _is_new(places: Places) -> bool:
    """The site has never been up."""
    return not _site(places).exists()


def _refuse_other_site(stack: Stack) -> None:
    """What is stopped is what a majority remembers: of three of which two are new, it would be those two."""
    path, wanted = _site(stack.places), stack.options.command_services
    had = path.read_text() if path.exists() else str(wanted)
    if wanted and had != str(wanted):
        raise StackError(
            f"this home is a site of {had} command services, not of {wanted}: `make clean` makes a new one"
        )


@contextmanager
def _locked(places: Places) -> Iterator[None]:
    """One `up` or `down` at a time for a home; the kernel frees the lock of a process that dies."""
    _refuse_foreign_home(places)
    make_directory(Directory(places.home))
    with (places.home / "lock").open("w") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            print("another `make up` or `make down` is at work in this home; waiting for it", file=sys.stderr)
            flock(file, LOCK_EX)
        yield


def _refuse_foreign_home(places: Places) -> None:
    """A home becomes private and can be cleaned, so it mustn't be a directory with other things."""
    if places.home.exists():
        others = sorted({entry.name for entry in places.home.iterdir()} - OUR_ENTRIES)
        if others:
            raise StackError(
                f"PITWALL_HOME={places.home} holds other things ({others[0]}); choose a directory of its own"
            )
