"""One vehicle's sessions, whatever frames come, whatever Kafka does, whenever the stream breaks.

Beside them stands what is true: which readings are on their way to Kafka and which have arrived, which heartbeats were
heard, and whether the vehicle is known to be lost.
"""

from haul.link.v1 import vehicle_link_service_pb2 as pb
from haul.telemetry.v1.telemetry_pb2 import Connectivity
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ingest_gateway.effects import Changed, Close, Code, Effect, Opened, Readings
from ingest_gateway.lanes import SetFrame
from ingest_gateway.record import VehicleRecord
from ingest_gateway.session import State
from tests.support.machines import as_test
from tests.unit.ingest_gateway.builders import (
    EPOCH,
    VEHICLE,
    at,
    batch,
    delta,
    frames_down,
    hello,
    new_session,
    numbered,
    reading,
    status,
)

LOST = Connectivity.CONNECTIVITY_LOST


def _report(stage: int) -> pb.ConnectRequest:
    frame = pb.ConnectRequest()
    frame.stop_report.progress.add(stop_id="s-1", stage=stage)
    return frame


def _lost_range(first: int, last: int) -> pb.ConnectRequest:
    frame = pb.ConnectRequest()
    frame.lost_range.boot_epoch, frame.lost_range.reason = EPOCH, "OUTBOX_FULL"
    frame.lost_range.range.first_sequence, frame.lost_range.range.last_sequence = first, last
    return frame


def _with_clock(frame: pb.ConnectRequest) -> pb.ConnectRequest:
    frame.reading_batch.clock.CopyFrom(hello().hello.clock)
    return frame


GOOD = (
    _with_clock(numbered([1, 2])),
    numbered([2]),
    numbered([5, 6, 7]),
    numbered([0]),
    batch(reading(8, speed_kph=-5.0)),
    status(),
    status(latched=["s-1"]),
    _report(3),
    pb.ConnectRequest(),
)
#: Each of these ends the stream.
BAD = (hello(), _report(0), _lost_range(5, 1), batch(boot_epoch=EPOCH + 1), status(vehicle_status=0))
STOP_SET = SetFrame(pb.ConnectResponse(stop_set=pb.ConnectResponse().stop_set).SerializeToString(), ())


class SessionMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.now_s = 0.0
        self.record = VehicleRecord(VEHICLE)
        self.flying: set[int] = set()
        self.arrived: set[int] = set()
        self.connect()

    def connect(self) -> None:
        self.session = new_session(self.record, self.now_s)
        self.heard = self.answered = 0
        self.first_frames = ["stop_set", "welcome"]
        self.lost = True

    def take(self, effects: list[Effect], *, was: State) -> None:
        closes = [effect for effect in effects if isinstance(effect, Close)]
        assert closes == effects[len(effects) - len(closes) :], "a Close is the last one"
        assert (self.session.state is State.CLOSED) == (was is State.CLOSED or bool(closes)), "and final"
        for effect in effects:
            if isinstance(effect, Opened):
                assert effect.brought == delta()
                self.session.lanes.stop_set(STOP_SET)
                self.session.welcome()
            elif isinstance(effect, Changed):
                lost = effect.change.connectivity == LOST
                assert not (lost and self.lost), "LOST is said once, until it is heard again"
                self.lost = lost
            elif isinstance(effect, Readings):
                sequences = {sequence for sequence, _ in effect.intake.taken}
                assert not sequences & (self.flying | self.arrived), "what is known is not written again"
                self.flying |= sequences
                self.record.acks.arrived(EPOCH, [letter.sequence for letter in effect.intake.refused])
                self.arrived |= {letter.sequence for letter in effect.intake.refused}

    def feed(self, frame: pb.ConnectRequest, heartbeat: int = 0) -> None:
        copy = pb.ConnectRequest()
        copy.CopyFrom(frame)
        copy.heartbeat_number = heartbeat
        was = self.session.state
        self.take(self.session.feed(copy, at(self.now_s)), was=was)
        if self.session.is_open:
            self.heard = max(self.heard, heartbeat)

    @rule(seconds=st.sampled_from([0.05, 0.25, 0.5, 2.0, 4.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.take(self.session.tick(at(self.now_s)), was=self.session.state)

    @precondition(lambda self: self.session.state is State.AWAITING_HELLO)
    @rule()
    def vehicle_says_hello(self) -> None:
        self.feed(hello(self.now_s))
        assert self.session.is_open

    @rule(frame=st.sampled_from(GOOD), heartbeat=st.integers(0, 5))
    def vehicle_speaks(self, frame: pb.ConnectRequest, heartbeat: int) -> None:
        was = self.session.state
        self.feed(frame, heartbeat)
        assert self.session.is_open is (was is State.OPEN), "the first frame is Hello"

    @rule(frame=st.sampled_from(BAD))
    def vehicle_breaks_the_protocol(self, frame: pb.ConnectRequest) -> None:
        opens = self.session.state is State.AWAITING_HELLO and frame.HasField("hello")
        self.feed(frame)
        assert self.session.state is (State.OPEN if opens else State.CLOSED)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), taken=st.booleans())
    def kafka_reports(self, data: st.DataObject, *, taken: bool) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.flying)))
        self.flying.discard(sequence)
        if taken:
            self.record.acks.arrived(EPOCH, [sequence])
            self.arrived.add(sequence)
        else:
            self.record.acks.failed(EPOCH, sequence)
            self.session.offer_again("KAFKA", at(self.now_s))

    @rule()
    def writer_writes(self) -> None:
        frames = frames_down(self.session, self.now_s)
        assert self.session.is_open or not frames, "nothing goes down before Hello, nor after the end"
        for frame in frames:
            if self.first_frames:
                assert frame.WhichOneof("body") == self.first_frames.pop(0)
            for each in frame.reading_ack.ranges:
                assert set(range(each.first_sequence, each.last_sequence + 1)) <= self.arrived
            if frame.HasField("permit"):
                assert not frame.HasField("stop_set")
                assert frame.permit.heartbeat_number == self.heard, "the newest one wins"
                self.answered = self.heard
        event(f"frames: {min(len(frames), 3)}")

    @rule(superseded=st.booleans())
    def stream_ends(self, *, superseded: bool) -> None:
        self.session.superseded = superseded
        was, lost = self.session.state, self.lost
        self.take(self.session.close(Close(Code.OK, "STREAM_ENDED", ""), at(self.now_s)), was=was)
        assert self.lost is (lost if superseded or was is State.CLOSED else True)

    @precondition(lambda self: self.session.state is State.CLOSED)
    @rule()
    def vehicle_comes_back(self) -> None:
        self.connect()

    # What must hold after every step

    @invariant()
    def what_is_on_its_way_is_what_has_not_arrived(self) -> None:
        assert self.record.acks.in_flight == len(self.flying)

    @invariant()
    def whoever_is_connected_was_heard_of(self) -> None:
        assert self.session.connected is (self.session.is_open and not self.lost)


TestSessionMachine = as_test(SessionMachine, runs=100)
