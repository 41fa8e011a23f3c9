"""Where sessions, the stop set, leases, command services and Kafka meet. One event loop, no waiting anywhere in here.

A stop is one step: it is merged, put into the stop lane of every vehicle that it concerns, and from then on no permit
is written for them; only then is anything else done.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from haul.command.v1.stop_pb2 import StopProgress, StopStage
from haul.link.v1.vehicle_link_service_pb2 import ConnectRequest
from haul.telemetry.v1.telemetry_pb2 import StatusChange

from ingest_gateway.effects import (
    Brought,
    Changed,
    Close,
    Code,
    Effect,
    HeldBack,
    Illegal,
    LossDeclined,
    Lost,
    Opened,
    OrderReported,
    Readings,
    ReadingsDeclined,
    Reported,
    Throttled,
)
from ingest_gateway.intake import Intake
from ingest_gateway.lanes import Lane, Outgoing
from ingest_gateway.leave import Leave
from ingest_gateway.limits import ANSWERS_ALL_OF, LEND_FROM, PERMITS_PER_TTL, PERMITS_PER_TTL_OF_MANY, WRITE_STALL_S
from ingest_gateway.links import LinkEnd, Links
from ingest_gateway.loans import Loans
from ingest_gateway.meters import Meters
from ingest_gateway.moment import Moment
from ingest_gateway.record import VehicleRecord, VehicleRecords
from ingest_gateway.registry import OLD_SESSION, Registry
from ingest_gateway.session import Session
from ingest_gateway.status_outbox import StatusOutbox
from ingest_gateway.stop_board import StopBoard
from ingest_gateway.stop_steps import StopSteps
from ingest_gateway.terms import Terms
from pitwall.domain.permit import PermitDenial
from pitwall.domain.stop_set import SetDelta
from pitwall.ids import uuid7

_log = logging.getLogger(__name__)


class Port(Protocol):
    """The stream of one session."""

    def wake(self) -> None:
        """Something may wait in the session's lanes."""

    def hold(self, seconds: float) -> None:
        """Nothing is to be read from the stream for so long."""

    def end(self, close: Close) -> None:
        """The session is closed; the stream has to end so."""

    def stalled_s(self, now_s: float) -> float:
        """For how long the frame that is being written has been under way; 0 where none is."""


STALLED = Close(Code.UNAVAILABLE, "WRITE_STALLED", f"the vehicle has taken nothing for {WRITE_STALL_S:g} s")


class ReadingSink(Protocol):
    """Kafka, as the hub needs it."""

    @property
    def room(self) -> int: ...

    def has_room(self, count: int) -> bool: ...

    def take(self, intake: Intake, record: VehicleRecord) -> int: ...

    def lost(self, lost: Lost, record: VehicleRecord) -> bool: ...

    def status(self, change: StatusChange) -> bool: ...


class Hub:
    """One gateway's. `now` reads the clocks; it is asked anew wherever time counts."""

    def __init__(
        self, terms: Terms, leave: Leave, links: Links, sink: ReadingSink, meters: Meters, now: Callable[[], Moment]
    ) -> None:
        self.leave, self.links, self.board, self.registry = leave, links, StopBoard(), Registry()
        self.status = StatusOutbox()
        self.loans = Loans(terms.max_unacked_readings, terms.max_lent_readings, terms.lent_pool)
        self._terms, self._sink, self._meters, self._now = terms, sink, meters, now
        self._records, self._steps = VehicleRecords(terms.rates), StopSteps()
        self._ports: dict[str, tuple[Session, Port]] = {}  # by session id, also those without a Hello yet
        self._announced: set[str] = set()  # sessions that the command services have been told of
        # Whose permit waits for an ack, by session id: since the last turn, and since the one before.
        self._riders: dict[str, Session] = {}
        self._older_riders: dict[str, Session] = {}

    # Sessions, for their streams

    def open(self, vehicle_id: str, port: Port) -> Session:
        """A stream has come; its vehicle is that of the certificate."""
        record = self._records.of(vehicle_id)
        session = Session(uuid7(), record, self._terms, self._sink.has_room, self._now())
        self._ports[session.session_id] = session, port
        return session

    def feed(self, session: Session, frame: ConnectRequest, size_bytes: int = 0) -> None:
        """A frame of so many bytes has come up."""
        now = self._now()
        charged = session.charge(frame, size_bytes, now)
        self._apply(session, [*charged, *session.feed(frame, now)])
        # A writer that is woken for nothing costs as much as the frame did.
        if session.lanes.waiting(now.boottime_s, self.permit_every_s):
            self.wake(session)
        if session.lanes.permit_rides:  # also beside a stop set, on which none rides
            self._riders[session.session_id] = session

    def close(self, session: Session, close: Close) -> None:
        """The stream has ended, or has to. Idempotent."""
        self._apply(session, session.close(close, self._now()))

    def may_move(self, session: Session, now_s: float) -> tuple[float, PermitDenial]:
        """What to write into a permit now."""
        holds = session.says_latched or self.board.holds(session.vehicle_id)
        ttl_s, denial = self.leave.answer(now_s, holds=holds, newest=not session.superseded)
        self._meters.permit(denial)
        return ttl_s, denial

    @property
    def permit_every_s(self) -> float:
        """A permit that rides on nothing else goes to a vehicle at most so often: with many, it is half of all work."""
        many = len(self._ports) > ANSWERS_ALL_OF
        return self._terms.permit_ttl_s / (PERMITS_PER_TTL_OF_MANY if many else PERMITS_PER_TTL)

    def written(self, session: Session, outgoing: Outgoing) -> None:
        """A frame has gone down. For a stop that is SENT: our word about our write, no more."""
        if outgoing.lane is Lane.STOP_SET and outgoing.stop_ids:
            now = self._now()
            sent = [
                StopProgress(stop_id=stop_id, stage=StopStage.STOP_STAGE_SENT, event_time=now.timestamp)
                for stop_id in outgoing.stop_ids
            ]
            session.progress.keep(sent)
            self._meters.stops("sent", len(sent))
            if session.is_open:
                self.links.report(session, sent, now_s=now.boottime_s)
            self._steps.sent(session.vehicle_id, outgoing.stop_ids, now)

    @property
    def stream_count(self) -> int:
        return len(self._ports)

    # Time, for timers

    def tick(self) -> None:
        """Every TICK_S: silence, and status changes that found no room."""
        now = self._now()
        for session, port in list(self._ports.values()):
            self._apply(session, session.tick(now))
            if port.stalled_s(now.boottime_s) >= WRITE_STALL_S:
                self.close(session, STALLED)
        for vehicle_id in self.loans.settle(now.boottime_s):
            returned = self.registry.get(vehicle_id)
            if returned is not None:
                returned.lend(0)
        self._pump_status()

    def end_rides(self) -> None:
        """Every PERMIT_RIDES_S: permits that have waited for an ack go alone."""
        waited, self._older_riders, self._riders = self._older_riders, self._riders, {}
        now_s = self._now().boottime_s
        for session in waited.values():
            session.lanes.permit.waited()
            if session.lanes.waiting(now_s, self.permit_every_s):
                self.wake(session)

    def beat(self) -> None:
        """Every lease_ttl / BEATS_PER_LEASE."""
        self.links.beat(self.leave.beat(self._now().boottime_s))

    def pulse(self, turn: int = 0) -> None:
        """Each of the turns, 0 up to PULSE_TURNS, once in PULSE_S."""
        self.links.pulses(self.registry.turn(turn), turn, self._now().boottime_s)

    def drain(self, delay_s: float) -> None:
        """Asks every vehicle to move to another gateway."""
        for session, port in self._ports.values():
            session.lanes.drain(delay_s, "GATEWAY_STOPS")
            port.wake()

    # The stop set

    def merge(self, delta: SetDelta, source: LinkEnd | None) -> None:
        """Takes what a command service has, and passes on what was new: down at once, then sideways."""
        new = self.board.merge(delta)
        if source is not None:
            source.lanes.knows(delta)
            self.links.brought(new.stops, source)
        self._spread(new, source)
        brought = {release.release_id for release in delta.releases}
        waited = tuple(release for release in new.releases if release.release_id not in brought)
        if waited and source is not None:
            # Withdrawals that waited here for these stops: whoever has brought the stops does not know of them.
            source.lanes.stop_set(SetDelta(releases=waited))
            source.wake()

    def _merge_brought(self, session: Session, delta: SetDelta) -> bool:
        """Takes what a vehicle brings. False where that closed its session."""
        try:
            merged = self.board.merge_brought(delta, session.vehicle_id)
        except Illegal as error:
            self.close(session, error.close)
            return False
        self._meters.stops("ignored", merged.foreign + session.ignored_releases)
        session.ignored_releases = 0
        self._spread(merged.new, None)
        return True

    def _spread(self, new: SetDelta, source: LinkEnd | None) -> None:
        if not new:
            return
        fan_out = self.board.fan_out(new)
        for session in self.registry:
            frames = fan_out.frames_for(session.vehicle_id)
            for frame in frames:
                session.lanes.stop_set(frame)
            if frames:
                self.wake(session)
        self.links.spread(new, source)
        self._steps.began(new.stops, self._now())
        self._meters.stops("merged", len(new.stops) + len(new.releases))

    # Kafka's word

    def acks_due(self, vehicle_ids: Iterable[str]) -> None:
        for vehicle_id in vehicle_ids:
            session = self.registry.get(vehicle_id)
            if session is not None:
                self.wake(session)
        self._pump_status()

    def offer_again(self, vehicle_id: str, reason: str) -> None:
        """Some of its readings will never arrive: asks for them. The stream stays, for the stop path's sake."""
        session = self.registry.get(vehicle_id)
        if session is not None:
            self._apply(session, session.offer_again(reason, self._now()))
            self.wake(session)

    def readings_lost(self, count: int) -> None:
        self._meters.lost(count)

    def status_settled(self, vehicle_id: str, *, delivered: bool) -> None:
        self.status.settled(vehicle_id, delivered=delivered)

    def _pump_status(self) -> None:
        merged = self.status.merged
        for change in self.status.take(self._sink.room):
            if not self._sink.status(change):
                self.status.settled(change.vehicle_id, delivered=False)
        self._meters.event("status_change_merged", self.status.merged - merged)

    # What sessions want done

    def _apply(self, session: Session, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Readings():
                    self._take(session, effect.intake)
                case Reported():
                    now = self._now()
                    self.links.report(session, effect.progress, effect.status, now_s=now.boottime_s)
                    self._steps.reported(session.vehicle_id, effect.progress, now)
                case OrderReported():
                    self.links.order_report(effect.request_id, effect.outcome)
                case Changed():
                    self.status.put(effect.change)
                    self._pump_status()
                case Brought():
                    self._merge_brought(session, effect.delta)
                case Opened():
                    self._opened(session, effect.brought)
                case ReadingsDeclined():
                    self._meters.declined(effect.count)
                case Throttled():
                    self._meters.throttled(effect.reason)
                case HeldBack():
                    self._ports[session.session_id][1].hold(effect.seconds)
                    self._meters.event("held_back")
                case Lost():
                    self._lost(session, effect)
                case LossDeclined():
                    self._meters.event("lost_range_declined")
                case Close():
                    self._closed(session, effect)

    def _opened(self, session: Session, brought: SetDelta) -> None:
        """In this order: the set first, whatever else; then the older session; then Welcome."""
        if not self._merge_brought(session, brought):
            return
        older = self.registry.open(session)
        if older is not None:
            self.close(older, OLD_SESSION)
        if older is session:
            return
        latched = [*session.status.latched_stop_ids, *(stop.stop_id for stop in brought.stops)]
        for frame in self.board.first_frames(session.vehicle_id, latched):
            session.lanes.stop_set(frame)
        session.lend(self.loans.of(session.vehicle_id))
        session.welcome()
        self._announced.add(session.session_id)
        self.links.opened(session)

    def _take(self, session: Session, intake: Intake) -> None:
        left_out = self._sink.take(intake, session.record)
        self._meters.intake(intake)
        if intake.backfilled >= LEND_FROM:
            session.lend(self.loans.lend(session.vehicle_id, session.record.acks, self._now().boottime_s))
        if left_out:
            self._apply(session, session.offer_again("KAFKA_BACKLOG", self._now()))
            self._meters.declined(left_out)

    def _lost(self, session: Session, lost: Lost) -> None:
        _log.warning("%s gave up readings %d to %d: %s", session.vehicle_id, lost.first, lost.last, lost.reason)
        if not self._sink.lost(lost, session.record):
            self._apply(session, session.decline_loss(self._now()))

    def _closed(self, session: Session, close: Close) -> None:
        _, port = self._ports.pop(session.session_id)
        self.registry.close(session)
        if session.has_hello:
            for request_id, outcome in session.orders.abandon(self._now()):
                self.links.order_report(request_id, outcome)
        if session.session_id in self._announced:
            self._announced.remove(session.session_id)
            self.links.closed(session, close.reason, self._now())
        self._meters.closed(close.reason)
        _log.info("%s: stream closed: %s %s", session.vehicle_id, close.reason, close.message)
        port.end(close)

    def wake(self, session: Session) -> None:
        entry = self._ports.get(session.session_id)
        if entry is not None:
            entry[1].wake()
