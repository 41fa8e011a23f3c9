"""Between the messages of haul.link.v1.PeerLinkService and this service's objects."""

from haul.command.v1 import stop_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from haul.link.v1 import peer_link_service_pb2 as peer_pb2

from command_service.core import Progress
from command_service.events import OrderRecorded
from command_service.hearing import MAX_NAMED, Hears
from command_service.link_streams import PROTOCOL_VERSION
from command_service.link_wire import set_from, vehicle_to
from command_service.peer import PeerFrame
from command_service.peer_lanes import Told
from command_service.records import instant, order_to_proto
from command_service.registry import Vehicle
from command_service.relay import Links, Words
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


def frame_to(frame: PeerFrame) -> peer_pb2.PeerFrame:
    match frame:
        case OrderRecorded():
            return peer_pb2.PeerFrame(order=order_to_proto(frame))
        case Hears(gateways, wanted):
            return peer_pb2.PeerFrame(hearing=peer_pb2.Hearing(gateways=sorted(gateways), wanted=sorted(wanted)))
        case Links(opened, closed):
            news = peer_pb2.SessionNews(opened=map(vehicle_to, opened), closed=map(_closed, closed))
            return peer_pb2.PeerFrame(session_news=news)
        case Words(of):
            reports = [link_pb2.VehicleReport(vehicle_id=v, progress=map(_progress, words)) for v, words in of]
            return peer_pb2.PeerFrame(reports=link_pb2.VehicleReports(reports=reports))
        case Told(number, delta, waiting):
            replicate = peer_pb2.Replicate(
                replicate_id=number,
                stop_set=wire.set_to_proto(delta),
                requested_releases=map(wire.release_to_proto, waiting),
            )
            return peer_pb2.PeerFrame(replicate=replicate)


def _closed(vehicle: Vehicle) -> link_pb2.SessionClosed:
    epoch, count = vehicle.session
    return link_pb2.SessionClosed(vehicle_id=vehicle.vehicle_id, boot_epoch=epoch, connect_count=count)


def _progress(word: Progress) -> stop_pb2.StopProgress:
    return stop_pb2.StopProgress(
        stop_id=word.stop_id,
        stage=word.stage.value,  # type: ignore[arg-type]  # the same numbers
        event_time=instant(word.event_ns),
        latched_durably=word.latched_durably,
    )


def hears_from(message: peer_pb2.Hearing) -> Hears:
    return Hears(frozenset(message.gateways[:MAX_NAMED]), frozenset(message.wanted[:MAX_NAMED]))


def told_from(message: peer_pb2.Replicate) -> tuple[Told, list[wire.InvalidMessage]]:
    """What can be read of it, and what is wrong with the rest."""
    delta, wrong = set_from(message.stop_set)
    waiting, unread = set_from(stop_pb2.StopSet(releases=message.requested_releases))
    return Told(message.replicate_id, delta, waiting.releases), wrong + unread
