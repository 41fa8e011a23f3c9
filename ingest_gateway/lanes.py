"""What waits to go down one vehicle's stream, and which of it goes next.

Lanes in order: stop set, control (Welcome, Drain, Throttle), permit, orders, acks. A permit never rides on a stop set
and never overtakes one; it rides on any other frame. Alone it goes when it is due, and where readings are on their way
to Kafka only once it has waited for their ack. Its time is taken when the frame is handed to the writer, not when it
was asked for.

Nothing here grows without bound: set frames come from the set, which is bounded; there is one pending heartbeat; orders
have a limit; acks are ranges of what is in flight.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from haul.command.v1.order_pb2 import MotionEtag, Order
from haul.link.v1 import vehicle_link_service_pb2 as pb

from ingest_gateway.acks import Ack, AckTracker
from ingest_gateway.limits import MAX_QUEUED_ORDERS
from pitwall import wire
from pitwall.domain.permit import PermitDenial


class Lane(Enum):
    """In the order in which they go."""

    STOP_SET = "stop_set"
    CONTROL = "control"
    PERMIT = "permit"
    ORDER = "order"
    ACK = "ack"


@dataclass(frozen=True, slots=True)
class SetFrame:
    """A serialized ConnectResponse with a stop set, the same bytes for every vehicle that gets it."""

    data: bytes
    stop_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The next frame, serialized. `stop_ids` and `request_id`: what can be called SENT once it is written."""

    lane: Lane
    data: bytes
    stop_ids: tuple[str, ...] = ()
    request_id: str = ""
    permit: PermitDenial | None = None


#: What may be permitted at this moment: seconds, or 0 and why.
Leave = Callable[[float], tuple[float, PermitDenial]]


class PermitLane:
    """The answer to the newest heartbeat that is not answered yet."""

    __slots__ = ("_answered", "_newest", "_sent_s", "_waited")

    def __init__(self) -> None:
        self._newest = self._answered = 0
        self._sent_s = float("-inf")
        self._waited = False

    def heartbeat(self, number: int) -> None:
        self._newest = max(self._newest, number)

    def again(self) -> None:
        """What was answered last is no longer so: the newest heartbeat gets a new answer, at once."""
        self._answered, self._sent_s, self._waited = 0, float("-inf"), True

    @property
    def owed(self) -> bool:
        """Whether the newest heartbeat has no answer yet."""
        return self._newest > self._answered

    def waited(self) -> None:
        """For an ack, long enough: an answer that is owed goes alone now."""
        self._waited = self.owed

    def due(self, now_s: float, every_s: float, ack_coming: bool) -> bool:
        """Whether a frame of its own is worth it: at most one every `every_s`, and none while an ack may carry it."""
        return self.owed and now_s - self._sent_s >= every_s and (self._waited or not ack_coming)

    def answer(self, leave: Leave, now_s: float) -> pb.Permit | None:
        """The permit to put on a frame that is written now; None where the newest heartbeat has its answer."""
        if self._newest == self._answered:
            return None
        ttl_s, denial = leave(now_s)
        self._answered, self._sent_s, self._waited = self._newest, now_s, False
        return pb.Permit(
            heartbeat_number=self._newest,
            ttl=wire.duration(ttl_s),
            denial=pb.PermitDenial.ValueType(denial),
        )


class Lanes:
    """One session's outgoing side. `acks` is the vehicle's, beyond this session."""

    __slots__ = ("_acks", "_control", "_orders", "_stop", "_window", "open", "permit")

    def __init__(self, acks: AckTracker) -> None:
        self._acks = acks
        # Short, and mostly empty: an empty deque takes as much as ten lists.
        self._stop: list[SetFrame] = []
        self._control: list[pb.ConnectResponse] = []
        self._orders: list[pb.OrderDelivery] = []
        self._window: int | None = None
        self.permit = PermitLane()
        #: From Welcome on; before it only the stop set goes.
        self.open = False

    def stop_set(self, frame: SetFrame) -> None:
        self._stop.append(frame)

    def welcome(self, message: pb.Welcome) -> None:
        self._control.append(pb.ConnectResponse(welcome=message))
        self.open = True

    def drain(self, delay_s: float, reason: str) -> None:
        self._control.append(pb.ConnectResponse(drain=pb.Drain(delay=wire.duration(delay_s), reason=reason)))

    def throttle(self, delay_s: float, reason: str) -> None:
        message = pb.Throttle(retry_delay=wire.duration(delay_s), reason=reason)
        self._control.append(pb.ConnectResponse(throttle=message))

    def window(self, readings: int) -> None:
        """So many may be on their way from now on. Rides on the next ack: who gets none has nothing on its way."""
        self._window = readings

    def order(self, order: Order, etag: MotionEtag) -> bool:
        """False where too many wait."""
        if len(self._orders) >= MAX_QUEUED_ORDERS:
            return False
        self._orders.append(pb.OrderDelivery(order=order, etag=etag))
        return True

    def unsent_orders(self) -> list[str]:
        """Request ids."""
        return [delivery.order.request_id for delivery in self._orders]

    def next(self, leave: Leave, now_s: float, permit_every_s: float = 0.0) -> Outgoing | None:
        """The frame to write now; None where nothing waits that may go.

        `permit_every_s`: a permit that rides on nothing else goes at most so often.
        """
        if self._stop:
            frame = self._stop.pop(0)
            return Outgoing(Lane.STOP_SET, frame.data, frame.stop_ids)
        if not self.open:
            return None
        if self._control:
            return self._with_permit(Lane.CONTROL, self._control.pop(0), leave, now_s)
        if self._orders:
            delivery = self._orders.pop(0)
            return self._with_permit(
                Lane.ORDER, pb.ConnectResponse(order=delivery), leave, now_s, delivery.order.request_id
            )
        ack = self._acks.next_ack()
        if ack is None:
            due = self._permit_due(now_s, permit_every_s)
            return self._with_permit(Lane.PERMIT, pb.ConnectResponse(), leave, now_s) if due else None
        told, self._window = self._window, None
        return self._with_permit(Lane.ACK, ack_frame(ack, told), leave, now_s)

    def waiting(self, now_s: float, permit_every_s: float) -> bool:
        """Whether `next` would have something."""
        if self._stop:
            return True
        if not self.open:
            return False
        if self._control or self._orders or self._acks.due:
            return True
        return self._permit_due(now_s, permit_every_s)

    @property
    def permit_rides(self) -> bool:
        """Whether a permit may be waiting for an ack that comes: one frame is half the work of two."""
        return self.permit.owed and self._acks.in_flight > 0

    def _permit_due(self, now_s: float, every_s: float) -> bool:
        return self.permit.due(now_s, every_s, ack_coming=self._acks.in_flight > 0)

    def _with_permit(
        self, lane: Lane, frame: pb.ConnectResponse, leave: Leave, now_s: float, request_id: str = ""
    ) -> Outgoing:
        permit = self.permit.answer(leave, now_s)
        denial = None
        if permit is not None:
            frame.permit.CopyFrom(permit)
            denial = PermitDenial(permit.denial)
        return Outgoing(lane, frame.SerializeToString(), request_id=request_id, permit=denial)


def ack_frame(ack: Ack, window: int | None = None) -> pb.ConnectResponse:
    """`window`: how many readings may be on their way from now on; None: as before."""
    return pb.ConnectResponse(
        reading_ack=pb.ReadingAck(
            boot_epoch=ack.boot_epoch,
            ranges=[pb.SequenceRange(first_sequence=each.first, last_sequence=each.last) for each in ack.ranges],
            rejections=[
                pb.Rejection(
                    sequence=one.sequence, field=one.fault.field, reason=one.fault.reason, message=one.fault.message
                )
                for one in ack.refused
            ],
            max_unacked_readings=window,
        )
    )
