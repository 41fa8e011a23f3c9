"""Checks of the fleet service: as an operator reaches it, and by what it says of its parts. No stop needs it."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from haul.fleet.v1 import fleet_service_pb2, vehicle_pb2

from console import words
from console.check_services import CALL_TIMEOUT_S, LATENCY_CALLS, SLOW_S
from console.checks import Finding, look, note, ok, wrong
from console.failures import ConsoleError
from console.fleet_client import FleetLine, fleet_lines
from console.health import NoHealth, read_health
from console.rpc_failure import WITHOUT_FLEET_SERVICE, Asked, cause_of, explain, read_failure
from console.site import DEFAULT_FLEET_SERVERS, Site, dialled, read_toml

#: So far behind, what is shown is late by a second and more: 1,000 vehicles send as many in that time, records.
LAG_NOTE = 1_000


def check_fleet_services(site: Site) -> Iterator[Finding]:
    """Each one by itself: health, a call with the token, latency, how far behind it is."""
    if site.fleet_servers == DEFAULT_FLEET_SERVERS and _runs_without(site):
        yield note("fleet service", f"this stack runs none; {WITHOUT_FLEET_SERVICE}")
        return
    try:
        service_lines = fleet_lines(site)
    except ConsoleError as error:
        yield wrong("fleet services", error.message, error.fix)
        return
    for line in service_lines:
        yield _check_line(site, line)
        line.close()
    yield from _check_lag(site)


def _runs_without(site: Site) -> bool:
    names = {path.stem.split("-")[0] for path in (site.home / "config").glob("*.toml")}
    return bool(names) and "fleet" not in names


def _check_line(site: Site, line: FleetLine) -> Finding:
    part = f"fleet service {line.server}"
    try:
        status = health_pb2_grpc.HealthStub(line.channel).Check(
            health_pb2.HealthCheckRequest(), timeout=CALL_TIMEOUT_S, metadata=line.metadata
        )
        if status.status != health_pb2.HealthCheckResponse.SERVING:
            return wrong(part, "answers, but says that it doesn't serve", _fix(site))
        asked = sorted((_ask(line) for _ in range(LATENCY_CALLS)), key=lambda answer: answer[0])
    except grpc.RpcError as error:
        failure = read_failure(error, line.server, Asked.FLEET)
        if failure.away:
            return wrong(part, f"{cause_of(failure, site)}; {WITHOUT_FLEET_SERVICE}", _fix(site))
        explained = explain(failure, site)
        return wrong(part, explained.message, explained.fix or _fix(site))
    latency_s, statistics = asked[LATENCY_CALLS // 2]
    counted = words.since(statistics.computed_time, datetime.now(UTC))
    text = f"serves, answers in {latency_s * 1000:.1f} ms; {statistics.total} vehicles, counted {counted} ago"
    if statistics.stale:
        return wrong(part, f"{text}; what it shows may be old: it is cut off from a source", _fix(site))
    return ok(part, text) if latency_s < SLOW_S else note(part, text, "see what keeps the processor busy (top)")


def _ask(line: FleetLine) -> tuple[float, vehicle_pb2.FleetStatistics]:
    """Seconds, and the answer."""
    start_s = time.monotonic()
    request = fleet_service_pb2.GetFleetStatisticsRequest()
    answer = line.stub.GetFleetStatistics(request, timeout=CALL_TIMEOUT_S, metadata=line.metadata)
    return time.monotonic() - start_s, answer


def _check_lag(site: Site) -> Iterator[Finding]:
    """By the health of those that run here; what isn't well at all is said with the processes."""
    for path in sorted((site.home / "config").glob("fleet-*.toml")):
        try:
            health = read_health(dialled(str(read_toml(path).get("metrics_address"))))
        except (NoHealth, ValueError):
            continue
        behind = {name: _records(part.detail) for name, part in health.parts.items() if part.well}
        late = {name: records for name, records in behind.items() if records > LAG_NOTE}
        if late:
            text = ", ".join(f"{records:,} records of {name}" for name, records in late.items())
            fix = f"wait, if it has just started; else see what keeps the processor busy (top), and {_fix(site)}"
            yield note(f"lag of {path.stem}", f"{text} are not read yet, so what it shows is late", fix)
        elif health.parts:
            yield ok(f"lag of {path.stem}", f"{sum(behind.values()):,} records of all topics not read yet")


def _records(detail: str) -> int:
    found = re.search(r"(\d+) records behind", detail)
    return int(found[1]) if found else 0


def _fix(site: Site) -> str:
    return look(site, "fleet-1")
