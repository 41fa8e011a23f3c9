"""What the fleet service shows of a running stack, held against what the vehicles wrote themselves."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1.fleet_service_pb2_grpc import FleetServiceStub
from haul.fleet.v1.vehicle_pb2 import AlertRecord, Gap, Vehicle
from haul.telemetry.v1.metrics_pb2 import VehicleMetrics
from haul.telemetry.v1.telemetry_pb2 import CONNECTIVITY_CONNECTED, VehicleStatus

from tests.support.plant import Plant

#: How old a vehicle's newest reading may be in the picture, seconds.
YOUNGER_THAN_S = 3.0
_CALL_TIMEOUT_S = 5.0
_POLL_S = 0.1
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class View:
    """The answers of one fleet service. Methods raise grpc.RpcError."""

    stub: FleetServiceStub

    def vehicles(self) -> fleet_pb2.ListVehiclesResponse:
        """All of them, where they are at most a page."""
        return self.stub.ListVehicles(fleet_pb2.ListVehiclesRequest(page_size=_MOST), timeout=_CALL_TIMEOUT_S)

    def alerts(self) -> list[AlertRecord]:
        """Every alert that there ever was."""
        found: list[AlertRecord] = []
        request = fleet_pb2.ListAlertsRequest(page_size=_MOST)
        while True:
            answer = self.stub.ListAlerts(request, timeout=_CALL_TIMEOUT_S)
            found += answer.alerts
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    def gaps(self, *, filled: bool = False) -> tuple[list[Gap], bool]:
        """Those of now, or also what has been filled since; and whether Kafka has more that is not read yet."""
        found: list[Gap] = []
        stale = False
        request = fleet_pb2.ListGapsRequest(page_size=_MOST, show_filled=filled)
        while True:
            answer = self.stub.ListGaps(request, timeout=_CALL_TIMEOUT_S)
            found += answer.gaps
            stale = stale or answer.stale
            if not answer.next_page_token:
                return found, stale
            request.page_token = answer.next_page_token

    def windows(self, vehicle_id: str, length_s: int) -> list[VehicleMetrics]:
        request = fleet_pb2.ListVehicleMetricsRequest(
            vehicle_id=vehicle_id, page_size=_MOST, filter=f"window_length = {length_s}s"
        )
        return list(self.stub.ListVehicleMetrics(request, timeout=_CALL_TIMEOUT_S).metrics)


@contextmanager
def fleet_view(home: Path, address: str, token: str = "viewer") -> Iterator[View]:
    """address: host:port of the operators' port. token: the name of a file in the stack's tokens/."""
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials((home / "certs/ca.pem").read_bytes()),
        grpc.access_token_call_credentials((home / "tokens" / token).read_text().strip()),
    )
    # A service that was killed is looked for again at once, not after gRPC's growing waits.
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
    with grpc.secure_channel(address, credentials, options) as channel:
        yield View(FleetServiceStub(channel))


def out_of_date(view: View, plant: Plant, vehicle_ids: Iterable[str]) -> list[str]:
    """What keeps the picture from being that of this moment; empty when each vehicle is there, young and right."""
    return not_young(view, vehicle_ids) or [
        trouble for vehicle in view.vehicles().vehicles for trouble in _other_status(vehicle, plant)
    ]


def not_young(view: View, vehicle_ids: Iterable[str]) -> list[str]:
    """Which vehicles are not shown, too old or lost. Of a status it says nothing: those change all the time."""
    try:
        answer = view.vehicles()
    except grpc.RpcError as error:
        return [f"ListVehicles: {error}"]
    shown = {vehicle.vehicle_id: vehicle for vehicle in answer.vehicles}
    wanted = set(vehicle_ids)
    troubles = [f"{vehicle_id} is not shown" for vehicle_id in sorted(wanted - set(shown))]
    troubles += [f"{vehicle_id} is shown" for vehicle_id in sorted(set(shown) - wanted)]
    troubles += ["marked stale"] if answer.stale else []
    for vehicle_id in sorted(wanted & set(shown)):
        troubles += _not_young(shown[vehicle_id])
    return troubles


def _not_young(vehicle: Vehicle) -> Iterator[str]:
    age_s = time.time() - vehicle.current_reading.event_time.ToNanoseconds() / 1e9
    if age_s >= YOUNGER_THAN_S:
        yield f"{vehicle.vehicle_id}: its reading is {age_s:.1f} s old"
    if vehicle.connectivity != CONNECTIVITY_CONNECTED:
        yield f"{vehicle.vehicle_id} is not connected"


def _other_status(vehicle: Vehicle, plant: Plant) -> Iterator[str]:
    status = VehicleStatus.Name(vehicle.status).removeprefix("VEHICLE_STATUS_")
    if status != (own := plant.last(vehicle.vehicle_id).status):
        yield f"{vehicle.vehicle_id} is shown as {status} and is {own}"


def await_none(what: Callable[[], list[str]], within_s: float) -> float:
    """Asks until there is nothing to complain about; seconds until then. AssertionError with the last complaints."""
    begun_s = time.monotonic()
    while troubles := what():
        if time.monotonic() - begun_s > within_s:
            raise AssertionError(f"after {within_s:g} s still: " + "\n".join(troubles[:40]))
        time.sleep(_POLL_S)
    return time.monotonic() - begun_s
