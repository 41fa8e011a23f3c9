"""Replay: a core that is fed with its own journal knows what it knew, whatever had happened."""

from datetime import timedelta
from typing import Any

import pytest
from haul.command.v1 import event_pb2
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from command_service.core import CommandCore, Progress
from command_service.effects import Ack, Awaited, Journal, Moment, Remember, approval
from command_service.events import ReleaseExpired, StageReached
from command_service.link_wire import vehicle_to
from command_service.orders import LINK_BROKE
from command_service.progress import Reach, Stage
from command_service.records import Head, seal
from command_service.registry import Session
from command_service.releases import REQUEST_VALID
from command_service.replay import restore
from pitwall.domain.order import MotionEtag, Order, OrderOutcome, OrderResult, Resume
from pitwall.domain.permit import PermitTerms
from pitwall.domain.stop_set import Scope, SetDelta
from pitwall.ids import uuid7
from tests.support.machines import as_test
from tests.unit.command_service.samples import FIRST, FLEET, NS, WHEN, at, named, opened, release, stop

VEHICLES = ("TRUCK-A", "TRUCK-B", "TRUCK-C")
ETAG = MotionEtag(7, 1, 1, 5)
GATEWAY = "spiffe://pitwall.local/gateway/gateway-1"
vehicle_ids = st.sampled_from(VEHICLES)


class Recorder:
    """A core whose effects go to a disk that takes everything at once."""

    def __init__(self, *members: str) -> None:
        self.members = members or ("c1",)
        self.core = CommandCore("c1", self.members, PermitTerms())
        self.head = Head()
        self.events: list[event_pb2.CommandEvent] = []
        self.vehicles: dict[str, tuple[bytes, int]] = {}

    def settle(self) -> None:
        while effects := self.core.take_effects():
            for effect in effects:
                if isinstance(effect, Journal):
                    raw, self.head = seal(effect.record, "c1", self.head)
                    self.events.append(event_pb2.CommandEvent.FromString(raw))
                    if effect.ack is not None:
                        self.core.journaled(effect.ack, "c1", at(3))
                if isinstance(effect, Remember):
                    vehicle = effect.vehicle
                    self.vehicles[vehicle.vehicle_id] = (vehicle_to(vehicle).SerializeToString(), vehicle.since_ns)

    def restarted(self) -> CommandCore:
        core = CommandCore("c1", self.members, PermitTerms())
        rows = [(vehicle_id, *row) for vehicle_id, row in self.vehicles.items()]
        assert restore(core, rows, self.events, at(3600)) == len(self.events)
        return core


def knowledge(core: CommandCore) -> dict[str, Any]:
    """What must survive; links don't."""
    snapshot = core.stops.snapshot()
    entries = [core.ledger[stop.stop_id] for stop in snapshot.stops]
    return {
        "stops": {stop.stop_id: stop for stop in snapshot.stops},
        "releases": {release.release_id: release for release in snapshot.releases},
        "issued": {entry.stop_id: entry.issued_ns for entry in entries},
        "stages": {
            (entry.stop_id, progress.vehicle_id): (progress.event_ns, progress.latched_durably)
            for entry in entries
            for progress in entry.vehicles.values()
            # Released before a word was heard of it: in scope of nothing, be it in the books or not.
            if progress.event_ns or progress.reach is not Reach.RELEASED
        },
        "requests": {entry.release.release_id: entry.in_force for entry in core.releases.entries()},
        "vehicles": {v.vehicle_id: (v.session, v.status, v.software_version) for v in core.registry.vehicles()},
        "orders": {entry.order.request_id: entry.outcomes.keys() for entry in core.orders.entries()},
    }


class ReplayMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.disk = Recorder()
        self.stop_ids: list[str] = []
        self.requests: list[str] = []

    def stop_id(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.stop_ids)) if self.stop_ids else "none"

    @rule(scope=st.sampled_from([FLEET, named("TRUCK-A"), named("TRUCK-B", "TRUCK-Z")]))
    def issue(self, scope: Scope) -> None:
        self.stop_ids.append(uuid7())
        self.disk.core.issue(stop(self.stop_ids[-1], scope), at())

    @rule(vehicle_id=vehicle_ids, count=st.integers(1, 3))
    def connect(self, vehicle_id: str, count: int) -> None:
        self.disk.core.opened(1, "gateway-1", opened(vehicle_id, Session(7, count)), at())

    @rule(vehicle_id=vehicle_ids)
    def disconnect(self, vehicle_id: str) -> None:
        vehicle = self.disk.core.registry.get(vehicle_id)
        if vehicle is not None:
            self.disk.core.closed(1, vehicle_id, vehicle.session, at())

    @rule(vehicle_id=vehicle_ids, stage=st.sampled_from(Stage), durably=st.booleans(), data=st.data())
    def report(self, vehicle_id: str, stage: Stage, durably: bool, data: st.DataObject) -> None:
        word = Progress(self.stop_id(data), stage, NS + stage, durably)
        self.disk.core.reported(1, GATEWAY, vehicle_id, FIRST, [word], None, at())

    @rule(data=st.data(), vehicle=st.sampled_from([(), ("TRUCK-A",)]))
    def ask(self, data: st.DataObject, vehicle: tuple[str, ...]) -> None:
        self.requests.append(uuid7())
        self.disk.core.request(release(self.requests[-1], self.stop_id(data), *vehicle), at())

    @rule(data=st.data())
    def agree(self, data: st.DataObject) -> None:
        if self.requests:
            entry = self.disk.core.releases.get(data.draw(st.sampled_from(self.requests)))
            assert entry is not None
            asked = entry.release
            self.disk.core.approve(
                release(asked.release_id, *asked.stop_ids, *asked.vehicle_ids, approved_by="boss"), at()
            )

    @rule(data=st.data())
    def brought(self, data: st.DataObject) -> None:
        delta = SetDelta((stop(uuid7(), named("TRUCK-C"), own="TRUCK-C"),))
        self.stop_ids.append(delta.stops[0].stop_id)
        self.disk.core.merge(delta, 1, GATEWAY, at())

    @rule()
    def order(self) -> None:
        self.disk.core.send(Order(uuid7(), Resume()), {"TRUCK-A": ETAG, "TRUCK-B": ETAG}, {}, at())

    @invariant()
    def a_restart_changes_nothing(self) -> None:
        self.disk.settle()
        assert knowledge(self.disk.restarted()) == knowledge(self.disk.core)

    @invariant()
    def nobody_has_a_link_after_a_restart(self) -> None:
        restarted = self.disk.restarted()
        assert restarted.registry.connected_count == 0
        assert all(restarted.ledger.summary(stop.stop_id).pending == 0 for stop in restarted.stops.snapshot().stops)


TestReplayMachine = as_test(ReplayMachine, runs=25, steps=20)


def test_whoever_connects_after_a_release_for_all_is_in_scope_of_nothing_after_a_restart_either() -> None:
    disk = Recorder()
    disk.core.issue(stop(), at())
    disk.core.merge(SetDelta((), (release(approved_by="boss"),)), 1, GATEWAY, at())
    disk.core.opened(1, "gateway-1", opened("TRUCK-A"), at())
    disk.settle()
    for core in (disk.core, disk.restarted()):
        assert core.ledger.summary("s").in_scope == 0
        assert core.ledger["s"].all_released


def test_a_stop_on_disk_whose_word_issued_is_not_is_issued_at_the_start() -> None:
    disk = Recorder()
    disk.core.issue(stop(uuid7()), at())
    (journal,) = [effect for effect in disk.core.take_effects() if isinstance(effect, Journal)]
    raw, _ = seal(journal.record, "c1", Head())
    disk.events.append(event_pb2.CommandEvent.FromString(raw))
    core = disk.restarted()
    (stop_,) = core.stops.snapshot().stops
    assert core.ledger.summary(stop_.stop_id).confirmed
    (effect,) = core.take_effects()
    assert isinstance(effect, Journal)
    assert effect.record.event == StageReached(stop_.stop_id, Stage.ISSUED, at(3600).ns)


def test_orders_answer_as_before_and_what_was_under_way_is_unknown() -> None:
    disk = Recorder()
    order = Order(uuid7(), Resume())
    disk.core.opened(1, "gateway-1", opened("TRUCK-A"), at())
    disk.core.send(order, {"TRUCK-A": ETAG, "TRUCK-B": ETAG}, {}, at())
    disk.core.answered("TRUCK-A", order.request_id, OrderOutcome(OrderResult.EXECUTED), at())
    disk.settle()
    entry = disk.restarted().orders.get(order.request_id)
    assert entry is not None
    outcomes = {vehicle_id: outcome.outcome for vehicle_id, outcome in entry.outcomes.items()}
    assert outcomes == {"TRUCK-A": OrderOutcome(OrderResult.EXECUTED), "TRUCK-B": LINK_BROKE}


def test_orders_older_than_a_day_are_not_taken_back() -> None:
    disk = Recorder()
    disk.core.send(Order(uuid7(), Resume()), {"TRUCK-A": ETAG}, {}, at(-86_401))
    disk.settle()
    assert list(disk.restarted().orders.entries()) == []


def test_a_request_that_has_expired_stays_so_whatever_the_clock_says_after_a_restart() -> None:
    recorder = Recorder()
    recorder.core.issue(stop(), at())
    recorder.core.request(release(), at())
    recorder.settle()
    long_after = Moment(200.0, round((WHEN + REQUEST_VALID + timedelta(seconds=1)).timestamp() * 1e9))
    recorder.core.tick(at())
    assert recorder.core.releases.waiting == 1
    recorder.core.tick(long_after)
    recorder.core.tick(long_after)
    recorder.settle()
    assert [event.refusal.reason for event in recorder.events if event.HasField("refusal")] == ["RELEASE_EXPIRED"]
    assert recorder.core.releases.get("r") is None
    again = recorder.restarted()  # at a time before the request
    assert again.releases.get("r") is None
    assert again.stops.holds("TRUCK-A")


def test_a_request_that_expired_while_nobody_was_there_expires_with_the_first_tick() -> None:
    recorder = Recorder()
    recorder.core.issue(stop(), at())
    recorder.core.request(release(), at())
    recorder.settle()
    again = recorder.restarted()
    again.tick(Moment(200.0, round((WHEN + 2 * REQUEST_VALID).timestamp() * 1e9)))
    assert [e.record.event for e in again.take_effects() if isinstance(e, Journal)] == [ReleaseExpired("r")]


# A site of several


@pytest.mark.parametrize(("members", "in_force"), [(("c1",), True), (("c1", "c2", "c3"), False)])
def test_an_approval_on_this_disk_alone_is_in_force_where_that_is_the_majority(
    members: tuple[str, ...], in_force: bool
) -> None:
    recorder = Recorder(*members)
    recorder.core.issue(stop(), at())
    recorder.core.approve(release(approved_by="boss"), at())
    recorder.settle()
    core = recorder.restarted()
    entry = core.releases.get("r")
    assert entry is not None
    assert entry.in_force is in_force
    assert core.stops.is_active("s") is not in_force
    if not in_force:
        assert core.releases.waiting_releases() == [release(approved_by="boss")], "peers are told of it"
        core.journaled(approval(release()), "c3", at())
        assert not core.stops.is_active("s")


def test_a_release_that_was_in_force_still_is() -> None:
    recorder = Recorder("c1", "c2", "c3")
    recorder.core.issue(stop(), at())
    recorder.core.approve(release(approved_by="boss"), at())
    recorder.core.journaled(approval(release()), "c2", at())
    recorder.settle()
    core = recorder.restarted()
    assert not core.stops.is_active("s")
    assert core.releases.waiting == 0
    assert core.on_disk(approval(release()))


def test_what_a_peer_told_is_known_after_a_restart_in_whatever_order_it_was_recorded() -> None:
    """The records of stops are awaited, and so go to disk ahead of those that nobody awaits, or behind them."""
    recorder = Recorder("c1", "c2", "c3")
    recorder.core.told(SetDelta((), (release(approved_by="boss"),)), [release("r2", "t")], "c2", at())
    recorder.core.told(SetDelta((stop(), stop("t"))), [], "c2", at())
    recorder.settle()
    core = recorder.restarted()
    assert (core.stops.is_active("s"), core.stops.is_active("t")) == (False, True)
    assert core.ledger["s"].released_for_all
    assert core.releases.waiting_releases() == [release("r2", "t")]
    assert all(core.on_disk(Ack(kind, id_)) for kind, id_ in ((Awaited.STOP, "s"), (Awaited.REQUEST, "r2")))


def test_a_stop_counts_this_disk_after_a_restart_and_is_confirmed_as_it_was() -> None:
    recorder = Recorder("c1", "c2", "c3")
    recorder.core.issue(stop("confirmed"), at())
    recorder.core.issue(stop("alone"), at())
    recorder.core.journaled(Ack(Awaited.STOP, "confirmed"), "c2", at(5))
    recorder.settle()
    core = recorder.restarted()
    for stop_id, confirmed in (("confirmed", True), ("alone", False)):
        assert core.ledger[stop_id].journaled_by == {"c1"}, "the others say so again"
        assert core.ledger.summary(stop_id).confirmed is confirmed
    before = core.ledger["confirmed"].issued_ns
    core.take_effects()
    core.journaled(Ack(Awaited.STOP, "confirmed"), "c2", at(3600))
    assert (core.ledger["confirmed"].issued_ns, core.take_effects()) == (before, [])
    core.journaled(Ack(Awaited.STOP, "alone"), "c3", at(3600))
    assert core.ledger.summary("alone").confirmed
