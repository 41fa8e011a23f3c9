"""Orders: at most once, and honest about what may have happened. Progress: only what a vehicle can vouch for."""

import pytest
from haul.command.v1.order_pb2 import MotionEtag, Order, OrderOutcome, OrderResult
from haul.command.v1.stop_pb2 import StopProgress, StopStage
from haul.link.v1.vehicle_link_service_pb2 import OrderReport

from ingest_gateway.acks import AckTracker
from ingest_gateway.effects import Illegal
from ingest_gateway.hello import SessionKey
from ingest_gateway.lanes import Lanes
from ingest_gateway.limits import MAX_OWED_ORDERS, MAX_QUEUED_ORDERS
from ingest_gateway.orders import OrderDesk
from ingest_gateway.progress import VEHICLE_STAGES, ProgressBook, checked_progress
from tests.unit.ingest_gateway.builders import VEHICLE, at

KEY = SessionKey(5, 2)
ETAG = MotionEtag(boot_epoch=5, connect_count=2)


def desk() -> OrderDesk:
    return OrderDesk(Lanes(AckTracker()), VEHICLE)


def executed(request_id: str) -> OrderReport:
    outcome = OrderOutcome(vehicle_id="SOMEBODY-ELSE", result=OrderResult.ORDER_RESULT_EXECUTED)
    return OrderReport(request_id=request_id, outcome=outcome)


@pytest.mark.parametrize(
    ("etag", "reason"),
    [
        (MotionEtag(boot_epoch=4, connect_count=2), "REBOOTED"),
        (MotionEtag(boot_epoch=5, connect_count=1), "RECONNECTED"),
    ],
)
def test_an_order_for_another_session_is_answered_at_once(etag: MotionEtag, reason: str) -> None:
    outcome = desk().push(Order(request_id="o"), etag, KEY, at(0))
    assert outcome is not None
    assert (outcome.result, outcome.reason) == (OrderResult.ORDER_RESULT_REJECTED, reason)
    assert not outcome.may_have_happened


def test_when_the_link_breaks_unsent_is_unavailable_and_sent_is_unknown() -> None:
    orders = desk()
    for request_id in ("unsent", "sent", "answered"):
        assert orders.push(Order(request_id=request_id), ETAG, KEY, at(0)) is None
    lanes = orders._lanes
    del lanes._orders[1:]  # the first one stays behind
    orders.sent("sent")
    orders.sent("answered")
    orders.reported(executed("answered"))
    found = dict(orders.abandon(at(1)))
    assert set(found) == {"unsent", "sent"}
    assert found["unsent"].result == OrderResult.ORDER_RESULT_UNAVAILABLE
    assert not found["unsent"].may_have_happened
    assert found["sent"].result == OrderResult.ORDER_RESULT_UNKNOWN
    assert found["sent"].may_have_happened


def test_an_outcome_is_of_the_vehicle_that_the_stream_belongs_to() -> None:
    assert desk().reported(executed("o")).vehicle_id == VEHICLE


@pytest.mark.parametrize(
    "report", [OrderReport(request_id="o"), OrderReport(outcome=executed("o").outcome)], ids=["no result", "no id"]
)
def test_an_outcome_that_says_nothing_is_illegal(report: OrderReport) -> None:
    with pytest.raises(Illegal):
        desk().reported(report)


def test_too_many_orders_are_unavailable() -> None:
    orders = desk()
    outcomes = [orders.push(Order(request_id=str(n)), ETAG, KEY, at(0)) for n in range(MAX_QUEUED_ORDERS + 1)]
    assert outcomes[:-1] == [None] * MAX_QUEUED_ORDERS
    assert outcomes[-1] is not None
    assert outcomes[-1].reason == "TOO_MANY_ORDERS"


def test_too_many_unanswered_orders_are_unavailable() -> None:
    orders = desk()
    for number in range(MAX_OWED_ORDERS):
        orders.sent(str(number))
    outcome = orders.push(Order(request_id="one more"), ETAG, KEY, at(0))
    assert outcome is not None
    assert outcome.result == OrderResult.ORDER_RESULT_UNAVAILABLE


@pytest.mark.parametrize("stage", StopStage.values())
def test_only_the_vehicles_own_stages_are_taken(stage: StopStage.ValueType) -> None:
    progress = [StopProgress(stop_id="s", stage=stage)]
    if stage in VEHICLE_STAGES:
        assert checked_progress(progress) == tuple(progress)
    else:
        with pytest.raises(Illegal, match="RECEIVED, BRAKING"):
            checked_progress(progress)


def test_the_latest_word_about_each_stage_is_kept_and_durable_stays_durable() -> None:
    book = ProgressBook()
    received = StopStage.STOP_STAGE_RECEIVED
    book.keep([StopProgress(stop_id="s", stage=received, latched_durably=True)])
    book.keep(
        [StopProgress(stop_id="s", stage=received), StopProgress(stop_id="s", stage=StopStage.STOP_STAGE_BRAKING)]
    )
    assert [(one.stage, one.latched_durably) for one in book.all()] == [
        (received, True),
        (StopStage.STOP_STAGE_BRAKING, False),
    ]


def test_the_stops_longest_unheard_of_are_forgotten_first() -> None:
    book = ProgressBook(capacity=2)
    for stop_id in ("a", "b", "a", "c"):
        book.keep([StopProgress(stop_id=stop_id, stage=StopStage.STOP_STAGE_RECEIVED)])
    assert [one.stop_id for one in book.all()] == ["a", "c"]
