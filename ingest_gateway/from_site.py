"""What command services say, carried out: stop sets, leases, orders, sessions that are no longer the newest."""

import logging
from collections.abc import Callable

from haul.link.v1 import gateway_link_service_pb2 as pb

from ingest_gateway.hub import Hub
from ingest_gateway.limits import LINK_PROTOCOL_VERSION
from ingest_gateway.link_state import LeaseGranted, LinkEvent, LinkState, OrderPushed, SessionSuperseded, SetPushed
from ingest_gateway.links import LinkEnd, opened_message, report_message
from ingest_gateway.meters import Meters
from ingest_gateway.moment import Moment
from ingest_gateway.orders import unavailable
from ingest_gateway.registry import OLD_SESSION
from pitwall import wire

_log = logging.getLogger(__name__)


class FromSite:
    """For all streams to command services. `instance_id`: fresh with each start of the process."""

    def __init__(self, hub: Hub, gateway: str, instance_id: str, meters: Meters, now: Callable[[], Moment]) -> None:
        self._hub, self._gateway, self._instance_id = hub, gateway, instance_id
        self._meters, self._now = meters, now

    def attach(self, end: LinkEnd) -> LinkState:
        """A stream opens: the whole state goes first, so that nothing from before has to be remembered."""
        sessions = list(self._hub.registry)
        hello = pb.GatewayHello(
            gateway=self._gateway,
            instance_id=self._instance_id,
            stop_set=wire.set_to_proto(self._hub.board.snapshot()),
            sessions=map(opened_message, sessions),
            protocol_version=LINK_PROTOCOL_VERSION,
        )
        known = [report_message(session, session.progress.all()) for session in sessions if session.progress.all()]
        end.lanes.restart(hello, known)
        end.attached, end.exchanged = True, False
        return LinkState()

    def detach(self, end: LinkEnd, reason: str) -> None:
        """The stream is gone. Its lease is not taken away: it lapses by time, like the stop that could follow."""
        end.attached = end.exchanged = False
        self._meters.link(reason, end.member)

    def feed(self, end: LinkEnd, state: LinkState, frame: pb.AttachResponse) -> None:
        """A frame has come down. Raises LinkBroken."""
        event = state.feed(frame)
        if event is not None:
            self._carry_out(end, event)

    def _carry_out(self, end: LinkEnd, event: LinkEvent) -> None:
        match event:
            case SetPushed():
                self._hub.merge(event.delta, end)
                end.lanes.merged(event.exchange_id)
                end.exchanged = True
                end.wake()
            case LeaseGranted():
                self._lease(end, event)
            case OrderPushed():
                self._order(event)
            case SessionSuperseded():
                session = self._hub.registry.superseded(event.vehicle_id, event.key)
                if session is not None:
                    self._hub.close(session, OLD_SESSION)

    def _lease(self, end: LinkEnd, lease: LeaseGranted) -> None:
        self._hub.leave.granted(end.member, lease.beat_number, lease.ttl_s, self._now().boottime_s)
        if lease.ttl_s <= 0:
            self._meters.link(f"lease_refused_{lease.reason.lower()}", end.member)

    def _order(self, pushed: OrderPushed) -> None:
        now = self._now()
        for target in pushed.targets:
            session = self._hub.registry.get(target.vehicle_id)
            if session is None or not session.connected:
                outcome = unavailable(target.vehicle_id, "NO_LINK", "the vehicle has no link to this gateway", now)
            else:
                refused = session.orders.push(pushed.order, target.etag, session.key, now)
                if refused is None:
                    self._hub.wake(session)
                    continue
                outcome = refused
            self._hub.links.order_report(pushed.order.request_id, outcome)
