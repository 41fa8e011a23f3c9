"""A command service process: shim of command_service's journal, streams and peers around Hub, CommandCore and lanes."""

import random

from haul.link.v1 import gateway_link_service_pb2 as link_pb2

from command_service import link_wire
from command_service.core import CommandCore
from command_service.gateways import GatewayLinkServicer
from command_service.hub import Hub
from command_service.lanes import LeaseFrame
from command_service.link import Link
from command_service.order_desk import OrderDesk
from command_service.peer import Peer
from command_service.peers import PeerLinkServicer
from command_service.release_desk import ReleaseDesk
from command_service.replay import restore
from command_service.stop_desk import StopDesk
from pitwall.domain.permit import PermitTerms
from tests.model.journal import CommandDisk, Journal
from tests.model.network import End, Network, Process, Timeline
from tests.model.peers import PeerCall, PeerStream
from tests.model.properties import Properties
from tests.model.surroundings import CLOCK, Clock

TICK_S = 0.5


class CommandService(Process):
    """`members`: all names of the site; `peers` is filled by the world before it starts."""

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        clock: Clock,
        network: Network,
        members: list[str],
        terms: PermitTerms,
        watch: Properties,
        chance: random.Random,
    ) -> None:
        super().__init__(name, timeline, clock)
        self.network, self.watch, self.chance = network, watch, chance
        self._members, self._terms = members, terms
        self.peers: list[CommandService] = []
        self.disk = CommandDisk()
        self.core: CommandCore
        self.hub: Hub

    def begin(self) -> None:
        core = self.core = CommandCore(self.name, self._members, self._terms, complete=self.disk.complete)
        rows = [(vehicle_id, *row) for vehicle_id, row in self.disk.vehicles.items()]
        restore(core, rows, self.disk.replay(self.name), CLOCK.command())
        peers = [Peer(peer.name, peer.name) for peer in self.peers]
        journal = self.journal = Journal(self)
        self.hub = Hub(core, journal, peers, self.later)  # type: ignore[arg-type]  # a Journal in all that Hub asks of it
        self.servicer = GatewayLinkServicer(self.hub, self._terms.lease_ttl_s)
        self.peer_servicer = PeerLinkServicer(self.hub, [peer.name for peer in self.peers])
        self.stop_desk, self.order_desk = StopDesk(self.hub), OrderDesk(self.hub)
        self.release_desk = ReleaseDesk(self.hub, 2)
        self.links: dict[Link, End] = {}
        self.peer_streams: list[PeerStream] = []
        self.calls = [PeerCall(self, peer, process) for peer, process in zip(peers, self.peers, strict=True)]
        self.hub.carry_out()
        for call in self.calls:
            call.connect()
        self.every(TICK_S, self._tick, TICK_S * self.chance.random())

    def _tick(self) -> None:
        self.core.tick(CLOCK.command())
        self.hub.carry_out()
        self.journal.probe()
        for call in self.calls:
            call.look()
        for stream in self.peer_streams:
            stream.look()

    def accept(self, end: End) -> None:
        if end.other.process in self.peers:
            self.peer_streams.append(PeerStream(self, end))
            return

        def first(frame: link_pb2.AttachRequest) -> None:
            uri = f"spiffe://pitwall.local/gateway/{frame.hello.gateway}"
            self.servicer._feed.merge(frame.hello.stop_set, None, uri)
            link = self.hub.attach(frame.hello.gateway, uri)
            self.links[link] = end
            end.on_frame, end.on_close = lambda frame: self._take(link, frame), lambda: self._detach(link)
            self.servicer._feed.sessions(link, frame.hello.sessions)
            self.hub.carry_out()

        end.on_frame = first

    def _take(self, link: Link, frame: link_pb2.AttachRequest) -> None:
        self.servicer._feed.take(link, frame)
        self.hub.carry_out()

    def _detach(self, link: Link) -> None:
        del self.links[link]
        self.hub.detach(link)

    def pump(self) -> None:
        for link, end in self.links.items():
            if link._bell.is_set():
                link._bell.clear()
                while (frame := link.lanes.next()) is not None:
                    lease = self.servicer._lease(link) if isinstance(frame, LeaseFrame) else link_pb2.Lease()
                    end.send(link_wire.frame_to(frame, lease))
        for call in self.calls:
            call.write()
        for stream in self.peer_streams:
            if stream.inbox.ready(self.core.on_disk, self.core.vouches):
                stream.look()

    def wipe(self) -> None:
        """A new disk: it has to hear from its peers what it has forgotten."""
        self.disk = CommandDisk(complete=False)
