"""Steps of a stop: told once each, of the first vehicles, afterwards and never at the cost of the stop."""

import threading
import time

import pytest
from opentelemetry import trace

from pitwall.stop_trace import MAX_TOLD_STOPS, MAX_TOLD_VEHICLES, MAX_WAITING_STEPS, StopTrace, trace_id
from tests.support.memory import Metrics, Spans

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
NOW = 1_795_000_000_000_000_000


def told(spans: Spans, count: int) -> list[str]:
    """The names of so many spans, when they are there."""
    deadline = time.monotonic() + 30
    while len(spans.exporter.get_finished_spans()) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return [span.name for span in spans.exporter.get_finished_spans()]


def test_a_step_is_a_span_of_the_stops_own_trace() -> None:
    spans = Spans()
    steps = StopTrace(spans.tracer)
    steps.begin("s1", TRACEPARENT, NOW)
    steps.step("braking", "s1", NOW + 5_000, "V1", stage="BRAKING")
    assert told(spans, 1) == ["stop braking"]
    (span,) = spans.exporter.get_finished_spans()
    assert span.parent is not None
    assert trace.format_trace_id(span.context.trace_id) == TRACE_ID
    assert trace.format_span_id(span.parent.span_id) == PARENT_ID
    assert (span.start_time, span.end_time) == (NOW, NOW + 5_000)
    assert dict(span.attributes or {}) == {
        "pitwall.stop_id": "s1",
        "pitwall.vehicle": "V1",
        "pitwall.stage": "BRAKING",
    }


def test_a_step_is_told_once_and_only_of_a_stop_that_began_here() -> None:
    spans = Spans()
    steps = StopTrace(spans.tracer)
    steps.step("sent", "unknown", NOW, "V1")
    steps.begin("s1", TRACEPARENT, NOW)
    for _ in range(3):
        steps.step("sent", "s1", NOW, "V1")
    steps.step("received", "s1", NOW, "V1")
    assert told(spans, 2) == ["stop sent", "stop received"]


def test_of_many_vehicles_the_first_are_told_and_of_these_every_step() -> None:
    spans = Spans()
    steps = StopTrace(spans.tracer)
    steps.begin("s1", TRACEPARENT, NOW)
    for name in ("sent", "received"):
        for vehicle in range(1_000):
            steps.step(name, "s1", NOW, f"V{vehicle}")
    steps.step("journaled", "s1", NOW)
    names = told(spans, 2 * MAX_TOLD_VEHICLES + 1)
    assert {name: names.count(name) for name in names} == {
        "stop sent": MAX_TOLD_VEHICLES,
        "stop received": MAX_TOLD_VEHICLES,
        "stop journaled": 1,
    }


def test_without_a_trace_to_be_a_part_of_there_is_no_span() -> None:
    spans = Spans()
    steps = StopTrace(spans.tracer)
    steps.begin("own", "", NOW)
    steps.step("received", "own", NOW, "V1")
    steps.begin("s1", TRACEPARENT, NOW)
    steps.step("received", "s1", NOW, "V1")
    assert told(spans, 1) == ["stop received"]


def test_what_waits_is_bounded_and_the_rest_is_counted() -> None:
    steps = StopTrace(trace.NoOpTracer())
    steps._ring = lambda: None  # type: ignore[method-assign]  # nobody tells
    for number in range(MAX_WAITING_STEPS + 7):
        steps.begin(f"s{number}", TRACEPARENT, NOW)
        steps.step("taken", f"s{number}", NOW)
    assert steps.dropped == 7
    assert len(steps._waiting) == MAX_WAITING_STEPS
    assert len(steps._stops) == MAX_TOLD_STOPS


def test_a_step_costs_the_stop_some_microseconds() -> None:
    steps = StopTrace(trace.NoOpTracer())
    steps._ring = lambda: None  # type: ignore[method-assign]
    steps.begin("s1", TRACEPARENT, NOW)
    started = time.process_time()
    for vehicle in range(1_000):
        steps.step("received", "s1", NOW, f"V{vehicle}")
    assert (time.process_time() - started) / 1_000 < 50e-6


def test_what_waits_too_long_is_a_metric_from_0_on() -> None:
    metrics = Metrics()
    steps = StopTrace(trace.NoOpTracer(), metrics.meter)
    assert metrics.points() == {("pitwall.stop.steps.dropped",): 0}
    steps.dropped = 3
    assert metrics.points() == {("pitwall.stop.steps.dropped",): 3}


def test_a_stop_goes_on_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()
    steps = StopTrace(spans.tracer)
    steps.begin("s1", TRACEPARENT, NOW)

    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as machine:
        machine.setattr(threading.Thread, "start", no_more)
        steps.step("sent", "s1", NOW, "V1")
    steps.step("braking", "s1", NOW, "V1")
    assert told(spans, 2) == ["stop sent", "stop braking"]


def test_a_step_that_cannot_be_told_does_not_end_the_telling() -> None:
    spans = Spans()
    steps = StopTrace(spans.tracer)
    steps.begin("s1", TRACEPARENT, NOW)
    steps.step("odd", "s1", 10**30, "V1")  # a time that no calendar has
    steps.step("sent", "s1", NOW, "V1")
    assert told(spans, 1) == ["stop sent"]


def test_the_trace_id_of_a_stop_is_for_the_log() -> None:
    assert trace_id(TRACEPARENT) == TRACE_ID
    assert trace_id("") is None
    assert trace_id("00-nonsense-01") is None
