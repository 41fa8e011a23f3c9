"""A fleet service that says what a test tells it to, on real TLS."""

import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from haul.fleet.v1 import fleet_service_pb2 as pb
from haul.fleet.v1 import fleet_service_pb2_grpc, vehicle_pb2
from haul.telemetry.v1 import alert_pb2, telemetry_pb2

from pitwall.rpc.errors import PitwallError
from tests.unit.console.fake_site import NOON, abort

WARNING, CRITICAL = alert_pb2.ALERT_SEVERITY_WARNING, alert_pb2.ALERT_SEVERITY_CRITICAL
RAISED, CLEARED = alert_pb2.ALERT_STATE_RAISED, alert_pb2.ALERT_STATE_CLEARED


def vehicle(name: str, *, ages_s: dict[str, float] | float = 0.4, alerts: int = 0, **more: Any) -> vehicle_pb2.Vehicle:
    """Connected and hauling, with each quantity of the table. `ages_s`: of all, or of each one that is known."""
    values: dict[str, Any] = {
        "speed_kph": 31.5,
        "payload_tons": 287.4,
        "engine_temperature_celsius": 88.6,
        "fuel_level_percent": 64.0,
    }
    ages = ages_s if isinstance(ages_s, dict) else dict.fromkeys(values, ages_s)
    values |= {key: more.pop(key) for key in list(more) if key in values}
    fields: dict[str, Any] = {
        "model": "930E-5",
        "status": telemetry_pb2.VEHICLE_STATUS_HAULING,
        "sub_status": telemetry_pb2.VEHICLE_SUB_STATUS_CRUISING,
        "motion_hold": telemetry_pb2.MOTION_HOLD_NONE,
        "connectivity": telemetry_pb2.CONNECTIVITY_CONNECTED,
        "current_reading": telemetry_pb2.Reading(vehicle_id=name, **{key: values[key] for key in ages}),
        "open_alert_count": alerts,
    }
    made = vehicle_pb2.Vehicle(vehicle_id=name, **(fields | more))
    for key, age_s in ages.items():
        made.quantity_ages[key].CopyFrom(Duration(nanos=round(age_s % 1 * 1e9), seconds=int(age_s)))
    return made


def alert(vehicle_id: str, rule: str = "HIGH_SPEED", severity: int = WARNING, state: int = RAISED, **more: Any) -> Any:
    """An AlertRecord."""
    made = alert_pb2.Alert(
        alert_id=f"{vehicle_id}.{rule}.1.7",
        vehicle_id=vehicle_id,
        rule=rule,
        severity=severity,  # type: ignore[arg-type]  # a number of the enum
        state=state,  # type: ignore[arg-type]
        message=f"{rule} is as it is",
        raised_time=NOON,
        event_time=NOON,
    )
    cleared = {"cleared_time": Timestamp(seconds=NOON.seconds + 90)} if state == CLEARED else {}
    return vehicle_pb2.AlertRecord(alert=made, **(cleared | more))


def gap(vehicle_id: str, first: int, last: int, state: str = "OPEN", *, age_s: int = 120, **more: Any) -> Any:
    """Found so many seconds ago; sampled at noon."""
    made = vehicle_pb2.Gap(
        vehicle_id=vehicle_id,
        boot_epoch=3,
        first_sequence=first,
        last_sequence=last,
        state=vehicle_pb2.GapState.Value(f"GAP_STATE_{state}"),
        after_time=NOON,
        before_time=Timestamp(seconds=NOON.seconds + 60),
        **more,
    )
    made.found_time.FromSeconds(int(time.time()) - age_s)
    return made


class _Rest(fleet_service_pb2_grpc.FleetServiceServicer):
    """What the console doesn't call."""

    def _refuse(self, request: Any, context: Any) -> NoReturn:
        raise NotImplementedError

    GetVehicle = CreateVehicle = UpdateVehicle = DeleteVehicle = _refuse
    ListVehicleMetrics = ListReadings = _refuse


@dataclass
class FakeFleet(_Rest):
    """Answers from its fields. What is put into `changes` and `steps` goes to whoever watches; an error ends it."""

    vehicles: list[vehicle_pb2.Vehicle] = field(default_factory=list)
    alerts: list[vehicle_pb2.AlertRecord] = field(default_factory=list)
    gaps: list[vehicle_pb2.Gap] = field(default_factory=list)
    statistics: vehicle_pb2.FleetStatistics = field(default_factory=vehicle_pb2.FleetStatistics)
    stale: bool = False
    fails: PitwallError | None = None
    page_size: int = 1000
    asked: list[Any] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    changes: "queue.SimpleQueue[Any]" = field(default_factory=queue.SimpleQueue)
    steps: "queue.SimpleQueue[Any]" = field(default_factory=queue.SimpleQueue)

    def _note(self, request: Any, context: Any) -> None:
        self.asked.append(request)
        self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata()})
        if self.fails:
            abort(context, self.fails)

    def ListVehicles(self, request: Any, context: Any) -> pb.ListVehiclesResponse:  # noqa: N802
        self._note(request, context)
        items, token = self._page(self.vehicles, request)
        return pb.ListVehiclesResponse(vehicles=items, next_page_token=token, stale=self.stale)

    def GetFleetStatistics(self, request: Any, context: Any) -> vehicle_pb2.FleetStatistics:  # noqa: N802
        self._note(request, context)
        return self.statistics

    def ListAlerts(self, request: Any, context: Any) -> pb.ListAlertsResponse:  # noqa: N802
        self._note(request, context)
        items, token = self._page(self.alerts, request)
        return pb.ListAlertsResponse(alerts=items, next_page_token=token)

    def ListGaps(self, request: Any, context: Any) -> pb.ListGapsResponse:  # noqa: N802
        self._note(request, context)
        items, token = self._page(self.gaps, request)
        return pb.ListGapsResponse(gaps=items, next_page_token=token, stale=self.stale)

    def AcknowledgeAlert(self, request: Any, context: Any) -> vehicle_pb2.AlertRecord:  # noqa: N802
        self._note(request, context)
        found: vehicle_pb2.AlertRecord = next(one for one in self.alerts if one.alert.alert_id == request.alert_id)
        found.acknowledged_by, found.acknowledgement_note = "olga", request.note
        found.acknowledged_time.CopyFrom(NOON)
        return found

    def WatchFleet(self, request: Any, context: Any) -> Iterator[pb.WatchFleetResponse]:  # noqa: N802
        self._note(request, context)
        yield pb.WatchFleetResponse(vehicles=self.vehicles, snapshot_complete=True)
        yield from _until_gone(self.changes, context)

    def WatchAlerts(self, request: Any, context: Any) -> Iterator[pb.WatchAlertsResponse]:  # noqa: N802
        self._note(request, context)
        yield pb.WatchAlertsResponse(alerts=self.alerts, snapshot_complete=True)
        yield from _until_gone(self.steps, context)

    def _page(self, items: Sequence[Any], request: Any) -> tuple[Sequence[Any], str]:
        first = int(request.page_token or 0)
        following = first + min(self.page_size, request.page_size or 100)
        return items[first:following], str(following) if following < len(items) else ""


def _until_gone(changes: "queue.SimpleQueue[Any]", context: Any) -> Iterator[Any]:
    while context.is_active():
        try:
            change = changes.get(timeout=0.05)
        except queue.Empty:
            continue
        if isinstance(change, PitwallError):
            abort(context, change)
        yield change


@dataclass
class ServedFleet:
    """A fake fleet service that listens."""

    service: FakeFleet
    address: str
    server: grpc.Server

    def stop(self) -> None:
        self.server.stop(0).wait()


def serve_fleet(service: FakeFleet, certs: Path, address: str = "localhost:0") -> ServedFleet:
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    fleet_service_pb2_grpc.add_FleetServiceServicer_to_server(service, server)
    status = health.HealthServicer()
    status.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    pair = ((certs / "command-1.key").read_bytes(), (certs / "command-1.pem").read_bytes())
    port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    server.start()
    return ServedFleet(service, f"localhost:{port}", server)
