"""What feeds say: something came, something broke. Times are CLOCK_MONOTONIC, seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from haul.command.v1 import order_pb2, stop_pb2
from haul.fleet.v1 import fleet_service_pb2

from console.failures import ConsoleError


class Feed(Enum):
    """Where it comes from, in words."""

    VEHICLES = "vehicles of the fleet service"
    ALERTS = "alerts of the fleet service"
    STOPS = "stops of the command service"


@dataclass(frozen=True, slots=True)
class Stops:
    """All that are active."""

    states: Sequence[stop_pb2.StopState]


@dataclass(frozen=True, slots=True)
class Motion:
    """Of every vehicle that the command service knows."""

    states: Sequence[order_pb2.MotionState]


Message = fleet_service_pb2.WatchFleetResponse | fleet_service_pb2.WatchAlertsResponse | Stops | Motion


@dataclass(frozen=True, slots=True)
class Began:
    """A stream that tells everything first, from here on."""

    feed: Feed


@dataclass(frozen=True, slots=True)
class Came:
    feed: Feed
    message: Message
    at_s: float


@dataclass(frozen=True, slots=True)
class Broke:
    """It is tried again by itself."""

    feed: Feed
    error: ConsoleError
    at_s: float


News = Began | Came | Broke
