"""The whole stack as data: what would run, with which files. Nothing here starts or writes anything."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local import picture, services
from deploy.local.options import Server, StackOptions
from deploy.local.places import Places
from deploy.local.process import Directory, Part, Process, joined
from deploy.local.renewal import renewal
from deploy.local.servers.flink import flink
from deploy.local.servers.kafka import kafka
from deploy.local.servers.postgres import postgres
from deploy.local.servers.redis import redis
from deploy.local.tools import Tools

_SERVERS: dict[Server, Callable[[StackOptions, Tools], Part]] = {
    Server.KAFKA: kafka,
    Server.POSTGRES: postgres,
    Server.REDIS: redis,
    Server.FLINK: flink,
}


@dataclass(frozen=True, slots=True)
class Stack:
    """What ``options`` come to on this machine."""

    options: StackOptions
    part: Part

    @property
    def places(self) -> Places:
        return Places(self.options.home)

    @property
    def processes(self) -> tuple[Process, ...]:
        return self.part.processes

    def process(self, name: str) -> Process:
        """The process of that name; KeyError where there is none."""
        return {process.name: process for process in self.processes}[name]


def describe(options: StackOptions, tools: Tools, *, first_start: bool) -> Stack:
    """All processes; the line first, because it needs none of the others.

    first_start: command services may begin without a journal; see deploy.local.services. Raises ToolMissingError.
    """
    places = Places(options.home)
    base = Part(directories=tuple(Directory(d) for d in _base_directories(places)))
    line = (
        services.command_services(options, first_start=first_start),
        services.gateways(options),
        services.vehicles(options),
        renewal(options),
    )
    view = (picture.fleet_services(options), picture.stream_jobs(options, tools))
    chosen = tuple(_SERVERS[server](options, tools) for server in Server if server in options.servers)
    return Stack(options, joined((base, *line, *view, *chosen)))


def _base_directories(places: Places) -> tuple[Path, ...]:
    return (places.home, places.config, places.logs, places.data, places.run, places.sockets)
