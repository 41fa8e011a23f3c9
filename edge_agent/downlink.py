"""What frames down mean, as objects that the agent's pure parts understand."""

from dataclasses import dataclass

from haul.link.v1 import vehicle_link_service_pb2 as link

from pitwall import wire
from pitwall.domain.order import MotionEtag, Order
from pitwall.domain.permit import MAX_TTL_S, PermitDenial
from pitwall.domain.sequence import SequenceRange
from pitwall.domain.stop_set import SetDelta


class ProtocolError(ValueError):
    """The gateway has sent what it must not. The stream ends."""


@dataclass(frozen=True, slots=True)
class SetCame:
    delta: SetDelta


@dataclass(frozen=True, slots=True)
class PermitCame:
    number: int
    ttl_s: float
    denial: PermitDenial


@dataclass(frozen=True, slots=True)
class OrderCame:
    order: Order
    etag: MotionEtag


@dataclass(frozen=True, slots=True)
class OrderUnreadable:
    """An order that this version can't read. It is refused; it is no reason to end the stream."""

    request_id: str
    problem: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A reading that the gateway did not take; it is in dead-letter-topic."""

    sequence: int
    field: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Acked:
    boot_epoch: int
    ranges: tuple[SequenceRange, ...]
    rejections: tuple[Rejected, ...]


Event = SetCame | PermitCame | OrderCame | OrderUnreadable | Acked


def order_from_frame(delivery: link.OrderDelivery) -> OrderCame | OrderUnreadable:
    try:
        return OrderCame(wire.order_from_proto(delivery.order), wire.etag_from_proto(delivery.etag))
    except wire.InvalidMessage as error:
        return OrderUnreadable(delivery.order.request_id, str(error))


def permit_from_frame(permit: link.Permit) -> PermitCame:
    ttl_s = wire.to_seconds(permit.ttl)
    if not 0 <= ttl_s <= MAX_TTL_S:
        raise ProtocolError(f"permit: ttl must be 0 to {MAX_TTL_S} s, not {ttl_s:g} s")
    # A reason that this version doesn't know is a denial all the same: the ttl decides.
    known = permit.denial in PermitDenial._value2member_map_
    return PermitCame(permit.heartbeat_number, ttl_s, PermitDenial(permit.denial) if known else PermitDenial.STOPPED)


def ack_from_frame(ack: link.ReadingAck) -> Acked:
    ranges = tuple(SequenceRange(r.first_sequence, r.last_sequence) for r in ack.ranges)
    return Acked(
        ack.boot_epoch,
        ranges,
        tuple(Rejected(r.sequence, r.field, r.reason, r.message) for r in ack.rejections),
    )
