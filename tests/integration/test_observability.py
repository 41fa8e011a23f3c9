"""What a real stack shows of itself: one trace from the console to the vehicle, the metrics of the tables, and all of
it at nobody's cost."""

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.local.options import Server
from tests.integration.stacks import RunningStack, running
from tests.support.collector import Collector, Span
from tests.support.fault_proxy import FaultProxy
from tests.support.metric_tables import inventory
from tests.support.operator import PITWALL

pytestmark = pytest.mark.timeout(300)

VEHICLES = {"KOMATSU-930E-001", "KOMATSU-980E-002"}
#: What one stop of two vehicles is told as: (service, span), each for the vehicles or for all of it.
FOR_ALL = {
    ("console", "pitwall stop"),
    ("command_service", "haul.command.v1.CommandService/EmergencyStop"),
    ("command_service", "stop taken"),
    ("command_service", "stop journaled"),
    ("command_service", "stop pushed"),
}
OF_EACH = {
    ("ingest_gateway", "stop set sent"),
    ("ingest_gateway", "stop report received"),
    ("agent", "stop received"),
    ("agent", "stop latched"),
    ("agent", "stop braking"),
    ("agent", "stop standstill"),
}
#: Series that begin with what they count, so that a stack in which nothing of the kind happened doesn't show them.
BORN_LATER = {
    "command": {"pitwall_refusals_total", "pitwall_rpc_places_refused_total"},
    # The life of a stream is counted when it has ended.
    "gateway": {
        "pitwall_gateway_rejections_total",
        "pitwall_gateway_sessions_closed_total",
        "grpc_server_call_duration_seconds",
    },
    "agents": set[str](),
    "plant": set[str](),
    "fleet": {"pitwall_alert_latency_seconds", "pitwall_rpc_places_refused_total"},
}
#: Names that come from libraries, as they are.
OF_LIBRARIES = re.compile(r"^(python_|process_|target_info)")


@dataclass(frozen=True, slots=True)
class Bench:
    """A stack whose processes send spans to a collector, through a line that can be hung."""

    stack: RunningStack
    collector: Collector
    line: FaultProxy
    variables: dict[str, str]

    def stop_all(self) -> dict[str, Any]:
        """The summary of one stop of the fleet at the console."""
        arguments = ["stop", "--all", "--reason", "test", "--output", "json", "--wait", "60"]
        done = subprocess.run(
            [PITWALL, *arguments],
            env={"PITWALL_HOME": str(self.stack.home), "PATH": os.environ["PATH"]} | self.variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["summary"]
        return summary


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Collector() as collector, FaultProxy(collector.address) as line, pytest.MonkeyPatch.context() as patch:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{line.address}", "OTEL_BSP_SCHEDULE_DELAY": "200"}
        for name, value in variables.items():
            patch.setenv(name, value)
        with running("observability", vehicles=2, servers=frozenset({Server.KAFKA})) as stack:
            yield Bench(stack, collector, line, variables)


@pytest.fixture(scope="module")
def trace(bench: Bench) -> list[Span]:
    """The spans of one stop, the whole fleet standing."""
    stop_id = bench.stop_all()["stopId"]

    def of_the_stop(spans: list[Span]) -> list[Span]:
        traces = {span.trace for span in spans if span.attributes.get("pitwall.stop_id") == stop_id}
        return [span for span in spans if span.trace in traces]

    def enough(spans: list[Span]) -> bool:
        found = of_the_stop(spans)
        everything = {(span.service, span.name) for span in found} >= FOR_ALL | OF_EACH
        standing = {span.attributes["pitwall.vehicle"] for span in found if span.name == "stop standstill"}
        reported = {span.attributes["pitwall.vehicle"] for span in found if _reports_standstill(span)}
        return everything and standing == reported == VEHICLES

    return of_the_stop(bench.collector.until(enough))


def _reports_standstill(span: Span) -> bool:
    return span.name == "stop report received" and span.attributes["pitwall.stage"] == "STANDSTILL"


def test_a_stop_is_one_trace_and_its_spans_are_one_tree(trace: list[Span]) -> None:
    assert len({span.trace for span in trace}) == 1
    ids = {span.id for span in trace}
    assert len(ids) == len(trace)
    (root,) = (span for span in trace if not span.parent)
    assert (root.service, root.name) == ("console", "pitwall stop")
    assert {span.parent for span in trace if span.parent} <= ids
    calls = [span for span in trace if "/" in span.name]
    # It watches the stop on, should the call end before it has seen everything.
    assert {span.parent for span in calls} == {root.id}
    (stopping,) = (span for span in calls if span.name.endswith("/EmergencyStop"))
    assert {span.parent for span in trace if span not in (root, *calls)} == {stopping.id}


def test_every_step_at_every_vehicle_is_in_it(trace: list[Span]) -> None:
    steps = {(span.service, span.name) for span in trace if span.name.startswith("stop ")}
    assert steps == {(service, name) for service, name in FOR_ALL | OF_EACH if name.startswith("stop ")}
    for service, name in OF_EACH:
        found = {span.attributes["pitwall.vehicle"] for span in trace if (span.service, span.name) == (service, name)}
        assert found == VEHICLES, name
    gateways = [span.attributes["pitwall.gateway"] for span in trace if span.name == "stop pushed"]
    assert sorted(gateways) == ["gateway-1", "gateway-2"]


def test_its_times_are_in_the_order_in_which_a_stop_goes(trace: list[Span]) -> None:
    """On one machine all have one clock."""
    ended = {
        span.name: span.ended_ns for span in trace if span.attributes.get("pitwall.vehicle", "") in ("", min(VEHICLES))
    }
    for earlier, later in (
        ("stop taken", "stop received"),
        ("stop received", "stop braking"),
        ("stop braking", "stop standstill"),
        ("stop standstill", "pitwall stop"),
    ):
        assert ended[earlier] <= ended[later] + 1_000_000, (earlier, later)
    assert all(span.started_ns <= span.ended_ns for span in trace)


@pytest.mark.parametrize(("process", "event"), [("command-1", "stop taken"), ("agents", "stop braking")])
def test_what_the_logs_say_of_it_carries_its_trace_id(
    bench: Bench, trace: list[Span], process: str, event: str
) -> None:
    log = bench.stack.places.logs / f"{process}.log"
    lines = [json.loads(line) for line in log.read_text().splitlines() if f'"{event}"' in line]
    mine = [line for line in lines if line.get("trace_id") == trace[0].trace]
    assert mine
    assert all(line["stop"] for line in mine)


def scraped(stack: RunningStack, process: str) -> dict[str, str]:
    """Metric -> type."""
    with urllib.request.urlopen(f"http://{stack.address(f'{process}-metrics')}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
    return dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))


def in_tables(job: str) -> dict[str, str]:
    return {metric.name: metric.type for metric in inventory() if job in metric.jobs}


@pytest.mark.parametrize(
    ("job", "processes"),
    [
        ("command", ("command-1",)),
        # Both vehicles may be on one of them.
        ("gateway", ("gateway-1", "gateway-2")),
        ("agents", ("agents",)),
        ("plant", ("plant",)),
    ],
)
def test_what_is_shown_is_explained_and_what_is_explained_is_shown(
    bench: Bench, trace: list[Span], job: str, processes: tuple[str, ...]
) -> None:
    assert trace, "a stop has happened"
    found = {name: kind for process in processes for name, kind in scraped(bench.stack, process).items()}
    expected = in_tables(job)
    assert {name: kind for name, kind in found.items() if not OF_LIBRARIES.match(name)}.items() <= expected.items()
    assert expected.keys() - BORN_LATER[job] <= found.keys()


def test_a_collector_that_never_answers_holds_up_neither_a_stop_nor_the_end_of_a_process(bench: Bench) -> None:
    bench.line.silence()
    try:
        for _ in range(2):
            started = time.monotonic()
            summary = bench.stop_all()
            assert summary["standstill"] == summary["inScope"] == len(VEHICLES)
            assert time.monotonic() - started < 30
        for process in ("command-1", "gateway-1", "agents"):
            started = time.monotonic()
            bench.stack.supervisor.stop(process)
            assert time.monotonic() - started < 20, process
            bench.stack.supervisor.start(process)
        bench.stack.await_healthy()
    finally:
        bench.line.heal()
