"""The command services of the site, as the gateway's other parts speak to them: all at once."""

from collections.abc import Callable, Iterable, Iterator

from haul.command.v1.order_pb2 import OrderOutcome
from haul.command.v1.stop_pb2 import StopProgress
from haul.link.v1 import gateway_link_service_pb2 as link_pb
from haul.link.v1 import vehicle_link_service_pb2 as pb

from ingest_gateway.link_lanes import LinkLanes
from ingest_gateway.moment import Moment
from ingest_gateway.session import Session
from pitwall.domain.stop_set import SetDelta


class LinkEnd:
    """This side of the stream to one command service. `wake` is set by whoever writes the stream."""

    def __init__(self, member: str) -> None:
        self.member = member
        self.lanes = LinkLanes()
        self.wake: Callable[[], None] = lambda: None
        #: From Hello to the end of a stream. Between streams nothing is queued but orders' outcomes.
        self.attached = False
        #: Sets are exchanged on this stream: its leases count.
        self.exchanged = False


class Links:
    """All of them, each told the same. Messages are built once."""

    def __init__(self, members: Iterable[str]) -> None:
        self.ends = tuple(map(LinkEnd, members))

    @property
    def exchanged_count(self) -> int:
        return sum(end.exchanged for end in self.ends)

    def beat(self, number: int) -> None:
        for lanes in self._attached():
            lanes.beat(number)

    def spread(self, delta: SetDelta, source: LinkEnd | None) -> None:
        """News for the set, to all but the one that brought it."""
        for lanes in self._attached(but=source):
            lanes.stop_set(delta)

    def opened(self, session: Session) -> None:
        message = opened_message(session)
        for lanes in self._attached():
            lanes.session_opened(message)

    def closed(self, session: Session, reason: str, now: Moment) -> None:
        message = link_pb.SessionClosed(
            vehicle_id=session.vehicle_id,
            boot_epoch=session.key.boot_epoch,
            connect_count=session.key.connect_count,
            event_time=now.timestamp,
            reason=reason,
        )
        for lanes in self._attached():
            lanes.session_closed(message)

    def report(
        self, session: Session, progress: Iterable[StopProgress] = (), status: pb.StatusReport | None = None
    ) -> None:
        message = report_message(session, progress, status)
        for lanes in self._attached():
            lanes.report(message)

    def order_report(self, request_id: str, outcome: OrderOutcome) -> None:
        """Also to those that are away: nobody could tell it again."""
        message = pb.OrderReport(request_id=request_id, outcome=outcome)
        for end in self.ends:
            end.lanes.order_report(message)
            end.wake()

    def pulses(self, sessions: Iterable[Session], now_s: float) -> None:
        if not any(end.attached for end in self.ends):
            return
        pulses = [session.pulse.message(session.heartbeat_number, now_s) for session in sessions if session.connected]
        if pulses:
            frame = link_pb.AttachRequest(pulses=link_pb.VehiclePulses(pulses=pulses))
            for lanes in self._attached():
                lanes.pulses(frame)

    def _attached(self, but: LinkEnd | None = None) -> Iterator[LinkLanes]:
        for end in self.ends:
            if end.attached and end is not but:
                yield end.lanes
                end.wake()


def opened_message(session: Session) -> link_pb.SessionOpened:
    """A session as it is now."""
    said = session.introduction
    return link_pb.SessionOpened(
        vehicle_id=session.vehicle_id,
        boot_epoch=said.key.boot_epoch,
        connect_count=said.key.connect_count,
        status=session.status,
        software_version=said.software_version,
        lowest_deceleration_mps2=said.lowest_deceleration_mps2,
        heartbeat_number=session.heartbeat_number,
    )


def report_message(
    session: Session, progress: Iterable[StopProgress] = (), status: pb.StatusReport | None = None
) -> link_pb.VehicleReport:
    return link_pb.VehicleReport(
        vehicle_id=session.vehicle_id,
        boot_epoch=session.key.boot_epoch,
        connect_count=session.key.connect_count,
        progress=progress,
        status=status,
    )
