"""How far one vehicle is with each of its stops: received, braking, standing, released.

Nothing here is concluded: BRAKING and STANDSTILL are stages that the vehicle has measured after the stop took hold.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from edge_agent.limits import REMEMBERED_RELEASES
from edge_agent.vehicle import VehicleSample


class Stage(IntEnum):
    """The numbers are those of haul.command.v1.StopStage; the vehicle reports these alone."""

    RECEIVED = 3
    BRAKING = 4
    STANDSTILL = 5
    RELEASED = 6


@dataclass(frozen=True, slots=True)
class Progress:
    """One stage of one stop. `at_s`: when it was reached, CLOCK_BOOTTIME."""

    stop_id: str
    stage: Stage
    at_s: float
    latched_durably: bool = False


class _Held:
    """A stop that has hold of the vehicle."""

    __slots__ = ("durable", "reached", "since_s")

    def __init__(self, since_s: float, *, durable: bool) -> None:
        self.since_s = since_s
        self.durable = durable
        self.reached = {Stage.RECEIVED: since_s}


class Stages:
    """Progress of all stops of one vehicle. Each method returns what is new."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._released: OrderedDict[str, float] = OrderedDict()
        self._moving = False  # some held stop waits for a measurement

    def latched(self, stop_ids: Iterable[str], now_s: float, *, durable: bool = False) -> tuple[Progress, ...]:
        """Stops that took hold; braking has been ordered."""
        news = []
        for stop_id in sorted(stop_ids):
            self._released.pop(stop_id, None)
            self._held[stop_id] = _Held(now_s, durable=durable)
            news.append(Progress(stop_id, Stage.RECEIVED, now_s, durable))
        self._moving = self._moving or bool(news)
        return tuple(news)

    def measured(self, sample: VehicleSample) -> tuple[Progress, ...]:
        """Standing is a measured speed of 0 with the brake on: unknown is not zero, and rolling through 0 no stand."""
        if not self._moving or not sample.braking:
            return ()
        stages = [Stage.BRAKING, Stage.STANDSTILL] if sample.speed_kph == 0 else [Stage.BRAKING]
        news = []
        for stop_id, held in self._held.items():
            if sample.measured_s < held.since_s:
                continue
            for stage in stages:
                if stage not in held.reached:
                    held.reached[stage] = sample.measured_s
                    news.append(Progress(stop_id, stage, sample.measured_s, held.durable))
        self._moving = any(Stage.STANDSTILL not in held.reached for held in self._held.values())
        return tuple(news)

    def durable(self, stop_ids: Iterable[str]) -> tuple[Progress, ...]:
        """Latches that are now on disk."""
        news = []
        for stop_id in sorted(stop_ids):
            held = self._held.get(stop_id)
            if held is not None and not held.durable:
                held.durable = True
                news.append(Progress(stop_id, Stage.RECEIVED, held.since_s, latched_durably=True))
        return tuple(news)

    def released(self, stop_ids: Iterable[str], now_s: float) -> tuple[Progress, ...]:
        """Stops that the vehicle no longer holds, or has never held, though they were released for it."""
        news = []
        for stop_id in sorted(stop_ids):
            self._held.pop(stop_id, None)
            self._released[stop_id] = now_s
            news.append(Progress(stop_id, Stage.RELEASED, now_s))
        while len(self._released) > REMEMBERED_RELEASES:
            self._released.popitem(last=False)
        return tuple(news)

    def all(self) -> tuple[Progress, ...]:
        """Every stage so far, for a gateway that may have missed some."""
        held = [
            Progress(stop_id, stage, at_s, held.durable)
            for stop_id, held in self._held.items()
            for stage, at_s in held.reached.items()
        ]
        return (*held, *(Progress(stop_id, Stage.RELEASED, at_s) for stop_id, at_s in self._released.items()))
