"""`pitwall drills`: what vehicles have measured in drills, as the journals have it.

An order is in the journal of the command service that was asked, so all of them are.
"""

import sys
from collections.abc import Sequence
from datetime import UTC

from haul.command.v1 import command_service_pb2, event_pb2, order_pb2

from console import words
from console.client import Asking, CommandStub, Line, lines
from console.failures import EXIT_DONE, EXIT_PARTLY, ConsoleError
from console.output import emit, say_if_heard, table
from console.paging import every_page
from console.reaction import COLUMNS, cells
from console.site import Site
from pitwall.wire import duration

_DAY_S = 86_400.0
_KINDS = {"link_loss_drill": "link-loss", "stop_drill": "stop"}


def run(site: Site, days: float) -> int:
    """Returns 3 where a command service did not answer: its journal may have more."""
    found: dict[tuple[str, str], event_pb2.CommandEvent] = {}
    away: list[ConsoleError] = []
    service_lines = lines(site)
    for line in service_lines:
        try:
            for event in _measured(site, line, days * _DAY_S):  # what two of them heard is one measurement
                found.setdefault((event.order.order.request_id, event.vehicle_id), event)
        except ConsoleError as error:
            if error.code != "UNAVAILABLE":
                raise
            away.append(error)
    if len(away) == len(service_lines):
        raise away[0]
    _show(site, sorted(found.values(), key=lambda event: event.event_time.ToNanoseconds(), reverse=True))
    for problem in away:
        say_if_heard(f"pitwall: one journal is missing here: {problem.message}", sys.stderr)
    return EXIT_PARTLY if away else EXIT_DONE


def _measured(site: Site, line: Line, within_s: float) -> list[event_pb2.CommandEvent]:
    """The events of one command service's journal that hold what a vehicle has measured."""

    def page(token: str) -> tuple[list[event_pb2.CommandEvent], str]:
        request = command_service_pb2.ListAuditEventsRequest(
            page_size=1000, page_token=token, within=duration(within_s)
        )
        answer = asking.ask(
            lambda line, timeout_s: line.stub.ListAuditEvents(request, timeout=timeout_s, metadata=line.metadata)
        )
        return [event for event in answer.events if _outcome(event) is not None], answer.next_page_token

    with Asking[CommandStub](site, [line]) as asking:
        return every_page(page)


def _outcome(event: event_pb2.CommandEvent) -> order_pb2.OrderOutcome | None:
    """With a reaction; None where the event has none. Each vehicle's own word is an event of its own."""
    return next((outcome for outcome in event.order.outcomes if outcome.HasField("reaction")), None)


def _show(site: Site, events: Sequence[event_pb2.CommandEvent]) -> None:
    if site.json:
        for event in events:
            emit(event)
        return
    columns = ("WHEN", "VEHICLE", "DRILL", *COLUMNS, "BY", "REASON", "RECORD")
    table(columns, [_row(event) for event in events], "no vehicle has been drilled; see `pitwall drill --help`")


def _row(event: event_pb2.CommandEvent) -> tuple[str, ...]:
    outcome, order = _outcome(event), event.order.order
    assert outcome is not None
    kind = order.WhichOneof("kind") or ""
    when = outcome.event_time.ToDatetime(tzinfo=UTC).astimezone()
    return (
        f"{when:%Y-%m-%d %H:%M:%S}",
        outcome.vehicle_id,
        _KINDS.get(kind, words.UNKNOWN),
        *cells(outcome),
        order.issued_by,
        order.link_loss_drill.reason or order.stop_drill.reason,
        f"{event.command_service} {event.journal_sequence}",
    )
