"""Which stops each vehicle is under, from what the command services have journaled. Pure.

It is a set to merge, as everywhere: records of several journals may come in any order and more than once. A stop counts
for whom it names, for all of the fleet, or, of a zone, for whoever has said that it has hold of it. It counts until its
release is approved and the vehicle has said that it let go; of a vehicle that was never told of it, the approval is
enough. So what is shown as over is over at the vehicle.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

from pitwall.domain.stop_set import FleetScope, Release, Stop, StopSet, VehicleScope, ZoneScope

#: Of one vehicle, the newest: ListStops of the command service has all of them.
MAX_SHOWN: Final = 100
#: (stop, vehicle) pairs of which a word is kept. Beyond it what is over at every vehicle is dropped, the oldest first.
MAX_PAIRS: Final = 200_000


class Word(IntEnum):
    """What has been heard of a stop at a vehicle. It only advances."""

    #: A gateway has written it to the vehicle.
    SENT = 1
    #: It has hold of the vehicle.
    HELD = 2
    #: The vehicle no longer holds it.
    LET_GO = 3


@dataclass(frozen=True, slots=True)
class StopWord:
    """Of one (stop, vehicle) pair."""

    stop_id: str
    vehicle_id: str
    word: Word


#: What a record of vehicle-commands can tell.
Fact = Stop | Release | StopWord


def identity(fact: Fact) -> tuple[str, ...]:
    """Facts of the same one are merged."""
    match fact:
        case Stop():
            return "stop", fact.stop_id
        case Release():
            return "release", fact.release_id
        case StopWord():
            return "word", fact.stop_id, fact.vehicle_id


@dataclass(frozen=True, slots=True)
class Touched:
    """What a fact has changed: the fact as it is to be kept, and the vehicles; `everybody`: all of them."""

    fact: Fact
    vehicle_ids: frozenset[str]
    everybody: bool = False


class Stops:
    """All that the site remembers."""

    def __init__(self, max_pairs: int = MAX_PAIRS) -> None:
        self._max_pairs = self._thin_beyond = max_pairs
        self._pairs = 0
        self._set = StopSet()
        self._words: dict[str, dict[str, Word]] = {}  # stop id -> vehicle id -> the latest
        self._held: dict[str, set[str]] = {}  # vehicle id -> stops of which it was told and has not let go

    def take(self, fact: Fact) -> Touched | None:
        """None where nothing is new."""
        match fact:
            case Stop():
                return self._stop(fact)
            case Release():
                return self._release(fact)
            case StopWord():
                return self._word(fact)

    def active_ids(self, vehicle_id: str) -> tuple[str, ...]:
        """Sorted, which is by the time when they were issued."""
        told = self._held.get(vehicle_id, set())
        applying = {stop.stop_id for stop in self._set.applies_to(vehicle_id) if not isinstance(stop.scope, ZoneScope)}
        return tuple(sorted(applying | {stop_id for stop_id in told if self._holds(stop_id, vehicle_id)})[-MAX_SHOWN:])

    def compact(self, before: datetime) -> tuple[list[str], list[str]]:
        """Forgets stops issued before this time that are released for all. Returns ids of stops and of releases."""
        known = self._set.snapshot()
        self._set.compact(before)
        kept = {release.release_id for release in self._set.snapshot().releases}
        gone = [stop.stop_id for stop in known.stops if stop.stop_id not in self._set]
        for stop_id in gone:
            self._drop_words(stop_id)
        return gone, [release.release_id for release in known.releases if release.release_id not in kept]

    def _holds(self, stop_id: str, vehicle_id: str) -> bool:
        """A zone is sent to everybody and has hold of those inside."""
        stop = self._set.get(stop_id)
        zone = stop is None or isinstance(stop.scope, ZoneScope)
        return not zone or self._words[stop_id][vehicle_id] is Word.HELD

    def _stop(self, stop: Stop) -> Touched | None:
        new = self._set.merge([stop]).stops
        return _touched(new[0], new) if new else None

    def _release(self, release: Release) -> Touched | None:
        if not self._set.merge(releases=[release]):
            return None
        stops = [stop for stop in map(self._set.get, release.stop_ids) if stop is not None]
        told = frozenset(vehicle_id for stop in stops for vehicle_id in self._words.get(stop.stop_id, ()))
        return _touched(release, stops, release.vehicle_ids | told)

    def _word(self, said: StopWord) -> Touched | None:
        """A journal tells of the stop before it tells of its vehicles, so of an unknown one all is forgotten."""
        if said.stop_id not in self._set:
            return None
        words = self._words.setdefault(said.stop_id, {})
        if words.get(said.vehicle_id, 0) >= said.word:
            return None
        self._pairs += said.vehicle_id not in words
        words[said.vehicle_id] = said.word
        if said.word is Word.LET_GO:
            self._let_go(said.stop_id, said.vehicle_id)
        else:
            self._held.setdefault(said.vehicle_id, set()).add(said.stop_id)
        if self._pairs > self._thin_beyond:
            self._thin()
        return Touched(said, frozenset({said.vehicle_id}))

    def _thin(self) -> None:
        """A word of what is dropped that comes again is followed by the last one again: in its journal's order."""
        for stop_id in [stop_id for stop_id in self._words if self._is_over(stop_id)]:
            if self._pairs <= self._max_pairs // 2:
                break
            self._drop_words(stop_id)
        # Where too much is active to drop enough, the next look is due when there is much more of it.
        self._thin_beyond = max(self._max_pairs, 2 * self._pairs)

    def _is_over(self, stop_id: str) -> bool:
        return not self._set.is_active(stop_id) and set(self._words[stop_id].values()) <= {Word.LET_GO}

    def _drop_words(self, stop_id: str) -> None:
        words = self._words.pop(stop_id, {})
        self._pairs -= len(words)
        for vehicle_id in words:
            self._let_go(stop_id, vehicle_id)

    def _let_go(self, stop_id: str, vehicle_id: str) -> None:
        held = self._held.get(vehicle_id, set())
        held.discard(stop_id)
        if not held:
            self._held.pop(vehicle_id, None)


def _touched(fact: Fact, stops: Iterable[Stop], vehicle_ids: frozenset[str] = frozenset()) -> Touched:
    scopes = [stop.scope for stop in stops]
    named = (scope.vehicle_ids for scope in scopes if isinstance(scope, VehicleScope))
    return Touched(fact, vehicle_ids.union(*named), any(isinstance(scope, FleetScope) for scope in scopes))
