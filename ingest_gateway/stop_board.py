"""The gateway's one stop set, and which vehicle gets what of it.

In memory: it is merged with every command service and every vehicle on each connect, before anybody is permitted to
move. A frame is serialized once and goes to every vehicle that it concerns, because a stop of the whole fleet is the
moment in which time counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from haul.link.v1.vehicle_link_service_pb2 import ConnectResponse

from ingest_gateway.effects import Close, Code, Illegal
from ingest_gateway.lanes import SetFrame
from ingest_gateway.limits import MAX_BROUGHT, MAX_KNOWN_VEHICLES, MAX_SET_ENTRIES_PER_FRAME, MAX_WITHHELD_RELEASES
from pitwall import wire
from pitwall.domain.stop_set import MAX_ACTIVE_STOPS, Release, SetDelta, Stop, StopSet, VehicleScope


@dataclass(frozen=True, slots=True)
class Merged:
    """`new`: for every peer. `foreign`: releases left out, because their stops are not the vehicle's own."""

    new: SetDelta
    foreign: int = 0


class StopBoard:
    """Grows by merging alone."""

    def __init__(self) -> None:
        self._set = StopSet()
        self._holds: dict[str, bool] = {}
        self._withheld: dict[str, Release] = {}  # stop id -> withdrawal of a stop that is not known here yet

    def merge(self, delta: SetDelta) -> SetDelta:
        """Takes what a command service has. Returns what was new here."""
        new = self._set.merge(delta.stops, delta.releases)
        released = self._release_withheld(new.stops)
        self._holds.clear()
        return SetDelta(new.stops, new.releases + released)

    def merge_brought(self, delta: SetDelta, vehicle_id: str) -> Merged:
        """Takes what a vehicle brings; `delta` has passed `read_brought`. Raises Illegal where it is too much.

        A release of a stop that nobody here knows waits until the stop is known, and whose it is.
        """
        self._check_room(delta)
        stops = self._set.merge(delta.stops).stops
        allowed, foreign = [], 0
        for release in delta.releases:
            verdict = self._may_release(release, vehicle_id)
            if verdict is None:
                self._withhold(release)
            elif verdict:
                allowed.append(release)
            else:
                foreign += 1
        releases = self._set.merge(releases=allowed).releases + self._release_withheld(stops)
        self._holds.clear()
        return Merged(SetDelta(stops, releases), foreign)

    def holds(self, vehicle_id: str) -> bool:
        """Whether a stop that is no zone applies. Asked for each permit, so it is kept until the set changes."""
        known = self._holds.get(vehicle_id)
        if known is None:
            if len(self._holds) >= MAX_KNOWN_VEHICLES:
                self._holds.clear()
            known = self._holds[vehicle_id] = self._set.holds(vehicle_id)
        return known

    def snapshot(self) -> SetDelta:
        return self._set.snapshot()

    @property
    def active_count(self) -> int:
        return self._set.active_count

    def first_frames(self, vehicle_id: str, latched: Iterable[str]) -> tuple[SetFrame, ...]:
        """The set that applies to a vehicle, with the releases of what it has latched. One frame at least."""
        return set_frames(self._set.for_vehicle(vehicle_id, latched))

    def fan_out(self, delta: SetDelta) -> "FanOut":
        """What of a change concerns whom."""
        return FanOut(self._set, delta)

    def compact(self, before: datetime) -> int:
        self._holds.clear()
        return self._set.compact(before)

    def _check_room(self, delta: SetDelta) -> None:
        new = sum(stop.stop_id not in self._set for stop in delta.stops)
        if new and self._set.active_count + new > MAX_ACTIVE_STOPS + MAX_BROUGHT:
            text = f"{new} more stops than the {MAX_ACTIVE_STOPS:,} that a site may have; release what is not needed"
            raise Illegal(Close(Code.RESOURCE_EXHAUSTED, "TOO_MANY_STOPS", text))

    def _may_release(self, release: Release, vehicle_id: str) -> bool | None:
        """None where it can't be told yet."""
        stops = [self._set.get(stop_id) for stop_id in release.stop_ids]
        if any(stop is not None and stop.issuing_vehicle_id != vehicle_id for stop in stops):
            return False
        return None if None in stops else True

    def _withhold(self, release: Release) -> None:
        for stop_id in release.stop_ids:
            self._withheld.pop(stop_id, None)
            self._withheld[stop_id] = release
        while len(self._withheld) > MAX_WITHHELD_RELEASES:
            del self._withheld[next(iter(self._withheld))]

    def _release_withheld(self, stops: Iterable[Stop]) -> tuple[Release, ...]:
        ready: list[Release] = []
        for stop in stops:
            release = self._withheld.pop(stop.stop_id, None)
            if release is None or release.issuing_vehicle_id is None:
                continue
            verdict = self._may_release(release, release.issuing_vehicle_id)
            if verdict:
                ready.append(release)
            elif verdict is None:
                self._withhold(release)
        return self._set.merge(releases=ready).releases


class FanOut:
    """One change of the set, cut to each vehicle. Equal cuts share their bytes."""

    def __init__(self, stop_set: StopSet, delta: SetDelta) -> None:
        self._set, self._delta = stop_set, delta
        self._frames: dict[tuple[str, ...], tuple[SetFrame, ...]] = {}
        self._concerned = {r.release_id: _concerned(r, stop_set) for r in delta.releases}

    def frames_for(self, vehicle_id: str) -> tuple[SetFrame, ...]:
        """Nothing where it does not concern the vehicle."""
        stops = tuple(stop for stop in self._delta.stops if self._is_for(stop, vehicle_id))
        releases = tuple(
            release
            for release in self._delta.releases
            if (whom := self._concerned[release.release_id]) is None or vehicle_id in whom
        )
        key = (*(stop.stop_id for stop in stops), *(release.release_id for release in releases))
        if not key:
            return ()
        if key not in self._frames:
            self._frames[key] = set_frames(SetDelta(stops, releases))
        return self._frames[key]

    def _is_for(self, stop: Stop, vehicle_id: str) -> bool:
        if isinstance(stop.scope, VehicleScope) and vehicle_id not in stop.scope.vehicle_ids:
            return False
        return not self._set.is_released(stop.stop_id, vehicle_id)


def _concerned(release: Release, stop_set: StopSet) -> frozenset[str] | None:
    """Vehicles that a release is for; None: any."""
    if release.vehicle_ids:
        return release.vehicle_ids
    scopes = [stop.scope if stop else None for stop in map(stop_set.get, release.stop_ids)]
    named = [scope.vehicle_ids for scope in scopes if isinstance(scope, VehicleScope)]
    return frozenset().union(*named) if len(named) == len(scopes) else None


def set_frames(delta: SetDelta) -> tuple[SetFrame, ...]:
    """Serialized, in pieces that any vehicle takes; one empty frame for an empty set."""
    most = MAX_SET_ENTRIES_PER_FRAME
    pieces = [SetDelta(stops=delta.stops[i : i + most]) for i in range(0, len(delta.stops), most)]
    pieces += [SetDelta(releases=delta.releases[i : i + most]) for i in range(0, len(delta.releases), most)]
    if len(delta.stops) + len(delta.releases) <= most:
        pieces = [delta]
    return tuple(_frame(piece) for piece in pieces)


def _frame(delta: SetDelta) -> SetFrame:
    message = ConnectResponse(stop_set=wire.set_to_proto(delta))
    return SetFrame(message.SerializeToString(), tuple(stop.stop_id for stop in delta.stops))
