"""The gateway's end of a stream to a command service: what it believes, and what goes up in which order."""

import pytest
from google.protobuf.duration_pb2 import Duration
from haul.command.v1.stop_pb2 import StopSet
from haul.link.v1 import gateway_link_service_pb2 as pb
from haul.link.v1.vehicle_link_service_pb2 import OrderReport

from ingest_gateway.limits import COALESCE_S, MAX_KEPT_ORDER_REPORTS, MAX_LINK_BACKLOG, REPORTS_AT_ONCE
from ingest_gateway.link_lanes import LinkLanes
from ingest_gateway.link_state import LeaseGranted, LinkBroken, LinkState, SessionSuperseded, SetPushed
from pitwall import wire
from tests.unit.ingest_gateway.builders import VEHICLE, delta, release, stop


def push(*stop_ids: str, exchange_id: int = 1) -> pb.AttachResponse:
    stop_set = wire.set_to_proto(delta(*map(stop, stop_ids)))
    return pb.AttachResponse(stop_set=pb.StopSetPush(stop_set=stop_set, exchange_id=exchange_id))


LEASE = pb.AttachResponse(lease=pb.Lease(beat_number=3, ttl=Duration(seconds=2)))


def test_no_lease_counts_before_the_set() -> None:
    state = LinkState()
    assert state.feed(LEASE) is None
    assert state.early_leases == 1
    first = state.feed(push("s-1", exchange_id=7))
    assert isinstance(first, SetPushed)
    assert (first.exchange_id, first.first, first.delta) == (7, True, delta(stop("s-1")))
    assert state.feed(LEASE) == LeaseGranted(3, 2.0, "")


def test_only_the_first_set_is_the_first() -> None:
    state = LinkState()
    state.feed(push())
    again = state.feed(push("s-2"))
    assert isinstance(again, SetPushed)
    assert not again.first


def test_a_set_that_can_not_be_read_breaks_the_link_rather_than_to_skip_a_stop() -> None:
    broken = pb.AttachResponse(stop_set=pb.StopSetPush(stop_set=StopSet(stops=[{"stop_id": "s"}])))  # type: ignore[list-item]
    state = LinkState()
    with pytest.raises(LinkBroken, match="scope"):
        state.feed(broken)
    assert state.feed(LEASE) is None


def test_word_of_a_newer_session() -> None:
    frame = pb.AttachResponse(close_session=pb.CloseSession(vehicle_id=VEHICLE, boot_epoch=4, connect_count=2))
    event = LinkState().feed(frame)
    assert isinstance(event, SessionSuperseded)
    assert (event.vehicle_id, event.key.boot_epoch, event.key.connect_count) == (VEHICLE, 4, 2)


def test_a_frame_of_the_future_is_passed_over() -> None:
    assert LinkState().feed(pb.AttachResponse()) is None


def bodies(lanes: LinkLanes, now_s: float = 0.0) -> list[str | None]:
    found: list[str | None] = []
    while (frame := lanes.next(now_s)) is not None:
        found.append(frame.WhichOneof("body"))
    return found


def test_lanes_go_in_their_order_whatever_came_first() -> None:
    lanes = LinkLanes()
    lanes.restart(pb.GatewayHello(gateway="g"), [])
    lanes.pulses(pb.AttachRequest(pulses=pb.VehiclePulses()))
    lanes.order_report(OrderReport(request_id="o"))
    lanes.report(pb.VehicleReport(vehicle_id=VEHICLE), 0.0)
    lanes.session_opened(pb.SessionOpened(vehicle_id=VEHICLE))
    lanes.beat(5)
    lanes.stop_set(delta(stop("s")))
    lanes.merged(9)
    assert bodies(lanes) == [
        "hello",
        "stop_set_merged",
        "stop_set",
        "beat",
        "session_opened",
        "reports",
        "order_reports",
        "pulses",
    ]


def test_what_the_command_service_has_told_of_itself_goes_no_more() -> None:
    lanes = LinkLanes()
    lanes.stop_set(delta(stop("s-1"), stop("s-2"), release("r-1", "s-1")))
    lanes.stop_set(delta(stop("s-3")))
    lanes.knows(delta(stop("s-3"), stop("s-1"), release("r-1", "s-1")))
    frame = lanes.next(0.0)
    assert frame is not None
    assert wire.set_from_proto(frame.stop_set) == delta(stop("s-2"))
    assert lanes.next(0.0) is None


def test_reports_go_when_the_first_of_them_has_to() -> None:
    lanes = LinkLanes()
    assert lanes.report(pb.VehicleReport(vehicle_id="A-1"), 1.05)
    assert not lanes.report(pb.VehicleReport(vehicle_id="B-1"), 1.09), "the writer looks again before that"
    assert lanes.gathering
    assert bodies(lanes, 1.04) == []
    assert lanes.wait_s(1.04) == pytest.approx(0.01)
    assert lanes.report(pb.VehicleReport(vehicle_id="C-1"), 1.04)
    frame = lanes.next(1.04)
    assert frame is not None
    assert [each.vehicle_id for each in frame.reports.reports] == ["A-1", "B-1", "C-1"]
    assert not lanes.gathering
    assert lanes.report(pb.VehicleReport(), 2.0), "what went before holds nothing up"


def test_under_load_reports_keep_their_distance() -> None:
    lanes = LinkLanes()
    for _ in range(REPORTS_AT_ONCE):
        lanes.report(pb.VehicleReport(), 1.0)
        assert bodies(lanes, 1.0) == ["reports"]
    lanes.report(pb.VehicleReport(), 1.0)
    lanes.report(pb.VehicleReport(), 1.0)
    assert bodies(lanes, 1.0 + COALESCE_S * 0.9) == []
    assert lanes.wait_s(1.0 + COALESCE_S * 0.9) == pytest.approx(COALESCE_S * 0.1)
    frame = lanes.next(1.0 + COALESCE_S * 1.01)
    assert frame is not None
    assert len(frame.reports.reports) == 2


def test_gathering_holds_nothing_else_up() -> None:
    lanes = LinkLanes()
    lanes.report(pb.VehicleReport(), 2.0)
    lanes.merged(1)
    lanes.pulses(pb.AttachRequest(pulses=pb.VehiclePulses()))
    assert bodies(lanes, 1.0) == ["stop_set_merged", "pulses"]


def test_an_outcome_does_not_overtake_the_state_that_it_made() -> None:
    """Whoever looks after EXECUTED sees the new hold_count, and may give the next order."""
    lanes = LinkLanes()
    lanes.report(pb.VehicleReport(vehicle_id=VEHICLE), 2.0)
    lanes.order_report(OrderReport())
    assert bodies(lanes, 1.0) == ["reports", "order_reports"]


def test_only_the_newest_beat_and_pulses_go() -> None:
    lanes = LinkLanes()
    for number in (1, 2, 3):
        lanes.beat(number)
        lanes.pulses(pb.AttachRequest(pulses=pb.VehiclePulses(pulses=[pb.VehiclePulse(heartbeat_number=number)])))
    beat, pulses = lanes.next(0.0), lanes.next(0.0)
    assert beat is not None
    assert pulses is not None
    assert beat.beat.beat_number == 3
    assert pulses.pulses.pulses[0].heartbeat_number == 3
    assert lanes.next(0.0) is None


def test_what_one_turn_tells_stays_when_another_one_comes() -> None:
    lanes = LinkLanes()
    for turn, number in ((0, 1), (1, 2), (0, 3)):
        pulse = pb.VehiclePulse(heartbeat_number=number)
        lanes.pulses(pb.AttachRequest(pulses=pb.VehiclePulses(pulses=[pulse])), turn)
    told = [lanes.next(0.0), lanes.next(0.0)]
    assert [frame.pulses.pulses[0].heartbeat_number for frame in told if frame is not None] == [3, 2]
    assert lanes.next(0.0) is None


def test_a_new_stream_begins_with_the_whole_state_and_keeps_outcomes() -> None:
    lanes = LinkLanes()
    lanes.stop_set(delta(stop("s")))
    lanes.beat(3)
    lanes.session_opened(pb.SessionOpened())
    lanes.report(pb.VehicleReport(vehicle_id="OLD-1"), 0.0)
    lanes.order_report(OrderReport(request_id="o"))
    lanes.restart(pb.GatewayHello(gateway="g"), [pb.VehicleReport(vehicle_id="NEW-1")])
    frames = [lanes.next(0.0) for _ in range(3)]
    assert [frame.WhichOneof("body") for frame in frames if frame] == ["hello", "reports", "order_reports"]
    assert frames[1] is not None
    assert frames[1].reports.reports[0].vehicle_id == "NEW-1"


def test_outcomes_are_kept_up_to_a_limit_and_the_rest_is_counted() -> None:
    lanes = LinkLanes()
    for number in range(MAX_KEPT_ORDER_REPORTS + 2):
        lanes.order_report(OrderReport(request_id=str(number)))
    assert lanes.lost_order_reports == 2
    frame = lanes.next(0.0)
    assert frame is not None
    assert frame.order_reports.reports[0].request_id == "2"


def test_a_command_service_that_does_not_read_overflows() -> None:
    lanes = LinkLanes()
    for _ in range(MAX_LINK_BACKLOG):
        lanes.report(pb.VehicleReport(), 0.0)
    assert not lanes.overflowing
    lanes.report(pb.VehicleReport(), 0.0)
    assert lanes.overflowing
