"""`pitwall stops` and `pitwall stop-status`: what is stopped, and how far each vehicle is."""

from datetime import UTC, datetime

from haul.command.v1 import command_service_pb2, stop_pb2

from console import words
from console.client import Client
from console.failures import EXIT_DONE, EXIT_PARTLY
from console.output import emit, say, table
from console.paging import every_page
from console.scope import describe_scope
from console.site import Site
from pitwall.wire import InvalidMessage, scope_from_proto


def list_stops(client: Client, include_released: bool = False) -> list[stop_pb2.StopState]:
    """Newest first, without their vehicles."""

    def page(token: str) -> tuple[list[stop_pb2.StopState], str]:
        request = command_service_pb2.ListStopsRequest(
            page_size=1000, page_token=token, include_released=include_released
        )
        answer = client.ask(
            lambda line, timeout_s: line.stub.ListStops(request, timeout=timeout_s, metadata=line.metadata)
        )
        return list(answer.stops), answer.next_page_token

    return every_page(page)


def run_list(site: Site, include_released: bool) -> int:
    with Client(site) as client:
        stops = list_stops(client, include_released)
    if site.json:
        for stop in stops:
            emit(stop)
    else:
        now = datetime.now(UTC)
        columns = ("STOP", "FOR", "BY", "SINCE", "STANDS", "REASON")
        table(columns, [_row(stop, now) for stop in stops], "no active stop")
    return EXIT_DONE


def run_status(site: Site, stop_id: str) -> int:
    """Exit code 3 while a vehicle in scope is pending or unreachable, or the stop is not confirmed."""
    request = command_service_pb2.GetStopRequest(stop_id=stop_id)
    with Client(site) as client:
        state = client.ask(
            lambda line, timeout_s: line.stub.GetStop(request, timeout=timeout_s, metadata=line.metadata)
        )
    if site.json:
        emit(state)
    else:
        _show(state)
    standing = state.summary.standstill == state.summary.in_scope and state.summary.confirmed
    return EXIT_DONE if standing or not state.active else EXIT_PARTLY


def scope_words(stop: stop_pb2.Stop) -> str:
    try:
        return describe_scope(scope_from_proto(stop.scope))
    except InvalidMessage:
        return words.UNKNOWN


def progress_words(state: stop_pb2.StopState) -> str:
    """As in `48 of 51, 1 pending, 2 unreachable`."""
    summary = state.summary
    if not state.active:
        return "released"
    parts = [f"{summary.standstill} of {summary.in_scope}"]
    parts += [f"{count} {what}" for count, what in _rest(summary) if count]
    return ", ".join(parts) + ("" if summary.confirmed else "; NOT CONFIRMED")


def _rest(summary: stop_pb2.StopSummary) -> tuple[tuple[int, str], ...]:
    return (summary.pending, "pending"), (summary.unreachable, "unreachable")


def _row(state: stop_pb2.StopState, now: datetime) -> tuple[str, ...]:
    stop = state.stop
    since = words.since(stop.issued_time, now)
    return stop.stop_id, scope_words(stop), stop.issued_by, since, progress_words(state), stop.reason


def _show(state: stop_pb2.StopState) -> None:
    stop, summary = state.stop, state.summary
    say(f"stop {stop.stop_id} of {scope_words(stop)}")
    say(
        f"  by {stop.issued_by or words.UNKNOWN} at {words.clock(stop.issued_time)}: {stop.reason or 'no reason given'}"
    )
    if not state.active:
        say("  released for every vehicle in scope")
    elif summary.confirmed:
        say(f"  confirmed: journaled by {summary.journaled_by} of {summary.command_services}")
    else:
        say(f"  {words.NOT_CONFIRMED} (journaled by {summary.journaled_by} of {summary.command_services})")
    say(
        f"  {summary.standstill} of {summary.in_scope} stand, {summary.pending} pending, "
        f"{summary.unreachable} unreachable"
    )
    columns = ("VEHICLE", "STAGE", "LINK", "ON ITS DISK", "BRAKES BY", "STANDS BY")
    table(columns, [_vehicle_row(vehicle) for vehicle in state.vehicles], "no vehicle in scope")


def _vehicle_row(vehicle: stop_pb2.VehicleStop) -> tuple[str, ...]:
    stage = words.STAGES[vehicle.stage] + (" (the next stage is overdue)" if vehicle.overdue else "")
    link = "none" if vehicle.unreachable else "up"
    brakes_by = vehicle.brakes_by_time if vehicle.HasField("brakes_by_time") else None
    stands_by = vehicle.stands_by_time if vehicle.HasField("stands_by_time") else None
    return (
        vehicle.vehicle_id + (" (unknown)" if vehicle.unknown_vehicle else ""),
        stage,
        link,
        "yes" if vehicle.latched_durably else "no",
        words.clock(brakes_by),
        words.clock(stands_by),
    )
