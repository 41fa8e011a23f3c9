"""A hub with a clock, a Kafka and streams that do what the test says."""

from dataclasses import replace
from functools import partial

from haul.command.v1.order_pb2 import MotionEtag, Order
from haul.link.v1 import gateway_link_service_pb2 as link_pb
from haul.link.v1 import vehicle_link_service_pb2 as pb
from haul.telemetry.v1.telemetry_pb2 import StatusChange

from ingest_gateway.allowance import UNLIMITED, Rates
from ingest_gateway.effects import Close, Lost
from ingest_gateway.from_site import FromSite
from ingest_gateway.hub import Hub
from ingest_gateway.intake import Intake
from ingest_gateway.lanes import Outgoing
from ingest_gateway.leave import Leave
from ingest_gateway.link_state import LinkState
from ingest_gateway.links import LinkEnd, Links
from ingest_gateway.meters import Meters
from ingest_gateway.moment import Moment
from ingest_gateway.record import VehicleRecord
from ingest_gateway.session import Session
from pitwall import wire
from pitwall.domain.permit import PermitTerms
from pitwall.domain.stop_set import Release, Stop
from tests.unit.ingest_gateway.builders import EPOCH, TERMS, VEHICLE, at, delta, hello

#: Lent to one vehicle of a site, and to all of them.
LENT = 800


class FakeSink:
    """Keeps what it is given. `room` is what is left."""

    def __init__(self) -> None:
        self.room = 1_000
        self.intakes: list[Intake] = []
        self.losses: list[Lost] = []
        self.changes: list[StatusChange] = []

    def has_room(self, count: int) -> bool:
        return self.room >= count

    def take(self, intake: Intake, record: VehicleRecord) -> int:
        self.intakes.append(intake)
        return 0

    def lost(self, lost: Lost, record: VehicleRecord) -> bool:
        self.losses.append(lost)
        return self.room > 0

    def status(self, change: StatusChange) -> bool:
        self.changes.append(change)
        return self.room > 0


class Vehicle:
    """The stream of one vehicle, as the hub sees it, with what the vehicle got."""

    def __init__(self, site: "Site", vehicle_id: str = VEHICLE) -> None:
        self._site, self.vehicle_id = site, vehicle_id
        self.woken = 0
        self.held_s = 0.0
        self.closed: Close | None = None
        self.writing_since_s: float | None = None
        self.session: Session = site.hub.open(vehicle_id, self)

    def wake(self) -> None:
        self.woken += 1

    def hold(self, seconds: float) -> None:
        self.held_s += seconds

    def end(self, close: Close) -> None:
        assert self.closed is None, "a stream ends once"
        self.closed = close

    def stalled_s(self, now_s: float) -> float:
        return 0.0 if self.writing_since_s is None else now_s - self.writing_since_s

    def say(self, frame: pb.ConnectRequest) -> "Vehicle":
        self._site.hub.feed(self.session, frame, frame.ByteSize())
        return self

    def say_hello(self, connect_count: int = 1, *stops: Stop | Release, heartbeat: int = 0) -> "Vehicle":
        frame = hello(self._site.now_s, vehicle_id=self.vehicle_id, connect_count=connect_count, heartbeat=heartbeat)
        frame.hello.stop_set.CopyFrom(wire.set_to_proto(delta(*stops)))
        return self.say(frame)

    def beat(self, number: int) -> "Vehicle":
        return self.say(pb.ConnectRequest(heartbeat_number=number))

    def write_one(self) -> pb.ConnectResponse | None:
        """What its writer would write now."""
        outgoing = self.next()
        if outgoing is None:
            return None
        if outgoing.request_id:
            self.session.orders.sent(outgoing.request_id)
        self._site.hub.written(self.session, outgoing)
        return pb.ConnectResponse.FromString(outgoing.data)

    def next(self) -> Outgoing | None:
        hub = self._site.hub
        leave = partial(hub.may_move, self.session)
        return self.session.next_frame(leave, self._site.now_s, hub.permit_every_s)

    def write_all(self) -> list[pb.ConnectResponse]:
        frames = []
        while (frame := self.write_one()) is not None:
            frames.append(frame)
        return frames


class Site:
    """A gateway with so many command services, none of them attached yet."""

    def __init__(self, members: int = 1, rates: Rates = UNLIMITED) -> None:
        names = tuple(f"c-{number}" for number in range(1, members + 1))
        self.now_s = 100.0
        self.sink, self.links = FakeSink(), Links(names)
        self.leave = Leave(names, PermitTerms(), self.now_s)
        terms = replace(TERMS, rates=rates, max_lent_readings=LENT, lent_pool=LENT)
        self.hub = Hub(terms, self.leave, self.links, self.sink, Meters(), self.now)
        self.from_site = FromSite(self.hub, "gateway-1", "instance", Meters(), self.now)
        self._states: dict[str, LinkState] = {}
        self._exchanges = 0

    def now(self) -> Moment:
        return at(self.now_s)

    def vehicle(self, vehicle_id: str = VEHICLE) -> Vehicle:
        return Vehicle(self, vehicle_id)

    def end(self, number: int = 1) -> LinkEnd:
        return self.links.ends[number - 1]

    def attach(self, number: int = 1, *entries: Stop | Release) -> list[link_pb.AttachRequest]:
        """Connects a command service that holds these. Returns what it heard."""
        end = self.end(number)
        self._states[end.member] = self.from_site.attach(end)
        self.push(number, *entries)
        return self.heard(number)

    def push(self, number: int, *entries: Stop | Release) -> None:
        self._exchanges += 1
        push = link_pb.StopSetPush(stop_set=wire.set_to_proto(delta(*entries)), exchange_id=self._exchanges)
        self.say(number, link_pb.AttachResponse(stop_set=push))

    def lease(self, number: int = 1, ttl_s: float = 2.0) -> None:
        """Beats, and this command service consents."""
        self.hub.beat()
        beats = [frame.beat.beat_number for frame in self.heard(number) if frame.HasField("beat")]
        lease = link_pb.Lease(beat_number=beats[-1], ttl=wire.duration(ttl_s))
        self.say(number, link_pb.AttachResponse(lease=lease))

    def order(self, vehicle_id: str = VEHICLE, connect_count: int = 1, request_id: str = "o-1") -> None:
        etag = MotionEtag(boot_epoch=EPOCH, connect_count=connect_count)
        target = link_pb.OrderPushTarget(vehicle_id=vehicle_id, etag=etag)
        push = link_pb.OrderPush(order=Order(request_id=request_id), targets=[target])
        self.say(1, link_pb.AttachResponse(order=push))

    def say(self, number: int, frame: link_pb.AttachResponse) -> None:
        end = self.end(number)
        self.from_site.feed(end, self._states[end.member], frame)

    def heard(self, number: int = 1) -> list[link_pb.AttachRequest]:
        """What has gone up to a command service since the last look; time enough passes for gathered reports."""
        frames = []
        while (frame := self.end(number).lanes.next(self.now_s + 1)) is not None:
            frames.append(frame)
        return frames


def leased() -> Site:
    """With one command service, attached and in consent."""
    site = Site()
    site.attach()
    site.lease()
    return site
