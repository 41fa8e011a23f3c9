"""What a peer says of gateways and vehicles, on one stream: fed into the core frame by frame, until the stream ends."""

from collections.abc import Callable
from functools import partial

from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from haul.link.v1 import peer_link_service_pb2 as peer_pb2

from command_service.feed import own_words
from command_service.hearing import Hears
from command_service.hub import Hub, moment
from command_service.link_wire import opened_from
from command_service.peer_wire import hears_from
from pitwall import wire

#: Takes the peer's URI, the field and the reason: says and counts what was not taken.
Skip = Callable[[str, str, str], None]


class Hearsay:
    """`stream`: its number; of two streams of one peer the greater one is the newer one, and that one's word counts."""

    def __init__(self, hub: Hub, peer: str, uri: str, stream: int, skip: Skip) -> None:
        self._hub, self._peer, self._uri, self._stream, self._skip = hub, peer, uri, stream, skip

    def hearing(self, message: peer_pb2.Hearing) -> None:
        """Which gateways it hears, and which ones it asks for."""
        self._hub.hears(self._peer, self._stream, hears_from(message))

    def links(self, message: peer_pb2.SessionNews) -> None:
        """Of vehicles that this one does not hear."""
        at = moment()
        for session in message.opened:
            try:
                opened = opened_from(session)
            except wire.InvalidMessage as error:
                self._skip(self._uri, f"session_news.opened.{error.field}", error.reason)
                continue
            self._hub.core.told_link(self._stream, opened, at)
        self._hub.core.untold_link(self._stream, [session.vehicle_id for session in message.closed], at)
        self._hub.carry_out()

    def words(self, message: link_pb2.VehicleReports) -> None:
        """What those vehicles have said of stops. Believed no more than a gateway is."""
        at = moment()
        core = self._hub.core
        for report in message.reports:
            words = own_words(core.ledger, report, partial(self._skip, self._uri))
            if not core.told_words(self._uri, report.vehicle_id, words, at):
                self._skip(self._uri, "reports.vehicle_id", f"nobody has told of a vehicle {report.vehicle_id[:80]!r}")
        self._hub.carry_out()

    def end(self) -> None:
        """Nothing that it has said of links is true any more, as far as this one can know."""
        self._hub.hears(self._peer, self._stream, Hears())
        self._hub.core.untold_link(self._stream, None, moment())
        self._hub.carry_out()
