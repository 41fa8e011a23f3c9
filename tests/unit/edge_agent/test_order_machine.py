"""Stops, releases and orders at one vehicle, whatever is delayed, repeated, reordered, or waits for a disk that hangs,
and whenever its computer crashes.

What is true is what the gate shows: an order that was carried out has changed it, any other has not. `make soak` drives
this machine too, by plain chance.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_agent.effects import Effect, LatchRecord, PersistLatch, PersistState, RecordOrder, RememberAnswer, ReportOrder
from edge_agent.gate import Gate
from edge_agent.mission import Mission
from edge_agent.orders import INTERRUPTED, OrderDesk
from pitwall.domain.order import (
    MotionEtag,
    Order,
    OrderKind,
    OrderOutcome,
    OrderResult,
    RequestMemory,
    Resume,
    SetAutonomousMode,
    SetStatus,
    StartRoute,
)
from pitwall.domain.stop_set import SetDelta
from pitwall.domain.vehicle_state import VehicleStatus
from tests.support.machines import as_test
from tests.unit.edge_agent.builders import T0, TTL_S, VEHICLE, release, sample, stop

KINDS: tuple[OrderKind, ...] = (
    Resume(),
    StartRoute("north"),
    SetStatus(VehicleStatus.IDLE),
    SetStatus(VehicleStatus.MAINTENANCE),
    SetAutonomousMode(False),
    SetAutonomousMode(True),
)
EXPIRE_AFTER_S = 3.0
PAUSES_S = (0.1, 0.1, 0.5, 1.0, 3.0)
numbers = st.integers(0, 59)


@dataclass(frozen=True)
class Given:
    """An order on its way, and when its heartbeat was sent."""

    order: Order
    etag: MotionEtag
    seen_s: float


class OrderMachine(RuleBasedStateMachine):
    @initialize()
    def boot(self) -> None:
        self.now_s = T0
        self.epoch = 0
        self.connect_count = 1
        self.status = VehicleStatus.IDLE
        self.latch = LatchRecord()
        self.disk: dict[str, OrderOutcome] = {}
        self.given: list[Given] = []
        self.executed: list[str] = []
        self.answers: dict[str, OrderOutcome] = {}
        self.set_frames: list[SetDelta] = []
        self.stopped: set[str] = set()
        self.released: set[str] = set()
        self.start()

    def start(self) -> None:
        self.epoch += 1
        memory = RequestMemory(1_000)
        for request_id, outcome in self.disk.items():
            memory.remember(request_id, outcome, self.now_s)
        self.gate = Gate(VEHICLE, self.epoch, Mission(VEHICLE, self.status, seed=1), self.now_s)
        self.desk = OrderDesk(self.gate, memory)
        self.writing: list[str] = []
        self.sent_s: dict[int, float] = {}
        self.run_effects(self.gate.restore(self.latch, self.now_s))
        self.loop_ticks(permitted=True)

    def run_effects(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case PersistLatch(record):
                    self.latch = record
                case PersistState(status, _):
                    self.status = status
                case RecordOrder(request_id):
                    self.writing.append(request_id)
                case RememberAnswer(request_id, outcome):
                    self.disk[request_id] = outcome
                case ReportOrder(request_id, outcome):
                    self.answered(request_id, outcome)

    def answered(self, request_id: str, outcome: OrderOutcome) -> None:
        if request_id in self.disk:  # else nothing is remembered, and the operator may ask again
            assert self.answers.setdefault(request_id, outcome) == outcome, "the same answer again"
        if outcome.result is OrderResult.EXECUTED:
            assert request_id in self.executed

    def shown(self) -> tuple[object, ...]:
        gate = self.gate
        return gate.hold, gate.hold_count, gate.latched, gate.status, gate.autonomous

    @rule(seconds=st.sampled_from(PAUSES_S))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(permitted=st.booleans())
    def loop_ticks(self, *, permitted: bool) -> None:
        self.run_effects(self.gate.sample(sample(self.now_s, speed_kph=0.0), self.now_s))
        self.run_effects(self.gate.tick(self.now_s))
        self.run_effects(self.desk.expire(self.connect_count, self.now_s))
        number = self.gate.heartbeats.newest
        self.sent_s[number] = self.now_s
        if permitted and not self.gate.latched:
            self.run_effects(self.gate.permit(number, TTL_S, self.now_s))

    # People; and what they say comes when it comes

    @rule(kind=st.sampled_from(KINDS))
    def operator_orders(self, kind: OrderKind) -> None:
        """By what he sees now."""
        number = self.gate.heartbeats.newest
        etag = MotionEtag(self.epoch, self.connect_count, self.gate.hold_count, number)
        order = Order(f"q{len(self.given)}", kind, EXPIRE_AFTER_S)
        self.given.append(Given(order, etag, self.sent_s[number]))

    @rule(which=numbers)
    def order_arrives(self, which: int) -> None:
        """Any that was ever given, mostly a late one: for the first time, or again."""
        if not self.given:
            return
        given, before = self.given[-1 - which % len(self.given)], self.shown()
        self.run_effects(self.desk.receive(given.order, given.etag, self.connect_count, self.now_s))
        assert self.shown() == before, "nothing happens before it is on disk"

    @rule()
    def somebody_stops_it(self) -> None:
        self.set_frames.append(SetDelta((stop(f"s{len(self.set_frames)}"),)))

    @rule(which=numbers)
    def supervisor_releases(self, which: int) -> None:
        if self.set_frames:
            self.set_frames.append(SetDelta(releases=(release(f"s{which % len(self.set_frames)}"),)))

    @rule(which=numbers)
    def set_frame_arrives(self, which: int) -> None:
        if not self.set_frames:
            return
        delta, before = self.set_frames[-1 - which % len(self.set_frames)], self.gate.latched
        self.run_effects(self.gate.merge(delta, self.now_s))
        releases = {stop_id for one in delta.releases for stop_id in one.stop_ids}
        assert before - self.gate.latched == before & releases, "by its own release, and by nothing else"
        self.stopped |= {one.stop_id for one in delta.stops}
        self.released |= releases

    # The vehicle's computer

    @rule(which=numbers, ok=st.booleans())
    def disk_answers(self, which: int, *, ok: bool) -> None:
        if not self.writing:
            return
        request_id = self.writing.pop(which % len(self.writing))
        if ok:
            self.disk.setdefault(request_id, INTERRUPTED)
        before = self.shown()
        effects = self.desk.recorded(request_id, self.connect_count, self.now_s, ok=ok)
        outcomes = [effect.outcome.result for effect in effects if isinstance(effect, ReportOrder)]
        if OrderResult.EXECUTED in outcomes:
            given = self.given[int(request_id.removeprefix("q"))]
            assert ok, "never without its record"
            assert self.now_s - given.seen_s < EXPIRE_AFTER_S, "never when it has expired"
            seen = (given.etag.boot_epoch, given.etag.connect_count, given.etag.hold_count)
            assert seen == (self.epoch, self.connect_count, before[1]), "never in another state than the one seen"
            assert request_id not in self.executed, "never twice"
            self.executed.append(request_id)
        else:
            assert self.shown() == before
        self.run_effects(effects)

    @rule()
    def vehicle_reconnects(self) -> None:
        self.connect_count += 1

    @rule(which=numbers, written=st.booleans())
    def computer_crashes(self, which: int, *, written: bool) -> None:
        """Perhaps just after the record of an order was written, and before anything came of it."""
        if written and self.writing:
            self.disk.setdefault(self.writing[which % len(self.writing)], INTERRUPTED)
        before = self.gate.latched
        self.connect_count = 1
        self.start()
        assert self.gate.latched == before

    # What must hold after every step

    @invariant()
    def whatever_waits_was_given_to_the_disk(self) -> None:
        assert self.desk.waiting <= len(self.writing)

    @invariant()
    def what_came_holds_until_its_release_came(self) -> None:
        """And what came again after a restart may hold again: releases are not all remembered."""
        assert self.stopped - self.released <= self.gate.latched <= self.stopped
        assert self.latch.latched == self.gate.latched


TestOrderMachine = as_test(OrderMachine, runs=150)
