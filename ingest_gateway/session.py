"""One vehicle's stream as a pure machine: feed(frame, now) -> effects; next_frame(...) -> bytes to write.

Hello comes first and once. Its answer is the stop set that applies to the vehicle, then Welcome; only then readings are
taken and heartbeats answered. Whatever breaks the protocol ends the stream with a code, a reason and the field; a bad
reading never does: it is refused by name, and the good ones around it are taken.

Time comes in with each call. Nothing here knows gRPC, Kafka or an event loop.
"""

from collections.abc import Callable
from enum import Enum, auto

from haul.link.v1 import vehicle_link_service_pb2 as pb

from ingest_gateway.acks import Known
from ingest_gateway.allowance import FREE
from ingest_gateway.brought import read_brought
from ingest_gateway.clock_offset import NANOS
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
    illegal,
)
from ingest_gateway.hello import Introduction, SessionKey, checked_status, read_clock, read_hello
from ingest_gateway.intake import take_in
from ingest_gateway.lanes import Lanes, Leave, Outgoing
from ingest_gateway.limits import (
    CLOSE_SILENT_AFTER_S,
    HELLO_WITHIN_S,
    MAX_BATCH_BYTES,
    MAX_HELD_S,
    MAX_READINGS_PER_BATCH,
    MAX_REASON_CHARACTERS,
    silent_after_s,
)
from ingest_gateway.moment import Moment
from ingest_gateway.orders import OrderDesk
from ingest_gateway.presence import Presence
from ingest_gateway.progress import ProgressBook, checked_progress
from ingest_gateway.pulse import Pulse
from ingest_gateway.record import VehicleRecord
from ingest_gateway.terms import Terms
from ingest_gateway.window import ReadingWindow
from pitwall import wire
from pitwall.wire import MAX_NUMBER


class State(Enum):
    AWAITING_HELLO = auto()
    OPEN = auto()
    CLOSED = auto()


#: Whether Kafka's backlog takes so many more readings.
HasRoom = Callable[[int], bool]


class Session:
    """To be fed by one reader and drained by one writer. `record` outlives it."""

    def __init__(self, session_id: str, record: VehicleRecord, terms: Terms, has_room: HasRoom, now: Moment) -> None:
        self.session_id, self.record, self.terms = session_id, record, terms
        self.vehicle_id = record.vehicle_id
        self.lanes = Lanes(record.acks)
        self.orders = OrderDesk(self.lanes, self.vehicle_id)
        self.progress = ProgressBook()
        self.pulse = Pulse(self.vehicle_id)
        self.state = State.AWAITING_HELLO
        self.heartbeat_number = 0
        self.status = pb.StatusReport()
        #: Set by the hub when a newer session of the vehicle is known.
        self.superseded = False
        self.ignored_releases = 0
        self._silent_after_s = silent_after_s(terms.permit_ttl_s)
        self._window = ReadingWindow(terms.max_unacked_readings, record.acks, has_room)
        self._heard = now
        self._introduction: Introduction | None = None
        self._presence = Presence(self.vehicle_id, 0, 0)

    # What it is

    @property
    def introduction(self) -> Introduction:
        """What Hello said. Only of a session that has been opened."""
        assert self._introduction is not None, "no Hello yet"
        return self._introduction

    @property
    def key(self) -> SessionKey:
        return self.introduction.key

    @property
    def has_hello(self) -> bool:
        return self._introduction is not None

    @property
    def is_open(self) -> bool:
        return self.state is State.OPEN

    @property
    def connected(self) -> bool:
        """Open, and heard of late."""
        return self.is_open and self._presence.connected

    @property
    def says_latched(self) -> bool:
        """Whether the vehicle itself says that a stop has hold of it."""
        return bool(self.status.latched_stop_ids)

    # What comes up

    def feed(self, frame: pb.ConnectRequest, now: Moment) -> list[Effect]:
        """Takes a frame. A Close among the effects is the last one."""
        if self.state is State.CLOSED:
            return []
        heard: list[Effect] = []
        try:
            if self.state is State.AWAITING_HELLO:
                return self._first(frame, now)
            heard = self._hear(frame.heartbeat_number, now)
            return heard + _HANDLERS[frame.WhichOneof("body")](self, frame, now)
        except Illegal as error:
            return heard + self.close(error.close, now)

    def charge(self, frame: pb.ConnectRequest, size_bytes: int, now: Moment) -> list[Effect]:
        """Counts a frame against what the vehicle may send; to be fed all the same. Hello is free: it has to come."""
        if not self.is_open:
            return []
        charge = self.record.allowance.spend(len(frame.reading_batch.readings), size_bytes, now.boottime_s)
        if charge is FREE:
            return []
        if charge.cut:
            text = f"too much ({charge.reason}), and held back for {MAX_HELD_S:g} s; wait when a Throttle asks"
            return self.close(Close(Code.RESOURCE_EXHAUSTED, "RATE_EXCEEDED", text), now)
        effects: list[Effect] = []
        if charge.throttle_s:
            self.lanes.throttle(charge.throttle_s, charge.reason)
            effects.append(Throttled(charge.reason))
        if charge.hold_s:
            effects.append(HeldBack(charge.hold_s))
        return effects

    def tick(self, now: Moment) -> list[Effect]:
        """Looks for silence. To be called every TICK_S."""
        silent_s = now.boottime_s - self._heard.boottime_s
        if self.state is State.AWAITING_HELLO and silent_s >= HELLO_WITHIN_S:
            text = f"no Hello within {HELLO_WITHIN_S:g} s; send it first"
            return self.close(Close(Code.DEADLINE_EXCEEDED, "HELLO_MISSING", text), now)
        if self.is_open and silent_s >= CLOSE_SILENT_AFTER_S:
            text = f"nothing heard for {CLOSE_SILENT_AFTER_S:g} s; send heartbeats and reconnect"
            return self.close(Close(Code.DEADLINE_EXCEEDED, "SILENT", text), now)
        if self.connected and silent_s >= self._silent_after_s:
            return self._lost("SILENT", now)
        return []

    def close(self, close: Close, now: Moment) -> list[Effect]:
        """Ends it, for whatever reason; nothing goes down any more. Idempotent."""
        if self.state is State.CLOSED:
            return []
        lost = self._lost(close.reason, now) if self.is_open and not self.superseded else []
        self.state = State.CLOSED
        return [*lost, close]

    def offer_again(self, reason: str, now: Moment) -> list[Effect]:
        """Some readings will not arrive after all: at the end of a Throttle the vehicle offers what has no ack."""
        wait_s = self._window.pause(now.boottime_s)
        if not (self.is_open and wait_s):
            return []
        self.lanes.throttle(wait_s, reason)
        return [Throttled(reason)]

    def decline_loss(self, now: Moment) -> list[Effect]:
        """There is no room for it: at the end of a Throttle the vehicle says it again."""
        return [LossDeclined(), *self.offer_again("KAFKA_BACKLOG", now)]

    def lend(self, readings: int) -> None:
        """So many may be on their way on top of the vehicle's share, from now on. It is told with its next ack."""
        if readings != self._window.lent:
            self._window.lend(readings)
            self.lanes.window(self._window.size)

    # What goes down

    def welcome(self) -> None:
        """To be called once, after the stop set has been put into its lane."""
        terms = self.terms
        self.lanes.welcome(
            pb.Welcome(
                gateway=terms.gateway,
                session_id=self.session_id,
                permit_ttl=wire.duration(terms.permit_ttl_s),
                protocol_version=self.introduction.protocol_version,
                max_readings_per_batch=MAX_READINGS_PER_BATCH,
                max_batch_bytes=MAX_BATCH_BYTES,
                max_unacked_readings=self._window.size,
            )
        )

    def next_frame(self, leave: Leave, now_s: float, permit_every_s: float = 0.0) -> Outgoing | None:
        """What to write now; None where nothing waits, and forever once it is closed."""
        return self.lanes.next(leave, now_s, permit_every_s) if self.is_open else None

    # Frames

    def _first(self, frame: pb.ConnectRequest, now: Moment) -> list[Effect]:
        if frame.WhichOneof("body") != "hello":
            raise illegal("HELLO_MISSING", "hello", "must be the first frame of a stream")
        said = read_hello(frame.hello, self.vehicle_id)
        self._introduction, self.status = said, said.status
        self.ignored_releases += said.brought.ignored
        self.record.clocks.sample(said.key.boot_epoch, said.clock, now)
        self._presence = Presence(self.vehicle_id, said.key.boot_epoch, said.key.connect_count)
        self._presence.hello(said.status, said.last_sequence)
        self.state = State.OPEN
        return [Opened(said.brought.delta), *self._hear(frame.heartbeat_number, now)]

    def _second_hello(self, frame: pb.ConnectRequest, now: Moment) -> list[Effect]:
        raise illegal("HELLO_TWICE", "hello", "came a second time; open a new stream instead")

    def _hear(self, heartbeat_number: int, now: Moment) -> list[Effect]:
        self._heard = now
        if heartbeat_number > self.heartbeat_number:
            self.heartbeat_number = heartbeat_number
            self.lanes.permit.heartbeat(heartbeat_number)
        if self._presence.connected:
            return []
        return [Changed(self._presence.connect(now.wall_ns, now.wall_ns))]

    def _batch(self, frame: pb.ConnectRequest, now: Moment) -> list[Effect]:
        batch = frame.reading_batch
        self._check_batch(batch)
        if batch.HasField("clock"):
            self.record.clocks.sample(self.key.boot_epoch, read_clock(batch.clock, "reading_batch.clock"), now)
        verdict = self._window.ask(batch.boot_epoch, len(batch.readings), now.boottime_s, self._repeated(batch))
        if verdict.close is not None:
            return self.close(verdict.close, now)
        effects: list[Effect] = []
        if verdict.throttle_s:
            self.lanes.throttle(verdict.throttle_s, verdict.reason)
            effects.append(Throttled(verdict.reason))
        if not verdict.take:
            return [*effects, ReadingsDeclined(len(batch.readings))]
        intake = take_in(batch, self.record, now)
        if intake.newest_live is not None and batch.boot_epoch == self.key.boot_epoch:
            self.pulse.reading(intake.newest_live, now)
        return [Readings(intake)]

    def _repeated(self, batch: pb.ReadingBatch) -> int:
        """How many of a batch are on their way already. A healthy vehicle's begins beyond what is known."""
        readings, acks = batch.readings, self.record.acks
        if not readings or readings[0].sequence > acks.newest(batch.boot_epoch):
            return 0
        return acks.repeated(batch.boot_epoch, [reading.sequence for reading in readings])

    def _check_batch(self, batch: pb.ReadingBatch) -> None:
        if not 1 <= batch.boot_epoch <= self.key.boot_epoch:
            text = f"{batch.boot_epoch} is not within 1 to {self.key.boot_epoch}, the epoch of Hello"
            raise illegal("OUT_OF_RANGE", "reading_batch.boot_epoch", text)
        if len(batch.readings) > MAX_READINGS_PER_BATCH:
            text = f"has {len(batch.readings)} readings, at most {MAX_READINGS_PER_BATCH} are taken; see Welcome"
            raise illegal("TOO_MANY", "reading_batch.readings", text)

    def _stop_report(self, frame: pb.ConnectRequest, now: Moment) -> list[Effect]:
        report = frame.stop_report
        effects: list[Effect] = []
        if report.HasField("own"):
            brought = read_brought(report.own, self.vehicle_id, "stop_report.own")
            self.ignored_releases += brought.ignored
            effects.append(Brought(brought.delta))
        progress = checked_progress(report.progress)
        status = checked_status(report.status, "stop_report.status") if report.HasField("status") else None
        self.progress.keep(progress)
        if progress or status:
            effects.append(Reported(progress, status))
        return effects + self._said(status, now) if status else effects

    def _order_report(self, frame: pb.ConnectRequest, now: Moment) -> list[Effect]:
        report = frame.order_report
        return [OrderReported(report.request_id, self.orders.reported(report))]

    def _status_report(self, frame: pb.ConnectRequest, now: Moment) -> list[Effect]:
        status = checked_status(frame.status_report, "status_report")
        return [Reported(status=status), *self._said(status, now)]

    def _said(self, status: pb.StatusReport, now: Moment) -> list[Effect]:
        was_latched, self.status = self.says_latched, status
        if was_latched and not self.says_latched:
            self.lanes.permit.again()  # released: people are waiting to order it on
        corrector = self.record.clocks.corrector(0, now)
        time = self.status.event_time
        said = self.status.HasField("event_time")
        event_ns = corrector.event_ns(time.seconds * NANOS + time.nanos, 0) if said else now.wall_ns
        change = self._presence.report(self.status, event_ns, now.wall_ns)
        return [Changed(change)] if change else []

    def _lost_range(self, frame: pb.ConnectRequest, now: Moment) -> list[Effect]:
        lost = frame.lost_range
        first, last = lost.range.first_sequence, lost.range.last_sequence
        if not (1 <= first <= last <= MAX_NUMBER and 1 <= lost.boot_epoch <= self.key.boot_epoch):
            text = f"{first} to {last} of boot_epoch {lost.boot_epoch} is no range of this vehicle"
            raise illegal("OUT_OF_RANGE", "lost_range", text)
        known = self.record.acks.loss_known(lost.boot_epoch, first, last)
        if known is Known.IN_FLIGHT:
            return []
        if not self._window.takes_loss(lost.boot_epoch):
            return self.decline_loss(now)
        if known is Known.DURABLE:
            self.record.acks.again(lost.boot_epoch, first, last)
            return []
        reason = lost.reason[:MAX_REASON_CHARACTERS]
        record = pb.LostRange(boot_epoch=lost.boot_epoch, range=lost.range, reason=reason)
        record.range.DiscardUnknownFields()
        return [Lost(lost.boot_epoch, first, last, reason, record.SerializeToString())]

    def _lost(self, reason: str, now: Moment) -> list[Effect]:
        change = self._presence.lose(self._heard.wall_ns, now.wall_ns, reason)
        return [Changed(change)] if change else []


_HANDLERS: dict[str | None, Callable[[Session, pb.ConnectRequest, Moment], list[Effect]]] = {
    None: lambda _, __, ___: [],
    "hello": Session._second_hello,
    "reading_batch": Session._batch,
    "stop_report": Session._stop_report,
    "order_report": Session._order_report,
    "status_report": Session._status_report,
    "lost_range": Session._lost_range,
}
