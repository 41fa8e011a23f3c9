"""Spans go to a collector where one is named, and nobody waits for it."""

import subprocess
import sys
import time
from collections.abc import Sequence
from threading import Event

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from pitwall import span_export
from pitwall.span_export import ENDPOINT_VARIABLES, FLUSH_S, MAX_WAITING_SPANS


class Hung(SpanExporter):
    """A collector that takes a batch and never answers."""

    def __init__(self) -> None:
        self.entered, self.answer = Event(), Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.answer.wait()
        return SpanExportResult.SUCCESS


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENDPOINT_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_without_an_endpoint_there_is_no_processor_and_no_thread() -> None:
    assert not span_export.wanted()
    assert span_export.processor() is None


@pytest.mark.parametrize("variable", ENDPOINT_VARIABLES)
def test_a_named_endpoint_turns_it_on(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    processor = span_export.processor()
    assert processor is not None
    span_export.flush(processor.shutdown)


def test_a_wrong_variable_is_said_and_keeps_nothing_from_starting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "shrink-wrap")
    assert span_export.processor() is None
    assert "OTEL_EXPORTER_OTLP_" in caplog.text


def test_a_hung_collector_costs_neither_time_nor_memory_nor_the_end_of_the_process() -> None:
    hung = Hung()
    processor = span_export.processor(hung)
    assert processor is not None
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")
    tracer.start_span("first").end()
    for _ in range(MAX_WAITING_SPANS):
        tracer.start_span("many").end()
    assert hung.entered.wait(30)
    started = time.process_time()
    for _ in range(2 * MAX_WAITING_SPANS):
        tracer.start_span("late").end()
    assert (time.process_time() - started) / (2 * MAX_WAITING_SPANS) < 1e-3
    assert len(processor._batch_processor._queue) <= MAX_WAITING_SPANS  # type: ignore[attr-defined]
    started = time.monotonic()
    span_export.flush(provider.shutdown)
    assert time.monotonic() - started < FLUSH_S + 5
    hung.answer.set()


def test_the_console_does_not_load_the_sdk_for_nothing() -> None:
    code = "import sys, console.stop; print([n for n in sys.modules if n.startswith('opentelemetry.sdk')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_a_process_that_ends_at_once_still_gives_its_last_spans_a_moment() -> None:
    code = """
import os, sys
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from pitwall import observability

class Printing(SpanExporter):
    def export(self, spans):
        print([span.name for span in spans], flush=True)
        return SpanExportResult.SUCCESS

observability.start("agent", "agents", Printing())
trace.get_tracer("test").start_span("the last").end()
observability.stop()
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "['the last']\n"
