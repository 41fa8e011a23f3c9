"""How a process shows itself: OpenTelemetry metrics for Prometheus, traces, health, and the lag of its event loop.

Nothing here is waited for by the path of a stop: metrics are kept in memory and read by whoever asks, spans go to a
bounded queue with a thread of its own and are dropped when it is full.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pitwall import span_export
from pitwall.clock import monotonic_s
from pitwall.instruments import SECONDS_BUCKETS, Tally, gauge, gauges, seconds_histogram, total
from pitwall.part_gauge import PartGauge
from pitwall.status_http import HttpStatus, Part, Parts

__all__ = [
    "SECONDS_BUCKETS",
    "HttpStatus",
    "LoopLag",
    "Part",
    "Parts",
    "Tally",
    "gauge",
    "gauges",
    "seconds_histogram",
    "serve_status",
    "start",
    "stop",
    "total",
]

#: How often the event loop is asked how late it is.
LAG_PERIOD_S: Final = 0.1


def start(service: str, name: str, span_exporter: SpanExporter | None = None) -> None:
    """Once per process, before the first call. Spans are exported where OTEL_EXPORTER_OTLP_ENDPOINT is set, or an
    exporter is given; otherwise they only give ids to logs and to the next hop."""
    resource = Resource.create({"service.name": service, "service.instance.id": name})
    # Which part of our code made a metric is nothing that a query asks for.
    metrics.set_meter_provider(MeterProvider([PrometheusMetricReader(scope_info_enabled=False)], resource))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    processor = span_export.processor(span_exporter)
    if processor is not None:
        provider.add_span_processor(processor)
        span_export.flush_at_exit(provider.shutdown)
    trace.set_tracer_provider(provider)


def stop() -> None:
    """For a process that ends by os._exit: the last spans have a moment. Others need not call it."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        span_export.flush(provider.shutdown)


async def metrics_text() -> tuple[str, bytes]:
    """(content type, body), made off the loop."""
    return CONTENT_TYPE_LATEST, await asyncio.to_thread(generate_latest)


def serve_status(address: str, health: Callable[[], Parts]) -> HttpStatus:
    """The status server of a process; start it in the event loop. What `health` says is a metric too."""
    parts = PartGauge(metrics.get_meter("pitwall.observability"))
    return HttpStatus(address, health, _one_at_a_time(lambda: parts.take(health())))


def _one_at_a_time(prepare: Callable[[], None]) -> Callable[[], Awaitable[tuple[str, bytes]]]:
    """The reader of OpenTelemetry mixes up two scrapes at once. `prepare` is called in the loop before each."""
    lock = asyncio.Lock()

    async def text() -> tuple[str, bytes]:
        async with lock:
            prepare()
            return await metrics_text()

    return text


class LoopLag:
    """Asks the event loop ten times a second how late it is."""

    def __init__(self, meter: metrics.Meter | None = None) -> None:
        meter = meter or metrics.get_meter("pitwall.observability")
        self._histogram = seconds_histogram(
            meter, "pitwall.event_loop.lag", "How late the event loop is with its timers"
        )
        #: The newest measurement, seconds.
        self.last_s = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.measure()

    async def measure(self) -> None:
        """One period."""
        due_s = monotonic_s() + LAG_PERIOD_S
        await asyncio.sleep(LAG_PERIOD_S)
        self.last_s = max(0.0, monotonic_s() - due_s)
        self._histogram.record(self.last_s)
