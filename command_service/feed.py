"""What a gateway sends up, fed into the core frame by frame."""

from collections.abc import Callable, Iterable
from functools import partial

from haul.command.v1 import stop_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from opentelemetry import metrics

from command_service import link_wire
from command_service.core import CommandCore, Progress
from command_service.hub import moment
from command_service.ledger import Ledger
from command_service.link import Link
from command_service.registry import Session
from pitwall import logs, wire
from pitwall.instruments import Tally

_log = logs.get(__name__)


class Feed:
    """A value that can't be read is skipped, logged and counted; what stands beside it is taken."""

    def __init__(self, core: CommandCore) -> None:
        self._core = core
        meter = metrics.get_meter("command_service.feed")
        self._invalid = Tally(meter, "pitwall.link.invalid", "Values from gateways not taken")
        self._takes: dict[str, Callable[[Link, link_pb2.AttachRequest], None]] = {
            "beat": self._beat,
            "stop_set": self._set,
            "session_opened": lambda link, frame: self.sessions(link, [frame.session_opened]),
            "session_closed": self._closed,
            "reports": self._reports,
            "pulses": self._pulses,
            "order_reports": self._answers,
            "stop_set_merged": lambda link, frame: link.lanes.merged(frame.stop_set_merged.exchange_id),
        }

    def take(self, link: Link, frame: link_pb2.AttachRequest) -> None:
        """A frame after the first. One of a newer contract, or a second hello, is skipped."""
        take = self._takes.get(frame.WhichOneof("body") or "")
        if take is None:
            self._skip(link.uri, "body", "is none that this version takes here")
        else:
            take(link, frame)

    def merge(self, message: stop_pb2.StopSet, link: Link | None, uri: str) -> None:
        """A set that a gateway or a vehicle behind it has brought along; `link`: on its stream, after the beginning."""
        delta, wrong = link_wire.set_from(message)
        for error in wrong:
            self._skip(uri, error.field, error.reason)
        if delta:
            if link is not None:
                link.lanes.knows(delta)
            self._core.merge(delta, None if link is None else link.number, uri, moment())

    def _set(self, link: Link, frame: link_pb2.AttachRequest) -> None:
        self.merge(frame.stop_set, link, link.uri)

    def sessions(self, link: Link, sessions: Iterable[link_pb2.SessionOpened]) -> None:
        at = moment()
        for message in sessions:
            try:
                opened = link_wire.opened_from(message)
            except wire.InvalidMessage as error:
                self._skip(link.uri, error.field, error.reason)
                continue
            self._core.opened(link.number, link.gateway, opened, at)

    def _beat(self, link: Link, frame: link_pb2.AttachRequest) -> None:
        link.lanes.beat(frame.beat.beat_number)
        link.ring()

    def _closed(self, link: Link, frame: link_pb2.AttachRequest) -> None:
        closed = frame.session_closed
        session = Session(closed.boot_epoch, closed.connect_count)
        self._core.closed(link.number, closed.vehicle_id, session, moment())

    def _reports(self, link: Link, frame: link_pb2.AttachRequest) -> None:
        at = moment()
        for report in frame.reports.reports:
            session = Session(report.boot_epoch, report.connect_count)
            status = link_wire.status_from(report.status) if report.HasField("status") else None
            words = own_words(self._core.ledger, report, partial(self._skip, link.uri))
            self._core.reported(link.number, link.uri, report.vehicle_id, session, words, status, at)

    def _pulses(self, link: Link, frame: link_pb2.AttachRequest) -> None:
        at = moment()
        for message in frame.pulses.pulses:
            self._core.pulse(link.number, message.vehicle_id, link_wire.pulse_from(message, at.s), at)

    def _answers(self, link: Link, frame: link_pb2.AttachRequest) -> None:
        for report in frame.order_reports.reports:
            try:
                outcome = wire.outcome_from_proto(report.outcome)
            except wire.InvalidMessage as error:
                self._skip(link.uri, f"order_reports.outcome.{error.field}", error.reason)
                continue
            self._core.answered(report.outcome.vehicle_id, report.request_id, outcome, moment())

    def _skip(self, uri: str, field: str, reason: str) -> None:
        self._invalid.add(1)
        _log.warning("not taken from a gateway", gateway=uri, field=field, reason=reason)


def own_words(ledger: Ledger, report: link_pb2.VehicleReport, skip: Callable[[str, str], None]) -> list[Progress]:
    """What the vehicle says of stops that are for it. `skip` hears of the rest: the field, and why it is not taken."""
    words = []
    for word in link_wire.words_from(report.progress):
        if ledger.is_for(word.stop_id, report.vehicle_id):
            words.append(word)
        else:
            reason = f"{report.vehicle_id} reports on stop {word.stop_id}, which is not for it; ignored"
            skip("reports.progress.stop_id", reason)
    return words
