"""Talks to a running supervisord over its socket."""

import http.client
import socket
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import cast


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What supervisord knows of a process. state: its own word, as RUNNING, BACKOFF or FATAL."""

    name: str
    group: str
    state: str
    pid: int
    reason: str


class SupervisorError(OSError):
    """It isn't there, hangs, or refuses: while it shuts down it refuses everything."""


class Supervisor:
    """The supervisord behind one socket. timeout_s: of one question. Methods raise SupervisorError."""

    def __init__(self, socket_path: Path, timeout_s: float = 5.0) -> None:
        transport = _UnixTransport(socket_path, timeout_s)
        self._proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)

    def _ask(self, method: str, *arguments: str | bool) -> object:
        try:
            return getattr(self._proxy.supervisor, method)(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise SupervisorError(f"supervisord, {method}: {error}") from error

    def pid(self) -> int:
        return cast("int", self._proxy.supervisor.getPID())

    def processes(self) -> list[ProcessState]:
        rows = cast("list[dict[str, object]]", self._ask("getAllProcessInfo"))
        return [
            ProcessState(
                str(row["name"]),
                str(row["group"]),
                str(row["statename"]),
                cast("int", row["pid"]),
                str(row["spawnerr"] or row["description"]),
            )
            for row in rows
        ]

    def shutdown(self) -> None:
        """Asks it to stop all processes and then itself; returns at once."""
        self._ask("shutdown")

    def stop(self, name: str) -> None:
        """Stops a process and keeps it stopped; returns when it has ended."""
        self._ask("stopProcess", self._full_name(name), True)

    def start(self, name: str) -> None:
        """Starts a stopped process; returns when supervisord counts it as running."""
        self._ask("startProcess", self._full_name(name), True)

    def ensure_started(self, name: str) -> None:
        """Starts a process that was never started or was stopped; returns at once."""
        state = next(state for state in self.processes() if state.name == name)
        if state.state == "STOPPED":
            self._ask("startProcess", f"{state.group}:{name}", False)

    def _full_name(self, name: str) -> str:
        groups = {state.name: state.group for state in self.processes()}
        return f"{groups[name]}:{name}"


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, socket_path: Path, timeout_s: float) -> None:
        super().__init__()
        self._socket_path, self._timeout_s = socket_path, timeout_s

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        return _UnixConnection(self._socket_path, self._timeout_s)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, socket_path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._socket_path = socket_path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._socket_path))
