"""Who has a port: from /proc, for the error that says so."""

import errno
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_UNKNOWN: Final = "a process that can't be seen from here (another user's, or in another container)"


class PortTaken(OSError):
    """Names the address and the process that has it. For `main`: exit with EXIT_PORT_TAKEN."""

    def __init__(self, address: str, owner: str) -> None:
        super().__init__(f"{address} is taken by {owner}; stop it, or set another port")
        self.address, self.owner = address, owner


def is_taken(host: str, port: int) -> bool:
    """Whether somebody listens there, so that a bind would fail."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def owner_of(port: int) -> str:
    """'pid 123 (python -m ingest_gateway …)' of whoever listens on the port, whatever the address."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and _holds(process, inodes):
            return f"pid {process.name} ({_command(process)})"
    return _UNKNOWN


def _listening_inodes(port: int) -> frozenset[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{columns[9]}]")
    return frozenset(inodes)


def _holds(process: Path, inodes: frozenset[str]) -> bool:
    with suppress(OSError):  # it has ended meanwhile, or belongs to another user
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                if str(descriptor.readlink()) in inodes:
                    return True
    return False


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "ended meanwhile"
    return b" ".join(words).decode("utf-8", "replace").strip()[:200]
