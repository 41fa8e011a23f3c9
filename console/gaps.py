"""`pitwall gaps`: readings that vehicles have made and the site doesn't have."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from haul.fleet.v1 import fleet_service_pb2, vehicle_pb2

from console import words
from console.alerts import checked_vehicle_option
from console.failures import EXIT_DONE, UsageProblem
from console.fleet_client import FleetClient
from console.output import emit, say, table
from console.paging import first_pages
from console.site import Site

COLUMNS = ("VEHICLE", "START", "READINGS", "COUNT", "STATE", "FOUND", "SAMPLED", "WHY")
#: So many are shown, unless told otherwise.
SHOWN = 1_000

_STATES = [name.removeprefix("GAP_STATE_") for name in vehicle_pb2.GapState.keys()][1:]  # noqa: SIM118 - no mapping


@dataclass(frozen=True, slots=True)
class Wanted:
    """`vehicle_ids`, `states`: none means all. `filled`: also those that are filled by now."""

    vehicle_ids: Sequence[str] = ()
    states: Sequence[str] = ()
    filled: bool = False
    limit: int | None = None

    def request(self) -> fleet_service_pb2.ListGapsRequest:
        """Raises UsageProblem for what is no vehicle's id and no state."""
        states = [_checked_state(name) for name in self.states]
        vehicles = " OR ".join(f'vehicle_id = "{checked_vehicle_option(name)}"' for name in self.vehicle_ids)
        text = " AND ".join(filter(None, (vehicles, " OR ".join(f"state = {name}" for name in states))))
        return fleet_service_pb2.ListGapsRequest(filter=text, show_filled=self.filled or "FILLED" in states)


def _checked_state(given: str) -> str:
    name = given.upper()
    if name not in _STATES:
        raise UsageProblem(f"--state {given}: there is none of that name", fix=f"choose one of {', '.join(_STATES)}")
    return name


@dataclass(frozen=True, slots=True)
class Found:
    """`more`: there are others. `stale`: not all that Kafka has is read."""

    gaps: Sequence[vehicle_pb2.Gap]
    more: bool
    stale: bool


def ask(client: FleetClient, wanted: Wanted) -> Found:
    """Raises ConsoleError."""
    request, stale = wanted.request(), False

    def page(token: str, size: int) -> tuple[list[vehicle_pb2.Gap], str]:
        nonlocal stale
        request.page_token, request.page_size = token, size
        answer = client.ask(
            lambda line, timeout_s: line.stub.ListGaps(request, timeout=timeout_s, metadata=line.metadata)
        )
        stale = stale or answer.stale
        return list(answer.gaps), answer.next_page_token

    gaps, following = first_pages(page, wanted.limit or SHOWN)
    return Found(gaps, bool(following), stale)


def run(site: Site, wanted: Wanted) -> int:
    """Exit code 0 whether or not something is missing."""
    wanted.request()  # wrong usage is said before anybody is asked
    with FleetClient(site) as client:
        found = ask(client, wanted)
    if site.json:
        for gap in found.gaps:
            emit(gap, **({"stale": True} if found.stale else {}))
        return EXIT_DONE
    now = datetime.now(UTC)
    table(COLUMNS, [cells(gap, now) for gap in found.gaps], "no reading is missing")
    if found.more:
        say(f"there are more: --limit with more than {len(found.gaps)} shows them")
    if found.stale:
        print(
            "pitwall: the fleet service has not read all that Kafka has: some of these may be there by now, and others "
            "be missing.\n  What to do: wait, or `pitwall doctor` says what holds it up.",
            file=sys.stderr,
        )
    return EXIT_DONE


def cells(gap: vehicle_pb2.Gap, now: datetime) -> tuple[str, ...]:
    """For COLUMNS."""
    one = gap.first_sequence == gap.last_sequence
    count = count_of(gap)
    return (
        gap.vehicle_id,
        str(gap.boot_epoch),
        str(gap.first_sequence) if one else f"{gap.first_sequence}–{gap.last_sequence}",
        f"at most {count:,}" if gap.approximate else f"{count:,}",
        vehicle_pb2.GapState.Name(gap.state).removeprefix("GAP_STATE_"),
        f"{words.since(gap.found_time, now)} ago",
        _sampled(gap),
        gap.reason,
    )


def count_of(gap: vehicle_pb2.Gap) -> int:
    return gap.last_sequence - gap.first_sequence + 1


def _sampled(gap: vehicle_pb2.Gap) -> str:
    after = f"after {words.clock(gap.after_time)}" if gap.HasField("after_time") else ""
    before = f"before {words.clock(gap.before_time)}" if gap.HasField("before_time") else ""
    return " ".join(filter(None, (after, before)))
