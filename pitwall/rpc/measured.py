"""RPC metrics by gRPC's own names (gRFC A66), and spans that continue the caller's trace."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from opentelemetry import context as otel_context
from opentelemetry import metrics, propagate, trace
from opentelemetry.trace import SpanKind

from pitwall.clock import monotonic_s
from pitwall.observability import seconds_histogram
from pitwall.rpc.around import Around, CallInfo, Context


class MetricsInterceptor(Around):
    """grpc.server.call.started, grpc.server.call.duration by status, and how many calls are open."""

    def __init__(self, meter: metrics.Meter | None = None) -> None:
        meter = meter or metrics.get_meter("pitwall.rpc")
        self._started = meter.create_counter(
            "grpc.server.call.started", unit="{call}", description="Calls begun, by method"
        )
        self._open = meter.create_up_down_counter(
            "grpc.server.call.open", unit="{call}", description="Calls under way, by method"
        )
        self._duration = seconds_histogram(
            meter, "grpc.server.call.duration", "Time from the call's start to its status, by method and status"
        )

    @asynccontextmanager
    async def around(self, call: CallInfo, context: Context) -> AsyncIterator[None]:
        labels = {"grpc.method": call.method.removeprefix("/")}
        self._started.add(1, labels)
        self._open.add(1, labels)
        started_s = monotonic_s()
        ended = False
        try:
            yield
            ended = True
        finally:
            self._open.add(-1, labels)
            status = _status_name(context, ended)
            self._duration.record(monotonic_s() - started_s, {**labels, "grpc.status": status})


def _status_name(context: Context, ended: bool) -> str:
    """Of an aborted call grpc.aio knows the code; a call left by any other way was cut off."""
    code = context.code()
    if code:
        return code.name if isinstance(code, grpc.StatusCode) else _CODE_NAMES.get(int(code), "UNKNOWN")
    return "OK" if ended else "CANCELLED"


_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


class TraceInterceptor(Around):
    """Continues the caller's W3C trace. A call that ends soon gets a span; a link of hours only the trace's context."""

    def __init__(self, tracer: trace.Tracer | None = None) -> None:
        self._tracer = tracer or trace.get_tracer("pitwall.rpc")

    @asynccontextmanager
    async def around(self, call: CallInfo, context: Context) -> AsyncIterator[None]:
        carrier = {key: value for key, value in call.metadata if isinstance(value, str)}
        parent = propagate.extract(carrier)
        if call.client_streaming:
            otel_context.attach(parent)  # ends with the call's task
            yield
            return
        service, _, method = call.method.removeprefix("/").partition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        name = f"{service}/{method}"
        with self._tracer.start_as_current_span(name, parent, SpanKind.SERVER, attributes):
            yield
