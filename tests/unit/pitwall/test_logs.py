"""Log lines: JSON, with the trace's ids, never in the way of the event loop."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

from pitwall import logs
from pitwall.logs import LineWriter


class Sink(io.StringIO):
    """A standard output that can be held up, as a pipe is that nobody empties."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.open.wait(10)
        return super().write(text)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def sink() -> Iterator[Sink]:
    """With logging set back as it was afterwards."""
    root, sink = logging.getLogger(), Sink()
    handlers, level = root.handlers[:], root.level
    yield sink
    sink.open.set()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_one_json_object_that_says_who_when_and_what(sink: Sink) -> None:
    writer = logs.configure("ingest_gateway", "gateway-1", out=sink)
    logs.get("ingest_gateway.session").warning("vehicle refused", vehicle_id="A-1", count=3)
    writer.close()
    (line,) = sink.lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "vehicle refused",
        "level": "warning",
        "logger": "ingest_gateway.session",
        "service": "ingest_gateway",
        "process": "gateway-1",
        "vehicle_id": "A-1",
        "count": 3,
    }


def test_lines_of_the_standard_library_look_the_same(sink: Sink) -> None:
    writer = logs.configure("ingest_gateway", "gateway-1", out=sink)
    logging.getLogger("grpc").error("a %s message", "formatted")
    writer.close()
    (line,) = sink.lines()
    assert (line["event"], line["level"], line["logger"]) == ("a formatted message", "error", "grpc")
    assert line["service"] == "ingest_gateway"


def test_what_is_below_the_level_is_left_out(sink: Sink) -> None:
    writer = logs.configure("s", "n", out=sink)
    logs.get("a").debug("not this")
    logging.getLogger("b").debug("nor this")
    logs.get("a").info("this")
    writer.close()
    assert [line["event"] for line in sink.lines()] == ["this"]


def test_within_a_span_a_line_has_the_traces_ids(sink: Sink) -> None:
    writer = logs.configure("s", "n", out=sink)
    with TracerProvider().get_tracer("test").start_as_current_span("a span") as span:
        logs.get("a").info("within")
    logs.get("a").info("without")
    writer.close()
    within, without = sink.lines()
    assert within["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert within["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert "trace_id" not in without


def test_an_exception_comes_with_its_traceback_in_one_line(sink: Sink) -> None:
    writer = logs.configure("s", "n", out=sink)
    try:
        raise LookupError("gone")
    except LookupError:
        logging.getLogger("a").exception("failed")
    writer.close()
    (line,) = sink.lines()
    assert "LookupError: gone" in line["exception"]


def test_a_value_that_json_does_not_know_is_written_as_text(sink: Sink) -> None:
    writer = logs.configure("s", "n", out=sink)
    logs.get("a").info("set", vehicles=frozenset({"A-1"}))
    writer.close()
    assert "A-1" in sink.lines()[0]["vehicles"]


def test_a_held_up_output_holds_up_nobody_and_what_was_lost_is_said(sink: Sink) -> None:
    sink.open.clear()
    writer = LineWriter(sink, capacity=2)
    writer.write('{"n": 0}\n')
    assert sink.reached.wait(10)
    for number in range(1, 6):
        writer.write(f'{{"n": {number}}}\n')
    assert writer.dropped == 3
    sink.open.set()
    writer.close()
    lines = sink.lines()
    assert [line["n"] for line in lines if "n" in line] == [0, 1, 2]
    assert [line["count"] for line in lines if "count" in line] == [3]


def test_closing_waits_only_so_long_for_an_output_that_hangs(sink: Sink) -> None:
    sink.open.clear()
    writer = LineWriter(sink, capacity=1)
    writer.write("a\n")
    assert sink.reached.wait(10)
    writer.write("b\n")
    writer.close(timeout_s=0.05)
    assert sink.getvalue() == ""


def test_an_output_that_is_gone_ends_the_writer_and_nothing_else() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    writer = LineWriter(Gone(), capacity=2)
    for _ in range(10):
        writer.write("x\n")
    writer.close(timeout_s=1)
    assert writer.dropped > 0
