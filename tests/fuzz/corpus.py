"""Frames up as the agent's own code makes them, every kind of them; the same ones each time."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache

from haul.link.v1 import vehicle_link_service_pb2 as link
from haul.telemetry.v1.telemetry_pb2 import Reading

from edge_agent.agent import Brought, VehicleAgent
from edge_agent.downlink import OrderCame
from edge_agent.effects import Effect, ReportOrder, ReportState, ReportStops, ShareOwn, StoreReading
from edge_agent.moment import Moment
from edge_agent.reports import Lost, Reports
from edge_agent.shipment import Shipment, Stored
from edge_agent.uplink import Session
from edge_agent.vehicle_wire import FAULT_NAMES
from pitwall import wire
from pitwall.domain.order import MotionEtag, Order, SetStatus
from pitwall.domain.sequence import SequenceRange
from pitwall.domain.stop_set import SetDelta, Stop, ZoneScope
from pitwall.domain.vehicle_state import VehicleStatus
from tests.unit.edge_agent.builders import EPOCH, PIT, VEHICLE, WALL, make, stop
from tests.unit.edge_agent.rig import START_S, Rig, sample_of

#: Readings a second of the vehicle.
RATE_HZ = 10.0
#: Of each batch, as Welcome says.
BATCHES = (1, 10, 100)
SET = link.ConnectResponse(stop_set=wire.set_to_proto(SetDelta()))


class Driven:
    """One vehicle's agent under a made-up clock, and everything that it has sent."""

    def __init__(self) -> None:
        self.rig = Rig()
        brought = Brought(EPOCH, VehicleStatus.HAULING)
        self.agent = VehicleAgent(make(RATE_HZ), brought, sample_of(self.rig.vehicle), self.now)
        self.shipment, self.reports = Shipment(), Reports()
        self.frames: list[link.ConnectRequest] = []
        self.do(self.agent.start(self.now))

    @property
    def now(self) -> Moment:
        at_s = self.rig.now_s
        return Moment(at_s, WALL + timedelta(seconds=at_s - START_S))

    def do(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case StoreReading(reading):
                    self.shipment.add(Stored(reading.boot_epoch, reading.sequence, reading.SerializeToString()))
                case ReportStops(progress):
                    self.reports.progress.extend(progress)
                case ReportOrder():
                    self.reports.answers.append(effect)
                case ReportState(snapshot):
                    self.reports.states.append(snapshot)
                case ShareOwn(delta):
                    self.reports.share(delta)

    def connect(self, batch: int) -> None:
        """A stream that has its Welcome and a permit."""
        self.agent.connecting()
        self.reports.session_began(self.agent.gate.stages.all())
        self.session = Session(
            VEHICLE,
            self.agent.hello,
            self.agent.gate.heartbeats,
            self.shipment,
            self.reports,
            spread=0.0,
            now_s=self.now.s,
        )
        self.send()
        welcome = link.Welcome(
            permit_ttl=wire.duration(2), max_readings_per_batch=batch, max_batch_bytes=200_000, max_unacked_readings=250
        )
        for frame in (SET, link.ConnectResponse(welcome=welcome), self.permit()):
            self.hear(frame)

    def permit(self) -> link.ConnectResponse:
        number = self.agent.gate.heartbeats.newest
        return link.ConnectResponse(permit=link.Permit(heartbeat_number=number, ttl=wire.duration(2)))

    def hear(self, frame: link.ConnectResponse) -> None:
        for event in self.session.receive(frame, self.now.s):
            self.do(self.agent.receive(event, self.now))

    def drive(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.rig.step()
            self.do(self.agent.sampled(sample_of(self.rig.vehicle), self.now))
            self.do(self.agent.tick(self.now))
            self.hear(self.permit())

    def send(self) -> None:
        while (frame := self.session.next_frame(self.now)) is not None:
            self.frames.append(frame)

    def stopped(self, *stops: Stop) -> None:
        self.hear(link.ConnectResponse(stop_set=wire.set_to_proto(SetDelta(stops))))
        self.do(self.agent.latch_durable([one.stop_id for one in stops]))

    def faulty(self) -> None:
        """A fault of its own, which is a stop of its own."""
        bad = sample_of(self.rig.vehicle)._replace(faults=frozenset({FAULT_NAMES[0]}))
        self.do(self.agent.sampled(bad, self.now))

    def brings_history(self, count: int) -> None:
        """Readings of the boot before, from the disk."""
        self.shipment.on_disk(EPOCH - 1, 1, count)
        wanted = self.session.wanted(self.now.s)
        assert wanted is not None, "nothing holds history back"
        kept = [self._kept(sequence) for sequence in range(wanted.first, wanted.last + 1)]
        self.shipment.fetched(wanted, kept)

    def _kept(self, sequence: int) -> Stored:
        batches = (frame.reading_batch.readings for frame in self.frames)
        reading = Reading()
        reading.CopyFrom(next(readings[0] for readings in batches if readings))
        reading.boot_epoch, reading.sequence = EPOCH - 1, sequence
        return Stored(EPOCH - 1, sequence, reading.SerializeToString())

    def ordered(self) -> None:
        etag = MotionEtag(EPOCH, self.agent.connect_count, 0, self.agent.gate.heartbeats.newest)
        order = Order("order-1", SetStatus(VehicleStatus.IDLE), 10.0, "ana")
        self.do(self.agent.receive(OrderCame(order, etag), self.now))


@cache
def corpus() -> tuple[bytes, ...]:
    """Serialized ConnectRequests; the first one is a Hello."""
    driven = Driven()
    for batch in BATCHES:
        driven.connect(batch)
        driven.drive(12.0)
        driven.send()
        driven.shipment.gone(EPOCH, [SequenceRange(1, 2**62)])
    driven.stopped(stop("0198c0de-0000-7000-8000-000000000001"), stop("0198c0de-0000-7000-8000-000000000002", PIT))
    driven.ordered()
    driven.drive(3.0)
    driven.faulty()
    driven.reports.lose(Lost(EPOCH, SequenceRange(3, 9), "OUTBOX_FULL"))
    driven.send()
    driven.connect(10)
    driven.drive(1.0)
    driven.send()
    driven.brings_history(40)
    driven.send()
    driven.do(driven.agent.tick(driven.now))
    driven.rig.step(1.0)
    driven.send()
    return tuple(frame.SerializeToString() for frame in driven.frames)


assert isinstance(PIT, ZoneScope), "a frame with a zone in it is the largest kind"
