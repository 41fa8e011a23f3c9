"""The first span of a stop's trace: the console's own, told when the stop is over and only where a collector is named.

Until then the trace exists by its ids alone, which have gone out with the stop.
"""

from dataclasses import dataclass

from pitwall import span_export


@dataclass(frozen=True, slots=True)
class StopSpan:
    """`traceparent`: as it was sent. Times are nanoseconds since 1970."""

    traceparent: str
    started_ns: int
    ended_ns: int
    stop_id: str
    scope: str


def export(span: StopSpan) -> None:
    """Takes a second at most, and nothing where nobody wants it."""
    if span_export.wanted():
        _export(span)


def _export(span: StopSpan) -> None:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import SpanKind

    _, trace_id, span_id, _ = span.traceparent.split("-")

    class AsSent(IdGenerator):
        def generate_trace_id(self) -> int:
            return int(trace_id, 16)

        def generate_span_id(self) -> int:
            return int(span_id, 16)

    processor = span_export.processor()
    if processor is None:
        return
    resource = Resource.create({"service.name": "console"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=AsSent())
    provider.add_span_processor(processor)
    attributes = {"pitwall.stop_id": span.stop_id, "pitwall.scope": span.scope}
    tracer = provider.get_tracer("console")
    made = tracer.start_span("pitwall stop", kind=SpanKind.CLIENT, attributes=attributes, start_time=span.started_ns)
    made.end(span.ended_ns)
    span_export.flush(provider.shutdown)
