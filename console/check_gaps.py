"""Whether readings are missing, by the fleet service's gap ledger. No stop needs them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from haul.fleet.v1 import vehicle_pb2

from console import words
from console.checks import Finding, note, ok, wrong
from console.failures import ConsoleError
from console.fleet_client import FleetClient
from console.gaps import Found, Wanted, ask, count_of
from console.scope import names
from console.site import Site

#: A vehicle that is back brings what it has within minutes; what is missing for longer wants somebody to look, seconds.
LONG_OPEN_S = 3_600.0

_FIX = "`pitwall gaps` lists them; see whether their vehicles have a link, and the outbox in the agent's metrics"


def check_gaps(site: Site) -> Iterator[Finding]:
    """Nothing where no fleet service answers: its own findings say why."""
    try:
        with FleetClient(site) as client:
            found = ask(client, Wanted())
    except ConsoleError:
        return
    yield _missing(found)
    for state, text in (
        (vehicle_pb2.GAP_STATE_LOST, "were given up by their vehicles, for good"),
        (vehicle_pb2.GAP_STATE_REJECTED, "were not taken; they are in dead-letter-topic with the reason"),
    ):
        gaps = [gap for gap in found.gaps if gap.state == state]
        if gaps:
            yield note("readings", f"{_counted(gaps, found)} {text}", "`pitwall gaps` lists them with the reason")


def _missing(found: Found) -> Finding:
    gaps = [gap for gap in found.gaps if gap.state == vehicle_pb2.GAP_STATE_OPEN]
    if not gaps:
        late = " as far as Kafka has been read" if found.stale else ""
        return ok("readings", f"none is missing that may still come{late}")
    oldest = min((gap.found_time for gap in gaps), key=lambda time: (time.seconds, time.nanos))
    now = datetime.now(UTC)
    text = (
        f"{_counted(gaps, found)} are missing and may still come; the first was missed {words.since(oldest, now)} ago"
    )
    if now.timestamp() - oldest.seconds > LONG_OPEN_S:
        return wrong("readings", text, _FIX)
    return note("readings", text, _FIX)


def _counted(gaps: Sequence[vehicle_pb2.Gap], found: Found) -> str:
    vehicles = sorted({gap.vehicle_id for gap in gaps})
    least = "at least " if found.more else ""
    return f"{least}{sum(map(count_of, gaps)):,} readings of {names(vehicles)}"
