"""What one command service knows, and what follows from each thing that it hears.

Pure: events go in by methods, with the moment when they came; what is to be done about them comes out as effects, for
the shell to carry out in their order. Nothing here waits. A stop is in force the moment it is heard of; that it is on
disk is told later, member by member, by `journaled`. A release is in force only once a majority has it on disk.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from command_service.effects import (
    Ack,
    Ask,
    Awaited,
    Deliver,
    Effect,
    Journal,
    Moment,
    Push,
    Recalled,
    Remember,
    approval,
)
from command_service.events import (
    OrderRecorded,
    Record,
    ReleaseApproved,
    ReleaseExpired,
    ReleaseInForce,
    ReleaseRequested,
    StageReached,
    StopIssued,
)
from command_service.ledger import Ledger, Overdue
from command_service.orders import OrderBook
from command_service.progress import Stage, VehicleNow
from command_service.recall import Recall
from command_service.registry import Opened, Pulse, Registry, Session, Status, Vehicle
from command_service.releases import ReleaseBook, has_expired
from pitwall.domain.drill import judged
from pitwall.domain.order import MotionEtag, Order, OrderOutcome
from pitwall.domain.permit import PermitTerms
from pitwall.domain.stop_set import FleetScope, Release, SetDelta, Stop, StopSet, VehicleScope

VEHICLE_URI = "spiffe://pitwall.local/vehicle/"
#: (stop, vehicle) pairs in the ledger, some 100 MB of them. Beyond it what is released everywhere is dropped first.
MAX_PAIRS = 200_000


class Progress(NamedTuple):
    """One word of a vehicle, or of its gateway, about a stop."""

    stop_id: str
    stage: Stage
    event_ns: int
    latched_durably: bool = False


class CommandCore:
    """`name` is one of `members`, the command services of the site. `complete`: it has not lost its journal."""

    def __init__(self, name: str, members: Sequence[str], terms: PermitTerms, *, complete: bool = True) -> None:
        self.name, self.terms = name, terms
        self.stops = StopSet()
        self.ledger = Ledger(members, terms)
        self.registry = Registry()
        self.releases = ReleaseBook(members)
        self.orders = OrderBook()
        self.recall = Recall(len(members) - 1, complete=complete)
        self._effects: list[Effect] = []

    def take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    # People

    def issue(self, stop: Stop, at: Moment) -> None:
        """A new stop: pushed and journaled at the same time."""
        self._push(SetDelta(self._adopt([stop], stop.issued_by, at)), None)

    def request(self, release: Release, at: Moment) -> None:
        """Asks for a release; it waits for another person."""
        if self.releases.request(release):
            self._effects.append(Ask(release))
            record = Record(at.ns, release.requested_by, ReleaseRequested(release))
            self._journal(record, Ack(Awaited.REQUEST, release.release_id))

    def approve(self, approved: Release, at: Moment) -> None:
        """Somebody has agreed to a release. It is in force when a majority has that on disk."""
        if self.releases.approve(approved):
            self._effects.append(Ask(approved))
            record = Record(at.ns, approved.approved_by, ReleaseApproved(approved))
            self._journal(record, approval(approved))

    def send(
        self, order: Order, etags: Mapping[str, MotionEtag], ended: Mapping[str, OrderOutcome], at: Moment
    ) -> None:
        """An order to whoever of the targets has a link. Raises TooManyOrders."""
        recorded = self.orders.send(order, etags, ended, at.s, at.ns)
        by_link: dict[int, dict[str, MotionEtag]] = {}
        for vehicle_id, etag in etags.items():
            vehicle = self.registry.get(vehicle_id)
            if vehicle_id not in ended and vehicle is not None and vehicle.link is not None:
                by_link.setdefault(vehicle.link, {})[vehicle_id] = etag
        self._effects += [Deliver(link, order, targets) for link, targets in by_link.items()]
        self._journal_order(recorded, order.issued_by, at)

    # Disks

    def journaled(self, ack: Ack, member: str, at: Moment) -> None:
        """A member has the record on disk."""
        if ack.kind is Awaited.STOP and self.ledger.journaled(ack.id, member, at.ns):
            self._journal(Record(at.ns, self.name, StageReached(ack.id, Stage.ISSUED, at.ns)))
        if ack.kind is Awaited.REQUEST and member == self.name:
            self.releases.request_journaled(ack.id)
        if ack.kind is Awaited.APPROVAL:
            self.releases.journaled(ack.id, ack.content, member)
            self._put_in_force(at)

    def on_disk(self, ack: Ack) -> bool:
        """Whether this command service itself has it on disk, or has had it and forgotten it since."""
        if ack.kind is Awaited.STOP:
            stop = self.ledger.get(ack.id)
            return stop is None or self.name in stop.journaled_by
        release = self.releases.get(ack.id)
        if release is None or release.in_force or self.name in release.journaled_by:
            return True
        return ack.kind is Awaited.REQUEST and release.requested_on_disk

    def vouches(self, ack: Ack) -> bool:
        """Whether it may be counted for what it has on disk.

        Not for an approval where it has another one of the same id; nor for any while it doesn't know all that it had
        before its journal was lost, for among that may be another one.
        """
        if ack.kind is not Awaited.APPROVAL:
            return True
        return self.recall.complete and self.releases.approved_content(ack.id) in (ack.content, None)

    # Peers

    def told(self, delta: SetDelta, waiting: Iterable[Release], actor: str, at: Moment) -> None:
        """What a peer knows. It has seen to it that each of these may be believed."""
        stops = self._adopt(delta.stops, actor, at)
        self._push(SetDelta(stops, self._enforce(delta.releases, actor, at)), None, relayed=True)
        for release in waiting:
            if release.approved_by:
                self.approve(release, at)
            elif not has_expired(release, _datetime(at)):
                self.request(release, at)

    def recalled(self, peer: str, at: Moment, *, complete: bool) -> None:
        """A peer has told all that it knows, and it is on disk here. `complete`: that is all that it ever confirmed."""
        if self.recall.told(peer, complete=complete):
            self._effects.append(Recalled())
            self._put_in_force(at)

    # Gateways

    def merge(self, delta: SetDelta, link: int | None, actor: str, at: Moment) -> None:
        """What a gateway, or a vehicle behind it, brought along: stops that hold, releases that are in force already.

        Stops come first, for a release is judged by what is known of the stops that it names.
        """
        stops = self._adopt(delta.stops, actor, at)
        releases = self._enforce([release for release in delta.releases if self._credible(release)], actor, at)
        self._push(SetDelta(stops, releases), link, relayed=True)

    def opened(self, link: int, gateway: str, opened: Opened, at: Moment) -> None:
        """A gateway has a vehicle's session."""
        before = self.registry.get(opened.vehicle_id)
        other = before is not None and before.session != opened.session
        vehicle, older = self.registry.opened(link, gateway, opened, at.ns)
        self._effects += older
        if vehicle is None:
            return
        if other:
            self._orders_broke(vehicle.vehicle_id, at)
        self._effects.append(Remember(vehicle))
        now = vehicle.now(at.s)
        self.ledger.link(now, at.s)
        self._latched(now, opened.status, at, hello=True)

    def closed(self, link: int, vehicle_id: str, session: Session, at: Moment) -> None:
        vehicle = self.registry.closed(link, vehicle_id, session, at.ns)
        if vehicle is not None:
            self._lost(vehicle, at)

    def dropped(self, link: int, at: Moment) -> None:
        """A gateway's stream is gone."""
        for vehicle in self.registry.dropped(link, at.ns):
            self._lost(vehicle, at)

    def reported(
        self,
        link: int,
        gateway_uri: str,
        vehicle_id: str,
        session: Session,
        words: Iterable[Progress],
        status: Status | None,
        at: Moment,
    ) -> None:
        """Words of a vehicle; SENT is its gateway's. Words about stops count from every session, they stay true."""
        now = self.registry.now(vehicle_id, at.s)
        self._take(now, words, gateway_uri, at)
        vehicle = status and self.registry.said(link, vehicle_id, session, status)
        if status and vehicle:
            self._effects.append(Remember(vehicle))
            self._latched(now, status, at, hello=False)

    def pulse(self, link: int, vehicle_id: str, pulse: Pulse, at: Moment) -> None:
        heard = self.registry.pulse(link, vehicle_id, pulse, at.s, at.ns)
        if heard is not None:
            self.ledger.link(heard.now(at.s), at.s)

    def answered(self, vehicle_id: str, request_id: str, outcome: OrderOutcome, at: Moment) -> None:
        """What became of an order at a vehicle."""
        if outcome.reaction is not None:
            vehicle = self.registry.get(vehicle_id)
            deceleration = None if vehicle is None else vehicle.deceleration_mps2
            reaction = judged(outcome.reaction, outcome.reason, self.terms.brakes_within_s, deceleration)
            outcome = replace(outcome, reaction=reaction)
        recorded = self.orders.answered(request_id, vehicle_id, outcome, at.ns)
        if recorded is not None:
            self._journal_order(recorded, VEHICLE_URI + vehicle_id, at)

    # Vehicles on gateways that peers hear, and this one does not

    def told_link(self, stream: int, opened: Opened, at: Moment) -> None:
        """A vehicle has a link: stops reach it by way of that peer. Orders are for those who hear it themselves."""
        vehicle = self.registry.told(stream, opened, at.ns)
        if vehicle is not None:
            self._effects.append(Remember(vehicle))
            self.ledger.link(vehicle.now(at.s), at.s)

    def untold_link(self, stream: int, vehicle_ids: Iterable[str] | None, at: Moment) -> None:
        """These have none any more, as far as that peer knows; all of them, where nothing more comes from it."""
        for vehicle in self.registry.untold(stream, vehicle_ids):
            self.ledger.link(vehicle.now(at.s), at.s)

    def told_words(self, peer_uri: str, vehicle_id: str, words: Iterable[Progress], at: Moment) -> bool:
        """Words of a vehicle and its gateway, passed on. False where nobody has told of that vehicle."""
        if vehicle_id in self.registry:
            self._take(self.registry.now(vehicle_id, at.s), words, peer_uri, at)
            return True
        return False

    # Time

    def tick(self, at: Moment) -> list[Overdue]:
        """To be called some ten times a second. Returns the stages that have become overdue."""
        for vehicle in self.registry.tick(at.s, at.ns):
            self.ledger.link(vehicle.now(at.s), at.s)
        for recorded in self.orders.tick(at.s, at.ns):
            self._journal_order(recorded, self.name, at)
        if self.releases.waiting:
            self._expire_releases(at)
        return self.ledger.tick(at.s)

    def _expire_releases(self, at: Moment) -> None:
        """By the record in the journal, so that after a restart, with whatever clock, it is as dead as before."""
        for release_id in self.releases.expired(_datetime(at)):
            self.releases.drop(release_id)
            self._journal(Record(at.ns, self.name, ReleaseExpired(release_id)))

    def compact(self, before: datetime) -> int:
        """Forgets stops issued before this time that are released for all. Returns how many."""
        known = {stop.stop_id for stop in self.stops.snapshot().stops}
        count = self.stops.compact(before)
        gone = frozenset(stop_id for stop_id in known if stop_id not in self.stops)
        for stop_id in gone:
            self.ledger.forget(stop_id)
        self.releases.forget(gone)
        return count

    # What follows

    def _put_in_force(self, at: Moment) -> None:
        """What a majority has agreed to; this one counts itself only while it vouches for what it has."""
        for release in self.releases.agreed() if self.recall.complete else ():
            self._push(SetDelta((), self._enforce([release], release.approved_by, at)), None)

    def _push(self, delta: SetDelta, link: int | None, *, relayed: bool = False) -> None:
        """Ahead of what goes to disk: the push is what stops a vehicle. One frame, so that no stop goes ahead of its
        own release."""
        if delta:
            self._effects.insert(0, Push(delta, link, relayed))

    def _adopt(self, stops: Iterable[Stop], actor: str, at: Moment) -> tuple[Stop, ...]:
        """Returns those that are new."""
        new = self.stops.merge(stops).stops
        for stop in new:
            self.open_in_ledger(stop, at.s)
            record = Record(at.ns, actor, StopIssued(stop), _only_vehicle(stop))
            self._journal(record, Ack(Awaited.STOP, stop.stop_id))
        return new

    def open_in_ledger(self, stop: Stop, now_s: float) -> None:
        """With the pairs that releases heard of before have taken away already."""
        self.ledger.open(stop, self._in_scope(stop, now_s), now_s)
        if self.ledger.pairs > MAX_PAIRS:
            self.ledger.thin(MAX_PAIRS)
        for entry in self.releases.entries():
            if entry.in_force and stop.stop_id in entry.current.stop_ids:
                self.ledger.released([stop.stop_id], entry.current.vehicle_ids, now_s)

    def _in_scope(self, stop: Stop, now_s: float) -> list[VehicleNow]:
        if isinstance(stop.scope, VehicleScope):
            return [self.registry.now(vehicle_id, now_s) for vehicle_id in sorted(stop.scope.vehicle_ids)]
        if isinstance(stop.scope, FleetScope):
            return [vehicle.now(now_s) for vehicle in self.registry.vehicles()]
        return []

    def _enforce(self, releases: Iterable[Release], actor: str, at: Moment) -> tuple[Release, ...]:
        """Returns those that are new."""
        new = self.stops.merge(releases=releases).releases
        for release in new:
            self.releases.enforce(release)
            self._journal(Record(at.ns, actor, ReleaseInForce(release), release.issuing_vehicle_id or ""))
            for stop_id, vehicle_id, said_ns in self.ledger.released(release.stop_ids, release.vehicle_ids, at.s):
                self._journal_stage(vehicle_id, StageReached(stop_id, Stage.RELEASED, said_ns), at)
        return new

    def _credible(self, release: Release) -> bool:
        """A vehicle withdraws its own stops and no others; any other release carries who approved it.

        A withdrawal of a stop that nobody here has heard of is not taken: it might be anybody's.
        """
        issuers = {stop.issuing_vehicle_id for stop in map(self.stops.get, release.stop_ids) if stop}
        if release.issuing_vehicle_id is None:
            return bool(release.approved_by) and issuers <= {None}
        known = all(stop_id in self.stops for stop_id in release.stop_ids)
        return known and issuers == {release.issuing_vehicle_id}

    def _take(self, now: VehicleNow, words: Iterable[Progress], gateway_uri: str, at: Moment) -> None:
        for word in words:
            if self.ledger.report(now, word.stop_id, word.stage, word.event_ns, word.latched_durably, at.s):
                actor = gateway_uri if word.stage is Stage.SENT else VEHICLE_URI + now.vehicle_id
                self._journal(Record(at.ns, actor, StageReached(*word), now.vehicle_id))

    def _lost(self, vehicle: Vehicle, at: Moment) -> None:
        self.ledger.link(vehicle.now(at.s), at.s)
        self._orders_broke(vehicle.vehicle_id, at)
        self._effects.append(Remember(vehicle))

    def _orders_broke(self, vehicle_id: str, at: Moment) -> None:
        for recorded in self.orders.broke(vehicle_id, at.ns):
            self._journal_order(recorded, self.name, at)

    def _latched(self, now: VehicleNow, status: Status, at: Moment, *, hello: bool) -> None:
        for stop_id, stage in self.ledger.latched(now, status.latched, at.ns, at.s, hello=hello):
            self._journal_stage(now.vehicle_id, StageReached(stop_id, stage, at.ns), at)

    def _journal_stage(self, vehicle_id: str, reached: StageReached, at: Moment) -> None:
        self._journal(Record(at.ns, VEHICLE_URI + vehicle_id, reached, vehicle_id))

    def _journal_order(self, recorded: OrderRecorded, actor: str, at: Moment) -> None:
        vehicle_id = recorded.outcomes[0].vehicle_id if len(recorded.outcomes) == 1 else ""
        self._journal(Record(at.ns, actor, recorded, vehicle_id))

    def _journal(self, record: Record, ack: Ack | None = None) -> None:
        self._effects.append(Journal(record, ack))


def _datetime(at: Moment) -> datetime:
    return datetime.fromtimestamp(at.ns / 1e9, UTC)


def _only_vehicle(stop: Stop) -> str:
    """The vehicle whose matter the stop is, where it is just one's."""
    ids = stop.scope.vehicle_ids if isinstance(stop.scope, VehicleScope) else ()
    return next(iter(ids)) if len(ids) == 1 else ""
