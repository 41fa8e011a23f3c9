"""`pitwall stats`: how many vehicles do what."""

from datetime import UTC, datetime

from haul.fleet.v1 import fleet_service_pb2, vehicle_pb2

from console import words
from console.failures import EXIT_DONE
from console.fleet_client import FleetClient
from console.output import emit, say
from console.site import Site


def run(site: Site) -> int:
    request = fleet_service_pb2.GetFleetStatisticsRequest()
    with FleetClient(site) as client:
        statistics = client.ask(
            lambda line, timeout_s: line.stub.GetFleetStatistics(request, timeout=timeout_s, metadata=line.metadata)
        )
    if site.json:
        emit(statistics)
    else:
        for line in describe(statistics, datetime.now(UTC)):
            say(line)
    return EXIT_DONE


def describe(statistics: vehicle_pb2.FleetStatistics, now: datetime) -> list[str]:
    """One line a figure."""
    figures = (
        ("vehicles", statistics.total, ""),
        ("connected", statistics.connected, ""),
        ("active", statistics.active, "connected and at work: ROUTING, LOADING, HAULING, DUMPING or RETURNING"),
        ("idle", statistics.idle, "connected and IDLE"),
        ("open alerts", statistics.open_alerts, "`pitwall alerts` lists them" if statistics.open_alerts else ""),
    )
    lines = [f"{name:16}{number:6}  {comment}".rstrip() for name, number, comment in figures]
    lines.append("by status")
    lines += [
        f"  {_status(name):14}{number:6}" for name, number in sorted(statistics.by_status.items(), key=_most_first)
    ]
    old = (
        "; it may be wrong: the fleet service is cut off from a source, see `pitwall doctor`"
        if statistics.stale
        else ""
    )
    return [*lines, f"counted {words.since(statistics.computed_time, now)} ago{old}"]


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _status(name: str) -> str:
    return "unknown" if name == "UNSPECIFIED" else name
