"""Spans to a collector, by OTLP over gRPC, where the standard variables of OpenTelemetry name one.

Nothing waits for the collector: spans lie in a bounded queue that a thread empties, the oldest are dropped when it is
full, and the end of the process gives the last ones a moment and no more. A collector may be dead, or accept
connections and never answer.
"""

import atexit
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

# The SDK takes longer to import than a stop takes to reach a vehicle; who exports nothing never loads it from here.
if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

#: One of these set turns the export on. See https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
#: Some megabytes.
MAX_WAITING_SPANS: Final = 2_048
#: How long a span may wait for others to be sent with it, unless OTEL_BSP_SCHEDULE_DELAY says otherwise.
DELAY_MS: Final = 1_000.0
#: How long the end of the process waits for the last spans.
FLUSH_S: Final = 1.0

_log = logging.getLogger(__name__)


def wanted() -> bool:
    """Whether somebody has named a collector."""
    return any(os.environ.get(name) for name in ENDPOINT_VARIABLES)


def processor(exporter: "SpanExporter | None" = None) -> "SpanProcessor | None":
    """What to give to a TracerProvider; None where nobody wants spans, or the variables are of no use."""
    if exporter is None:
        exporter = _from_environment() if wanted() else None
    if exporter is None:
        return None
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    delay_ms = None if os.environ.get("OTEL_BSP_SCHEDULE_DELAY") else DELAY_MS
    return BatchSpanProcessor(exporter, max_queue_size=MAX_WAITING_SPANS, schedule_delay_millis=delay_ms)


def flush_at_exit(shutdown: Callable[[], None]) -> None:
    """Has `shutdown` called at the end of the process, for FLUSH_S and no longer."""
    atexit.register(flush, shutdown)


def flush(shutdown: Callable[[], None]) -> None:
    """Sends what waits and ends the export; returns after FLUSH_S whatever the collector does."""
    thread = threading.Thread(target=shutdown, name="last-spans", daemon=True)
    thread.start()
    thread.join(FLUSH_S)


def _from_environment() -> "SpanExporter | None":
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    except Exception as error:  # noqa: BLE001  # a wrong variable must not keep a process of the stop path from starting
        _log.warning("no spans are exported, see the variables OTEL_EXPORTER_OTLP_*: %r", error)
        return None
