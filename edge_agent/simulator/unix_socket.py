"""Listening on a unix socket without surprises."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

#: sockaddr_un holds 108 bytes, the last one for the end.
MAX_PATH_BYTES: Final = 107


class SocketPathTaken(OSError):
    """A living process listens there."""


class SocketPathTooLong(ValueError):
    """The kernel can't name it."""


async def listen(path: Path, protocol: Callable[[], asyncio.BaseProtocol]) -> asyncio.AbstractServer:
    """Serves on `path`, for this user alone. Takes over what a dead process left; never what a living one has.

    Raises SocketPathTaken, SocketPathTooLong, OSError.
    """
    check_path(path)
    return await asyncio.get_running_loop().create_unix_server(protocol, sock=_bound(path))


def _bound(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    if _answers(path):
        raise SocketPathTaken(f"{path} is taken by a running process; stop it, or set another path")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
    except OSError:
        listener.close()
        raise
    return listener


def check_path(path: Path) -> None:
    """Raises SocketPathTooLong."""
    size = len(os.fsencode(path))
    if size > MAX_PATH_BYTES:
        raise SocketPathTooLong(
            f"socket path {path} has {size} bytes, more than {MAX_PATH_BYTES}; set a shorter one, "
            "for example by a PITWALL_HOME nearer to the root"
        )


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True
