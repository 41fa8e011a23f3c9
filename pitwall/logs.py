"""Structured logs: one JSON object a line on standard output, with the trace's ids, written by a thread of its own.

A pipe that nobody empties must not hold the event loop, so lines wait in a bounded queue; what doesn't fit is counted
and said as soon as there is room.
"""

import atexit
import json
import logging
import queue
import sys
import threading
from typing import Any, Final, TextIO

import structlog
from opentelemetry import metrics, trace
from structlog.typing import EventDict, WrappedLogger

from pitwall.instruments import total

#: Lines that may wait for the writer.
MAX_WAITING_LINES: Final = 10_000
#: How long the end of the process waits for the last lines.
FLUSH_S: Final = 1.0


class LineWriter:
    """A file-like object: `write` never blocks and never fails."""

    def __init__(self, out: TextIO, capacity: int = MAX_WAITING_LINES) -> None:
        self._out = out
        self._lines: queue.Queue[str | None] = queue.Queue(capacity)
        #: Lines that did not fit, or that nobody could be given, so far.
        self.dropped = 0
        self._said = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """The thread flushes."""

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Writes what waits, for as long as `timeout_s`."""
        try:
            self._lines.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._put_out(line)
            except (OSError, ValueError):  # the pipe is gone, or the file closed: there is nobody left to tell
                self.dropped += 1

    def _put_out(self, line: str) -> None:
        self._out.write(line)
        if self.dropped > self._said:
            self._said = self.dropped
            lost = {"event": "log lines dropped so far", "level": "warning", "count": self._said}
            self._out.write(json.dumps(lost) + "\n")
        if self._lines.empty():
            self._out.flush()


def configure(service: str, name: str, *, level: int = logging.INFO, out: TextIO | None = None) -> LineWriter:
    """Sets up structlog and the standard library's logging, once per process. `name` is the process's own."""
    writer = LineWriter(out or sys.stdout)
    atexit.register(writer.close)
    text = "Lines of the log that found no room, or that nobody could be given"
    total(metrics.get_meter("pitwall.logs"), "pitwall.log.lines.dropped", text, lambda: writer.dropped)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _origin(service, name),
        _trace_ids,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    _route_standard_logging(writer, shared, level)
    return writer


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger that takes key=value pairs."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _route_standard_logging(writer: LineWriter, shared: list[structlog.typing.Processor], level: int) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        processor=structlog.processors.JSONRenderer(default=str), foreign_pre_chain=shared
    )
    handler: logging.StreamHandler[Any] = logging.StreamHandler(writer)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level, force=True)


def _origin(service: str, name: str) -> structlog.typing.Processor:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"], event["process"] = service, name
        return event

    return add


def _trace_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
        event["span_id"] = trace.format_span_id(span.span_id)
    return event
