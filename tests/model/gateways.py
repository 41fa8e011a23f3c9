"""A gateway process: shim of ingest_gateway's gateway, stream and command_link around Hub, FromSite and Links."""

import random
from collections.abc import Sequence
from functools import partial

from haul.link.v1 import gateway_link_service_pb2 as pb
from haul.link.v1.vehicle_link_service_pb2 import ConnectRequest

from ingest_gateway.effects import Close
from ingest_gateway.from_site import FromSite
from ingest_gateway.hub import Hub
from ingest_gateway.intake import Intake
from ingest_gateway.leave import Leave
from ingest_gateway.limits import LINK_OPEN_WITHIN_S, LINK_SILENT_S, PULSE_S, RELAY_S
from ingest_gateway.link_state import LinkBroken, LinkState
from ingest_gateway.links import LinkEnd, Links
from ingest_gateway.record import VehicleRecord
from ingest_gateway.stream import ENDED
from ingest_gateway.terms import Terms
from pitwall.domain.permit import PermitTerms
from pitwall.rpc.channel import jitter_s
from tests.model.network import End, Network, Process, Timeline
from tests.model.surroundings import CLOCK, MUTE, Clock

#: Coarser than in production, where it is 8: nothing but the number of events depends on it.
BEATS_PER_LEASE = 3
TICK_S = 0.5


class NoKafka:
    """Takes nothing: readings are no part of the stop path."""

    room = 0

    def has_room(self, count: int) -> bool:
        return False

    def take(self, intake: Intake, record: VehicleRecord) -> int:
        return 0

    def lost(self, lost: object, record: VehicleRecord) -> bool:
        return False

    def status(self, change: object) -> bool:
        return False


class VehicleStream:
    """One vehicle's stream, as ingest_gateway.stream has it."""

    def __init__(self, gateway: "Gateway", end: End) -> None:
        self._gateway, self._end = gateway, end
        self.ended = self.woken = False
        hub = gateway.hub
        self.session = session = hub.open(end.other.process.name, self)
        self._leave = partial(hub.may_move, session)
        end.on_frame = self._feed
        end.on_close = lambda: hub.close(session, ENDED)

    def _feed(self, frame: ConnectRequest) -> None:
        self._gateway.hub.feed(self.session, frame)

    def wake(self) -> None:
        if not self.woken:
            self.woken = True
            self._gateway.woken.append(self)

    def hold(self, seconds: float) -> None:
        raise AssertionError("nobody sends too much here")

    def end(self, close: Close) -> None:
        self.ended = True
        self._end.close()

    def stalled_s(self, now_s: float) -> float:
        return 0.0

    def write(self) -> None:
        self.woken = False
        session, hub = self.session, self._gateway.hub
        while not self.ended:
            outgoing = session.next_frame(self._leave, CLOCK.own_s, hub.permit_every_s)
            if outgoing is None:
                return
            if outgoing.request_id:
                session.orders.sent(outgoing.request_id)
            self._end.send(outgoing.data)
            hub.written(session, outgoing)


class SiteLink:
    """The stream to one command service, as ingest_gateway.command_link has it."""

    def __init__(self, gateway: "Gateway", member: Process, end: LinkEnd) -> None:
        self._gateway, self._member, self._link = gateway, member, end
        self._attempt = 0
        self._end: End | None = None
        self._state = LinkState()
        self._heard_s = 0.0
        self.woken = self._gathers = False
        end.wake, end.wake_later = self._wake, lambda: gateway.later(RELAY_S, self._wake)

    def _wake(self) -> None:
        self.woken = True

    def connect(self) -> None:
        gateway = self._gateway
        self._attempt += 1
        self._state = gateway.site.attach(self._link)
        end = self._end = gateway.network.connect(gateway, self._member, keepalive=True)
        end.on_frame, end.on_close = self._feed, self._lost
        self._heard_s = CLOCK.own_s
        self.woken = True

    def _feed(self, frame: pb.AttachResponse) -> None:
        self._heard_s = CLOCK.own_s
        try:
            self._gateway.site.feed(self._link, self._state, frame)
        except LinkBroken:
            self._leave()

    def _leave(self) -> None:
        if self._end is not None:
            self._end.close()
            self._lost()

    def _lost(self) -> None:
        self._end = None
        self._gateway.site.detach(self._link, "lost")
        self._attempt = 1 if self._state.exchanged else self._attempt
        self._gateway.later(jitter_s(self._attempt, self._gateway.chance), self.connect)

    def look(self) -> None:
        """Leaves a silent command service."""
        within_s = LINK_SILENT_S if self._state.exchanged else LINK_OPEN_WITHIN_S
        if self._end is not None and CLOCK.own_s - self._heard_s >= within_s:
            self._leave()

    def write(self) -> None:
        self.woken = False
        if self._end is None:
            return
        lanes = self._link.lanes
        while (frame := lanes.next(CLOCK.own_s)) is not None:
            self._end.send(frame)
        if lanes.gathering and not self._gathers:
            self._gathers = True
            self._gateway.later(lanes.wait_s(CLOCK.own_s) + 1e-6, self._gathered)

    def _gathered(self) -> None:
        self._gathers, self.woken = False, True


class Gateway(Process):
    """`members`: the command services of the site."""

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        clock: Clock,
        network: Network,
        members: Sequence[Process],
        terms: PermitTerms,
        chance: random.Random,
    ) -> None:
        super().__init__(name, timeline, clock)
        self.network, self.chance = network, chance
        self._members, self._terms = members, terms
        self.hub: Hub
        self.site: FromSite

    def begin(self) -> None:
        """With an empty memory."""
        names = [member.name for member in self._members]
        links = Links(names)
        leave = Leave(names, self._terms, CLOCK.own_s)
        terms = Terms(self.name, self._terms.permit_ttl_s, 1)
        self.hub = Hub(terms, leave, links, NoKafka(), MUTE, CLOCK.gateway)
        self.site = FromSite(self.hub, self.name, f"{self.name}-{self.incarnation}", MUTE, CLOCK.gateway)
        self.woken: list[VehicleStream] = []
        self.site_links = [SiteLink(self, m, end) for m, end in zip(self._members, links.ends, strict=True)]
        for link in self.site_links:
            link.connect()
        self.every(self._terms.lease_ttl_s / BEATS_PER_LEASE, self.hub.beat)
        self.every(2 * PULSE_S, self.hub.pulse, PULSE_S)
        self.every(TICK_S, self._tick, TICK_S / 2)

    def _tick(self) -> None:
        self.hub.tick()
        for link in self.site_links:
            link.look()

    def accept(self, end: End) -> None:
        VehicleStream(self, end)

    def pump(self) -> None:
        while self.woken:
            woken, self.woken = self.woken, []
            for stream in woken:
                stream.write()
        for link in self.site_links:
            if link.woken:
                link.write()
