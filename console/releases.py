"""`pitwall release`, `approve`, `releases`: what was stopped may be moved again, if two people say so."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from haul.command.v1 import command_service_pb2, stop_pb2

from console import words
from console.client import Client
from console.failures import EXIT_DONE, UsageProblem
from console.output import emit, say, table
from console.paging import every_page
from console.scope import names
from console.site import Site
from console.stops import list_stops, scope_words
from pitwall.ids import uuid7
from pitwall.wire import MAX_RELEASED_STOPS


def run_release(site: Site, stop_ids: Sequence[str], vehicle_ids: Sequence[str], reason: str) -> int:
    """Requests it. In force when approved; at once where the site asks for one person."""
    request = command_service_pb2.RequestReleaseRequest(
        release_id=uuid7(), stop_ids=list(dict.fromkeys(stop_ids)), vehicle_ids=vehicle_ids, reason=reason
    )
    with Client(site) as client:
        record = client.ask(
            lambda line, timeout_s: line.stub.RequestRelease(request, timeout=timeout_s, metadata=line.metadata),
            changes=True,
        )
    _show(site, record)
    return EXIT_DONE


def run_release_all(site: Site, vehicle_ids: Sequence[str], reason: str, yes: bool) -> int:
    """All active stops, after asking. A vehicle's own stops end only there and are left out."""
    with Client(site) as client:
        stops = [state for state in list_stops(client) if not state.stop.HasField("issuing_vehicle_id")]
    if not stops or not (yes or _agreed(stops)):
        if not site.json:
            say("nothing released" if stops else "no active stop to release")
        return EXIT_DONE
    stop_ids = [state.stop.stop_id for state in stops]
    for first in range(0, len(stop_ids), MAX_RELEASED_STOPS):
        run_release(site, stop_ids[first : first + MAX_RELEASED_STOPS], vehicle_ids, reason)
    return EXIT_DONE


def run_approve(site: Site, release_id: str) -> int:
    request = command_service_pb2.ApproveReleaseRequest(release_id=release_id)
    with Client(site) as client:
        record = client.ask(
            lambda line, timeout_s: line.stub.ApproveRelease(request, timeout=timeout_s, metadata=line.metadata),
            changes=True,
        )
    _show(site, record)
    return EXIT_DONE


def run_list(site: Site) -> int:
    with Client(site) as client:
        records = _list_releases(client)
    if site.json:
        for record in records:
            emit(record)
    else:
        now = datetime.now(UTC)
        columns = ("RELEASE", "STATE", "STOPS", "FOR", "REQUESTED", "APPROVED", "RELEASED, BY THEIR OWN WORD", "REASON")
        table(columns, [_row(record, now) for record in records], "no release has been requested")
    return EXIT_DONE


def _list_releases(client: Client) -> list[stop_pb2.ReleaseRecord]:
    def page(token: str) -> tuple[list[stop_pb2.ReleaseRecord], str]:
        request = command_service_pb2.ListReleasesRequest(page_size=1000, page_token=token)
        answer = client.ask(
            lambda line, timeout_s: line.stub.ListReleases(request, timeout=timeout_s, metadata=line.metadata)
        )
        return list(answer.releases), answer.next_page_token

    return every_page(page)


def _agreed(stops: Sequence[stop_pb2.StopState]) -> bool:
    if not sys.stdin.isatty():
        raise UsageProblem(
            f"release --all would release {len(stops)} stops and there is nobody here to ask", fix="add --yes"
        )
    for state in stops:
        say(f"  {state.stop.stop_id}  {scope_words(state.stop)}  {state.stop.reason}")
    return input(f"Release these {len(stops)} stops? [y/N] ").strip().lower() in ("y", "yes")


def _show(site: Site, record: stop_pb2.ReleaseRecord) -> None:
    if site.json:
        emit(record)
        return
    release = record.release
    if record.state == stop_pb2.RELEASE_STATE_REQUESTED:
        say(f"release {release.release_id} is requested and changes nothing yet.")
        say(f"Another person with the supervisor role approves it: pitwall approve {release.release_id}")
        return
    say(f"release {release.release_id} is in force, approved by {release.approved_by or words.UNKNOWN}.")
    say("A vehicle is released when it says so itself; it then stands in MAINTENANCE and moves by order alone.")
    if record.released_vehicle_ids:
        say(f"Released by their own word so far: {names(record.released_vehicle_ids, 20)}")


def _row(record: stop_pb2.ReleaseRecord, now: datetime) -> tuple[str, ...]:
    release = record.release
    requested = f"{release.requested_by} {words.since(release.requested_time, now)} ago"
    approved = f"{release.approved_by} {words.since(release.approved_time, now)} ago" if release.approved_by else ""
    return (
        release.release_id,
        words.release_state(record.state),
        names(release.stop_ids, 1),
        names(release.vehicle_ids, 2) or "all in scope",
        requested,
        approved,
        names(record.released_vehicle_ids, 3),
        release.reason,
    )
