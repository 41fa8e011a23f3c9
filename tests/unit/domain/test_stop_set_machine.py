"""The stop set at three parties and the latches of a vehicle, whatever comes in whatever order.

Beside each party stands the definition: the stops and releases that it was told, and who is held by them, word by word.
Party 0 is the vehicle's own agent, which keeps its set over a restart; the others are told anew.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pitwall.domain.geo import Position, Zone
from pitwall.domain.stop_set import (
    POSITION_MAX_AGE_S,
    FleetScope,
    LatchChange,
    Latches,
    Release,
    Scope,
    Stop,
    StopSet,
    VehicleScope,
    ZoneScope,
    join,
)
from tests.support.machines import as_test

START = datetime(2026, 11, 21, tzinfo=UTC)
PIT = Zone("pit", (Position(0, 0), Position(0, 1), Position(1, 1), Position(1, 0)))
HILL = Zone("hill", (Position(0, 0.5), Position(0, 2), Position(1, 2), Position(1, 0.5)))
VEHICLE = "A"
VEHICLES = ("A", "B", "C")
SCOPES: tuple[Scope, ...] = (
    FleetScope(),
    ZoneScope(PIT),
    ZoneScope(HILL),
    VehicleScope(frozenset("A")),
    VehicleScope(frozenset("B")),
    VehicleScope(frozenset("AB")),
)
#: In one zone, in both, in none, unknown.
PLACES = (Position(0.5, 0.2), Position(0.5, 0.7), Position(0.5, 1.5), Position(2, 2), None)
STOP_IDS = "123456"

parties = st.integers(0, 2)


@dataclass
class Party:
    """A set, and what it was told."""

    merged: StopSet = field(default_factory=StopSet)
    stops: dict[str, Stop] = field(default_factory=dict)
    releases: dict[str, Release] = field(default_factory=dict)

    def tell(self, stops: list[Stop], releases: list[Release]) -> None:
        before, version = (dict(self.stops), dict(self.releases)), self.merged.version
        for stop in stops:
            known = self.stops.get(stop.stop_id, stop)
            self.stops[stop.stop_id] = join(known, stop)
        for release in releases:
            self.releases.setdefault(release.release_id, release)
        news = self.merged.merge(stops, releases)
        changed = before != (self.stops, self.releases)
        assert bool(news) is changed, "what is new is passed on, and nothing else"
        assert (self.merged.version > version) is changed

    def released(self, stop_id: str, vehicle_id: str) -> bool:
        naming = [release.vehicle_ids for release in self.releases.values() if stop_id in release.stop_ids]
        return any(not named or vehicle_id in named for named in naming)

    def applying(self, vehicle_id: str) -> set[str]:
        in_scope = (stop_id for stop_id, stop in self.stops.items() if concerns(stop.scope, vehicle_id))
        return {stop_id for stop_id in in_scope if not self.released(stop_id, vehicle_id)}

    def active(self, stop_id: str) -> bool:
        """Holds somebody whom we know, or somebody who may come."""
        return any(stop_id in self.applying(vehicle_id) for vehicle_id in (*VEHICLES, "NEW"))

    def forget(self, before: datetime) -> None:
        gone = {s for s, stop in self.stops.items() if stop.issued_time < before and not self.active(s)}
        assert self.merged.compact(before) == len(gone)
        self.stops = {s: stop for s, stop in self.stops.items() if s not in gone}
        self.releases = {r: release for r, release in self.releases.items() if release.stop_ids - gone}


def concerns(scope: Scope, vehicle_id: str) -> bool:
    return not isinstance(scope, VehicleScope) or vehicle_id in scope.vehicle_ids


class StopSetMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.parties = [Party() for _ in range(3)]
        self.made: list[Release] = []
        self.latches = Latches(VEHICLE)
        self.held: frozenset[str] = frozenset()
        self.place: Position | None = PLACES[-2]
        self.age_s = 0.0

    @rule(party=parties, stop_id=st.sampled_from(STOP_IDS), scope=st.sampled_from(SCOPES), hours=st.integers(0, 3))
    def stop_is_issued(self, party: int, stop_id: str, scope: Scope, hours: int) -> None:
        """Also again, and also as somebody else has it."""
        self.parties[party].tell([Stop(stop_id, scope, "why", "somebody", START + timedelta(hours=hours))], [])

    @rule(
        party=parties,
        stop_ids=st.frozensets(st.sampled_from(STOP_IDS), min_size=1, max_size=3),
        vehicle_ids=st.frozensets(st.sampled_from("AB"), max_size=2),
    )
    def release_is_approved(self, party: int, stop_ids: frozenset[str], vehicle_ids: frozenset[str]) -> None:
        """Also of stops that nobody here has heard of."""
        release = Release(f"r{len(self.made):03}", stop_ids, vehicle_ids, "safe", "somebody", START)
        self.made.append(release)
        self.parties[party].tell([], [release])

    @rule(one=parties, other=parties, both=st.booleans())
    def they_meet(self, one: int, other: int, both: bool) -> None:
        """Each sends what it has; perhaps one half of it is lost."""
        a, b = self.parties[one], self.parties[other]
        there, back = a.merged.snapshot(), b.merged.snapshot()
        b.tell(list(there.stops), list(there.releases))
        if both:
            a.tell(list(back.stops), list(back.releases))
            assert a.stops == b.stops
            assert a.releases == b.releases

    @rule(party=parties, hours=st.integers(0, 4))
    def old_ones_are_forgotten(self, party: int, hours: int) -> None:
        version = self.parties[party].merged.version
        self.parties[party].forget(START + timedelta(hours=hours))
        assert self.parties[party].merged.version > version

    @rule(party=st.integers(1, 2))
    def memory_is_lost(self, party: int) -> None:
        self.parties[party] = Party()

    @rule()
    def vehicle_restarts(self) -> None:
        agent, kept = self.parties[0], self.parties[0].merged.snapshot()
        agent.merged = StopSet()
        agent.merged.merge(kept.stops, kept.releases)
        self.latches = Latches(VEHICLE, self.latches.stop_ids)

    @rule(place=st.sampled_from(PLACES), age_s=st.sampled_from([0.0, POSITION_MAX_AGE_S, POSITION_MAX_AGE_S + 0.1]))
    def vehicle_moves(self, place: Position | None, age_s: float) -> None:
        self.place, self.age_s = place, age_s

    # What must hold after every step

    @invariant()
    def each_set_is_the_definition(self) -> None:
        for party in self.parties:
            stops = party.merged
            assert {stop.stop_id: stop for stop in stops.snapshot().stops} == party.stops
            assert {release.release_id: release for release in stops.snapshot().releases} == party.releases
            active = {stop_id for stop_id in party.stops if party.active(stop_id)}
            assert {stop.stop_id for stop in stops.active_stops()} == active
            assert stops.active_count == len(active)
            assert stops.active_zones == sum(isinstance(party.stops[stop_id].scope, ZoneScope) for stop_id in active)

    @invariant()
    def each_vehicle_is_told_what_concerns_it(self) -> None:
        for party in self.parties:
            for vehicle_id in (*VEHICLES, "NEW"):
                applying = party.applying(vehicle_id)
                sent = party.merged.for_vehicle(vehicle_id, STOP_IDS)
                assert sorted(stop.stop_id for stop in sent.stops) == sorted(applying)
                owed = [r for r in party.releases.values() if not r.vehicle_ids or vehicle_id in r.vehicle_ids]
                assert set(sent.releases) == set(owed)
                holding = {stop_id for stop_id in applying if not isinstance(party.stops[stop_id].scope, ZoneScope)}
                assert party.merged.holds(vehicle_id) is bool(holding)

    @invariant()
    def a_latch_goes_by_its_release_and_by_nothing_else(self) -> None:
        agent = self.parties[0]
        known = self.place if self.age_s <= POSITION_MAX_AGE_S else None
        taken = {
            stop_id for stop_id in agent.applying(VEHICLE) if _holds_at(agent.stops[stop_id].scope, known)
        } - self.held
        let_go = {stop_id for stop_id in self.held if agent.released(stop_id, VEHICLE)}
        change = self.latches.update(agent.merged, self.place, self.age_s)
        assert change == LatchChange(frozenset(taken), frozenset(let_go))
        assert self.latches.stop_ids == (self.held | taken) - let_go
        self.held = self.latches.stop_ids


def _holds_at(scope: Scope, place: Position | None) -> bool:
    return not isinstance(scope, ZoneScope) or place is None or scope.zone.contains(place)


TestStopSetMachine = as_test(StopSetMachine, runs=100)
