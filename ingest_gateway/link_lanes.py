"""What waits to go up to one command service, and which of it goes next. Pure.

In order: answers to its stop sets, news for the set, the newest beat, sessions, reports, orders' outcomes, pulses.
Reports are gathered: whoever puts one in says by when it has to go, and those that wait go with it. Under load they
keep a distance of COALESCE_S. An order's outcome takes all of them along.

A command service that does not read is dropped at MAX_LINK_BACKLOG and begins again with the whole state: nothing is
lost by that but intermediate steps. Orders' outcomes are kept beyond the stream, because nobody could tell them again.
"""

from collections import deque
from math import inf

from haul.link.v1 import gateway_link_service_pb2 as pb
from haul.link.v1.vehicle_link_service_pb2 import OrderReport

from ingest_gateway.limits import COALESCE_S, MAX_KEPT_ORDER_REPORTS, MAX_LINK_BACKLOG, REPORTS_AT_ONCE
from pitwall import wire
from pitwall.domain.stop_set import SetDelta
from pitwall.pacer import Pacer


class LinkLanes:
    """One command service's, over all streams to it."""

    def __init__(self) -> None:
        self._hello: pb.AttachRequest | None = None
        self._merged: deque[pb.AttachRequest] = deque()
        self._news: deque[SetDelta] = deque()
        self._beat = 0
        self._sessions: deque[pb.AttachRequest] = deque()
        self._reports: list[pb.VehicleReport] = []
        self._orders: deque[OrderReport] = deque(maxlen=MAX_KEPT_ORDER_REPORTS)
        self._pulses: dict[int, pb.AttachRequest] = {}  # by turn
        self._due_s = inf  # when the reports that wait have to go
        self._pacer = Pacer(COALESCE_S, REPORTS_AT_ONCE)
        #: Outcomes that were pushed out by newer ones.
        self.lost_order_reports = 0

    def restart(self, hello: pb.GatewayHello, known: list[pb.VehicleReport]) -> None:
        """A new stream: Hello first, then everything that vehicles have reported. What waited is part of it."""
        self._merged.clear()
        self._news.clear()
        self._sessions.clear()
        self._beat = 0
        self._pulses.clear()
        self._hello = pb.AttachRequest(hello=hello)
        self._reports, self._due_s = known, -inf if known else inf

    def merged(self, exchange_id: int) -> None:
        self._merged.append(pb.AttachRequest(stop_set_merged=pb.StopSetMerged(exchange_id=exchange_id)))

    def stop_set(self, delta: SetDelta) -> None:
        self._news.append(delta)

    def knows(self, delta: SetDelta) -> None:
        """The command service has told of these itself: what of it still waits need not go."""
        self._news = deque(filter(None, (news.without(delta) for news in self._news)))

    def beat(self, number: int) -> None:
        self._beat = number

    def session_opened(self, message: pb.SessionOpened) -> None:
        self._sessions.append(pb.AttachRequest(session_opened=message))

    def session_closed(self, message: pb.SessionClosed) -> None:
        self._sessions.append(pb.AttachRequest(session_closed=message))

    def report(self, message: pb.VehicleReport, due_s: float) -> bool:
        """`due_s`: by when it has to go, CLOCK_BOOTTIME; it goes with any that goes sooner.

        Returns whether that is sooner than what the writer knows of.
        """
        self._reports.append(message)
        sooner = due_s < self._due_s
        self._due_s = min(self._due_s, due_s)
        return sooner

    def order_report(self, message: OrderReport) -> None:
        self.lost_order_reports += len(self._orders) == MAX_KEPT_ORDER_REPORTS
        self._orders.append(message)

    def pulses(self, frame: pb.AttachRequest, turn: int = 0) -> None:
        """The newest of each turn take the place of those that have not gone."""
        self._pulses[turn] = frame

    @property
    def overflowing(self) -> bool:
        return len(self._merged) + len(self._news) + len(self._sessions) + len(self._reports) > MAX_LINK_BACKLOG

    def next(self, now_s: float) -> pb.AttachRequest | None:
        """The frame to write now."""
        if self._hello is not None:
            hello, self._hello = self._hello, None
            return hello
        if self._merged:
            return self._merged.popleft()
        if self._news:
            return pb.AttachRequest(stop_set=wire.set_to_proto(self._news.popleft()))
        if self._beat:
            number, self._beat = self._beat, 0
            return pb.AttachRequest(beat=pb.Beat(beat_number=number))
        if self._sessions:
            return self._sessions.popleft()
        # What an order has changed is known before it is called executed: whoever then looks sees it.
        if self._reports and (self._orders or self.wait_s(now_s) == 0):
            reports, self._reports, self._due_s = self._reports, [], inf
            self._pacer.take(now_s)
            return pb.AttachRequest(reports=pb.VehicleReports(reports=reports))
        if self._orders:
            orders = pb.OrderReports(reports=self._orders)
            self._orders.clear()
            return pb.AttachRequest(order_reports=orders)
        return self._pulses.pop(next(iter(self._pulses))) if self._pulses else None

    def wait_s(self, now_s: float) -> float:
        """How long the reports that wait have to be gathered still; 0: they may go."""
        return max(0.0, self._due_s - now_s, self._pacer.wait_s(now_s))

    @property
    def gathering(self) -> bool:
        """Reports wait. With nothing else to write, they go after `wait_s`."""
        return bool(self._reports)
