"""The stop ledger under any order of events, held against a naive bookkeeping of the same events."""

from datetime import UTC, datetime

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from command_service.ledger import Ledger
from command_service.progress import Reach, Stage, VehicleNow
from pitwall.domain.geo import Position, Zone
from pitwall.domain.permit import PermitTerms, majority
from pitwall.domain.stop_set import FleetScope, Scope, Stop, VehicleScope, ZoneScope
from tests.support.machines import as_test

MEMBERS = ("c1", "c2", "c3")
VEHICLES = ("A", "B", "C", "D")
SCOPES: dict[str, Scope] = {
    "named": VehicleScope(frozenset("AB")),
    "fleet": FleetScope(),
    "zone": ZoneScope(Zone("pit", (Position(0, 0), Position(0, 1), Position(1, 1)))),
}
vehicles = st.sampled_from(VEHICLES)
stop_ids = st.sampled_from(sorted(SCOPES))


class LedgerMachine(RuleBasedStateMachine):
    @initialize(connected=st.sets(vehicles))
    def start(self, connected: set[str]) -> None:
        self.ledger = Ledger(MEMBERS, PermitTerms())
        self.now_s = 0.0
        self.linked = set(connected)
        self.opened: set[str] = set()
        self.stages: dict[tuple[str, str], Stage] = {}
        self.acks: dict[str, set[str]] = {}
        self.remembered: set[str] = set()
        self.released_pairs: set[tuple[str, str]] = set()
        self.spoke_released: set[tuple[str, str]] = set()
        self.seen: dict[str, dict[str, tuple[Stage, bool]]] = {}
        self.looked: dict[str, int] = {}

    def vehicle(self, vehicle_id: str) -> VehicleNow:
        return VehicleNow(vehicle_id, vehicle_id in self.linked, speed_kph=30.0, deceleration_mps2=1.0)

    @rule(stop_id=stop_ids)
    def open(self, stop_id: str) -> None:
        scope = SCOPES[stop_id]
        ids = {"named": "AB", "fleet": "ABC", "zone": ""}[stop_id]
        stop = Stop(stop_id, scope, "", "somebody", datetime(2026, 1, 1, tzinfo=UTC))
        assert self.ledger.open(stop, map(self.vehicle, ids), self.now_s) is (stop_id not in self.opened)
        self.opened.add(stop_id)

    @rule(vehicle_id=vehicles, linked=st.booleans())
    def link(self, vehicle_id: str, linked: bool) -> None:
        (self.linked.add if linked else self.linked.discard)(vehicle_id)
        self.ledger.link(self.vehicle(vehicle_id), self.now_s)

    @rule(vehicle_id=vehicles, stop_id=stop_ids, stage=st.sampled_from(Stage), durably=st.booleans())
    def report(self, vehicle_id: str, stop_id: str, stage: Stage, durably: bool) -> None:
        self.ledger.report(self.vehicle(vehicle_id), stop_id, stage, 1, durably, self.now_s)
        if stage is Stage.RELEASED:
            self.spoke_released.add((stop_id, vehicle_id))

    @rule(vehicle_id=vehicles, held=st.sets(stop_ids), hello=st.booleans())
    def latched(self, vehicle_id: str, held: set[str], hello: bool) -> None:
        self.ledger.latched(self.vehicle(vehicle_id), held, 1, self.now_s, hello=hello)
        self.spoke_released |= {(stop_id, vehicle_id) for stop_id in SCOPES if stop_id not in held}

    @rule(stop_id=stop_ids, named=st.sets(vehicles))
    def release(self, stop_id: str, named: set[str]) -> None:
        self.ledger.released([stop_id], named, self.now_s)
        if stop_id in self.opened:
            self.released_pairs |= {(stop_id, vehicle_id) for vehicle_id in named or VEHICLES}

    @rule(stop_id=stop_ids, member=st.sampled_from((*MEMBERS, "stranger")))
    def journaled(self, stop_id: str, member: str) -> None:
        acks = self.acks.setdefault(stop_id, set())
        before = len(acks)
        if stop_id in self.opened and member in MEMBERS:
            acks.add(member)
        crossed = before < majority(3) <= len(acks) and stop_id not in self.remembered
        assert self.ledger.journaled(stop_id, member, 1) is crossed

    @rule(stop_id=stop_ids)
    def issued_before_a_restart(self, stop_id: str) -> None:
        """The journal says so."""
        self.ledger.restore_issued(stop_id, 1)
        if stop_id in self.opened:
            self.remembered.add(stop_id)

    @rule(seconds=st.floats(0, 5))
    def tick(self, seconds: float) -> None:
        self.now_s += seconds
        self.ledger.tick(self.now_s)

    @rule(stop_id=stop_ids)
    def look(self, stop_id: str) -> None:
        """A watcher that applies just what changed has the same picture as one that reads all."""
        entry = self.ledger.get(stop_id)
        if entry is not None:
            picture = self.seen.setdefault(stop_id, {})
            picture |= {p.vehicle_id: (p.stage, p.linked) for p in entry.changed(self.looked.get(stop_id, -1))}
            self.looked[stop_id] = entry.version
            assert picture == {p.vehicle_id: (p.stage, p.linked) for p in entry.vehicles.values()}

    @invariant()
    def every_stop_has_its_entry(self) -> None:
        assert {entry.stop_id for entry in self.ledger.entries()} == self.opened
        assert len(self.ledger) == len(self.opened)

    @invariant()
    def sums_add_up(self) -> None:
        for stop_id in self.opened:
            entry, summary = self.ledger[stop_id], self.ledger.summary(stop_id)
            reaches = [progress.reach for progress in entry.vehicles.values()]
            assert summary.in_scope == summary.standstill + summary.pending + summary.unreachable
            assert summary.in_scope == sum(reach is not Reach.RELEASED for reach in reaches)
            assert (summary.standstill, summary.pending) == (
                reaches.count(Reach.STANDSTILL),
                reaches.count(Reach.PENDING),
            )
            still_to_stand = [p for p in entry.vehicles.values() if p.stage < Stage.STANDSTILL]
            assert entry.settled == all(p.released_in_set and p.stage is Stage.NONE for p in still_to_stand)
            acked = len(self.acks.get(stop_id, ())) >= majority(3)
            assert summary.confirmed is (acked or stop_id in self.remembered)

    @invariant()
    def stages_only_advance(self) -> None:
        for stop_id in self.opened:
            for vehicle_id, progress in self.ledger[stop_id].vehicles.items():
                assert progress.stage >= self.stages.get((stop_id, vehicle_id), Stage.NONE)
                self.stages[stop_id, vehicle_id] = progress.stage

    @invariant()
    def released_takes_the_release_and_the_word(self) -> None:
        for pair, stage in self.stages.items():
            if stage is Stage.RELEASED:
                assert pair in self.released_pairs & self.spoke_released

    @invariant()
    def whoever_has_no_link_is_not_counted_as_standing(self) -> None:
        for stop_id in self.opened:
            for vehicle_id, progress in self.ledger[stop_id].vehicles.items():
                if progress.reach in (Reach.STANDSTILL, Reach.PENDING):
                    assert vehicle_id in self.linked
                if progress.overdue:
                    assert progress.reach is Reach.PENDING


TestLedgerMachine = as_test(LedgerMachine, runs=100)
