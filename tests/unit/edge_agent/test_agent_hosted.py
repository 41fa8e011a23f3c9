"""One vehicle in the process: effects carried out in order, one stream listened to, disks and stream fed."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from haul.command.v1 import order_pb2, stop_pb2
from haul.link.v1 import vehicle_link_service_pb2 as link
from haul.telemetry.v1.telemetry_pb2 import Reading

from edge_agent import hosted
from edge_agent.agent import Brought
from edge_agent.downlink import SetCame
from edge_agent.effects import LatchRecord, ShareOwn
from edge_agent.hosted import HostedVehicle, Stream
from edge_agent.limits import CONTROL_PERIOD_S, LIVE_WITHOUT_STREAM_S, MAX_LOST_UNDER_WAY, PART_WAIT_S
from edge_agent.metrics import Counters
from edge_agent.moment import Moment
from edge_agent.outbox import NewReading
from edge_agent.outbox_commands import Command, Fetch, Lose, Remove
from edge_agent.reports import Lost
from edge_agent.shipment import Stored, Wanted
from edge_agent.state_keeper import Item
from edge_agent.stop_steps import StopSteps
from edge_agent.uplink import Leave, Session
from edge_agent.vehicle import VehicleSample, Verdict
from pitwall.clock import boottime_s
from pitwall.domain.permit import PermitDenial
from pitwall.domain.sequence import SequenceRange
from pitwall.domain.stop_set import SetDelta
from pitwall.domain.vehicle_state import VehicleStatus
from pitwall.stop_trace import StopTrace
from pitwall.wire import duration, stop_to_proto
from tests.unit.edge_agent.builders import EPOCH, VEHICLE, agent, moment, sample, stop


class Trace(StopTrace):
    """Steps that nobody tells."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[str, str]] = []

    def step(self, name: str, stop_id: str, now_ns: int, vehicle_id: str = "", since_ns: int = 0, **_: str) -> None:
        self.steps.append((name, stop_id))


class Tally:
    """A counter and a histogram in one, that tells what it was given."""

    def __init__(self) -> None:
        self.by: dict[str, float] = {}
        self.recorded: list[float] = []

    def add(self, amount: float, label: str | dict[str, str]) -> None:
        (what,) = (label,) if isinstance(label, str) else label.values()
        self.by[what] = self.by.get(what, 0) + amount

    def record(self, value: float) -> None:
        self.recorded.append(value)


class Bench:
    """A hosted vehicle whose doings are written down in the order in which they happen."""

    def __init__(self, *, room: bool = True, drills: bool = False, flush_interval_s: float = 0.0) -> None:
        self.log: list[str] = []
        self.commands: list[Command] = []
        self.verdicts: list[Verdict] = []
        self.left: list[Leave] = []
        self.sample: VehicleSample | None = None
        self.on_sample: Callable[[VehicleSample, Moment], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self._room = room
        self.readings, self.orders, self.margins = Tally(), Tally(), Tally()
        self.trace = Trace()
        counters = cast(
            "Counters",
            SimpleNamespace(
                readings=self.readings, orders=self.orders, permit_margin=self.margins, stops=StopSteps(self.trace)
            ),
        )
        # By the real clock, as everything here: a while ago, so that a reading is due.
        made, _ = agent(Brought(EPOCH, VehicleStatus.HAULING), drills=drills, now_s=boottime_s() - 10)
        self.vehicle = HostedVehicle(
            VEHICLE,
            made,
            self,
            self,
            counters,
            lambda denial, _: denial is PermitDenial.NO_MAJORITY,
            flush_interval_s=flush_interval_s,
        )

    def apply(self, verdict: Verdict) -> None:
        self.log.append("brake" if not verdict.may_move else "move")
        self.verdicts.append(verdict)

    def save_latch(self, _: str, record: LatchRecord) -> None:
        self.log.append(f"latch {','.join(sorted(record.latched))}")

    def save_state(self, item: Item) -> None:
        self.log.append(type(item).__name__)

    def put_reading(self, command: Command) -> bool:
        self.commands.append(command)
        return self._room

    def stream(self) -> Stream:
        """A new one, welcomed and permitted."""
        vehicle = self.vehicle
        vehicle.agent.connecting()
        session = Session(
            VEHICLE,
            vehicle.agent.hello,
            vehicle.agent.gate.heartbeats,
            vehicle.shipment,
            vehicle.reports,
            spread=0.0,
            now_s=boottime_s(),
        )
        stream = Stream(session, lambda: self.log.append("wake"), self.left.append)
        vehicle.opened(stream)
        session.next_frame(moment(boottime_s()))
        vehicle.received(stream, link.ConnectResponse(stop_set=stop_pb2.StopSet()))
        welcome = link.Welcome(
            permit_ttl=duration(2), max_readings_per_batch=10, max_batch_bytes=10_000, max_unacked_readings=10
        )
        vehicle.received(stream, link.ConnectResponse(welcome=welcome, permit=permit(PermitDenial.STOPPED)))
        self.log.clear()
        return stream

    def bodies(self, stream: Stream) -> list[str | None]:
        frames: list[str | None] = []
        while (frame := stream.session.next_frame(moment(boottime_s()))) is not None:
            frames.append(frame.WhichOneof("body"))
        return frames


def permit(denial: PermitDenial) -> link.Permit:
    return link.Permit(heartbeat_number=1, denial=int(denial))  # type: ignore[arg-type]


def set_frame() -> link.ConnectResponse:
    return link.ConnectResponse(stop_set=stop_pb2.StopSet(stops=[stop_to_proto(stop("s1"))]))


def stored(sequence: int) -> Stored:
    return Stored(EPOCH, sequence, Reading(boot_epoch=EPOCH, sequence=sequence).SerializeToString())


def test_a_stop_frame_brakes_then_writes_then_tells() -> None:
    bench = Bench()
    stream = bench.stream()
    bench.vehicle.received(stream, set_frame())
    assert bench.log[:3] == ["brake", "latch s1", "SaveState"]
    assert bench.bodies(stream) == ["stop_report", "status_report"]
    assert bench.trace.steps == [("received", "s1")]


def test_that_a_latch_is_on_disk_waits_for_the_next_frame_or_tick() -> None:
    bench = Bench()
    stream = bench.stream()
    bench.vehicle.received(stream, set_frame())
    bench.bodies(stream)
    bench.log.clear()
    bench.vehicle.do(bench.vehicle.agent.latch_durable(["s1"]))
    assert bench.log == []
    bench.vehicle.tick(moment(boottime_s()))
    assert "wake" in bench.log
    assert bench.bodies(stream) == ["stop_report"]


def test_an_older_stream_is_not_listened_to() -> None:
    bench = Bench()
    old = bench.stream()
    bench.stream()
    bench.vehicle.received(old, set_frame())
    assert bench.log == []
    assert not bench.vehicle.agent.gate.latched


def test_the_end_of_an_older_stream_is_not_the_end_of_the_newest() -> None:
    bench = Bench()
    old = bench.stream()
    bench.stream()
    bench.vehicle.closed(old)
    assert bench.vehicle.connected


def test_what_happened_without_a_stream_is_told_by_the_next_hello_and_not_twice() -> None:
    bench = Bench()
    bench.vehicle.tick(moment(boottime_s()))
    assert not bench.vehicle.reports.states


def test_a_new_stream_tells_how_far_every_stop_is() -> None:
    bench = Bench()
    bench.vehicle.do(bench.vehicle.agent.receive(SetCame(SetDelta((stop("s1"),))), moment(boottime_s())))
    assert bench.bodies(bench.stream()) == ["stop_report"]


def test_a_reading_goes_to_the_disk_and_is_offered_when_it_is_there() -> None:
    bench = Bench()
    stream = bench.stream()
    measured_s = boottime_s()
    bench.vehicle.sampled(sample(measured_s), moment(measured_s + 0.05))
    (new,) = bench.commands
    assert isinstance(new, NewReading)
    assert new.made_s == pytest.approx(measured_s, abs=1e-6), "its age begins there, on the clock that nobody sets"
    assert bench.bodies(stream) == []
    bench.vehicle.stored([new.stored])
    assert bench.log == ["wake"]
    assert bench.bodies(stream) == ["reading_batch"]


def test_readings_gather_and_a_tick_sends_them() -> None:
    bench = Bench(flush_interval_s=0.3)
    stream = bench.stream()
    bench.vehicle.stored([stored(1)])
    assert bench.bodies(stream) == ["reading_batch"]
    bench.log.clear()
    bench.vehicle.stored([stored(2)])
    assert bench.log == [], "nobody is woken for what does not go yet"
    assert bench.bodies(stream) == []
    early = moment(boottime_s() + 0.15)
    assert not stream.session.readings_due(early.s)
    later = moment(boottime_s() + 0.3 - CONTROL_PERIOD_S / 2 + 0.01)
    bench.vehicle.tick(later)
    assert "wake" in bench.log
    frames = iter(lambda: stream.session.next_frame(later), None)
    assert [reading.sequence for frame in frames for reading in frame.reading_batch.readings] == [2]


def test_without_a_stream_readings_are_history_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is measured when the link is back goes first, and not what had waited for it."""
    now_s = boottime_s()
    monkeypatch.setattr(hosted, "boottime_s", lambda: now_s)
    bench = Bench()
    bench.vehicle.closed(bench.stream())
    bench.vehicle.stored([stored(1)])
    now_s += LIVE_WITHOUT_STREAM_S
    bench.vehicle.stored([stored(2), stored(3)])
    stream = bench.stream()
    bench.vehicle.stored([stored(4)])
    frames = list(iter(lambda: stream.session.next_frame(moment(now_s)), None))
    batches = [frame.reading_batch for frame in frames if frame.HasField("reading_batch")]
    assert [reading.sequence for batch in batches for reading in batch.readings] == [1, 4]
    bench.vehicle.want_history(stream.session, now_s)
    assert bench.commands == [Fetch(VEHICLE, Wanted(EPOCH, 2, 3))]


def test_a_reading_that_finds_no_room_is_declared_lost() -> None:
    bench = Bench(room=False)
    stream = bench.stream()
    bench.vehicle.sampled(sample(boottime_s()), moment(boottime_s()))
    assert bench.bodies(stream) == ["lost_range"]


def test_an_ack_removes_it_everywhere() -> None:
    bench = Bench()
    stream = bench.stream()
    bench.vehicle.stored([stored(1)])
    bench.bodies(stream)
    assert bench.vehicle.unacked == 1
    ack = link.ReadingAck(boot_epoch=EPOCH, ranges=[link.SequenceRange(first_sequence=1, last_sequence=1)])
    bench.vehicle.received(stream, link.ConnectResponse(reading_ack=ack))
    assert bench.commands == [Remove(VEHICLE, EPOCH, (SequenceRange(1, 1),))]
    assert bench.vehicle.unacked == 0
    assert bench.readings.by == {"acked": 1}


def test_refused_readings_are_counted_apart() -> None:
    bench = Bench()
    stream = bench.stream()
    ack = link.ReadingAck(
        boot_epoch=EPOCH,
        ranges=[link.SequenceRange(first_sequence=1, last_sequence=5)],
        rejections=[link.Rejection(sequence=3, field="speed_kph", reason="OUT_OF_RANGE")],
    )
    bench.vehicle.received(stream, link.ConnectResponse(reading_ack=ack))
    assert bench.readings.by == {"acked": 4, "rejected": 1}


def test_an_ack_of_a_loss_makes_it_known() -> None:
    bench = Bench()
    stream = bench.stream()
    bench.vehicle.lost([Lost(EPOCH, SequenceRange(1, 3), "OUTBOX_FULL")])
    assert bench.readings.by == {"lost": 3}
    assert bench.log == ["wake"]
    ack = link.ReadingAck(boot_epoch=EPOCH, ranges=[link.SequenceRange(first_sequence=1, last_sequence=3)])
    bench.vehicle.received(stream, link.ConnectResponse(reading_ack=ack))
    assert bench.vehicle.reports.take_lost() is None


def test_the_next_loss_is_told_as_soon_as_one_is_known() -> None:
    bench = Bench()
    stream = bench.stream()
    for first in range(1, 2 * MAX_LOST_UNDER_WAY + 2, 2):
        bench.vehicle.lost([Lost(EPOCH, SequenceRange(first, first), "OUTBOX_FULL")])
    assert bench.bodies(stream) == ["lost_range"] * MAX_LOST_UNDER_WAY
    bench.log.clear()
    ack = link.ReadingAck(boot_epoch=EPOCH, ranges=[link.SequenceRange(first_sequence=1, last_sequence=1)])
    bench.vehicle.received(stream, link.ConnectResponse(reading_ack=ack))
    assert bench.log == ["wake"]
    assert bench.bodies(stream) == ["lost_range"]


def test_what_is_lost_is_not_sent() -> None:
    bench = Bench()
    stream = bench.stream()
    bench.vehicle.stored([stored(1)])
    bench.vehicle.lost([Lost(EPOCH, SequenceRange(1, 1), "OUTBOX_FULL")])
    assert bench.bodies(stream) == ["lost_range"]


def test_an_order_is_begun_on_disk_then_done_then_answered() -> None:
    bench = Bench()
    stream = bench.stream()
    bench.vehicle.tick(moment(boottime_s()))
    gate = bench.vehicle.agent.gate
    etag = order_pb2.MotionEtag(
        boot_epoch=EPOCH, connect_count=1, hold_count=gate.hold_count, heartbeat_number=gate.heartbeats.newest
    )
    order = order_pb2.Order(request_id="q1", set_autonomous_mode=order_pb2.SetAutonomousMode(enabled=False))
    bench.bodies(stream)
    bench.log.clear()
    bench.vehicle.received(stream, link.ConnectResponse(order=link.OrderDelivery(order=order, etag=etag)))
    assert bench.log == ["Begin"]
    bench.log.clear()
    bench.vehicle.do(bench.vehicle.agent.recorded("q1", moment(boottime_s()), ok=True))
    assert bench.log[:3] == ["brake", "SaveState", "SaveAnswer"]
    assert bench.bodies(stream) == ["status_report", "order_report"]
    assert bench.orders.by == {"EXECUTED": 1}


def test_an_own_stop_is_shared() -> None:
    bench = Bench()
    stream = bench.stream()
    bench.vehicle.do([ShareOwn(SetDelta((stop("own", own=True),)))])
    assert bench.bodies(stream) == ["stop_report"]


def test_how_much_of_a_permit_was_left_is_recorded_where_there_was_any() -> None:
    bench = Bench()
    stream = bench.stream()
    now_s = boottime_s()
    bench.vehicle.tick(moment(now_s))
    given = link.Permit(heartbeat_number=bench.vehicle.agent.gate.heartbeats.newest, ttl=duration(2))
    bench.vehicle.received(stream, link.ConnectResponse(permit=given))
    bench.vehicle.received(stream, link.ConnectResponse(permit=permit(PermitDenial.STOPPED)))
    (margin,) = bench.margins.recorded
    assert 1 < margin <= 2


def test_what_is_left_of_permits_that_a_drill_does_not_take_says_nothing_of_the_link() -> None:
    bench = Bench(drills=True)
    stream, vehicle, now_s = bench.stream(), bench.vehicle, boottime_s()
    gate = vehicle.agent.gate
    vehicle.sampled(sample(now_s), moment(now_s))

    def permitted() -> None:
        vehicle.tick(moment(boottime_s()))
        given = link.Permit(heartbeat_number=gate.heartbeats.newest, ttl=duration(2))
        vehicle.received(stream, link.ConnectResponse(permit=given))

    permitted()
    gate.resume(boottime_s(), "order q0")
    etag = order_pb2.MotionEtag(
        boot_epoch=EPOCH, connect_count=1, hold_count=gate.hold_count, heartbeat_number=gate.heartbeats.newest
    )
    order = order_pb2.Order(request_id="q1", link_loss_drill=order_pb2.LinkLossDrill())
    vehicle.received(stream, link.ConnectResponse(order=link.OrderDelivery(order=order, etag=etag)))
    vehicle.do(vehicle.agent.recorded("q1", moment(boottime_s()), ok=True))
    until_s = gate.permit_until_s
    permitted()
    assert gate.permit_until_s == until_s
    assert len(bench.margins.recorded) == 1


def test_a_tick_gives_a_verdict_and_wakes_the_stream_when_a_heartbeat_is_due() -> None:
    bench = Bench()
    stream = bench.stream()
    now_s = boottime_s()
    bench.vehicle.tick(moment(now_s))
    bench.bodies(stream)
    bench.log.clear()
    bench.vehicle.tick(moment(now_s + 0.1))
    assert bench.log == ["brake"]
    bench.vehicle.tick(moment(now_s + 0.5))
    assert bench.log == ["brake", "brake", "wake"]


def test_until_it_is_welcomed_it_is_not_connected() -> None:
    bench = Bench()
    assert not bench.vehicle.connected
    stream = bench.stream()
    assert bench.vehicle.connected
    bench.vehicle.closed(stream)
    assert not bench.vehicle.connected


def test_a_disk_that_could_not_say_is_not_asked_in_a_hurry() -> None:
    bench = Bench()
    bench.vehicle.shipment.on_disk(EPOCH, 1, 2)
    stream = bench.stream()
    bench.vehicle.want_history(stream.session, boottime_s())
    bench.log.clear()
    bench.vehicle.fetched(cast("Fetch", bench.commands[0]), None)
    assert bench.log == []
    assert bench.readings.by == {}


def test_history_that_could_not_be_asked_for_is_asked_for_again() -> None:
    bench = Bench(room=False)
    bench.vehicle.shipment.on_disk(EPOCH, 1, 2)
    stream = bench.stream()
    for _ in range(2):
        bench.vehicle.want_history(stream.session, boottime_s())
    assert bench.commands == [Fetch(VEHICLE, Wanted(EPOCH, 1, 2))] * 2


def test_history_that_the_disk_has_not_is_declared_lost() -> None:
    bench = Bench()
    bench.vehicle.shipment.on_disk(EPOCH, 1, 2)
    stream = bench.stream()
    bench.vehicle.want_history(stream.session, boottime_s())
    (fetch,) = bench.commands
    assert fetch == Fetch(VEHICLE, Wanted(EPOCH, 1, 2))
    assert isinstance(fetch, Fetch)
    bench.vehicle.fetched(fetch, [stored(2)])
    lost = Lost(EPOCH, SequenceRange(1, 1), "NOT_ON_DISK")
    assert bench.vehicle.reports.take_lost() == lost
    assert bench.commands[1:] == [Lose(VEHICLE, (lost,))], "so that it is told after a restart too"
    assert bench.bodies(stream) == ["reading_batch"]


def test_a_gateway_without_a_majority_is_parted_from() -> None:
    bench = Bench()
    stream = bench.stream()
    bench.vehicle.received(stream, link.ConnectResponse(permit=permit(PermitDenial.NO_MAJORITY)))
    bench.vehicle.tick(moment(boottime_s()))
    assert bench.left == [Leave("the gateway has no majority of leases", broken=False)]


def test_before_the_end_it_stands_and_sends_no_more_readings() -> None:
    bench = Bench()
    stream = bench.stream()
    bench.vehicle.stand(moment(boottime_s()))
    assert (bench.verdicts[-1].may_move, bench.verdicts[-1].cause) == (False, "AGENT_STOPS")
    bench.vehicle.stored([stored(1)])
    assert bench.bodies(stream) == []
    assert stream.session.check(boottime_s() + PART_WAIT_S) is not None
