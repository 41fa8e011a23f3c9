"""What one peer is told of vehicles that it does not hear itself: that they have a link, and how far stops have come.

Pure. A peer asks for gateways. What is kept for it are numbers of versions and names of what has changed since, never
messages: whatever changes while a frame is written is in the next one, once. Bounded by the vehicles and stops known.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from command_service.core import Progress
from command_service.entry import StopEntry
from command_service.ledger import Ledger
from command_service.progress import Stage, VehicleProgress
from command_service.registry import Registry, Vehicle

#: Vehicles in one frame: some 100 KB, and a few milliseconds of the event loop.
MAX_IN_FRAME: Final = 500


@dataclass(frozen=True, slots=True)
class Links:
    """Vehicles that have a link, and those that have none any more."""

    opened: tuple[Vehicle, ...] = ()
    closed: tuple[Vehicle, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """How far stops have come: for each vehicle every stage so far."""

    of: tuple[tuple[str, tuple[Progress, ...]], ...]


class Relay:
    """Of one stream to one peer."""

    def __init__(self, registry: Registry, ledger: Ledger) -> None:
        self._registry, self._ledger = registry, ledger
        self._wanted: frozenset[str] = frozenset()
        self._told: set[str] = set()  # vehicles that the peer thinks have a link
        self._vehicles: set[str] = set()  # those to look at
        self._stops: dict[str, None] = {}  # those to look at, in the order in which they changed
        self._versions: dict[str, int] = {}  # of stops, when they were last looked at
        self._waiting: deque[tuple[str, VehicleProgress]] = deque()

    def want(self, gateways: frozenset[str]) -> bool:
        """Of these gateways the peer wants to be told. Returns whether that is something new."""
        if gateways == self._wanted:
            return False
        self._wanted = gateways
        self._vehicles.update(self._told, (vehicle.vehicle_id for vehicle in self._registry.vehicles()))
        self._versions.clear()
        self._stops = dict.fromkeys(entry.stop_id for entry in self._ledger.entries()) if gateways else {}
        return True

    def changed(self, stop_ids: Iterable[str], vehicle_ids: Iterable[str]) -> bool:
        """Something has come of these stops and of these vehicles' links. Returns whether the peer wants to know."""
        if not self._wanted:
            return False
        self._stops.update(dict.fromkeys(stop_ids))
        self._vehicles.update(vehicle_ids)
        return True

    def next(self) -> Links | Words | None:
        """The frame to write now. Links first, for who has one is in scope; who has lost it has said its last word."""
        opened = self._opened()
        if opened:
            return Links(opened=opened)
        words = self._words()
        if words:
            return Words(words)
        closed = tuple(self._take_closed())
        return Links(closed=closed) if closed else None

    def _opened(self) -> tuple[Vehicle, ...]:
        found = []
        for vehicle_id in sorted(self._vehicles):
            vehicle = self._registry.get(vehicle_id)
            if vehicle is not None and vehicle.connected and vehicle.gateway in self._wanted:
                found.append(vehicle)
                self._vehicles.discard(vehicle_id)
            elif vehicle_id not in self._told:
                self._vehicles.discard(vehicle_id)
            if len(found) == MAX_IN_FRAME:
                break
        self._told.update(vehicle.vehicle_id for vehicle in found)
        return tuple(found)

    def _words(self) -> tuple[tuple[str, tuple[Progress, ...]], ...]:
        while self._stops and len(self._waiting) < MAX_IN_FRAME:
            entry = self._ledger.get(stop_id := next(iter(self._stops)))
            del self._stops[stop_id]
            if entry is None:
                self._versions.pop(stop_id, None)
            else:
                self._look(entry)
        count = min(MAX_IN_FRAME, len(self._waiting))
        taken = (self._waiting.popleft() for _ in range(count))
        return tuple((progress.vehicle_id, words_of(stop_id, progress)) for stop_id, progress in taken)

    def _look(self, entry: StopEntry) -> None:
        since, self._versions[entry.stop_id] = self._versions.get(entry.stop_id, -1), entry.version
        for progress in entry.changed(since):
            if progress.version > since and progress.vehicle_id in self._told and progress.stage is not Stage.NONE:
                self._waiting.append((entry.stop_id, progress))

    def _take_closed(self) -> Iterable[Vehicle]:
        """Those that are left to look at were told to have a link, and have none now, or one that isn't asked for."""
        for vehicle_id in sorted(self._vehicles)[:MAX_IN_FRAME]:
            self._vehicles.discard(vehicle_id)
            self._told.discard(vehicle_id)
            vehicle = self._registry.get(vehicle_id)
            if vehicle is not None:
                yield vehicle


def words_of(stop_id: str, progress: VehicleProgress) -> tuple[Progress, ...]:
    """What has been said of the stop at that vehicle, in the order of the stages.

    RELEASED last, also where the vehicle alone has said so: whatever comes after it would take it back.
    """
    times = dict(progress.event_ns)
    if progress.says_released_ns is not None:
        times[Stage.RELEASED] = progress.says_released_ns
    return tuple(
        Progress(stop_id, stage, event_ns, progress.latched_durably and stage >= Stage.RECEIVED)
        for stage, event_ns in sorted(times.items())
    )
