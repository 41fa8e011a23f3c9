"""Between the messages of haul.link.v1.PeerLinkService and this service's objects."""

from haul.command.v1 import stop_pb2
from haul.link.v1 import peer_link_service_pb2 as peer_pb2

from command_service.events import OrderRecorded
from command_service.link_streams import PROTOCOL_VERSION
from command_service.link_wire import set_from
from command_service.peer_lanes import Told
from command_service.records import order_to_proto
from pitwall import wire


def hello_to(name: str, *, complete: bool, opening_frames: int = 0) -> peer_pb2.PeerFrame:
    return peer_pb2.PeerFrame(
        hello=peer_pb2.PeerHello(
            command_service=name,
            journal_complete=complete,
            protocol_version=PROTOCOL_VERSION,
            opening_frames=opening_frames,
        )
    )


def frame_to(frame: Told | OrderRecorded) -> peer_pb2.PeerFrame:
    if isinstance(frame, OrderRecorded):
        return peer_pb2.PeerFrame(order=order_to_proto(frame))
    return peer_pb2.PeerFrame(
        replicate=peer_pb2.Replicate(
            replicate_id=frame.number,
            stop_set=wire.set_to_proto(frame.delta),
            requested_releases=map(wire.release_to_proto, frame.waiting),
        )
    )


def told_from(message: peer_pb2.Replicate) -> tuple[Told, list[wire.InvalidMessage]]:
    """What can be read of it, and what is wrong with the rest."""
    delta, wrong = set_from(message.stop_set)
    waiting, unread = set_from(stop_pb2.StopSet(releases=message.requested_releases))
    return Told(message.replicate_id, delta, waiting.releases), wrong + unread
