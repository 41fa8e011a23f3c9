"""One stream to a gateway, seen from the vehicle: a pure object. `receive(frame)` gives what the frame means,
`next_frame(now)` what to send, `check(now)` whether to leave.

- Up: Hello first. Down: the stop set first, then Welcome, then anything. What breaks that order ends the stream.
- Stop reports go ahead of other reports, these ahead of readings. Readings wait for Welcome, and for a first permit
  that shows that the gateway is one to stay with: what is under way when a stream is left comes twice to Kafka.
- The newest heartbeat rides in every frame up. The control loop numbers it; here it is only passed on. When nothing
  else goes, it goes alone, at most every fifth of a permit's life.
- A gateway that is silent, drains, or has no majority of leases is left for the next address. Whoever is about to leave
  sends no more readings.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from math import inf

from haul.link.v1 import vehicle_link_service_pb2 as link

from edge_agent import frames
from edge_agent.downlink import Event, ProtocolError, SetCame, ack_from_frame, order_from_frame, permit_from_frame
from edge_agent.limits import (
    CONTROL_PERIOD_S,
    HEARTBEATS_PER_PERMIT,
    MAX_BATCH_BYTES,
    PART_WAIT_S,
    SETTLE_WAIT_S,
    SETUP_WAIT_S,
    SILENT_PERMITS,
)
from edge_agent.moment import Moment
from edge_agent.reports import Reports
from edge_agent.shipment import BatchLimits, Shipment, Wanted
from pitwall import wire
from pitwall.domain.permit import MAX_TTL_S, MIN_TTL_S, HeartbeatLog, PermitDenial

PROTOCOL_VERSION = 2
#: From this one on a gateway takes a stop's stages and the status that goes with them in one frame.
TOGETHER_FROM_VERSION = 2


@dataclass(frozen=True, slots=True)
class Leave:
    """End this stream. `broken`: the gateway is at fault, wait before the next; otherwise move on at once."""

    reason: str
    broken: bool


class _Phase(Enum):
    HELLO = auto()
    SET = auto()
    WELCOME = auto()
    OPEN = auto()


class Session:
    """One stream. `spread` (0 up to 1) is this vehicle's place when many are told to move at once."""

    def __init__(
        self,
        vehicle_id: str,
        hello: Callable[[Moment], link.Hello],
        heartbeats: HeartbeatLog,
        shipment: Shipment,
        reports: Reports,
        *,
        spread: float,
        now_s: float,
    ) -> None:
        self._vehicle_id, self._hello, self._spread = vehicle_id, hello, spread
        self._heartbeats, self._shipment, self._reports = heartbeats, shipment, reports
        self._phase = _Phase.HELLO
        self._heard_s = self._began_s = now_s
        self._heartbeat_sent = 0
        self._heartbeat_sent_s = -inf
        self._throttled_until_s: float | None = None
        #: Left once nothing is under way any more, from the one moment on, and at the other whatever is.
        self._leave_from_s = self._leave_by_s = inf
        self._leave_reason = ""
        self._readings_from_s = inf
        self._limits = BatchLimits(0, 0, 0)
        self._together = False
        self.permit_ttl_s = 0.0
        self.gateway = ""
        shipment.offer_again()

    @property
    def is_open(self) -> bool:
        """Welcomed."""
        return self._phase is _Phase.OPEN

    # Down

    def receive(self, frame: link.ConnectResponse, now_s: float) -> list[Event]:
        """What the frame means, in the order in which it has to be taken. Raises ProtocolError."""
        self._heard_s = now_s
        body = frame.WhichOneof("body")
        if self._phase is not _Phase.OPEN:
            self._enter(body)
        try:
            events = self._body(body, frame, now_s)
        except (wire.InvalidMessage, ValueError) as error:
            raise ProtocolError(f"{body}: {error}") from error
        if frame.HasField("permit") and self._phase is _Phase.OPEN:
            permit = permit_from_frame(frame.permit)
            if permit.denial is not PermitDenial.NO_MAJORITY:
                self._readings_from_s = -inf
            events.append(permit)
        return events

    def _enter(self, body: str | None) -> None:
        if self._phase is _Phase.HELLO:
            raise ProtocolError(f"{body or 'a permit'} before Hello was sent")
        if self._phase is _Phase.SET and body != "stop_set":
            raise ProtocolError(f"the first frame must be the stop set, not {body or 'a permit'}")
        if self._phase is _Phase.WELCOME and body not in ("welcome", "stop_set"):
            raise ProtocolError(f"{body or 'a permit'} before Welcome")

    def _body(self, body: str | None, frame: link.ConnectResponse, now_s: float) -> list[Event]:
        match body:
            case "stop_set":
                if self._phase is _Phase.SET:
                    self._phase = _Phase.WELCOME
                return [SetCame(wire.set_from_proto(frame.stop_set))]
            case "welcome":
                self._welcome(frame.welcome, now_s)
            case "order":
                return [order_from_frame(frame.order)]
            case "reading_ack":
                self._widen(frame.reading_ack)
                return [ack_from_frame(frame.reading_ack)]
            case "throttle":
                until_s = now_s + wire.to_seconds(frame.throttle.retry_delay)
                self._throttled_until_s = max(until_s, self._throttled_until_s or until_s)
            case "drain":
                # In the first half of the delay, spread, so that a fleet doesn't move at one moment; readings go
                # on until shortly before, so that none is in flight at both gateways.
                from_s = now_s + self._spread * wire.to_seconds(frame.drain.delay) / 2
                self._leave(f"gateway drains: {frame.drain.reason}", from_s)
        return []

    def _welcome(self, welcome: link.Welcome, now_s: float) -> None:
        if self._phase is _Phase.OPEN:
            raise ValueError("came twice")
        ttl_s = wire.to_seconds(welcome.permit_ttl)
        if not MIN_TTL_S <= ttl_s <= MAX_TTL_S:
            raise ValueError(f"permit_ttl must be {MIN_TTL_S} to {MAX_TTL_S} s, not {ttl_s:g} s")
        max_bytes = min(welcome.max_batch_bytes, MAX_BATCH_BYTES)
        limits = BatchLimits(welcome.max_readings_per_batch, max_bytes, welcome.max_unacked_readings)
        if min(limits.max_readings, limits.max_bytes, limits.max_unacked) < 1:
            raise ValueError(f"limits must be at least 1: {limits}")
        self.permit_ttl_s, self._limits, self.gateway = ttl_s, limits, welcome.gateway
        self._together = welcome.protocol_version >= TOGETHER_FROM_VERSION
        self._phase = _Phase.OPEN
        self._readings_from_s = now_s + SETTLE_WAIT_S

    def _widen(self, ack: link.ReadingAck) -> None:
        """Or narrow: readings under way are none too many, the next ones wait."""
        if not ack.HasField("max_unacked_readings"):
            return
        if ack.max_unacked_readings < 1:
            raise ValueError("max_unacked_readings must be at least 1")
        self._limits = replace(self._limits, max_unacked=ack.max_unacked_readings)

    # Up

    def next_frame(self, now: Moment) -> link.ConnectRequest | None:
        """The most urgent frame, None where nothing has to go. To be called again until it gives None."""
        if self._phase is _Phase.HELLO:
            self._phase = _Phase.SET
            return self._numbered(link.ConnectRequest(hello=self._hello(now)), now)
        frame = self._report(now) if self._phase in (_Phase.WELCOME, _Phase.OPEN) else None
        if frame is None and self._phase is _Phase.OPEN:
            frame = self._readings(now)
            if frame is None and self.heartbeat_due(now.s):
                frame = link.ConnectRequest()
        return self._numbered(frame, now) if frame is not None else None

    def heartbeat_due(self, now_s: float) -> bool:
        """A heartbeat has to go by itself."""
        if self._phase is not _Phase.OPEN or self._heartbeats.newest <= self._heartbeat_sent:
            return False
        # A tick comes a little early or late: half a period of slack keeps the rhythm.
        return now_s - self._heartbeat_sent_s >= self.permit_ttl_s / HEARTBEATS_PER_PERMIT - CONTROL_PERIOD_S / 2

    def _numbered(self, frame: link.ConnectRequest, now: Moment) -> link.ConnectRequest:
        newest = self._heartbeats.newest
        if newest > self._heartbeat_sent:
            frame.heartbeat_number = newest
            self._heartbeat_sent = newest
            self._heartbeat_sent_s = now.s
        return frame

    def _report(self, now: Moment) -> link.ConnectRequest | None:
        reports = self._reports
        stops = reports.take_stops()
        if stops is not None:
            state = reports.states.popleft() if self._together and reports.states else None
            return link.ConnectRequest(stop_report=frames.stop_report(*stops, state, now))
        if reports.states:
            return link.ConnectRequest(status_report=frames.status_report(reports.states.popleft(), now))
        if reports.answers:
            answer = frames.order_report(self._vehicle_id, reports.answers.popleft(), now)
            return link.ConnectRequest(order_report=answer)
        lost = reports.take_lost() if self._phase is _Phase.OPEN else None
        if lost is None:
            return None
        span = link.SequenceRange(first_sequence=lost.range.first, last_sequence=lost.range.last)
        return link.ConnectRequest(
            lost_range=link.LostRange(boot_epoch=lost.boot_epoch, range=span, reason=lost.reason)
        )

    def _readings(self, now: Moment) -> link.ConnectRequest | None:
        if self._holds_back(now.s):
            return None
        batch = self._shipment.take(self._limits, now.s)
        if batch is None:
            return None
        return link.ConnectRequest(reading_batch=frames.reading_batch(batch, now))

    def _holds_back(self, now_s: float) -> bool:
        """Readings have to wait. What a throttling gateway has declined, lost ranges too, goes again afterwards."""
        if self._throttled_until_s is not None and now_s >= self._throttled_until_s:
            self._throttled_until_s = None
            self._shipment.offer_again()
            self._reports.tell_lost_again()
        leaves = now_s >= self._leave_from_s - PART_WAIT_S
        return self._throttled_until_s is not None or now_s < self._readings_from_s or leaves

    def readings_due(self, now_s: float) -> bool:
        """Live readings have gathered long enough to go."""
        if self._phase is not _Phase.OPEN or self._holds_back(now_s):
            return False
        return self._shipment.live_due(self._limits, now_s)

    def wanted(self, now_s: float) -> Wanted | None:
        """History to fetch for the next batches."""
        if self._phase is not _Phase.OPEN or self._holds_back(now_s):
            return None
        return self._shipment.wanted(self._limits)

    # Time

    def part(self, reason: str, now_s: float) -> None:
        """To be left in good order: no more readings, and a moment for the acks of those under way."""
        self._leave(reason, now_s)

    def _leave(self, reason: str, from_s: float) -> None:
        """The first reason counts, unless another one is more urgent."""
        if from_s < self._leave_from_s:
            self._leave_from_s, self._leave_by_s, self._leave_reason = from_s, from_s + PART_WAIT_S, reason

    def check(self, now_s: float) -> Leave | None:
        """To be called in every control period."""
        if now_s >= self._leave_by_s or (now_s >= self._leave_from_s and not self._shipment.unacked):
            return Leave(self._leave_reason, broken=False)
        if self._phase is not _Phase.OPEN:
            late = now_s - self._began_s > SETUP_WAIT_S
            return Leave(f"no Welcome within {SETUP_WAIT_S:g} s", broken=True) if late else None
        if now_s - self._heard_s > SILENT_PERMITS * self.permit_ttl_s:
            return Leave(f"the gateway has been silent for {now_s - self._heard_s:.1f} s", broken=True)
        return None
