"""One vehicle in the process: carries out what its agent wants, in the order in which it is wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from haul.link.v1 import vehicle_link_service_pb2 as link

from edge_agent.agent import VehicleAgent
from edge_agent.downlink import Acked, PermitCame
from edge_agent.effects import (
    Apply,
    Effect,
    LatchRecord,
    PersistLatch,
    PersistState,
    RecordOrder,
    RememberAnswer,
    ReportOrder,
    ReportState,
    ReportStops,
    ShareOwn,
    StoreReading,
)
from edge_agent.limits import CONTROL_PERIOD_S, LIVE_WITHOUT_STREAM_S
from edge_agent.metrics import Counters
from edge_agent.moment import Moment
from edge_agent.outbox import NewReading
from edge_agent.outbox_commands import Command, Fetch, Lose, Remove
from edge_agent.outbox_writer import busy
from edge_agent.reports import Lost, Reports
from edge_agent.shipment import Shipment, Stored
from edge_agent.stages import Stage
from edge_agent.state import SaveAnswer, SaveState
from edge_agent.state_keeper import Begin, Item
from edge_agent.uplink import Leave, Session
from edge_agent.vehicle import VehicleInterface, VehicleSample
from pitwall import logs
from pitwall.clock import boottime_s
from pitwall.domain.permit import PermitDenial

_log = logs.get(__name__)


class Disks(Protocol):
    """Where the effects go that are written. None of these blocks."""

    def save_latch(self, vehicle_id: str, record: LatchRecord) -> None: ...
    def save_state(self, item: Item) -> None: ...
    def put_reading(self, command: Command) -> bool: ...


@dataclass(slots=True)
class Stream:
    """The vehicle's newest stream, the only one that it listens to."""

    session: Session
    #: Something is to be sent.
    wake: Callable[[], None]
    #: End it.
    leave: Callable[[Leave], None]


class HostedVehicle:
    """`answered` hears each permit's denial and says whether to leave the gateway for the next."""

    def __init__(
        self,
        vehicle_id: str,
        agent: VehicleAgent,
        interface: VehicleInterface,
        disks: Disks,
        counters: Counters,
        answered: Callable[[PermitDenial, float], bool],
        *,
        flush_interval_s: float = 0.0,
    ) -> None:
        self.vehicle_id, self.agent = vehicle_id, agent
        # What gathers is looked at in each control period, and one that comes a little early is still it.
        self.shipment = Shipment(max(0.0, flush_interval_s - CONTROL_PERIOD_S / 2))
        self.reports = Reports()
        self._interface, self._disks, self._counters, self._answered = interface, disks, counters, answered
        self._stream: Stream | None = None
        # Without a stream, what is stored by then is live still.
        self._live_until_s = boottime_s() + LIVE_WITHOUT_STREAM_S

    # Effects

    def do(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Apply(verdict):
                self._interface.apply(verdict)
            case PersistLatch(record):
                self._disks.save_latch(self.vehicle_id, record)
            case PersistState(status, autonomous):
                self._disks.save_state(SaveState(self.vehicle_id, status, autonomous))
            case RecordOrder(request_id):
                begun = SaveAnswer.begun(self.vehicle_id, request_id, Moment.now().wall.timestamp())
                self._disks.save_state(Begin(begun))
            case RememberAnswer(request_id, outcome):
                wall_s = Moment.now().wall.timestamp()
                self._disks.save_state(SaveAnswer(self.vehicle_id, request_id, outcome, wall_s))
            case StoreReading(reading):
                stored = Stored(reading.boot_epoch, reading.sequence, reading.SerializeToString())
                self._store(NewReading(self.vehicle_id, stored, reading.monotonic_nanos / 1e9))
            case _:
                self._report(effect)

    def _report(self, effect: Effect) -> None:
        stream, reports = self._stream, self.reports
        urgent = True
        match effect:
            case ReportOrder(request_id, outcome):
                self._counters.orders.add(1, {"result": outcome.result.name})
                _log.info("order", vehicle=self.vehicle_id, request_id=request_id, result=outcome.result.name)
                reports.answers.append(effect)
            case ReportStops(progress):
                reports.progress.extend(progress)
                # That a latch is on disk now waits for the next frame: while a fleet stops, each frame is work.
                urgent = not all(one.stage is Stage.RECEIVED and one.latched_durably for one in progress)
                self._counters.stops.reported(self.vehicle_id, progress, self.agent.gate.stops, Moment.now())
            case ShareOwn(delta):
                reports.share(delta)
            case ReportState(snapshot) if stream is not None:  # otherwise the next Hello says it
                reports.states.append(snapshot)
        if urgent:
            self.wake()

    def _store(self, new: NewReading) -> None:
        self._counters.readings.add(1, "generated")
        if not self._disks.put_reading(new):
            self.lost([busy(new)])

    def wake(self) -> None:
        if self._stream is not None:
            self._stream.wake()

    # From the vehicle and the control loop

    def sampled(self, sample: VehicleSample, now: Moment) -> None:
        self.do(self.agent.sampled(sample, now))

    def interface_gone(self) -> None:
        """The connection to the vehicle has ended."""
        self.do(self.agent.interface_gone(Moment.now()))

    def tick(self, now: Moment) -> None:
        self.do(self.agent.tick(now))
        stream = self._stream
        if stream is None:
            return
        leave = stream.session.check(now.s)
        if leave is not None:
            stream.leave(leave)
        elif self._has_news(stream.session, now.s):
            stream.wake()

    def _has_news(self, session: Session, now_s: float) -> bool:
        return bool(self.reports.progress) or session.heartbeat_due(now_s) or session.readings_due(now_s)

    def stand(self, now: Moment) -> None:
        """The last verdict before the agent ends: don't wait for the deadline."""
        self._interface.apply(replace(self.agent.gate.verdict(now.s), may_move=False, cause="AGENT_STOPS"))
        if self._stream is not None:
            self._stream.session.part("the agent stops", now.s)

    @property
    def unacked(self) -> int:
        """Readings on their way on a stream that is there."""
        return self.shipment.unacked if self.connected else 0

    # From the stream

    def opened(self, stream: Stream) -> None:
        """From now on this is the stream that counts."""
        self.reports.session_began(self.agent.gate.stages.all())
        self._stream = stream

    def closed(self, stream: Stream) -> None:
        if self._stream is stream:
            if self.connected:
                self._live_until_s = boottime_s() + LIVE_WITHOUT_STREAM_S
            self._stream = None

    @property
    def connected(self) -> bool:
        """A gateway has welcomed it."""
        return self._stream is not None and self._stream.session.is_open

    def received(self, stream: Stream, frame: link.ConnectResponse) -> None:
        """A frame came down. Raises ProtocolError."""
        if stream is not self._stream:
            return  # from an older stream
        now = Moment.now()
        for event in stream.session.receive(frame, now.s):
            if isinstance(event, Acked):
                self._acked(event)
            else:
                self.do(self.agent.receive(event, now))
            if isinstance(event, PermitCame):
                self._permitted(stream, event, now.s)
        reports = self.reports
        if reports.progress or reports.tells_lost or self.shipment.has_history or stream.session.readings_due(now.s):
            stream.wake()

    def _permitted(self, stream: Stream, permit: PermitCame, now_s: float) -> None:
        if permit.ttl_s > 0 and not self.agent.takes_no_permits:
            self._counters.permit_margin.record(max(0.0, self.agent.gate.permit_until_s - now_s))
        if self._answered(PermitDenial.NONE if permit.ttl_s > 0 else permit.denial, now_s):
            stream.session.part("the gateway has no majority of leases", now_s)

    def _acked(self, ack: Acked) -> None:
        self.shipment.gone(ack.boot_epoch, ack.ranges)
        self.reports.lost_known(ack.boot_epoch, ack.ranges)
        self._disks.put_reading(Remove(self.vehicle_id, ack.boot_epoch, ack.ranges))
        count = sum(len(r) for r in ack.ranges)
        self._counters.readings.add(count - len(ack.rejections), "acked")
        for rejected in ack.rejections:
            self._counters.readings.add(1, "rejected")
            _log.warning(
                "reading rejected",
                vehicle=self.vehicle_id,
                sequence=rejected.sequence,
                field=rejected.field,
                reason=rejected.reason,
                message=rejected.message,
            )

    # From the disks

    def stored(self, readings: Sequence[Stored]) -> None:
        """They may be offered now."""
        now_s, stream = boottime_s(), self._stream
        live = self.connected or now_s < self._live_until_s
        for reading in readings:
            if live:
                self.shipment.add(reading)
            else:
                self.shipment.on_disk(reading.boot_epoch, reading.sequence, reading.sequence)
        if stream is not None and (self.shipment.has_history or stream.session.readings_due(now_s)):
            stream.wake()

    def fetched(self, fetch: Fetch, readings: Sequence[Stored] | None) -> None:
        """History. What the disk should have had and has not is lost; a disk that could not say is asked again."""
        missing = self.shipment.fetched(fetch.wanted, readings)
        if missing:
            losses = tuple(Lost(fetch.wanted.boot_epoch, r, "NOT_ON_DISK") for r in missing)
            self._disks.put_reading(Lose(self.vehicle_id, losses))
            self.lost(losses)
        if readings is not None:
            self.wake()

    def lost(self, losses: Sequence[Lost]) -> None:
        """Readings that were given up."""
        for loss in losses:
            self._counters.readings.add(len(loss.range), "lost")
            self.shipment.gone(loss.boot_epoch, [loss.range])
            self.reports.lose(loss)
        self.wake()

    def want_history(self, session: Session, now_s: float) -> None:
        """Asks the disk for what the session could send next."""
        wanted = session.wanted(now_s)
        if wanted is not None and not self._disks.put_reading(Fetch(self.vehicle_id, wanted)):
            self.shipment.fetched(wanted, None)  # the disk is far behind: asked again later
