"""One stream seen from the vehicle: who may say what when, what goes first, when to leave."""

from dataclasses import replace

import pytest
from google.protobuf.duration_pb2 import Duration
from haul.command.v1 import order_pb2, stop_pb2
from haul.link.v1 import vehicle_link_service_pb2 as link
from haul.telemetry.v1.telemetry_pb2 import Reading

from edge_agent.downlink import (
    Acked,
    OrderCame,
    OrderUnreadable,
    PermitCame,
    ProtocolError,
    Rejected,
    SetCame,
)
from edge_agent.effects import ReportOrder, StateSnapshot
from edge_agent.limits import MAX_BATCH_BYTES, PART_WAIT_S, SETTLE_WAIT_S, SETUP_WAIT_S, SILENT_PERMITS
from edge_agent.orders import EXECUTED
from edge_agent.reports import Lost, Reports
from edge_agent.shipment import Shipment, Stored
from edge_agent.stages import Progress, Stage
from edge_agent.uplink import Leave, Session
from pitwall.domain.permit import HeartbeatLog, PermitDenial
from pitwall.domain.sequence import SequenceRange
from pitwall.domain.stop_set import SetDelta
from pitwall.domain.vehicle_state import MotionHold, SubStatus, VehicleStatus
from pitwall.wire import duration, stop_to_proto
from tests.unit.edge_agent.builders import EPOCH, T0, VEHICLE, moment, stop

SET = link.ConnectResponse(stop_set=stop_pb2.StopSet())
STATE = StateSnapshot(VehicleStatus.IDLE, SubStatus.WAITING, MotionHold.BOOT, 1, frozenset(), "boot", T0)


class Bench:
    """A session with what it works on."""

    def __init__(self, *, spread: float = 0.5) -> None:
        self.heartbeats, self.shipment, self.reports = HeartbeatLog(), Shipment(), Reports()
        self.session = Session(
            VEHICLE,
            lambda _: link.Hello(vehicle_id=VEHICLE),
            self.heartbeats,
            self.shipment,
            self.reports,
            spread=spread,
            now_s=T0,
        )

    def sent(self, at_s: float = T0) -> list[link.ConnectRequest]:
        frames = []
        while (frame := self.session.next_frame(moment(at_s))) is not None:
            frames.append(frame)
        return frames

    def bodies(self, at_s: float = T0) -> list[str | None]:
        return [frame.WhichOneof("body") for frame in self.sent(at_s)]


def welcome(
    *, ttl_s: float = 2.0, readings: int = 100, size: int = 100_000, unacked: int = 200, version: int = 1
) -> link.ConnectResponse:
    return link.ConnectResponse(
        welcome=link.Welcome(
            gateway="gateway-1",
            permit_ttl=duration(ttl_s),
            protocol_version=version,
            max_readings_per_batch=readings,
            max_batch_bytes=size,
            max_unacked_readings=unacked,
        )
    )


def opened(*, spread: float = 0.5) -> Bench:
    bench = Bench(spread=spread)
    bench.sent()
    bench.session.receive(SET, T0)
    bench.session.receive(welcome(), T0)
    bench.session.receive(link.ConnectResponse(permit=permit(1, 2.0)), T0)
    return bench


def reading(sequence: int) -> Stored:
    message = Reading(vehicle_id=VEHICLE, boot_epoch=EPOCH, sequence=sequence)
    return Stored(EPOCH, sequence, message.SerializeToString())


def permit(number: int, ttl_s: float, denial: int = 0) -> link.Permit:
    return link.Permit(heartbeat_number=number, ttl=duration(ttl_s), denial=denial)  # type: ignore[arg-type]


def ack(**fields: int) -> link.ConnectResponse:
    return link.ConnectResponse(reading_ack=link.ReadingAck(boot_epoch=EPOCH, **fields))  # type: ignore[arg-type]


# Who may say what when


def test_hello_goes_first_and_nothing_follows_before_the_set() -> None:
    bench = Bench()
    bench.heartbeats.beat(T0)
    bench.reports.progress.append(Progress("s1", Stage.RECEIVED, T0))
    bench.shipment.add(reading(1))
    (hello,) = bench.sent(T0 + 10)
    assert hello.WhichOneof("body") == "hello"
    assert hello.heartbeat_number == 1


def test_reports_go_once_the_set_is_merged_and_readings_once_permitted() -> None:
    bench = Bench()
    bench.sent()
    bench.reports.progress.append(Progress("s1", Stage.RECEIVED, T0))
    bench.shipment.add(reading(1))
    bench.session.receive(SET, T0)
    assert bench.bodies() == ["stop_report"]
    bench.session.receive(welcome(), T0)
    assert bench.bodies() == []
    bench.session.receive(link.ConnectResponse(permit=permit(1, 2.0)), T0)
    assert bench.bodies() == ["reading_batch"]


@pytest.mark.parametrize(
    ("version", "bodies"),
    [(1, ["stop_report", "status_report", "status_report"]), (2, ["stop_report", "status_report"])],
)
def test_a_gateway_that_can_take_it_gets_stages_and_status_in_one_frame(version: int, bodies: list[str]) -> None:
    bench = Bench()
    bench.sent()
    bench.session.receive(SET, T0)
    bench.session.receive(welcome(version=version), T0)
    bench.reports.progress.append(Progress("s1", Stage.RECEIVED, T0))
    bench.reports.states.append(STATE)
    bench.reports.states.append(replace(STATE, cause="a later one"))
    frames = bench.sent()
    assert [frame.WhichOneof("body") for frame in frames] == bodies
    statuses = [
        frame.stop_report.status if frame.HasField("stop_report") else frame.status_report
        for frame in frames
        if frame.HasField("status_report") or frame.stop_report.HasField("status")
    ]
    assert [status.cause for status in statuses] == ["boot", "a later one"]


@pytest.mark.parametrize(
    ("denial", "after_s", "goes"),
    [
        # A gateway without a majority may be left at once, and what is under way then comes twice.
        (PermitDenial.NO_MAJORITY, SETTLE_WAIT_S - 0.01, False),
        # But where no gateway has one, readings must not wait for ever.
        (PermitDenial.NO_MAJORITY, SETTLE_WAIT_S, True),
        (PermitDenial.STOPPED, 0.0, True),
    ],
)
def test_readings_wait_for_a_gateway_to_stay_with(denial: PermitDenial, after_s: float, *, goes: bool) -> None:
    bench = Bench()
    bench.sent()
    bench.shipment.add(reading(1))
    bench.session.receive(SET, T0)
    bench.session.receive(welcome(), T0)
    bench.session.receive(link.ConnectResponse(permit=permit(1, 0, denial)), T0)
    assert ("reading_batch" in bench.bodies(T0 + after_s)) is goes


BROKEN = [
    ("a permit first", [link.ConnectResponse(permit=permit(1, 1))], "first frame must be the stop set"),
    ("Welcome first", [welcome()], "first frame must be the stop set"),
    ("an order first", [link.ConnectResponse(order=link.OrderDelivery())], "first frame must be the stop set"),
    ("an ack before Welcome", [SET, link.ConnectResponse(reading_ack=link.ReadingAck())], "before Welcome"),
    ("a lone permit before Welcome", [SET, link.ConnectResponse(permit=permit(1, 1))], "before Welcome"),
    ("Welcome twice", [SET, welcome(), welcome()], "came twice"),
    ("a permit_ttl too short", [SET, welcome(ttl_s=0.4)], "permit_ttl must be"),
    ("a permit_ttl too long", [SET, welcome(ttl_s=10.1)], "permit_ttl must be"),
    ("no window", [SET, welcome(unacked=0)], "at least 1"),
    ("no room for a reading in a batch", [SET, welcome(readings=0)], "at least 1"),
    ("a set that can't be read", [link.ConnectResponse(stop_set=stop_pb2.StopSet(stops=[stop_pb2.Stop()]))], "stop_id"),
    (
        "an ack of nothing",
        [SET, welcome(), link.ConnectResponse(reading_ack=link.ReadingAck(ranges=[link.SequenceRange()]))],
        "range",
    ),
    (
        "a permit for a minute",
        [SET, welcome(), link.ConnectResponse(permit=link.Permit(ttl=Duration(seconds=60)))],
        "ttl must be",
    ),
]


@pytest.mark.parametrize(("frames", "problem"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_what_breaks_the_protocol_ends_the_stream(frames: list[link.ConnectResponse], problem: str) -> None:
    bench = Bench()
    bench.sent()
    *fine, broken = frames
    for frame in fine:
        bench.session.receive(frame, T0)
    with pytest.raises(ProtocolError, match=problem):
        bench.session.receive(broken, T0)


def test_nobody_may_speak_before_hello_was_sent() -> None:
    with pytest.raises(ProtocolError, match="before Hello"):
        Bench().session.receive(SET, T0)


@pytest.mark.parametrize("ttl_s", [0.5, 10.0])
def test_both_ends_of_the_permit_ttl_are_taken(ttl_s: float) -> None:
    bench = Bench()
    bench.sent()
    bench.session.receive(SET, T0)
    bench.session.receive(welcome(ttl_s=ttl_s), T0)
    assert bench.session.is_open


# What a frame means


def test_the_set_comes_before_the_permit_that_rides_with_it() -> None:
    bench = opened()
    frame = link.ConnectResponse(stop_set=stop_pb2.StopSet(stops=[stop_to_proto(stop("s1"))]), permit=permit(1, 2.0))
    assert bench.session.receive(frame, T0) == [
        SetCame(SetDelta(stops=(stop("s1"),))),
        PermitCame(1, 2.0, PermitDenial.NONE),
    ]


def test_a_permit_that_rides_with_the_first_set_counts_for_nothing() -> None:
    bench = Bench()
    bench.sent()
    first = link.ConnectResponse(stop_set=stop_pb2.StopSet(), permit=permit(1, 2.0))
    assert bench.session.receive(first, T0) == [SetCame(SetDelta())]


def test_a_denial_of_a_later_version_is_a_denial() -> None:
    frame = link.ConnectResponse(permit=permit(1, 0, denial=99))
    assert opened().session.receive(frame, T0) == [PermitCame(1, 0, PermitDenial.STOPPED)]


def test_a_body_of_a_later_version_is_passed_over() -> None:
    unknown = link.ConnectResponse.FromString(b"\xfa\x06\x00")  # field 111, empty message
    assert opened().session.receive(unknown, T0) == []


def test_an_order_carries_its_etag() -> None:
    order = order_pb2.Order(request_id="q1", resume=order_pb2.Resume())
    delivery = link.OrderDelivery(order=order, etag=order_pb2.MotionEtag(boot_epoch=1, heartbeat_number=7))
    (event,) = opened().session.receive(link.ConnectResponse(order=delivery), T0)
    assert isinstance(event, OrderCame)
    assert (event.order.request_id, event.etag.heartbeat_number) == ("q1", 7)


def test_an_order_that_can_not_be_read_is_refused_and_the_stream_goes_on() -> None:
    order = order_pb2.Order(request_id="q1", resume=order_pb2.Resume(), expire_after=duration(61))
    (event,) = opened().session.receive(link.ConnectResponse(order=link.OrderDelivery(order=order)), T0)
    assert isinstance(event, OrderUnreadable)
    assert "expire_after" in event.problem


def test_an_ack_names_ranges_and_what_was_refused() -> None:
    ack = link.ReadingAck(
        boot_epoch=EPOCH,
        ranges=[link.SequenceRange(first_sequence=3, last_sequence=5)],
        rejections=[link.Rejection(sequence=4, field="speed_kph", reason="OUT_OF_RANGE", message="no")],
    )
    assert opened().session.receive(link.ConnectResponse(reading_ack=ack), T0) == [
        Acked(EPOCH, (SequenceRange(3, 5),), (Rejected(4, "speed_kph", "OUT_OF_RANGE", "no"),))
    ]


# What goes first


def test_stops_go_ahead_of_reports_and_reports_ahead_of_readings() -> None:
    bench = opened()
    bench.shipment.add(reading(1))
    bench.reports.lose(Lost(EPOCH, SequenceRange(1, 2), "OUTBOX_FULL"))
    bench.reports.answers.append(ReportOrder("q1", EXECUTED))
    bench.reports.states.append(STATE)
    bench.reports.progress.append(Progress("s1", Stage.RECEIVED, T0))
    assert bench.bodies() == ["stop_report", "status_report", "order_report", "lost_range", "reading_batch"]


def test_progress_that_has_gathered_goes_in_one_frame_with_own_stops() -> None:
    bench = opened()
    bench.reports.progress.extend(Progress(f"s{i}", Stage.RECEIVED, T0) for i in range(5))
    bench.reports.share(SetDelta(stops=(stop("own", own=True),)))
    (frame,) = bench.sent()
    assert len(frame.stop_report.progress) == 5
    assert frame.stop_report.own.stops[0].issuing_vehicle_id == VEHICLE


# Heartbeats


def test_the_newest_heartbeat_rides_in_every_frame_and_never_twice() -> None:
    bench = opened()
    bench.heartbeats.beat(T0)
    bench.heartbeats.beat(T0 + 0.1)
    bench.shipment.add(reading(1))
    bench.shipment.add(Stored(EPOCH + 1, 1, reading(1).content))
    assert [frame.heartbeat_number for frame in bench.sent(T0 + 0.1)] == [2, 0]


@pytest.mark.parametrize(("after_s", "goes"), [(0.1, False), (0.3, False), (0.4, True), (0.5, True)])
def test_a_heartbeat_goes_alone_at_most_every_fifth_of_a_permit(after_s: float, *, goes: bool) -> None:
    bench = opened()
    bench.heartbeats.beat(T0)
    assert bench.bodies(T0) == [None]
    bench.heartbeats.beat(T0 + after_s)
    assert bench.bodies(T0 + after_s) == ([None] if goes else [])


def test_a_loop_that_makes_no_heartbeats_sends_none() -> None:
    bench = opened()
    bench.heartbeats.beat(T0)
    bench.sent(T0)
    assert bench.bodies(T0 + 60) == []


# Readings


def test_batches_keep_within_what_welcome_says() -> None:
    bench = Bench()
    bench.sent()
    bench.session.receive(SET, T0)
    bench.session.receive(welcome(readings=3, unacked=7), T0)
    bench.session.receive(link.ConnectResponse(permit=permit(1, 2.0)), T0)
    for sequence in range(1, 21):
        bench.shipment.add(reading(sequence))
    assert [len(frame.reading_batch.readings) for frame in bench.sent()] == [3, 3, 1]


def test_a_throttle_holds_readings_back_and_then_offers_again_what_has_no_ack() -> None:
    bench = opened()
    bench.shipment.add(reading(1))
    assert bench.bodies() == ["reading_batch"]
    bench.session.receive(link.ConnectResponse(throttle=link.Throttle(retry_delay=duration(1))), T0)
    bench.shipment.add(reading(2))
    bench.reports.states.append(STATE)
    assert bench.bodies(T0 + 0.99) == ["status_report"]
    (frame,) = bench.sent(T0 + 1)
    assert [r.sequence for r in frame.reading_batch.readings] == [1, 2]


def test_of_two_throttles_the_one_that_lasts_longer_counts() -> None:
    """A gateway whose Kafka takes no more asks for a second; for what was under way then it may ask for less."""
    bench = opened()
    bench.session.receive(link.ConnectResponse(throttle=link.Throttle(retry_delay=duration(1))), T0)
    bench.session.receive(link.ConnectResponse(throttle=link.Throttle(retry_delay=duration(0.1))), T0 + 0.01)
    bench.shipment.add(reading(1))
    assert bench.bodies(T0 + 0.99) == []
    assert bench.bodies(T0 + 1) == ["reading_batch"]


def test_a_loss_without_an_ack_is_told_again_after_a_throttle() -> None:
    bench = opened()
    bench.reports.lose(Lost(EPOCH, SequenceRange(1, 3), "OUTBOX_FULL"))
    assert bench.bodies() == ["lost_range"]
    bench.session.receive(link.ConnectResponse(throttle=link.Throttle(retry_delay=duration(1))), T0)
    assert bench.bodies(T0 + 0.99) == []
    bench.shipment.add(reading(4))
    assert bench.bodies(T0 + 1) == ["reading_batch", "lost_range"]


def test_a_new_session_offers_again_what_the_one_before_sent() -> None:
    bench = opened()
    bench.shipment.add(reading(1))
    bench.sent()
    Session(VEHICLE, lambda _: link.Hello(), bench.heartbeats, bench.shipment, bench.reports, spread=0, now_s=T0)
    assert (bench.shipment.unacked, bench.shipment.waiting) == (0, 1)


def test_no_history_is_asked_for_before_welcome() -> None:
    bench = Bench()
    bench.shipment.on_disk(EPOCH, 1, 2)
    assert bench.session.wanted(T0) is None


def test_limits_of_one_are_taken() -> None:
    bench = Bench()
    bench.sent()
    bench.session.receive(SET, T0)
    bench.session.receive(welcome(readings=1, size=1, unacked=1), T0)
    assert bench.session.is_open


def test_history_is_marked_and_live_readings_are_not() -> None:
    bench = opened()
    bench.shipment.on_disk(EPOCH - 1, 1, 2)
    wanted = bench.session.wanted(T0)
    assert wanted is not None
    bench.shipment.fetched(wanted, [Stored(EPOCH - 1, i, reading(i).content) for i in (1, 2)])
    bench.shipment.add(reading(9))
    live, history = bench.sent()
    assert [r.backfilled for r in live.reading_batch.readings] == [False]
    assert [r.backfilled for r in history.reading_batch.readings] == [True, True]


# When to leave


@pytest.mark.parametrize(("after_s", "leaves"), [(SETUP_WAIT_S, False), (SETUP_WAIT_S + 0.1, True)])
def test_a_gateway_that_never_welcomes_is_left(after_s: float, *, leaves: bool) -> None:
    bench = Bench()
    bench.sent()
    leave = bench.session.check(T0 + after_s)
    assert (leave is not None and leave.broken) == leaves


@pytest.mark.parametrize(("after_s", "leaves"), [(2.0 * SILENT_PERMITS, False), (2.0 * SILENT_PERMITS + 0.1, True)])
def test_a_gateway_that_falls_silent_is_left(after_s: float, *, leaves: bool) -> None:
    leave = opened().session.check(T0 + after_s)
    assert (leave is not None and leave.broken) == leaves


def test_whoever_parts_sends_no_more_readings_and_leaves_when_those_under_way_are_acked() -> None:
    bench = opened()
    bench.shipment.add(reading(1))
    bench.sent()
    bench.session.part("no majority", T0)
    bench.shipment.add(reading(2))
    bench.reports.states.append(STATE)
    assert bench.bodies() == ["status_report"]
    assert bench.session.check(T0 + 0.1) is None
    bench.shipment.gone(EPOCH, [SequenceRange(1, 1)])
    assert bench.session.check(T0 + 0.2) == Leave("no majority", broken=False)


@pytest.mark.parametrize(("after_s", "leaves"), [(PART_WAIT_S - 0.01, False), (PART_WAIT_S, True)])
def test_whoever_parts_does_not_wait_for_ever_for_acks(after_s: float, *, leaves: bool) -> None:
    bench = opened()
    bench.shipment.add(reading(1))
    bench.sent()
    bench.session.part("no majority", T0)
    bench.session.part("no majority", T0 + 0.4)
    assert (bench.session.check(T0 + after_s) is not None) == leaves


@pytest.mark.parametrize(("after_s", "sent"), [(1.0 - PART_WAIT_S - 0.01, ["reading_batch"]), (1.0 - PART_WAIT_S, [])])
def test_a_draining_gateway_gets_no_more_readings_shortly_before_it_is_left(after_s: float, sent: list[str]) -> None:
    bench = opened(spread=0.5)
    bench.session.receive(link.ConnectResponse(drain=link.Drain(delay=duration(4))), T0)
    bench.shipment.add(reading(1))
    assert bench.bodies(T0 + after_s) == sent


def test_a_draining_gateway_is_left_with_nothing_under_way_if_it_acknowledges_in_time() -> None:
    bench = opened(spread=0.5)
    bench.shipment.add(reading(1))
    bench.sent()
    bench.session.receive(link.ConnectResponse(drain=link.Drain(delay=duration(4), reason="STOPPING")), T0)
    assert bench.session.check(T0 + 1.0) is None
    assert bench.session.check(T0 + 1.0 + PART_WAIT_S) is not None
    bench.shipment.gone(EPOCH, [SequenceRange(1, 1)])
    assert bench.session.check(T0 + 1.0) == Leave("gateway drains: STOPPING", broken=False)


def test_whoever_has_to_part_does_not_wait_for_its_turn_in_a_drain() -> None:
    bench = opened(spread=0.9)
    bench.session.receive(link.ConnectResponse(drain=link.Drain(delay=duration(4))), T0)
    bench.session.part("the agent stops", T0 + 0.1)
    assert bench.session.check(T0 + 0.1) == Leave("the agent stops", broken=False)


@pytest.mark.parametrize(("spread", "after_s"), [(0.0, 0.0), (0.5, 1.0), (0.99, 1.98)])
def test_a_drain_is_followed_within_half_its_delay_each_at_its_own_moment(spread: float, after_s: float) -> None:
    bench = opened(spread=spread)
    bench.session.receive(link.ConnectResponse(drain=link.Drain(delay=duration(4), reason="STOPPING")), T0)
    if after_s:
        assert bench.session.check(T0 + after_s - 0.01) is None
    assert bench.session.check(T0 + after_s) == Leave("gateway drains: STOPPING", broken=False)


@pytest.mark.parametrize("allowed", [100_000, 2**32 - 1])
def test_a_batch_stays_below_what_any_gateway_takes_whatever_this_one_allows(allowed: int) -> None:
    bench = Bench()
    bench.sent()
    bench.session.receive(SET, T0)
    bench.session.receive(welcome(readings=100_000, size=allowed, unacked=100_000), T0)
    bench.session.receive(link.ConnectResponse(permit=permit(1, 2.0)), T0)
    for sequence in range(1, 201):
        content = Reading(vehicle_id=VEHICLE, boot_epoch=EPOCH, sequence=sequence).SerializeToString()
        bench.shipment.add(Stored(EPOCH, sequence, content + b"\xfa\x7f" + b"\x90\x4e" + bytes(10_000)))
    sizes = [frame.ByteSize() for frame in bench.sent() if frame.HasField("reading_batch")]
    assert len(sizes) > 1
    assert max(sizes) <= min(allowed, MAX_BATCH_BYTES) + 1_000
    assert max(sizes) < 1024 * 1024, "what the oldest gateways take"


# The window


def test_an_ack_may_widen_and_narrow_the_window() -> None:
    bench = opened()
    for sequence in range(1, 251):
        bench.shipment.add(reading(sequence))
    bench.sent()
    assert bench.shipment.unacked == 200
    bench.session.receive(ack(), T0)
    assert bench.sent() == []
    bench.session.receive(ack(max_unacked_readings=240), T0)
    bench.sent()
    assert bench.shipment.unacked == 240
    bench.session.receive(ack(max_unacked_readings=10), T0)
    assert bench.sent() == []
    bench.shipment.gone(EPOCH, [SequenceRange(1, 235)])
    bench.sent()
    assert bench.shipment.unacked == 10


def test_a_window_of_nothing_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError, match="max_unacked_readings must be at least 1"):
        opened().session.receive(ack(max_unacked_readings=0), T0)
