"""What goes down first, and when a heartbeat is answered."""

from collections.abc import Callable

import pytest
from haul.command.v1.order_pb2 import MotionEtag, Order
from haul.command.v1.stop_pb2 import StopSet
from haul.link.v1 import vehicle_link_service_pb2 as pb

from ingest_gateway.acks import AckTracker
from ingest_gateway.lanes import Lane, Lanes, Outgoing, SetFrame
from ingest_gateway.limits import MAX_QUEUED_ORDERS
from pitwall.domain.permit import PermitDenial
from tests.unit.ingest_gateway.builders import leave

TTL_S = 2.0
EVERY_S = 0.25
SET_FRAME = SetFrame(pb.ConnectResponse(stop_set=StopSet()).SerializeToString(), ("s-1",))


@pytest.fixture
def acks() -> AckTracker:
    return AckTracker()


@pytest.fixture
def lanes(acks: AckTracker) -> Lanes:
    made = Lanes(acks)
    made.welcome(pb.Welcome(gateway="g"))
    assert taken(made).lane is Lane.CONTROL
    return made


def taken(lanes: Lanes, now_s: float = 0.0, ttl_s: float = TTL_S) -> Outgoing:
    outgoing = lanes.next(leave(ttl_s), now_s)
    assert outgoing is not None
    return outgoing


def frame(outgoing: Outgoing) -> pb.ConnectResponse:
    return pb.ConnectResponse.FromString(outgoing.data)


def fill_all(lanes: Lanes, acks: AckTracker) -> None:
    """In the reverse of the order in which they are to go."""
    acks.take(1, 1, 1)
    acks.arrived(1, [1])
    assert lanes.order(Order(request_id="o-1"), MotionEtag())
    lanes.permit.heartbeat(7)
    lanes.drain(1.0, "GATEWAY_STOPS")
    lanes.stop_set(SET_FRAME)


def test_lanes_go_in_their_order_whatever_came_first(lanes: Lanes, acks: AckTracker) -> None:
    fill_all(lanes, acks)
    order = []
    while (outgoing := lanes.next(leave(), 0.0)) is not None:
        order.append(outgoing.lane)
    assert order == [Lane.STOP_SET, Lane.CONTROL, Lane.ORDER, Lane.ACK]


def test_a_permit_rides_on_the_first_frame_that_is_no_stop(lanes: Lanes, acks: AckTracker) -> None:
    fill_all(lanes, acks)
    frames = [frame(taken(lanes)) for _ in range(4)]
    assert [each.HasField("permit") for each in frames] == [False, True, False, False]
    assert frames[1].permit.heartbeat_number == 7


def test_before_welcome_nothing_but_the_set_goes(acks: AckTracker) -> None:
    lanes = Lanes(acks)
    lanes.permit.heartbeat(1)
    assert lanes.next(leave(), 0.0) is None
    lanes.stop_set(SET_FRAME)
    assert taken(lanes).lane is Lane.STOP_SET
    assert lanes.next(leave(), 0.0) is None


def test_a_permit_goes_alone_when_nothing_else_does(lanes: Lanes) -> None:
    lanes.permit.heartbeat(3)
    alone = frame(taken(lanes))
    assert alone.WhichOneof("body") is None
    assert alone.permit.heartbeat_number == 3
    assert alone.permit.ttl.ToNanoseconds() == TTL_S * 1e9


def test_not_every_heartbeat_is_worth_a_frame_of_its_own(lanes: Lanes) -> None:
    lanes.permit.heartbeat(1)
    taken(lanes, 0.0)
    lanes.permit.heartbeat(2)
    assert lanes.next(leave(), EVERY_S * 0.9, EVERY_S) is None
    lanes.permit.heartbeat(3)
    outgoing = lanes.next(leave(), EVERY_S, EVERY_S)
    assert outgoing is not None
    assert frame(outgoing).permit.heartbeat_number == 3


def test_an_answered_heartbeat_is_not_answered_again(lanes: Lanes) -> None:
    lanes.permit.heartbeat(5)
    taken(lanes)
    lanes.permit.heartbeat(5)
    lanes.permit.heartbeat(4)
    assert lanes.next(leave(), 100.0) is None


def test_time_is_taken_when_the_frame_is_and_not_when_it_was_due(lanes: Lanes) -> None:
    lanes.permit.heartbeat(1)
    asked: list[float] = []

    def late(now_s: float) -> tuple[float, PermitDenial]:
        asked.append(now_s)
        return 0.0, PermitDenial.NO_MAJORITY

    outgoing = lanes.next(late, 33.0)
    assert outgoing is not None
    assert asked == [33.0]
    assert frame(outgoing).permit.denial == pb.PERMIT_DENIAL_NO_MAJORITY
    assert outgoing.permit is PermitDenial.NO_MAJORITY


def test_orders_have_a_limit(lanes: Lanes) -> None:
    results = [lanes.order(Order(request_id=str(n)), MotionEtag()) for n in range(MAX_QUEUED_ORDERS + 1)]
    assert results == [True] * MAX_QUEUED_ORDERS + [False]
    assert lanes.unsent_orders() == [str(n) for n in range(MAX_QUEUED_ORDERS)]


def test_an_order_says_whose_it_is_for_the_one_that_writes(lanes: Lanes) -> None:
    lanes.order(Order(request_id="o-9"), MotionEtag(boot_epoch=4))
    outgoing = taken(lanes)
    assert outgoing.request_id == "o-9"
    assert frame(outgoing).order.etag.boot_epoch == 4


def test_a_permit_that_is_due_rides_on_an_ack(lanes: Lanes, acks: AckTracker) -> None:
    acks.take(1, 1, 1)
    acks.arrived(1, [1])
    lanes.permit.heartbeat(7)
    outgoing = taken(lanes)
    assert outgoing.lane is Lane.ACK
    assert frame(outgoing).permit.heartbeat_number == 7
    assert lanes.next(leave(), 0.0) is None


def test_a_permit_waits_for_an_ack_that_comes_until_it_has_waited(lanes: Lanes, acks: AckTracker) -> None:
    acks.take(1, 1, 1)
    lanes.permit.heartbeat(7)
    assert lanes.permit_rides
    assert not lanes.waiting(0.0, 0.0)
    assert lanes.next(leave(), 0.0) is None
    lanes.permit.waited()
    assert lanes.waiting(0.0, 0.0)
    outgoing = taken(lanes)
    assert outgoing.lane is Lane.PERMIT
    assert frame(outgoing).permit.heartbeat_number == 7

    lanes.permit.waited()
    lanes.permit.heartbeat(8)
    assert not lanes.waiting(0.0, 0.0), "who owes nothing has not waited"
    lanes.permit.again()
    assert lanes.waiting(0.0, 0.0), "a release waits for nothing"


def _again(acks: AckTracker) -> None:
    acks.take(1, 1, 1)
    acks.arrived(1, [1])


WAITING: list[tuple[str, Callable[[Lanes, AckTracker], object]]] = [
    ("a stop set", lambda lanes, _: lanes.stop_set(SET_FRAME)),
    ("a drain", lambda lanes, _: lanes.drain(1.0, "GATEWAY_STOPS")),
    ("an order", lambda lanes, _: lanes.order(Order(request_id="o-1"), MotionEtag())),
    ("a heartbeat", lambda lanes, _: lanes.permit.heartbeat(7)),
    ("an ack", lambda _, acks: _again(acks)),
]


@pytest.mark.parametrize(("what", "put"), WAITING, ids=[row[0] for row in WAITING])
def test_something_waits_exactly_as_long_as_there_is_a_frame(
    lanes: Lanes, acks: AckTracker, what: str, put: Callable[[Lanes, AckTracker], object]
) -> None:
    assert not lanes.waiting(0.0, 0.0)
    put(lanes, acks)
    assert lanes.waiting(0.0, 0.0), what
    taken(lanes)
    assert not lanes.waiting(0.0, 0.0)


def test_before_welcome_only_the_stop_set_waits(acks: AckTracker) -> None:
    lanes = Lanes(acks)
    lanes.permit.heartbeat(7)
    assert not lanes.waiting(0.0, 0.0)
    lanes.stop_set(SET_FRAME)
    assert lanes.waiting(0.0, 0.0)


def test_a_permit_that_has_to_keep_a_distance_does_not_wait(lanes: Lanes) -> None:
    lanes.permit.heartbeat(7)
    taken(lanes)
    lanes.permit.heartbeat(8)
    assert not lanes.waiting(0.5, 1.0)
    assert lanes.waiting(1.0, 1.0)
