"""Metrics and spans that stay in memory."""

from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pitwall.stop_trace import StopTrace


class Metrics:
    """`points()` is what a scrape would find now."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.meter = MeterProvider([self._reader]).get_meter("test")

    def points(self) -> dict[tuple[str, ...], float]:
        """(name, label values...) -> value, or how many for a histogram."""
        return {key: float(getattr(point, "value", 0) or getattr(point, "count", 0)) for key, point in self._found()}

    def _found(self) -> Iterator[tuple[tuple[str, ...], Any]]:
        data = self._reader.get_metrics_data()
        for metric in data.resource_metrics[0].scope_metrics[0].metrics if data else ():
            for point in metric.data.data_points:
                yield (metric.name, *map(str, (point.attributes or {}).values())), point


class Spans:
    """`tracer` makes them, `exporter` holds what has ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")


class Steps(StopTrace):
    """Notes the steps that it is told of: (name, stop id, vehicle id), and since when."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: dict[str, str] = {}
        self.steps: list[tuple[str, str, str]] = []
        self.since_ns: list[int] = []

    def begin(self, stop_id: str, traceparent: str, now_ns: int) -> None:
        self.begun.setdefault(stop_id, traceparent)

    def step(self, name: str, stop_id: str, now_ns: int, vehicle_id: str = "", since_ns: int = 0, **more: str) -> None:
        self.steps.append((name, stop_id, vehicle_id))
        self.since_ns.append(since_ns)
