"""What is wanted of a local stack."""

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from deploy.local.errors import UsageError
from deploy.local.ports import MAX_GATEWAYS, Ports

MAX_VEHICLES = 1_000
# None is for tests of something else. The ports allow for three.
_SITE_SIZES = (0, 1, 3)
# The home's path goes into shell scripts, property files and lists, each with a meaning of its own for these.
_UNSAFE_IN_PATHS = "'\"\\,:%$`\n"


class Server(StrEnum):
    """A third-party server. The stop path needs none of them."""

    KAFKA = "kafka"
    POSTGRES = "postgres"
    REDIS = "redis"
    FLINK = "flink"


@dataclass(frozen=True, slots=True)
class StackOptions:
    """One stack; two with different homes and ports don't meet.

    home: where all of it lives, absolute. vehicles: simulated ones. rate_hz: readings per vehicle and second.
    time_scale: how much faster the mission's phases pass. replay: a recording that REPLAY-TRUCK-001 plays on top.
    plant_readings: write plant/<vehicle_id>.readings, which costs a line per reading. picture: run the fleet service
    and the stream jobs, each where the servers that it needs are chosen. drills: the vehicles consent to drills.
    """

    home: Path
    ports: Ports = field(default_factory=Ports.shifted)
    vehicles: int = 12
    rate_hz: float = 1.0
    time_scale: float = 1.0
    seed: int = 1
    replay: Path | None = None
    gateways: int = 2
    command_services: int = 3
    plant_readings: bool = True
    servers: frozenset[Server] = frozenset(Server)
    picture: bool = True
    drills: bool = True

    def __post_init__(self) -> None:
        if not self.home.is_absolute() or any(c in _UNSAFE_IN_PATHS for c in str(self.home)):
            raise UsageError(f"PITWALL_HOME={self.home}: give an absolute path without {_UNSAFE_IN_PATHS!r}")
        _within("VEHICLES", self.vehicles, 0, MAX_VEHICLES)
        # One reading per control period of the agent, 100 ms, at most.
        _within("RATE_HZ", self.rate_hz, 0.1, 10)
        _within("TIME_SCALE", self.time_scale, 0.1, 1_000)
        _within("gateways", self.gateways, 0, MAX_GATEWAYS)
        if self.command_services not in _SITE_SIZES:
            raise UsageError(
                f"command services={self.command_services}: a site has 1 or 3, so that there is a majority"
            )
        if self.replay is not None and not self.replay.is_file():
            raise UsageError(f"REPLAY={self.replay}: no such file; give the path of a decoded recording (CSV)")

    @property
    def vehicle_ids(self) -> tuple[str, ...]:
        """Odd numbers are 930E, even ones 980E; the replay vehicle comes on top."""
        fleet = tuple(f"KOMATSU-{'930E' if i % 2 else '980E'}-{i:03d}" for i in range(1, self.vehicles + 1))
        return fleet + (("REPLAY-TRUCK-001",) if self.replay else ())

    @property
    def fleet_services(self) -> tuple[str, ...]:
        """Their names."""
        needed = {Server.KAFKA, Server.POSTGRES, Server.REDIS}
        return ("fleet-1",) if self.picture and needed <= self.servers else ()

    @property
    def stream_jobs(self) -> bool:
        """Whether they run."""
        return self.picture and {Server.KAFKA, Server.FLINK} <= self.servers

    @property
    def fingerprint(self) -> str:
        """Equal for equal options; a running stack keeps it, so that `up` knows whether it is the one asked for."""
        text = json.dumps(
            {
                "ports": dict(self.ports.numbers),
                "fleet": [self.vehicles, self.rate_hz, self.time_scale, self.seed, str(self.replay)],
                "processes": [self.gateways, self.command_services, self.plant_readings, sorted(self.servers)],
                "picture": self.picture,
                "drills": self.drills,
            }
        )
        return hashlib.sha256(text.encode()).hexdigest()


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"{name}={value} is not in {least}..{most}; choose another value")
