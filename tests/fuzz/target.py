"""A gateway's own code between bytes that come up and records for Kafka, without gRPC and without a broker.

Each frame is taken as the stream takes it. Whatever it is: nothing is raised that the stream does not know, a stream
that ends says why, what goes to Kafka is true, and another vehicle does not notice.
"""

from collections import Counter
from collections.abc import Callable

from google.protobuf.message import DecodeError
from haul.link.v1.vehicle_link_service_pb2 import ConnectRequest
from haul.telemetry.v1.telemetry_pb2 import Reading

from ingest_gateway.effects import Code
from ingest_gateway.from_site import FromSite
from ingest_gateway.hub import Hub
from ingest_gateway.limits import MAX_READING_BYTES
from ingest_gateway.meters import Meters
from ingest_gateway.servicer import raise_unless_ok
from ingest_gateway.sink import Sink
from ingest_gateway.stop_steps import StopSteps
from ingest_gateway.stream import MALFORMED
from ingest_gateway.tickets import Ticket
from ingest_gateway.validation import Expected, find_fault
from pitwall.kafka import Delivery
from pitwall.kafka_topics import TELEMETRY
from pitwall.rpc.errors import PitwallError, to_status
from pitwall.stop_trace import StopTrace
from tests.fuzz.corpus import corpus
from tests.fuzz.mutate import Mutator
from tests.unit.edge_agent.builders import VEHICLE
from tests.unit.ingest_gateway.builders import OTHER, TERMS
from tests.unit.ingest_gateway.site import Site, Vehicle

#: Frames of one seed; then everything begins anew, because what is brought into the stop set stays there.
ROUND = 500
#: One in so many is the first of its stream.
FIRST_ONE_IN = 6
#: Above what lies between two answers to heartbeats, seconds.
PERMIT_EVERY_S = 0.3
#: More than any one name takes; for people, in one line.
MAX_REASON_CHARACTERS = 40


class Bridge:
    """Kafka that takes everything, and reports when it is asked to."""

    trouble = None
    broken = False
    room = 100_000

    def __init__(self, report: Callable[[list[Delivery[Ticket]]], None]) -> None:
        self._report = report
        self._tokens: list[Ticket] = []
        self.telemetry: list[bytes] = []

    @property
    def in_flight(self) -> int:
        return len(self._tokens)

    def produce(
        self, topic: str, key: str, value: bytes, token: Ticket, headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        assert key, "records of one vehicle stay in order by its name"
        if topic == TELEMETRY.name:
            self.telemetry.append(value)
        self._tokens.append(token)

    def produce_all(self, topic: str, key: str, values: list[bytes], token: Ticket) -> int:
        self.produce(topic, key, values[0], token)
        self.telemetry += values[1:]
        return len(values)

    def deliver(self) -> None:
        tokens, self._tokens = self._tokens, []
        self._report([Delivery(token, None) for token in tokens])


class Untold(StopTrace):
    """Steps of stops that nobody wants to read."""

    def step(self, name: str, stop_id: str, now_ns: int, vehicle_id: str = "", since_ns: int = 0, **more: str) -> None:
        pass


class Target(Site):
    """The gateway, the vehicle that sends what it is given, and another one beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.kafka = Sink("gateway-1", self._open)  # type: ignore[arg-type]  # the part of a bridge that it uses
        self.hub = Hub(TERMS, self.leave, self.links, self.kafka, Meters(), self.now)
        self.hub._steps = StopSteps(Untold())
        self.kafka.listen(self.hub)
        self.from_site = FromSite(self.hub, "gateway-1", "instance", Meters(), self.now)
        self.attach()
        self.lease()
        self.bystander = self.vehicle(OTHER).say_hello()
        self.bystander.write_all()
        self._stream: Vehicle | None = None
        self._connects = 1
        self.came = Counter[str]()

    def _open(self, report: Callable[[list[Delivery[Ticket]]], None]) -> Bridge:
        self.bridge = Bridge(report)
        return self.bridge

    def take(self, data: bytes, *, first: bool) -> None:
        """`first`: of a new stream. Raises AssertionError, or what a defect raises."""
        stream = self._stream_for(first=first)
        self.now_s += 0.01
        try:
            stream.say(ConnectRequest.FromString(data))
        except DecodeError:
            self.hub.close(stream.session, MALFORMED)
        stream.write_all()
        self.heard()
        self._look_at_end(stream)
        self._look_at_records()
        assert self.bystander.closed is None

    def settle(self) -> None:
        """Kafka has everything; the other vehicle is still answered."""
        while self.kafka.in_flight:
            self.bridge.deliver()
        if self._stream is not None:
            self._stream.write_all()
            acks = self._stream.session.record.acks
            assert acks.in_flight == 0, "what has arrived is on its way no more"
            assert acks.next_ack() is None, "and has been acknowledged"
        self.now_s += PERMIT_EVERY_S
        self.lease()
        self.bystander.beat(self.bystander.session.heartbeat_number + 1)
        assert any(frame.HasField("permit") for frame in self.bystander.write_all())
        self.hub.tick()

    def _stream_for(self, *, first: bool) -> Vehicle:
        if self._stream is not None and not first:
            return self._stream
        if self._stream is not None:
            self.hub.close(self._stream.session, MALFORMED)
        self._stream = self.vehicle(VEHICLE)
        if not first:
            self._connects += 1
            hello = ConnectRequest.FromString(corpus()[0])
            hello.hello.connect_count = self._connects
            self._stream.say(hello)
        return self._stream

    def _look_at_end(self, stream: Vehicle) -> None:
        close = stream.closed
        self.came[close.reason if close else "TAKEN"] += 1
        if close is None:
            return
        self._stream = None
        assert close.code is not Code.OK
        assert close.message
        assert close.reason.replace("_", "").isupper()
        assert len(close.reason) <= MAX_REASON_CHARACTERS
        if close.code is Code.INVALID_ARGUMENT and close is not MALFORMED:
            assert close.fields, f"{close} names no field"
        try:
            raise_unless_ok(close)
        except PitwallError as error:
            to_status(error)

    def _look_at_records(self) -> None:
        for record in self.bridge.telemetry:
            reading = Reading.FromString(record)
            assert find_fault(reading, Expected(VEHICLE, reading.boot_epoch)) is None
            assert len(record) <= MAX_READING_BYTES
            assert 0 < reading.event_time.ToNanoseconds() <= reading.received_time.ToNanoseconds()
        self.bridge.telemetry.clear()


def run(seed: int, frames: int = ROUND) -> Counter[str]:
    """So many changed frames; what came of them, by the reason for which the stream ended or TAKEN."""
    mutator, target = Mutator(corpus(), ConnectRequest, seed), Target()
    for number in range(frames):
        first = number % FIRST_ONE_IN == 0
        target.take(mutator.next(first=first), first=first)
        if number % 10 == 0:
            target.settle()
    target.settle()
    return target.came
