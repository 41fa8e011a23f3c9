"""Checks of the command services as an operator reaches them, and of the vehicles as they see them."""

import time
from collections.abc import Iterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from haul.command.v1 import command_service_pb2, command_service_pb2_grpc
from haul.telemetry.v1 import telemetry_pb2

from console.checks import Finding, look, note, ok, wrong
from console.client import Client, Line, lines
from console.failures import ConsoleError
from console.motion import list_motion_states
from console.rpc_failure import cause_of, explain, read_failure
from console.scope import names
from console.site import Site

CALL_TIMEOUT_S = 3.0
#: An answer that takes longer makes a stop late, seconds.
SLOW_S = 0.1
LATENCY_CALLS = 5


def check_command_services(site: Site) -> Iterator[Finding]:
    """Each one by itself: health, a call with the token, latency."""
    try:
        service_lines = lines(site)
    except ConsoleError as error:
        yield wrong("command services", error.message, error.fix)
        return
    for line in service_lines:
        yield _check_line(site, line)
        line.close()


def _check_line(site: Site, line: Line) -> Finding:
    part = f"command service {line.server}"
    try:
        status = health_pb2_grpc.HealthStub(line.channel).Check(
            health_pb2.HealthCheckRequest(), timeout=CALL_TIMEOUT_S, metadata=line.metadata
        )
        if status.status != health_pb2.HealthCheckResponse.SERVING:
            return wrong(part, "answers, but says that it doesn't serve", look(site, "command-*"))
        latencies_s = sorted(_latency_s(line.stub, line) for _ in range(LATENCY_CALLS))
    except grpc.RpcError as error:
        failure = read_failure(error, line.server)
        if failure.away:
            return wrong(part, cause_of(failure, site), look(site, "command-*"))
        explained = explain(failure, site)
        return wrong(part, explained.message, explained.fix or look(site, "command-*"))
    median_s = latencies_s[LATENCY_CALLS // 2]
    text = f"serves, answers in {median_s * 1000:.1f} ms"
    return ok(part, text) if median_s < SLOW_S else note(part, text, "see what keeps the processor busy (top)")


def _latency_s(stub: command_service_pb2_grpc.CommandServiceStub, line: Line) -> float:
    start_s = time.monotonic()
    stub.ListStops(command_service_pb2.ListStopsRequest(page_size=1), timeout=CALL_TIMEOUT_S, metadata=line.metadata)
    return time.monotonic() - start_s


def check_vehicles(site: Site) -> Iterator[Finding]:
    """Whether the site hears its vehicles."""
    try:
        with Client(site) as client:
            states = list_motion_states(client)
    except ConsoleError:
        return  # the command services' own findings say why
    lost = [state.vehicle_id for state in states if state.connectivity != telemetry_pb2.CONNECTIVITY_CONNECTED]
    if lost:
        fix = "see whether their agents and the gateways run; a vehicle without a link brakes and holds by itself"
        yield wrong("vehicles", f"{len(lost)} of {len(states)} have no link: {names(lost)}", fix)
    else:
        yield ok("vehicles", f"{len(states)} known, all with a link")
