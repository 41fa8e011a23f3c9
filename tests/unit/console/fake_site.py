"""A command service that says what a test tells it to, on real TLS, and a `pitwall` to ask it with."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from haul.command.v1 import command_service_pb2 as pb
from haul.command.v1 import command_service_pb2_grpc, event_pb2, order_pb2, stop_pb2
from haul.telemetry.v1 import telemetry_pb2

from pitwall.rpc.errors import STATUS_DETAILS_KEY, PitwallError, to_status

Stage = stop_pb2.StopStage.ValueType
STAGES = {
    "ISSUED": stop_pb2.STOP_STAGE_ISSUED,
    "SENT": stop_pb2.STOP_STAGE_SENT,
    "RECEIVED": stop_pb2.STOP_STAGE_RECEIVED,
    "BRAKING": stop_pb2.STOP_STAGE_BRAKING,
    "STANDSTILL": stop_pb2.STOP_STAGE_STANDSTILL,
    "RELEASED": stop_pb2.STOP_STAGE_RELEASED,
}
NOON = Timestamp(seconds=1_800_000_000)
BRAKES_BY = Timestamp(seconds=1_800_000_002, nanos=100_000_000)


@dataclass(frozen=True, slots=True)
class Ran:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines it printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.err.splitlines()[-1])["error"]
        return error


Pitwall = Callable[..., Ran]
StopScript = Callable[[pb.EmergencyStopRequest], Iterator[pb.EmergencyStopResponse]]


def vehicle(name: str, stage: str = "", *, away: bool = False, **more: Any) -> stop_pb2.VehicleStop:
    """A vehicle that has come through every stage up to `stage`."""
    number = STAGES[stage] if stage else stop_pb2.STOP_STAGE_UNSPECIFIED
    progress = [stop_pb2.StopProgress(stage=one, event_time=NOON) for one in STAGES.values() if one <= min(number, 5)]
    return stop_pb2.VehicleStop(
        vehicle_id=name,
        stage=number,
        unreachable=away,
        progress=progress,
        brakes_by_time=more.pop("brakes_by_time", BRAKES_BY),
        **more,
    )


def summary(**more: Any) -> stop_pb2.StopSummary:
    """Confirmed by the only command service, unless told otherwise."""
    fields: dict[str, Any] = {"confirmed": True, "journaled_by": 1, "command_services": 1, "brakes_by_time": BRAKES_BY}
    return stop_pb2.StopSummary(**(fields | more))


def answer(request: pb.EmergencyStopRequest, *vehicles: stop_pb2.VehicleStop, **more: Any) -> pb.EmergencyStopResponse:
    stop = stop_pb2.Stop(stop_id=request.stop_id, scope=request.scope, reason=request.reason, issued_time=NOON)
    return pb.EmergencyStopResponse(stop=stop, summary=summary(**more), vehicles=vehicles)


def motion(name: str, **more: Any) -> order_pb2.MotionState:
    """A connected vehicle, hauling."""
    now = Timestamp()
    now.FromDatetime(datetime.now(UTC))
    fields: dict[str, Any] = {
        "etag": "7-1-0-99",
        "status": telemetry_pb2.VEHICLE_STATUS_HAULING,
        "sub_status": telemetry_pb2.VEHICLE_SUB_STATUS_CRUISING,
        "motion_hold": telemetry_pb2.MOTION_HOLD_NONE,
        "connectivity": telemetry_pb2.CONNECTIVITY_CONNECTED,
        "connectivity_time": now,
        "gateway": "gateway-1",
    }
    return order_pb2.MotionState(vehicle_id=name, **(fields | more))


@dataclass
class FakeService(command_service_pb2_grpc.CommandServiceServicer):
    """Answers from its fields; `fails` is raised by every method while it is set."""

    fails: PitwallError | None = None
    #: Asked before each call; what it gives is raised.
    before: Callable[[], PitwallError | None] = lambda: None
    stopping: StopScript = lambda request: iter([answer(request)])
    watching: Callable[[pb.WatchStopRequest], Iterator[pb.WatchStopResponse]] = lambda request: iter(())
    stops: list[stop_pb2.StopState] = field(default_factory=list)
    releases: list[stop_pb2.ReleaseRecord] = field(default_factory=list)
    motion_states: list[order_pb2.MotionState] = field(default_factory=list)
    events: list[event_pb2.CommandEvent] = field(default_factory=list)
    ordering: Callable[[pb.SendOrderRequest], pb.SendOrderResponse] = lambda request: pb.SendOrderResponse()
    releasing: Callable[[pb.RequestReleaseRequest], stop_pb2.ReleaseRecord] = lambda request: stop_pb2.ReleaseRecord()
    approving: Callable[[pb.ApproveReleaseRequest], stop_pb2.ReleaseRecord] = lambda request: stop_pb2.ReleaseRecord()
    #: What was asked, newest last, and the metadata it came with.
    asked: list[Any] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    page_size: int = 1000

    def _note(self, request: Any, context: grpc.ServicerContext) -> None:
        self.asked.append(request)
        self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata()})
        if error := self.fails or self.before():
            abort(context, error)

    def EmergencyStop(self, request: Any, context: Any) -> Iterator[pb.EmergencyStopResponse]:  # noqa: N802
        self._note(request, context)
        yield from guarded(context, self.stopping(request))

    def WatchStop(self, request: Any, context: Any) -> Iterator[pb.WatchStopResponse]:  # noqa: N802
        self._note(request, context)
        yield from guarded(context, self.watching(request))

    def ListStops(self, request: Any, context: Any) -> pb.ListStopsResponse:  # noqa: N802
        self._note(request, context)
        items, token = self._page(self.stops, request.page_token)
        return pb.ListStopsResponse(stops=items, next_page_token=token)

    def GetStop(self, request: Any, context: Any) -> stop_pb2.StopState:  # noqa: N802
        self._note(request, context)
        return next(state for state in self.stops if state.stop.stop_id == request.stop_id)

    def RequestRelease(self, request: Any, context: Any) -> stop_pb2.ReleaseRecord:  # noqa: N802
        self._note(request, context)
        return self.releasing(request)

    def ApproveRelease(self, request: Any, context: Any) -> stop_pb2.ReleaseRecord:  # noqa: N802
        self._note(request, context)
        return self.approving(request)

    def ListReleases(self, request: Any, context: Any) -> pb.ListReleasesResponse:  # noqa: N802
        self._note(request, context)
        return pb.ListReleasesResponse(releases=self.releases)

    def ListMotionStates(self, request: Any, context: Any) -> pb.ListMotionStatesResponse:  # noqa: N802
        self._note(request, context)
        items, token = self._page(self.motion_states, request.page_token)
        return pb.ListMotionStatesResponse(motion_states=items, next_page_token=token)

    def SendOrder(self, request: Any, context: Any) -> pb.SendOrderResponse:  # noqa: N802
        self._note(request, context)
        try:
            return self.ordering(request)
        except PitwallError as error:
            abort(context, error)

    def GetMotionState(self, request: Any, context: Any) -> order_pb2.MotionState:  # noqa: N802
        self._note(request, context)
        return next(state for state in self.motion_states if state.vehicle_id == request.vehicle_id)

    def ListOrders(self, request: Any, context: Any) -> pb.ListOrdersResponse:  # noqa: N802
        self._note(request, context)
        return pb.ListOrdersResponse()

    def ListAuditEvents(self, request: Any, context: Any) -> pb.ListAuditEventsResponse:  # noqa: N802
        self._note(request, context)
        items, token = self._page(self.events, request.page_token)
        return pb.ListAuditEventsResponse(events=items, next_page_token=token)

    def _page(self, items: Sequence[Any], token: str) -> tuple[Sequence[Any], str]:
        first = int(token or 0)
        following = first + self.page_size
        return items[first:following], str(following) if following < len(items) else ""


def guarded(context: Any, responses: Iterable[Any]) -> Iterator[Any]:
    """Passes on, with a PitwallError as the call's end."""
    try:
        yield from responses
    except PitwallError as error:
        abort(context, error)


def abort(context: Any, error: PitwallError) -> NoReturn:
    """As the interceptor of our services does it."""
    status: status_pb2.Status = to_status(error)
    assert isinstance(status.details[0], AnyMessage)
    context.set_trailing_metadata(((STATUS_DETAILS_KEY, status.SerializeToString()),))
    context.abort(error.code, error.message)
    raise AssertionError("abort raises")


@dataclass
class Served:
    """A fake service that listens."""

    service: FakeService
    address: str
    server: grpc.Server

    def stop(self) -> None:
        self.server.stop(0).wait()


def serve(service: FakeService, certs: Path, name: str = "command-1", address: str = "localhost:0") -> Served:
    """Listens with the certificate of `name`."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    command_service_pb2_grpc.add_CommandServiceServicer_to_server(service, server)
    status = health.HealthServicer()
    status.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    pair = ((certs / f"{name}.key").read_bytes(), (certs / f"{name}.pem").read_bytes())
    host, _, _ = address.partition(":")
    port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    server.start()
    return Served(service, f"{host}:{port}", server)
