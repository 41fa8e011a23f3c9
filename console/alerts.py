"""`pitwall alerts` and `pitwall alerts ack`: what is wrong with vehicles, and who has seen it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from google.protobuf.timestamp_pb2 import Timestamp
from haul.fleet.v1 import fleet_service_pb2, vehicle_pb2
from haul.telemetry.v1 import alert_pb2

from console import words
from console.failures import EXIT_DONE, UsageProblem
from console.fleet_client import FleetClient
from console.output import emit, say, table
from console.paging import first_pages
from console.site import Site
from pitwall import wire
from pitwall.clock import monotonic_s
from pitwall.ids import uuid7

#: So many of all there ever were are shown, unless told otherwise.
HISTORY = 100
COLUMNS = ("ALERT", "SEVERITY", "RAISED", "LASTED", "WHAT", "SEEN BY")


@dataclass(frozen=True, slots=True)
class Wanted:
    """`vehicle_ids`: none means all. `everything`: also those that are not open. `limit`: None means no limit."""

    vehicle_ids: Sequence[str] = ()
    everything: bool = False
    limit: int | None = None

    def filter(self) -> str:
        """AIP-160. Raises UsageProblem for what is no vehicle's id."""
        vehicles = " OR ".join(f'vehicle_id = "{checked_vehicle_option(name)}"' for name in self.vehicle_ids)
        return " AND ".join(filter(None, (vehicles, "" if self.everything else "open = true")))


def checked_vehicle_option(vehicle_id: str) -> str:
    """What `--vehicle` was given. Raises UsageProblem."""
    try:
        return wire.checked_vehicle_id(vehicle_id, "--vehicle")
    except wire.InvalidMessage as error:
        raise UsageProblem(f"--vehicle {vehicle_id}: {error.reason}", fix="`pitwall vehicles` lists them") from error


def run_list(site: Site, wanted: Wanted) -> int:
    limit = HISTORY if wanted.everything and wanted.limit is None else wanted.limit
    text = wanted.filter()

    with FleetClient(site) as client:

        def page(token: str, size: int) -> tuple[list[vehicle_pb2.AlertRecord], str]:
            request = fleet_service_pb2.ListAlertsRequest(page_size=size, page_token=token, filter=text)
            answer = client.ask(
                lambda line, timeout_s: line.stub.ListAlerts(request, timeout=timeout_s, metadata=line.metadata)
            )
            return list(answer.alerts), answer.next_page_token

        records, following = first_pages(page, limit)
    if site.json:
        for record in records:
            emit(record)
        return EXIT_DONE
    now = datetime.now(UTC)
    table(COLUMNS, [cells(record, now) for record in records], "no alert" if wanted.everything else "no open alert")
    if following:
        say(f"there are older ones: --limit with more than {len(records)} shows them")
    return EXIT_DONE


def run_acknowledge(site: Site, alert_id: str, note: str) -> int:
    """In the name of whoever the token is."""
    request = fleet_service_pb2.AcknowledgeAlertRequest(alert_id=alert_id, note=note, request_id=uuid7())
    with FleetClient(site) as client:
        record = client.ask(
            lambda line, timeout_s: line.stub.AcknowledgeAlert(request, timeout=timeout_s, metadata=line.metadata),
            changes=True,
        )
    if site.json:
        emit(record)
    else:
        say(f"{record.alert.alert_id}: seen by {record.acknowledged_by} at {words.clock(record.acknowledged_time)}")
        say(_what_comes(record))
    return EXIT_DONE


def run_watch(site: Site, wanted: Wanted, for_s: float | None) -> int:
    """The open alerts, then each step as it comes, until interrupted or for `for_s` seconds.

    Raises ConsoleError where the first try fails; what breaks later is said and waited out.
    """
    from console.feeds import Feeds, watch_alerts
    from console.news import Broke, Came, Feed

    text = Wanted(wanted.vehicle_ids, everything=True).filter()
    end_s = None if for_s is None else monotonic_s() + for_s
    begun = False
    with Feeds(site) as feeds:
        feeds.stream(Feed.ALERTS, partial(watch_alerts, text=text))
        try:
            while end_s is None or monotonic_s() < end_s:
                match feeds.next(0.2):
                    case Came(_, fleet_service_pb2.WatchAlertsResponse() as told):
                        begun = True
                        _tell(site, told.alerts)
                    case Broke(_, error) if not begun and error.fix:
                        raise error
                    case Broke(_, error) if error.fix:
                        print(error.json_line() if site.json else error.text(), file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            pass  # the way to end it
    return EXIT_DONE


def _tell(site: Site, records: Sequence[vehicle_pb2.AlertRecord]) -> None:
    for record in records:
        if site.json:
            emit(record)
        else:
            say(line(record))


def line(record: vehicle_pb2.AlertRecord) -> str:
    """One step, for a log."""
    alert = record.alert
    seen = f", seen by {record.acknowledged_by}" if record.acknowledged_by else ""
    return (
        f"{words.clock(alert.event_time)} {alert.vehicle_id} {words.severity(alert.severity)} {alert.rule} "
        f"{words.alert_state(alert.state)}: {alert.message}{seen} [{alert.alert_id}]"
    )


def cells(record: vehicle_pb2.AlertRecord, now: datetime) -> tuple[str, ...]:
    """For COLUMNS."""
    alert = record.alert
    return (
        alert.alert_id,
        words.severity(alert.severity),
        words.clock(alert.raised_time),
        _lasted(record, now),
        f"{alert.vehicle_id}: {alert.message or alert.rule}",
        " ".join(filter(None, (record.acknowledged_by, record.acknowledgement_note))),
    )


def _what_comes(record: vehicle_pb2.AlertRecord) -> str:
    if record.alert.state == alert_pb2.ALERT_STATE_CLEARED:
        return "It has been cleared."
    if record.alert.backfilled:
        return "It tells what has been and is not open."
    return "It stays open until what caused it has passed."


def _lasted(record: vehicle_pb2.AlertRecord, now: datetime) -> str:
    """A dash where history ends before its cause has passed."""
    if record.alert.state == alert_pb2.ALERT_STATE_CLEARED:
        cleared: Timestamp = record.cleared_time
        return words.since(record.alert.raised_time, wire.to_datetime(cleared))
    return words.UNKNOWN if record.alert.backfilled else f"{words.since(record.alert.raised_time, now)} so far"
