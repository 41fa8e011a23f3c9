"""The stop set: an observed-remove set of stops, kept by every party and merged whenever two of them meet.

A `Stop` adds itself by its unique id. A `Release` removes exactly the (stop, vehicle) pairs that it names; for every
vehicle in scope where it names none. The set that applies to a vehicle is the stops in whose scope it is, minus the
pairs released. Merging is the union of stops and of releases, so it is commutative, associative and idempotent, and
whoever merges the same things, in whatever order and however often, holds the same set. A release can't take away a
stop that it does not name, so a stop issued while an earlier one is being released stays. Two stops under one id, which
only a fault or a forger makes, become one that holds whoever either of them holds.

`Latches` is what one vehicle makes of the set: once a stop has hold of it, only the release of that pair lets go.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from pitwall.domain.geo import Position, Zone

#: Active stops a site may have. At the next one the advice is to stop the fleet.
MAX_ACTIVE_STOPS = 10_000

#: Zones among them. Every vehicle carries every one of them and judges it twenty times a second; a mine that needs more
#: is better stopped whole.
MAX_ACTIVE_ZONES = 500

#: A position older than this, seconds, is as good as none: the vehicle counts as inside every zone.
POSITION_MAX_AGE_S = 5.0


@dataclass(frozen=True, slots=True)
class VehicleScope:
    """These vehicles, known or not."""

    vehicle_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class ZoneScope:
    """Whoever is inside, or drives in later."""

    zone: Zone


@dataclass(frozen=True, slots=True)
class FleetScope:
    """Every vehicle, also those that come later."""


Scope = VehicleScope | ZoneScope | FleetScope


@dataclass(frozen=True, slots=True)
class Stop:
    """An order to stand still until released. `issuing_vehicle_id`: a vehicle's own stop, which only it withdraws."""

    stop_id: str
    scope: Scope
    reason: str
    issued_by: str
    issued_time: datetime
    issuing_vehicle_id: str | None = None
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """Takes away the named stops for the named vehicles; for all in scope where `vehicle_ids` is empty."""

    release_id: str
    stop_ids: frozenset[str]
    vehicle_ids: frozenset[str]
    reason: str
    requested_by: str
    requested_time: datetime
    approved_by: str = ""
    approved_time: datetime | None = None
    issuing_vehicle_id: str | None = None


def join(a: Stop, b: Stop) -> Stop:
    """Of two stops with one id, the one that holds whoever either of them holds; the same in whatever order they meet.

    Lists of vehicles are added up; of a zone and anything else it becomes the whole fleet, which is the safe side. It
    is no longer a vehicle's own stop where either was not.
    """
    if a == b:
        return a
    words = min(a, b, key=lambda stop: (stop.issued_time, stop.issued_by, stop.reason, stop.traceparent))
    issuer = a.issuing_vehicle_id if a.issuing_vehicle_id == b.issuing_vehicle_id else None
    return replace(words, scope=_wider(a.scope, b.scope), issuing_vehicle_id=issuer)


def _wider(a: Scope, b: Scope) -> Scope:
    if a == b:
        return a
    if isinstance(a, VehicleScope) and isinstance(b, VehicleScope):
        return VehicleScope(a.vehicle_ids | b.vehicle_ids)
    return FleetScope()


@dataclass(frozen=True, slots=True)
class SetDelta:
    """Stops and releases to merge. True where there is anything."""

    stops: tuple[Stop, ...] = ()
    releases: tuple[Release, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.stops or self.releases)

    def without(self, other: "SetDelta") -> "SetDelta":
        """What of it is not in the other one just so."""
        stops = {stop.stop_id: stop for stop in other.stops}
        releases = {release.release_id: release for release in other.releases}
        return SetDelta(
            tuple(stop for stop in self.stops if stops.get(stop.stop_id) != stop),
            tuple(release for release in self.releases if releases.get(release.release_id) != release),
        )


class StopSet:
    """What is stopped. Grows by `merge` alone and shrinks by `compact` alone."""

    def __init__(self) -> None:
        #: Grows with each change, so that what was derived from the set is known to be true still.
        self.version = 0
        self._stops: dict[str, Stop] = {}
        self._releases: dict[str, Release] = {}
        # Derived, so that asking for one vehicle costs what concerns it and not the whole set.
        self._naming: dict[str, set[str]] = {}  # vehicle id -> stops that name it
        self._wide: set[str] = set()  # active stops for the fleet or a zone
        self._released_for_all: set[str] = set()
        self._released_for: dict[str, set[str]] = {}  # stop id -> vehicles
        self._releases_of: dict[str, set[str]] = {}  # stop id -> release ids

    def __contains__(self, stop_id: str) -> bool:
        return stop_id in self._stops

    def get(self, stop_id: str) -> Stop | None:
        return self._stops.get(stop_id)

    def merge(self, stops: Iterable[Stop] = (), releases: Iterable[Release] = ()) -> SetDelta:
        """Adds what is not there yet and returns it, to be passed on to every peer."""
        new_stops = tuple(self._stops[stop.stop_id] for stop in stops if self._add_stop(stop))
        new_releases = tuple(release for release in releases if self._add_release(release))
        self.version += bool(new_stops or new_releases)
        return SetDelta(new_stops, new_releases)

    def _add_stop(self, stop: Stop) -> bool:
        known = self._stops.get(stop.stop_id)
        joined = stop if known is None else join(known, stop)
        if joined == known:
            return False
        self._stops[stop.stop_id] = joined
        if isinstance(joined.scope, VehicleScope):
            for vehicle_id in joined.scope.vehicle_ids:
                self._naming.setdefault(vehicle_id, set()).add(stop.stop_id)
            return True
        if known is not None and isinstance(known.scope, VehicleScope):
            for vehicle_id in known.scope.vehicle_ids:
                self._naming[vehicle_id].discard(stop.stop_id)
        if stop.stop_id not in self._released_for_all:
            self._wide.add(stop.stop_id)
        return True

    def _add_release(self, release: Release) -> bool:
        if release.release_id in self._releases:
            return False
        self._releases[release.release_id] = release
        for stop_id in release.stop_ids:
            self._releases_of.setdefault(stop_id, set()).add(release.release_id)
            if release.vehicle_ids:
                self._released_for.setdefault(stop_id, set()).update(release.vehicle_ids)
            else:
                self._released_for_all.add(stop_id)
                self._wide.discard(stop_id)
        return True

    def snapshot(self) -> SetDelta:
        """All of it."""
        return SetDelta(tuple(self._stops.values()), tuple(self._releases.values()))

    def is_released(self, stop_id: str, vehicle_id: str) -> bool:
        """Whether this pair has been taken away. Also true of a stop that has not been heard of yet."""
        return stop_id in self._released_for_all or vehicle_id in self._released_for.get(stop_id, ())

    def is_active(self, stop_id: str) -> bool:
        """Whether the stop still holds, or could come to hold, some vehicle."""
        stop = self._stops.get(stop_id)
        if stop is None or stop_id in self._released_for_all:
            return False
        if isinstance(stop.scope, VehicleScope):
            return not stop.scope.vehicle_ids <= self._released_for.get(stop_id, set())
        return True

    def active_stops(self) -> tuple[Stop, ...]:
        return tuple(stop for stop_id, stop in self._stops.items() if self.is_active(stop_id))

    @property
    def active_count(self) -> int:
        return sum(map(self.is_active, self._stops))

    @property
    def active_zones(self) -> int:
        """How many zones every vehicle has to judge."""
        return sum(isinstance(self._stops[stop_id].scope, ZoneScope) for stop_id in self._wide)

    def _candidates(self, vehicle_id: str) -> Iterator[Stop]:
        for stop_id in (*self._naming.get(vehicle_id, ()), *self._wide):
            yield self._stops[stop_id]

    def applies_to(self, vehicle_id: str) -> tuple[Stop, ...]:
        """Active stops that name the vehicle, the fleet, or any zone: zones are for the vehicle's own gate to judge."""
        return tuple(stop for stop in self._candidates(vehicle_id) if not self.is_released(stop.stop_id, vehicle_id))

    def holds(self, vehicle_id: str) -> bool:
        """Whether a stop that is no zone applies: a gateway then gives no permit."""
        return any(not isinstance(stop.scope, ZoneScope) for stop in self.applies_to(vehicle_id))

    def for_vehicle(self, vehicle_id: str, latched: Iterable[str] = ()) -> SetDelta:
        """What to send to a vehicle: what applies to it, and the releases of what it has latched or was named in."""
        asked = {*latched, *self._naming.get(vehicle_id, ())}
        release_ids = {r for stop_id in asked for r in self._releases_of.get(stop_id, ())}
        releases = tuple(
            release
            for release in map(self._releases.__getitem__, sorted(release_ids))
            if not release.vehicle_ids or vehicle_id in release.vehicle_ids
        )
        return SetDelta(self.applies_to(vehicle_id), releases)

    def compact(self, before: datetime) -> int:
        """Forgets stops issued before this time that are released for all in scope, and their releases.

        Returns how many stops went. A vehicle that still has one of them latched brings it back as active.
        """
        gone = {s for s, stop in self._stops.items() if stop.issued_time < before and not self.is_active(s)}
        kept = [stop for stop_id, stop in self._stops.items() if stop_id not in gone]
        releases = [r for r in self._releases.values() if r.stop_ids - gone]
        version = self.version
        self.__init__()  # type: ignore[misc]
        self.merge(kept, releases)
        self.version = version + 1
        return len(gone)


@dataclass(frozen=True, slots=True)
class LatchChange:
    """Stop ids that took hold of the vehicle, or let go of it, in one update."""

    latched: frozenset[str]
    released: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.latched or self.released)


class Latches:
    """The stops that have hold of one vehicle."""

    def __init__(self, vehicle_id: str, latched: Iterable[str] = ()) -> None:
        self.vehicle_id = vehicle_id
        self._latched = frozenset(latched)
        # What of a version of the set applies to the vehicle: the stops that hold it wherever it is, and the zones.
        self._known: tuple[StopSet, int] | None = None
        self._anywhere: frozenset[str]
        self._zones: tuple[tuple[str, Zone], ...]

    @property
    def stop_ids(self) -> frozenset[str]:
        return self._latched

    def update(self, stop_set: StopSet, position: Position | None, position_age_s: float) -> LatchChange:
        """Judges the set anew. To be called at each change of the set and in each control period.

        A zone takes hold of a vehicle inside it, and of one that does not know where it is. It keeps hold wherever
        the vehicle is afterwards.
        """
        known = position if position_age_s <= POSITION_MAX_AGE_S else None
        let_go = self._look_at(stop_set)
        taken = self._anywhere - self._latched
        if self._zones:
            latched = self._latched
            taken |= {
                stop_id
                for stop_id, zone in self._zones
                if stop_id not in latched and (known is None or zone.contains(known))
            }
        if not taken and not let_go:
            return _NO_CHANGE
        self._latched = (self._latched | taken) - let_go
        return LatchChange(taken, let_go)

    def _look_at(self, stop_set: StopSet) -> frozenset[str]:
        """Sorts the set anew where it has changed. Returns the latches that it lets go."""
        if self._known is not None and self._known[0] is stop_set and self._known[1] == stop_set.version:
            return _NONE
        self._known = stop_set, stop_set.version
        applies = stop_set.applies_to(self.vehicle_id)
        self._anywhere = frozenset(stop.stop_id for stop in applies if not isinstance(stop.scope, ZoneScope))
        self._zones = tuple((stop.stop_id, stop.scope.zone) for stop in applies if isinstance(stop.scope, ZoneScope))
        return frozenset(s for s in self._latched if stop_set.is_released(s, self.vehicle_id))


_NONE: frozenset[str] = frozenset()
_NO_CHANGE = LatchChange(_NONE, _NONE)
