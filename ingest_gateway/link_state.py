"""What a command service says on its stream, checked and put into our words. Pure.

No lease counts before its stop set has been merged: until then this gateway does not know what is stopped.
"""

from dataclasses import dataclass

from haul.command.v1.order_pb2 import Order
from haul.link.v1 import gateway_link_service_pb2 as pb

from ingest_gateway.hello import SessionKey
from pitwall import wire
from pitwall.domain.stop_set import SetDelta


class LinkBroken(Exception):
    """The stream can't be believed: end it and connect anew. Its lease lapses by time."""


@dataclass(frozen=True, slots=True)
class SetPushed:
    delta: SetDelta
    exchange_id: int
    first: bool


@dataclass(frozen=True, slots=True)
class LeaseGranted:
    """`ttl_s` 0: refused, see `reason`."""

    beat_number: int
    ttl_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class OrderPushed:
    order: Order
    targets: tuple[pb.OrderPushTarget, ...]


@dataclass(frozen=True, slots=True)
class SessionSuperseded:
    vehicle_id: str
    key: SessionKey


LinkEvent = SetPushed | LeaseGranted | OrderPushed | SessionSuperseded


class LinkState:
    """One stream to one command service."""

    def __init__(self) -> None:
        self.exchanged = False
        #: Leases that came before the set. None of an honest command service.
        self.early_leases = 0

    def feed(self, frame: pb.AttachResponse) -> LinkEvent | None:
        """Raises LinkBroken."""
        match frame.WhichOneof("body"):
            case "stop_set":
                return self._stop_set(frame.stop_set)
            case "lease":
                return self._lease(frame.lease)
            case "order":
                return OrderPushed(frame.order.order, tuple(frame.order.targets))
            case "close_session":
                close = frame.close_session
                return SessionSuperseded(close.vehicle_id, SessionKey(close.boot_epoch, close.connect_count))
        return None  # of a newer version: nothing that this one needs

    def _stop_set(self, push: pb.StopSetPush) -> SetPushed:
        try:
            delta = wire.set_from_proto(push.stop_set)
        except ValueError as error:
            # To skip one stop would be to permit against it.
            raise LinkBroken(f"a stop set that can't be read: {error}") from error
        first, self.exchanged = not self.exchanged, True
        return SetPushed(delta, push.exchange_id, first)

    def _lease(self, lease: pb.Lease) -> LeaseGranted | None:
        if not self.exchanged:
            self.early_leases += 1
            return None
        return LeaseGranted(lease.beat_number, wire.to_seconds(lease.ttl), lease.reason)
