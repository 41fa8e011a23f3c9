"""What one supervised process is, as data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from deploy.local.probes import Probe


class Group(StrEnum):
    """Groups stop in this order, so that each can still hand what it has to those behind it: gateways to Kafka."""

    LINE = "line"
    PICTURE = "picture"
    SERVERS = "servers"

    @property
    def niceness(self) -> int:
        """The line doesn't give way to anybody: a vehicle whose gateway gets no processor time stands. The picture has
        people who wait for it; the servers do their work in batches.
        """
        return {Group.LINE: 0, Group.PICTURE: 2, Group.SERVERS: 5}[self]


@dataclass(frozen=True, slots=True)
class Process:
    """A command, where it runs, and how to tell that it is healthy.

    ports: the numbers that it binds, by what they are for. directory: its working directory, which its user must be
    able to enter. user: whom to become first; None stays who we are. stop_signal: asks it to end in order; after
    stop_wait_s it is killed. needs_topics: it is started only once Kafka's topics are there.
    """

    name: str
    command: tuple[str, ...]
    group: Group
    health: Probe
    ports: Mapping[str, int]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_wait_s: int = 20
    needs_topics: bool = False


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file to write before the start."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory to make before the start, private, and owned by ``user`` where one is given."""

    path: Path
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What one server or service adds to the stack. passwords: files that get a random one where they don't exist."""

    processes: tuple[Process, ...] = ()
    files: tuple[ConfigFile, ...] = ()
    directories: tuple[Directory, ...] = ()
    passwords: tuple[Path, ...] = ()


def joined(parts: Iterable[Part]) -> Part:
    """All of ``parts``, in their order."""
    parts = tuple(parts)
    return Part(
        tuple(process for part in parts for process in part.processes),
        tuple(file for part in parts for file in part.files),
        tuple(directory for part in parts for directory in part.directories),
        tuple(password for part in parts for password in part.passwords),
    )
