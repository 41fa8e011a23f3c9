"""Both ends of a stream between two command services: what peers and peer_link do around PeerLanes and Inbox."""

from typing import TYPE_CHECKING

from haul.link.v1 import peer_link_service_pb2 as peer_pb2

from command_service.peer import Peer
from command_service.peer_lanes import Inbox
from command_service.peer_link import PeerLink
from command_service.peer_wire import frame_to, hello_to
from pitwall.rpc.channel import jitter_s
from tests.model.network import End, Process
from tests.model.surroundings import CLOCK

if TYPE_CHECKING:
    from tests.model.commands import CommandService

_HELLO_WITHIN_S = 5.0


class PeerStream:
    """What command_service.peers does for one peer's stream."""

    def __init__(self, service: "CommandService", end: End) -> None:
        self._service, self._end = service, end
        self._hello: peer_pb2.PeerHello | None = None
        self.inbox = Inbox(0)
        end.on_frame, end.on_close = self._feed, lambda: service.peer_streams.remove(self)
        end.send(hello_to(service.name, complete=service.core.recall.complete))

    def _feed(self, frame: peer_pb2.PeerFrame) -> None:
        service = self._service
        match frame.WhichOneof("body"):
            case "hello":
                self._hello, self.inbox = frame.hello, Inbox(frame.hello.opening_frames)
                self.look()
            case "replicate":
                service.peer_servicer._told(frame.replicate, self.inbox, self._end.other.process.name)
            case "order":
                service.peer_servicer._order(frame, self._end.other.process.name)

    def look(self) -> None:
        core = self._service.core
        for number in self.inbox.settle(core.on_disk, core.vouches):
            self._end.send(peer_pb2.PeerFrame(journaled=peer_pb2.Journaled(replicate_id=number)))
        if self._hello is not None and self.inbox.opened:
            core.recalled(self._hello.command_service, CLOCK.command(), complete=self._hello.journal_complete)
            self._service.hub.carry_out()


class PeerCall:
    """What command_service.peer_link does for the stream to one peer."""

    def __init__(self, service: "CommandService", peer: Peer, process: Process) -> None:
        self._service, self._peer, self._process = service, peer, process
        self._link = PeerLink(peer, service.hub, lambda: None)
        self._attempt = 0
        self._end: End | None = None
        self._began_s = 0.0

    def connect(self) -> None:
        self._attempt += 1
        end = self._end = self._service.network.connect(self._service, self._process, keepalive=True)
        end.on_frame, end.on_close = self._feed, self._lost
        self._began_s = CLOCK.own_s

    def _feed(self, frame: peer_pb2.PeerFrame) -> None:
        if frame.WhichOneof("body") == "hello":
            self._attempt = 0
            assert self._end is not None
            self._end.send(self._link._begin())
        elif frame.WhichOneof("body") == "journaled":
            self._link._journaled(frame.journaled.replicate_id)

    def _lost(self) -> None:
        self._end = None
        self._peer.end()
        self._service.later(jitter_s(max(1, self._attempt), self._service.chance), self.connect)

    def look(self) -> None:
        """Leaves one that doesn't answer."""
        if self._end is not None and not self._peer.greeted and CLOCK.own_s - self._began_s >= _HELLO_WITHIN_S:
            self._end.close()
            self._lost()

    def write(self) -> None:
        if self._peer._bell.is_set() and self._end is not None and self._peer.lanes is not None:
            self._peer._bell.clear()
            while (frame := self._peer.lanes.next()) is not None:
                self._end.send(frame_to(frame))
