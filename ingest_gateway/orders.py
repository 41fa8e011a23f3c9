"""Orders on their way to one vehicle: sent or not, answered or not.

Nothing is kept for a vehicle that is away. When a session ends, an order that was not written is UNAVAILABLE, nothing
has happened; one that was written and not answered is UNKNOWN: it may have happened.
"""

from google.protobuf.timestamp_pb2 import Timestamp
from haul.command.v1.order_pb2 import MotionEtag, Order, OrderOutcome, OrderResult
from haul.link.v1.vehicle_link_service_pb2 import OrderReport

from ingest_gateway.effects import illegal
from ingest_gateway.hello import SessionKey
from ingest_gateway.lanes import Lanes
from ingest_gateway.limits import MAX_OWED_ORDERS
from ingest_gateway.moment import Moment

_RESULTS = frozenset(OrderResult.values()) - {OrderResult.ORDER_RESULT_UNSPECIFIED}


class OrderDesk:
    """One session's orders."""

    __slots__ = ("_lanes", "_owed", "_vehicle_id")

    def __init__(self, lanes: Lanes, vehicle_id: str) -> None:
        self._lanes, self._vehicle_id = lanes, vehicle_id
        self._owed: dict[str, None] = {}

    def push(self, order: Order, etag: MotionEtag, key: SessionKey, now: Moment) -> OrderOutcome | None:
        """Puts an order into its lane, or says at once why not. `key`: of this session."""
        if etag.boot_epoch != key.boot_epoch:
            return refused(self._vehicle_id, "REBOOTED", "the vehicle has started anew since you looked", now)
        if etag.connect_count != key.connect_count:
            return refused(self._vehicle_id, "RECONNECTED", "the vehicle has reconnected since you looked", now)
        if len(self._owed) >= MAX_OWED_ORDERS or not self._lanes.order(order, etag):
            return unavailable(self._vehicle_id, "TOO_MANY_ORDERS", "too many orders wait for the vehicle", now)
        return None

    def sent(self, request_id: str) -> None:
        """Is being written: from now on it may happen."""
        self._owed[request_id] = None

    def reported(self, report: OrderReport) -> OrderOutcome:
        """The vehicle's answer. Raises Illegal for one that says nothing."""
        if not report.request_id:
            raise illegal("MISSING", "order_report.request_id", "is empty")
        if report.outcome.result not in _RESULTS:
            raise illegal("NOT_ALLOWED", "order_report.outcome.result", f"{int(report.outcome.result)} is no result")
        self._owed.pop(report.request_id, None)
        outcome = OrderOutcome()
        outcome.CopyFrom(report.outcome)
        outcome.vehicle_id = self._vehicle_id
        return outcome

    def abandon(self, now: Moment) -> list[tuple[str, OrderOutcome]]:
        """The session ends: the outcome of every order that has none."""
        unsent = [
            (request_id, unavailable(self._vehicle_id, "LINK_LOST", "the link broke before it was sent", now))
            for request_id in self._lanes.unsent_orders()
        ]
        owed = [(request_id, _unknown(self._vehicle_id, now)) for request_id in self._owed]
        self._owed.clear()
        return unsent + owed


def unavailable(vehicle_id: str, reason: str, text: str, now: Moment) -> OrderOutcome:
    """Nothing was sent."""
    return _outcome(vehicle_id, OrderResult.ORDER_RESULT_UNAVAILABLE, reason, f"{text}; nothing was sent", now)


def refused(vehicle_id: str, reason: str, text: str, now: Moment) -> OrderOutcome:
    """The state is not the one that the operator saw; nothing was sent."""
    return _outcome(vehicle_id, OrderResult.ORDER_RESULT_REJECTED, reason, f"{text}; look again", now)


def _unknown(vehicle_id: str, now: Moment) -> OrderOutcome:
    text = "the link broke after it was sent; look, don't retry"
    outcome = _outcome(vehicle_id, OrderResult.ORDER_RESULT_UNKNOWN, "LINK_LOST", text, now)
    outcome.may_have_happened = True
    return outcome


def _outcome(vehicle_id: str, result: OrderResult.ValueType, reason: str, text: str, now: Moment) -> OrderOutcome:
    event_time = Timestamp()
    event_time.FromNanoseconds(now.wall_ns)
    return OrderOutcome(vehicle_id=vehicle_id, result=result, reason=reason, message=text, event_time=event_time)
