"""What the metrics and the trace say of a call."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from haul.command.v1 import command_service_pb2 as command
from haul.command.v1 import command_service_pb2_grpc as command_grpc
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pitwall.rpc import errors
from pitwall.rpc.interceptors import ErrorInterceptor, MetricsInterceptor, TraceInterceptor
from pitwall.rpc.server import build_server
from tests.unit.pitwall.rig import LOOPBACK, CommandServicer, Site

SETTLES_WITHIN_S = 10.0
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = (("traceparent", f"00-{TRACE_ID}-b7ad6b7169203331-01"),)


class Measured:
    """A server in clear text whose metrics and spans stay in memory."""

    def __init__(self, rpc: Site) -> None:
        self.rpc = rpc
        self.reader = InMemoryMetricReader()
        self.spans = InMemorySpanExporter()
        self._meters = MeterProvider([self.reader])
        self._tracers = TracerProvider()
        self._tracers.add_span_processor(SimpleSpanProcessor(self.spans))

    async def stub(self) -> "command_grpc.CommandServiceAsyncStub":
        interceptors = [
            TraceInterceptor(self._tracers.get_tracer("test")),
            MetricsInterceptor(self._meters.get_meter("test")),
            ErrorInterceptor(),
        ]
        server = build_server(LOOPBACK, None, interceptors)
        servicer = CommandServicer(self.rpc.script)  # type: ignore[abstract]
        command_grpc.add_CommandServiceServicer_to_server(servicer, server.server)
        await server.start()
        self._server = server
        self.rpc.stack.push_async_callback(server.stop, 0)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
        self.rpc.stack.push_async_callback(channel.close)
        return command_grpc.CommandServiceStub(channel)

    async def settled(self) -> None:
        """A caller has its answer before the handler has come to its end: here all have. No call after this."""
        await self._server.stop(SETTLES_WITHIN_S)

    async def points(self) -> list[tuple[str, dict[str, Any], Any]]:
        """(metric, labels, sum or count), of handlers that have ended."""
        await self.settled()
        return list(self._points())

    def _points(self) -> Iterator[tuple[str, dict[str, Any], Any]]:
        data = self.reader.get_metrics_data()
        assert data is not None
        for metric in data.resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.data.data_points:
                value = point.value if hasattr(point, "value") else point.count
                yield metric.name, dict(point.attributes or {}), value


METHOD = {"grpc.method": "haul.command.v1.CommandService/GetStop"}


async def test_a_call_that_succeeds_is_counted_timed_and_no_longer_open(rpc: Site) -> None:
    measured = Measured(rpc)
    await (await measured.stub()).GetStop(command.GetStopRequest())
    points = await measured.points()
    assert ("grpc.server.call.started", METHOD, 1) in points
    assert ("grpc.server.call.open", METHOD, 0) in points
    assert ("grpc.server.call.duration", {**METHOD, "grpc.status": "OK"}, 1) in points


async def test_a_refused_call_is_timed_under_its_status(rpc: Site) -> None:
    async def act() -> None:
        raise errors.NotFound("STOP_NOT_FOUND", "no such stop")

    rpc.script.act = act
    measured = Measured(rpc)
    with pytest.raises(grpc.aio.AioRpcError):
        await (await measured.stub()).GetStop(command.GetStopRequest())
    assert ("grpc.server.call.duration", {**METHOD, "grpc.status": "NOT_FOUND"}, 1) in await measured.points()


async def test_a_span_continues_the_callers_trace(rpc: Site) -> None:
    seen = []

    async def act() -> None:
        seen.append(trace.format_trace_id(trace.get_current_span().get_span_context().trace_id))

    rpc.script.act = act
    measured = Measured(rpc)
    await (await measured.stub()).GetStop(command.GetStopRequest(), metadata=TRACEPARENT)
    await measured.settled()
    (span,) = measured.spans.get_finished_spans()
    assert span.name == "haul.command.v1.CommandService/GetStop"
    assert seen == [TRACE_ID]
    assert span.context is not None
    assert trace.format_trace_id(span.context.trace_id) == TRACE_ID


async def test_a_caller_without_a_trace_gets_a_new_one(rpc: Site) -> None:
    measured = Measured(rpc)
    await (await measured.stub()).GetStop(command.GetStopRequest())
    await measured.settled()
    (span,) = measured.spans.get_finished_spans()
    assert span.parent is None
