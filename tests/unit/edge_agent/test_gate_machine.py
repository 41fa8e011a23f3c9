"""The gate against an adversary that delays, repeats, reorders, reboots and lets the process sleep.

A model beside it knows what is true: which stops were issued and released, when each heartbeat was sent, which permits
were ever granted. After every step, what the gate allows must follow from the model.
"""

from dataclasses import dataclass

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_agent.effects import Apply, Effect, LatchRecord, PersistLatch, PersistState
from edge_agent.gate import Gate
from edge_agent.limits import BLIND_HOLD_S, SAMPLE_MAX_AGE_S
from edge_agent.mission import Mission
from edge_agent.vehicle import Verdict
from pitwall.domain.permit import PermitDenial
from pitwall.domain.stop_set import FleetScope, Scope, SetDelta, VehicleScope
from pitwall.domain.vehicle_state import MOVING, MotionHold, VehicleStatus
from tests.support.machines import as_test
from tests.unit.edge_agent.builders import (
    INSIDE,
    OTHER,
    OUTSIDE,
    PIT,
    T0,
    TTL_S,
    VEHICLE,
    release,
    sample,
    stop,
)

STOP_IDS = ["a", "b", "c", "z"]
SCOPES: dict[str, Scope] = {
    "a": FleetScope(),
    "b": VehicleScope(frozenset({VEHICLE})),
    "c": VehicleScope(frozenset({OTHER})),
    "z": PIT,
}


@dataclass(frozen=True)
class Answer:
    """A permit on its way down."""

    number: int
    sent_s: float
    ttl_s: float
    denial: PermitDenial = PermitDenial.STOPPED


class GateMachine(RuleBasedStateMachine):
    @initialize(status=st.sampled_from([VehicleStatus.IDLE, VehicleStatus.HAULING]))
    def boot(self, status: VehicleStatus) -> None:
        self.now_s = T0
        self.epoch = 0
        self.disk = LatchRecord()
        self.status = status
        self.released: set[str] = set()
        self.issued: set[str] = set()
        self.held: frozenset[str] = frozenset()
        self.start()

    def start(self) -> None:
        self.epoch += 1
        self.gate = Gate(VEHICLE, self.epoch, Mission(VEHICLE, self.status, seed=1, time_scale=60), self.now_s)
        self.answers: list[Answer] = []
        self.sent_s: dict[int, float] = {}
        self.granted_until_s = -1.0
        self.void_before = 0
        self.resumed = False
        self.sampled_s = self.now_s
        self.holds = 0
        self.verdict: Verdict | None = None
        self.verdict_s = 0.0
        self.run_effects(self.gate.sample(sample(self.now_s, at=OUTSIDE), self.now_s))
        self.run_effects(self.gate.restore(self.disk, self.now_s))
        self.held = self.gate.latched

    def run_effects(self, effects: list[Effect]) -> None:
        """A shell that dies nowhere: what has to be on disk is."""
        ranks = [0 if isinstance(e, Apply) else 1 if isinstance(e, PersistLatch | PersistState) else 2 for e in effects]
        assert ranks == sorted(ranks), "brake first, write second, tell third"
        for effect in effects:
            if isinstance(effect, Apply):
                self.verdict, self.verdict_s = effect.verdict, self.now_s
            elif isinstance(effect, PersistLatch):
                self.disk = effect.record
            elif isinstance(effect, PersistState):
                self.status = effect.status

    def merged(self, delta: SetDelta) -> None:
        before = self.gate.latched
        self.run_effects(self.gate.merge(delta, self.now_s))
        if self.gate.latched - before:
            self.void_before = self.gate.heartbeats.newest
            self.granted_until_s = -1.0
            assert self.verdict is not None
            assert not self.verdict.may_move, "a stop denies before anything else is done"

    @rule(stop_id=st.sampled_from(STOP_IDS))
    def stop_comes(self, stop_id: str) -> None:
        """Also repeated, and also after its own release."""
        self.merged(SetDelta((stop(stop_id, SCOPES[stop_id]),)))
        self.issued.add(stop_id)
        if stop_id in ("a", "b") and stop_id not in self.released:
            assert stop_id in self.gate.latched

    @rule(stop_ids=st.sets(st.sampled_from(STOP_IDS), min_size=1))
    def release_comes(self, stop_ids: set[str]) -> None:
        before, count = self.gate.latched, self.gate.hold_count
        names = sorted(stop_ids)
        self.merged(SetDelta(releases=(release(*names),)))
        self.released |= stop_ids
        assert before - self.gate.latched == before & stop_ids, "a latch goes by its own release alone"
        assert self.gate.hold_count > count or not before & stop_ids, "who gave an order before has not seen it"

    @rule(seconds=st.sampled_from([0.05, 0.1, 0.1, 0.1, 0.5, 1.0, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(inside=st.booleans(), speed=st.sampled_from([None, 0.0, 20.0]), braking=st.booleans())
    def vehicle_measures(self, *, inside: bool, speed: float | None, braking: bool) -> None:
        before = self.gate.latched
        self.look()
        self.sampled_s = self.now_s
        where = INSIDE if inside else OUTSIDE
        self.run_effects(self.gate.sample(sample(self.now_s, speed_kph=speed, braking=braking, at=where), self.now_s))
        if self.gate.latched - before:
            self.void_before = self.gate.heartbeats.newest
            self.granted_until_s = -1.0
        if inside and "z" in self.issued - self.released:
            assert "z" in self.gate.latched, "whoever is inside a stopped zone is held, also after a restart"

    @rule()
    def loop_ticks(self) -> None:
        before = self.gate.latched
        number = self.gate.heartbeats.newest
        self.run_effects(self.gate.tick(self.now_s))
        if self.gate.latched - before:
            self.void_before = number
            self.granted_until_s = -1.0
        self.sent_s[self.gate.heartbeats.newest] = self.now_s

    @precondition(lambda self: self.sent_s)
    @rule(ttl_s=st.sampled_from([0.0, 0.5, TTL_S]))
    def gateway_answers(self, ttl_s: float) -> None:
        number = max(self.sent_s)
        self.answers.append(Answer(number, self.sent_s[number], ttl_s))

    @precondition(lambda self: self.sent_s)
    @rule()
    def gateway_without_a_majority_answers(self) -> None:
        number = max(self.sent_s)
        self.answers.append(Answer(number, self.sent_s[number], 0.0, PermitDenial.NO_MAJORITY))

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), again=st.booleans())
    def answer_arrives(self, data: st.DataObject, *, again: bool) -> None:
        """Any of those on their way, in any order; perhaps it arrives twice."""
        answer = data.draw(st.sampled_from(self.answers))
        if not again:
            self.answers.remove(answer)
        self.take(answer)

    def look(self) -> None:
        """To be called before anything that brings the vehicle back into sight."""
        if self.now_s - self.sampled_s > BLIND_HOLD_S:
            self.resumed = False

    @rule()
    def connection_to_the_vehicle_ends(self) -> None:
        self.run_effects(self.gate.cut_off(self.now_s))
        self.resumed = False

    def take(self, answer: Answer) -> None:
        valid = self.gate.permit_valid(self.now_s)
        self.run_effects(self.gate.permit(answer.number, answer.ttl_s, self.now_s, answer.denial))
        if answer.denial is PermitDenial.NO_MAJORITY and answer.ttl_s == 0:
            assert self.gate.permit_valid(self.now_s) == valid, "it has nothing to give and takes nothing away"
        if answer.number > self.void_before and answer.ttl_s > 0:
            self.granted_until_s = max(self.granted_until_s, answer.sent_s + answer.ttl_s)

    @precondition(
        lambda self: (
            self.gate.permit_valid(self.now_s) and not self.gate.latched and not self.gate.sight.blind(self.now_s)
        )
    )
    @rule()
    def operator_resumes(self) -> None:
        if self.gate.hold is not MotionHold.NONE:
            self.run_effects(self.gate.resume(self.now_s, "order"))
            self.resumed = True

    @precondition(lambda self: self.gate.status is VehicleStatus.MAINTENANCE and not self.gate.latched)
    @rule()
    def maintainer_makes_it_ready(self) -> None:
        self.run_effects(self.gate.set_status(VehicleStatus.IDLE, self.now_s, "order"))

    @precondition(
        lambda self: (
            self.gate.status is VehicleStatus.IDLE
            and self.gate.hold is MotionHold.NONE
            and self.gate.permit_valid(self.now_s)
        )
    )
    @rule()
    def operator_starts_a_route(self) -> None:
        self.run_effects(self.gate.set_status(VehicleStatus.ROUTING, self.now_s, "order"))
        self.resumed = True  # somebody wants it to move

    @precondition(lambda self: not self.gate.latched)
    @rule()
    def all_goes_well(self) -> None:
        """A fresh sample, a tick, its answer, and operators who want the vehicle to drive."""
        self.vehicle_measures(inside=False, speed=20.0, braking=False)
        self.loop_ticks()
        if self.gate.latched:
            return
        self.gateway_answers(TTL_S)
        answer = self.answers.pop()
        self.take(answer)
        self.operator_resumes()
        if self.gate.status is VehicleStatus.MAINTENANCE:
            self.maintainer_makes_it_ready()
        if self.gate.status is VehicleStatus.IDLE:
            self.operator_starts_a_route()
        self.loop_ticks()
        event(f"drives: {self.verdict is not None and self.verdict.may_move}")

    @rule()
    def computer_restarts(self) -> None:
        before = self.gate.latched
        self.start()
        assert before <= self.gate.latched | {"z"}
        assert self.gate.latched >= before, "what was latched is latched after a restart"

    # What must hold after every step

    @invariant()
    def a_verdict_to_move_has_all_it_needs(self) -> None:
        verdict = self.verdict
        if verdict is None or not verdict.may_move or verdict.deadline_s <= self.now_s:
            return
        assert not self.gate.latched
        assert self.resumed, "never by itself out of BOOT, nor after it was out of sight"
        assert self.gate.hold is MotionHold.NONE or self.verdict_s < self.now_s
        assert verdict.status in MOVING
        assert verdict.deadline_s <= self.granted_until_s, "never beyond a permit that was given and not voided"
        assert self.verdict_s - self.sampled_s <= SAMPLE_MAX_AGE_S

    @invariant()
    def hold_count_never_goes_back(self) -> None:
        assert self.gate.hold_count >= self.holds
        self.holds = self.gate.hold_count

    @invariant()
    def a_latch_only_goes_by_its_own_release(self) -> None:
        assert self.held - self.gate.latched <= self.released
        self.held = self.gate.latched

    @invariant()
    def the_disk_knows_every_latch(self) -> None:
        assert self.disk.latched == self.gate.latched

    @invariant()
    def stopped_shows(self) -> None:
        assert (self.gate.hold is MotionHold.STOPPED) == bool(self.gate.latched)
        assert not (self.gate.latched and self.gate.status in MOVING)


TestGateMachine = as_test(GateMachine, runs=300)
