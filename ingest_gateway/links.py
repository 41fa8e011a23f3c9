"""The command services of the site, as the gateway's other parts speak to them: all at once."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence

from haul.command.v1.order_pb2 import OrderOutcome
from haul.command.v1.stop_pb2 import StopProgress, StopStage
from haul.link.v1 import gateway_link_service_pb2 as link_pb
from haul.link.v1 import vehicle_link_service_pb2 as pb

from ingest_gateway.limits import GATHER_S, MAX_ASKED
from ingest_gateway.link_lanes import LinkLanes
from ingest_gateway.moment import Moment
from ingest_gateway.session import Session
from pitwall.domain.stop_set import SetDelta, Stop


class LinkEnd:
    """This side of the stream to one command service. `wake` and `wake_later` are set by whoever writes the stream."""

    def __init__(self, member: str) -> None:
        self.member = member
        self.lanes = LinkLanes()
        self.wake: Callable[[], None] = lambda: None
        #: The same, RELAY_S later.
        self.wake_later: Callable[[], object] = lambda: None
        #: From Hello to the end of a stream. Between streams nothing is queued but orders' outcomes.
        self.attached = False
        #: Sets are exchanged on this stream: its leases count.
        self.exchanged = False


class Links:
    """All of them, each told the same. Messages are built once."""

    def __init__(self, members: Iterable[str]) -> None:
        self.ends = tuple(map(LinkEnd, members))
        self._asked: OrderedDict[str, LinkEnd] = OrderedDict()

    @property
    def exchanged_count(self) -> int:
        return sum(end.exchanged for end in self.ends)

    def beat(self, number: int) -> None:
        for lanes in self._attached():
            lanes.beat(number)

    def spread(self, delta: SetDelta, source: LinkEnd | None) -> None:
        """News for the set, to all but the one that brought it: at once where a vehicle did."""
        for end in self.ends:
            if end.attached and end is not source:
                end.lanes.stop_set(delta)
                (end.wake if source is None else end.wake_later)()

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

    def brought(self, stops: Iterable[Stop], end: LinkEnd) -> None:
        """This command service was the first to tell of these stops: somebody waits there for how they go."""
        for stop in stops:
            self._asked[stop.stop_id] = end
        while len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)

    def report(
        self,
        session: Session,
        progress: Sequence[StopProgress] = (),
        status: pb.StatusReport | None = None,
        *,
        now_s: float,
    ) -> None:
        """A vehicle's word about a stop goes at once to where somebody waits for it, everything else a little later."""
        message = report_message(session, progress, status)
        asked = [self._asked.get(one.stop_id) for one in progress if _is_awaited(one)]
        for end in self.ends:
            if end.attached:
                awaited = any(who is end or who is None for who in asked)
                if end.lanes.report(message, now_s if awaited else now_s + GATHER_S):
                    end.wake()

    def order_report(self, request_id: str, outcome: OrderOutcome) -> None:
        """Also to those that are away: nobody could tell it again."""
        message = pb.OrderReport(request_id=request_id, outcome=outcome)
        for end in self.ends:
            end.lanes.order_report(message)
            end.wake()

    def pulses(self, sessions: Iterable[Session], turn: int, now_s: float) -> None:
        if not any(end.attached for end in self.ends):
            return
        pulses = [session.pulse.message(session.heartbeat_number, now_s) for session in sessions if session.connected]
        if pulses:
            frame = link_pb.AttachRequest(pulses=link_pb.VehiclePulses(pulses=pulses))
            for lanes in self._attached():
                lanes.pulses(frame, turn)

    def _attached(self) -> Iterator[LinkLanes]:
        for end in self.ends:
            if end.attached:
                yield end.lanes
                end.wake()


def _is_awaited(progress: StopProgress) -> bool:
    """That it was sent is our own word, and that the latch is on disk comes after braking: nobody waits for these."""
    on_disk = progress.stage == StopStage.STOP_STAGE_RECEIVED and progress.latched_durably
    return progress.stage != StopStage.STOP_STAGE_SENT and not on_disk


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
