"""A collector of spans: OTLP over gRPC, in memory."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True, slots=True)
class Span:
    """`parent`: empty for the first of a trace. Ids are hex, times nanoseconds since 1970."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    started_ns: int
    ended_ns: int
    attributes: dict[str, str]


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Use as a context manager; `address` is where."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._spans: list[Span] = []
        self._server = grpc.server(ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=0).wait()

    def Export(  # noqa: N802  # gRPC's name
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        with self._changed:
            for resource in request.resource_spans:
                service = _texts(resource.resource.attributes)["service.name"]
                self._spans += [_span(service, span) for scope in resource.scope_spans for span in scope.spans]
            self._changed.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def until(self, enough: Callable[[list[Span]], bool], timeout_s: float = 60.0) -> list[Span]:
        """All spans so far, as soon as there are enough; AssertionError with their names where there never are."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not enough(self._spans):
                left_s = deadline - time.monotonic()
                assert left_s > 0, f"not enough spans: {sorted({(s.service, s.name) for s in self._spans})}"
                self._changed.wait(left_s)
            return list(self._spans)


def _span(service: str, span: Any) -> Span:
    return Span(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _texts(span.attributes),
    )


def _texts(pairs: "list[KeyValue] | Any") -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in pairs}
