"""One vehicle's agent: gate, mission, own stops, orders and readings put together. Pure, as its parts are.

Each method takes what has happened and returns what to do, in order (see `effects`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from haul.command.v1 import stop_pb2
from haul.link.v1 import vehicle_link_service_pb2 as link

from edge_agent import frames
from edge_agent.downlink import Acked, Event, OrderCame, OrderUnreadable, PermitCame, SetCame
from edge_agent.effects import Effect, LatchRecord, ReportOrder, ShareOwn, StoreReading, in_order
from edge_agent.gate import Gate
from edge_agent.limits import MAX_HELLO_SET_BYTES, REMEMBERED_ANSWERS
from edge_agent.mission import Mission
from edge_agent.moment import Moment
from edge_agent.orders import OrderDesk
from edge_agent.own_stops import OwnStops
from edge_agent.sampling import Sampler
from edge_agent.uplink import PROTOCOL_VERSION
from edge_agent.vehicle import DRIVE_FAULT, LOWEST_DECELERATION_MPS2, VehicleSample
from pitwall import wire
from pitwall.domain.order import OrderOutcome, OrderResult, RequestMemory
from pitwall.domain.stop_set import SetDelta
from pitwall.domain.vehicle_state import VehicleStatus


@dataclass(frozen=True, slots=True)
class Brought:
    """What the disk remembers of the vehicle, and the epoch of this boot."""

    boot_epoch: int
    status: VehicleStatus = VehicleStatus.IDLE
    autonomous: bool = True
    latch: LatchRecord = field(default_factory=LatchRecord)
    answers: RequestMemory = field(default_factory=lambda: RequestMemory(REMEMBERED_ANSWERS))


@dataclass(frozen=True, slots=True)
class Make:
    """What a vehicle is and how its agent works. `phase` (0 up to 1) spreads vehicles of one process over time."""

    vehicle_id: str
    uri: str
    software_version: str
    rate_hz: float
    seed: int
    time_scale: float
    phase: float
    new_id: Callable[[], str]
    #: It consents to drills.
    drills: bool = False


class VehicleAgent:
    """`sample`: the first one, None where the vehicle gave none in time."""

    def __init__(self, make: Make, brought: Brought, sample: VehicleSample | None, now: Moment) -> None:
        self._make = make
        #: Streams opened since the start.
        self.connect_count = 0
        mission = Mission(make.vehicle_id, brought.status, seed=make.seed, time_scale=make.time_scale)
        self.gate = Gate(make.vehicle_id, brought.boot_epoch, mission, now.s)
        self.gate.autonomous = brought.autonomous
        self._sampler = Sampler(make.vehicle_id, brought.boot_epoch, make.rate_hz, make.phase, now.s)
        self._own = OwnStops(make.vehicle_id, make.uri, make.new_id)
        self._desk = OrderDesk(self.gate, brought.answers, drills=make.drills)
        self._brought, self._first_sample = brought, sample

    def start(self, now: Moment) -> list[Effect]:
        """Takes up what was brought: where the vehicle is, then what holds it."""
        effects: list[Effect] = []
        if self._first_sample is not None:
            effects += self.gate.sample(self._first_sample, now.s)
        effects += self.gate.restore(self._brought.latch, now.s)
        self._own.adopt(self.gate.stops)
        if self._own.names(DRIVE_FAULT) and self.gate.status is VehicleStatus.EMERGENCY_STOP:
            # It was ended between the latch and the status, each of which has a file of its own.
            effects += self.gate.fail(now.s, DRIVE_FAULT)
        return in_order(effects)

    # The vehicle

    def sampled(self, sample: VehicleSample, now: Moment) -> list[Effect]:
        """A new measurement."""
        effects = self.gate.sample(sample, now.s)
        own = self._own.judge(sample.faults, sample.measured_s, now.wall)
        if own:
            effects = [*effects, *self._merge(own, now.s), ShareOwn(own)]
            if any(stop.reason == DRIVE_FAULT for stop in own.stops):
                effects += self.gate.fail(now.s, DRIVE_FAULT)
        if self._desk.drill.under_way:
            effects = [*effects, *self._desk.measured(sample, now.s)]
        if self._sampler.due(sample.measured_s):
            effects = [*effects, self._reading(sample, sample.measured_s, now)]
        return in_order(effects)

    def interface_gone(self, now: Moment) -> list[Effect]:
        """The connection to the vehicle has ended."""
        return self.gate.cut_off(now.s)

    def tick(self, now: Moment) -> list[Effect]:
        """One control period."""
        effects = self.gate.tick(now.s)
        if self._desk.waiting:
            effects += self._desk.expire(self.connect_count, now.s)
        if self._desk.drill.under_way:
            effects += self._desk.look(now.s)
        if self._sampler.overdue(now.s):
            effects.append(self._reading(None, now.s, now))
        return effects

    def _reading(self, sample: VehicleSample | None, at_s: float, now: Moment) -> StoreReading:
        reading = self._sampler.reading(self.gate.snapshot(), sample, at_s, now)
        self.gate.sequence = self._sampler.sequence
        return StoreReading(reading)

    # The stream

    def connecting(self) -> None:
        """A stream is about to be opened."""
        self.connect_count += 1

    def receive(self, event: Event, now: Moment) -> list[Effect]:
        """What came down, except acks, which are the outbox's."""
        match event:
            case SetCame(delta):
                return self._merge(delta, now.s)
            case PermitCame(_, ttl_s, _) if ttl_s > 0 and self.takes_no_permits:
                return self.gate.lapse(now.s)
            case PermitCame(number, ttl_s, denial):
                return self.gate.permit(number, ttl_s, now.s, denial)
            case OrderCame(order, etag):
                lapsed = self.gate.lapse(now.s)
                return in_order(lapsed + self._desk.receive(order, etag, self.connect_count, now.s))
            case OrderUnreadable(request_id, problem):
                return [ReportOrder(request_id, OrderOutcome(OrderResult.REJECTED, "INVALID_ORDER", problem))]
            case Acked():
                return []

    @property
    def takes_no_permits(self) -> bool:
        """For a drill. What a gateway takes away is taken away all the same."""
        return self._desk.drill.takes_no_permits

    def _merge(self, delta: SetDelta, now_s: float) -> list[Effect]:
        effects = self.gate.merge(delta, now_s)
        self._own.adopt(self.gate.stops)
        return in_order(effects + self._desk.look(now_s))

    def hello(self, now: Moment) -> link.Hello:
        return link.Hello(
            vehicle_id=self._make.vehicle_id,
            boot_epoch=self._brought.boot_epoch,
            connect_count=self.connect_count,
            protocol_version=PROTOCOL_VERSION,
            software_version=self._make.software_version,
            status=frames.status_report(self.gate.snapshot(), now),
            stop_set=_bounded(self.gate.record),
            last_sequence=self._sampler.sequence,
            clock=now.clock(),
            lowest_deceleration_mps2=LOWEST_DECELERATION_MPS2,
        )

    # The disk

    def recorded(self, request_id: str, now: Moment, *, ok: bool) -> list[Effect]:
        """The record of an order is on disk, or can't be made."""
        lapsed = self.gate.lapse(now.s)
        return in_order(lapsed + self._desk.recorded(request_id, self.connect_count, now.s, ok=ok))

    def latch_durable(self, stop_ids: Iterable[str]) -> list[Effect]:
        """These latches are on disk."""
        return self.gate.durable(stop_ids)


def _bounded(record: LatchRecord) -> stop_pb2.StopSet:
    """What the vehicle brings along, latches first, as far as a frame holds it.

    What is left out holds the vehicle all the same; the ids of its latches are in the status report.
    """
    message = stop_pb2.StopSet()
    stops = sorted(record.carried.stops, key=lambda stop: stop.stop_id not in record.latched)
    size = 0
    for release in record.carried.releases:
        message.releases.append(wire.release_to_proto(release))
    size = message.ByteSize()
    for stop in stops:
        added = wire.stop_to_proto(stop)
        size += added.ByteSize() + 8
        if size > MAX_HELLO_SET_BYTES:
            break
        message.stops.append(added)
    return message
