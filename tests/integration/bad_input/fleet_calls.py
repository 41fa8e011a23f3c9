"""Calls of FleetService as they should not be."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from haul.command.v1.stop_pb2 import GeoPoint, Zone
from haul.fleet.v1 import fleet_service_pb2 as pb
from haul.fleet.v1.fleet_service_pb2_grpc import FleetServiceStub
from haul.fleet.v1.vehicle_pb2 import SafetyEnvelope, Vehicle

from fleet_service.servicer import WATCH_STALL_S
from tests.integration.bad_input.counters import WATCHERS_STALLED
from tests.integration.bad_input.pages import page_token
from tests.integration.bad_input.rows import Outcome
from tests.integration.bad_input.site import VEHICLE, Site
from tests.integration.bad_input.streams import outcome_of

TIMEOUT_S = 10.0
HUGE = 2**31 - 1
#: The stack's own vehicle is entered by itself, some seconds after the start.
ENTERED_WITHIN_S = 30.0
#: The stall begins when the transport takes no more, which is some time after the call.
CUT_OFF_WITHIN_S = WATCH_STALL_S + 20.0
#: Entries as large as they may be, in one answer: beyond what the transport takes while nobody reads.
LARGE_ENTRIES = 100
#: Of a channel, so that it takes little ahead of its reader.
_NARROW = [("grpc.http2.lookahead_bytes", 65_536), ("grpc.http2.bdp_probe", 0)]


@dataclass(frozen=True, slots=True)
class Person:
    """Who calls, and how."""

    stub: FleetServiceStub
    metadata: tuple[tuple[str, str], ...]

    def ask(self, method: str, request: object) -> Any:
        return getattr(self.stub, method)(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def watch(self, method: str, request: object) -> Any:
        """The first answer."""
        return next(self.ask(method, request))


BadCall = Callable[[Person], object]


def call(site: Site, given: str) -> Outcome:
    """What is answered where it is taken is the outcome's text."""
    role, bad = CALLS[given]
    with person(site, role) as caller:
        try:
            return Outcome(str(bad(caller)))
        except grpc.RpcError as error:
            return outcome_of(error)


@contextmanager
def person(site: Site, role: str, options: Any = ()) -> Iterator[Person]:
    """With this role's token; with none where it is empty."""
    credentials = grpc.ssl_channel_credentials((site.certs / "ca.pem").read_bytes())
    token = (site.stack.places.tokens / role).read_text() if role else ""
    with grpc.secure_channel(site.stack.address("fleet-1"), credentials, options) as channel:
        yield Person(FleetServiceStub(channel), (("authorization", f"Bearer {token}"),) if role else ())


def await_vehicle(site: Site) -> None:
    """The stack's own is in the registry and connected."""
    end_s = time.monotonic() + ENTERED_WITHIN_S
    with person(site, "viewer") as viewer:
        while not viewer.ask("ListVehicles", pb.ListVehiclesRequest(filter="connectivity = CONNECTED")).vehicles:
            assert time.monotonic() < end_s, f"{VEHICLE} is not in the registry"
            time.sleep(0.1)


def _vehicles(**fields: Any) -> BadCall:
    return lambda caller: caller.ask("ListVehicles", pb.ListVehiclesRequest(**fields))


def _get(vehicle_id: str) -> BadCall:
    return lambda caller: caller.ask("GetVehicle", pb.GetVehicleRequest(vehicle_id=vehicle_id))


def _create(**fields: Any) -> BadCall:
    request = pb.CreateVehicleRequest(vehicle=Vehicle(**{"vehicle_id": "BAD-TRUCK-001"} | fields))
    return lambda caller: caller.ask("CreateVehicle", request)


def _update(*paths: str, **fields: Any) -> BadCall:
    request = pb.UpdateVehicleRequest(vehicle=Vehicle(**{"vehicle_id": VEHICLE} | fields))
    request.update_mask.paths.extend(paths)
    return lambda caller: caller.ask("UpdateVehicle", request)


def _delete(vehicle_id: str, etag: str = "") -> BadCall:
    return lambda caller: caller.ask("DeleteVehicle", pb.DeleteVehicleRequest(vehicle_id=vehicle_id, etag=etag))


def _alerts(**fields: Any) -> BadCall:
    return lambda caller: caller.ask("ListAlerts", pb.ListAlertsRequest(**fields))


def _acknowledge(alert_id: str, note: str = "") -> BadCall:
    return lambda caller: caller.ask("AcknowledgeAlert", pb.AcknowledgeAlertRequest(alert_id=alert_id, note=note))


def _windows(vehicle_id: str = VEHICLE, **fields: Any) -> BadCall:
    request = pb.ListVehicleMetricsRequest(vehicle_id=vehicle_id, **fields)
    return lambda caller: caller.ask("ListVehicleMetrics", request)


def _watch(method: str, text: str = "") -> BadCall:
    request = pb.WatchFleetRequest(filter=text) if method == "WatchFleet" else pb.WatchAlertsRequest(filter=text)
    return lambda caller: caller.watch(method, request)


def _lost_race(caller: Person) -> object:
    """Both have read the same entry; the other one was faster."""
    read = caller.ask("GetVehicle", pb.GetVehicleRequest(vehicle_id=VEHICLE))
    _update("destination", destination="Dump 1", etag=read.etag)(caller)
    return _update("destination", destination="Dump 2", etag=read.etag)(caller)


def _stale_delete(caller: Person) -> object:
    made = _create()(caller)
    _update("model", vehicle_id="BAD-TRUCK-001", model="HD785")(caller)
    try:
        return _delete("BAD-TRUCK-001", made.etag)(caller)  # type: ignore[attr-defined]  # a Vehicle
    finally:
        _delete("BAD-TRUCK-001")(caller)


def does_not_read(site: Site, given: str) -> Outcome:
    """A watcher that takes nothing, and what everybody else is told meanwhile."""
    zone = Zone(name="z" * 200, corners=(_corner(i) for i in range(100)))
    large = dict.fromkeys(("model", "manufacturer", "assigned_route", "destination"), "x" * 200)
    ids = [f"LARGE-{number:03d}" for number in range(LARGE_ENTRIES)]
    with person(site, "maintainer") as caller, person(site, "viewer", _NARROW) as deaf:
        for vehicle_id in ids:
            _create(vehicle_id=vehicle_id, safety_envelope=SafetyEnvelope(zone=zone), **large)(caller)
        before = site.count(WATCHERS_STALLED)
        stream = deaf.stub.WatchFleet(pb.WatchFleetRequest(), metadata=deaf.metadata)
        slowest_s, end_s = 0.0, time.monotonic() + CUT_OFF_WITHIN_S
        while site.count(WATCHERS_STALLED) <= before:
            assert time.monotonic() < end_s, f"{WATCHERS_STALLED} has not grown from {before}"
            asked_s = time.monotonic()
            _get(VEHICLE)(caller)
            slowest_s = max(slowest_s, time.monotonic() - asked_s)
            time.sleep(0.05)
        stream.cancel()
        for vehicle_id in ids:
            _delete(vehicle_id)(caller)
    # Whoever waits for the watcher waits for as long as it may stall; a busy machine takes a second now and then.
    return Outcome("nobody waited" if slowest_s < WATCH_STALL_S / 2 else f"somebody waited for {slowest_s:.1f} s")


def _corner(number: int) -> GeoPoint:
    """Of a polygon with many corners, in degrees."""
    angle = 2 * math.pi * number / 100
    return GeoPoint(latitude_degrees=math.sin(angle), longitude_degrees=math.cos(angle))


def _gaps(**fields: Any) -> BadCall:
    return _plain("ListGaps", pb.ListGapsRequest(**fields))


def _plain(method: str, request: object) -> BadCall:
    return lambda caller: caller.ask(method, request)


#: Every method, with a request that is good.
METHODS: dict[str, BadCall] = {
    "ListVehicles": _vehicles(),
    "GetVehicle": _get(VEHICLE),
    "CreateVehicle": _create(),
    "UpdateVehicle": _update("destination"),
    "DeleteVehicle": _delete(VEHICLE),
    "GetFleetStatistics": _plain("GetFleetStatistics", pb.GetFleetStatisticsRequest()),
    "WatchFleet": _watch("WatchFleet"),
    "ListAlerts": _alerts(),
    "AcknowledgeAlert": _acknowledge("a"),
    "WatchAlerts": _watch("WatchAlerts"),
    "ListVehicleMetrics": _windows(),
    "ListReadings": _plain("ListReadings", pb.ListReadingsRequest(vehicle_id=VEHICLE)),
    "ListGaps": _gaps(),
}
#: Who may not.
FORBIDDEN = {
    "CreateVehicle": ("viewer", "operator"),
    "UpdateVehicle": ("viewer", "operator"),
    "DeleteVehicle": ("viewer", "operator"),
    "AcknowledgeAlert": ("viewer", "maintainer"),
}

#: Whose token, and what he asks.
CALLS: dict[str, tuple[str, BadCall]] = {
    "vehicles by an unknown field": ("viewer", _vehicles(filter="stats = IDLE")),
    "vehicles by an unknown status": ("viewer", _vehicles(filter="status = IDEL")),
    "vehicles by half a filter": ("viewer", _vehicles(filter="status = IDLE AND")),
    "vehicles by an order that there is not": ("viewer", _vehicles(filter="status > IDLE")),
    "vehicles by brackets": ("viewer", _vehicles(filter="(status = IDLE)")),
    "vehicles, a negative page": ("viewer", _vehicles(page_size=-1)),
    "vehicles, a huge page": ("viewer", _vehicles(page_size=HUGE)),
    "vehicles, another query's token": (
        "viewer",
        _vehicles(filter="status = IDLE", page_token=page_token("ListVehicles ", "A")),
    ),
    "vehicles, a token of the wrong type": ("viewer", _vehicles(page_token=page_token("ListVehicles ", 2**80))),
    "an unknown vehicle": ("viewer", _get("GHOST-003")),
    "a vehicle without an id": ("viewer", _get("")),
    "a vehicle with a malformed id": ("viewer", _get("truck 1")),
    "create without an id": ("maintainer", _create(vehicle_id="")),
    "create what is there": ("maintainer", _create(vehicle_id=VEHICLE)),
    "create with a negative payload": ("maintainer", _create(max_payload_tons=-1)),
    "create with a speed that is no number": ("maintainer", _create(max_speed_kph=math.nan)),
    "create with a model as long as a novel": ("maintainer", _create(model="x" * 201)),
    "create with a zone of two corners": (
        "maintainer",
        _create(safety_envelope=SafetyEnvelope(zone=Zone(name="line", corners=[_corner(0), _corner(1)]))),
    ),
    "update of an unknown field": ("maintainer", _update("destinaton")),
    "update of what only the vehicle says": ("maintainer", _update("status")),
    "update of nothing": ("maintainer", _update()),
    "update with a made-up etag": ("maintainer", _update("destination", etag="seen it")),
    "update that lost a race": ("maintainer", _lost_race),
    "update of an unknown vehicle": ("maintainer", _update("destination", vehicle_id="GHOST-003")),
    "delete of nobody": ("maintainer", _delete("")),
    "delete of an unknown vehicle": ("maintainer", _delete("GHOST-003")),
    "delete of a connected vehicle": ("maintainer", _delete(VEHICLE)),
    "delete with an old etag": ("maintainer", _stale_delete),
    "watch by an unknown field": ("viewer", _watch("WatchFleet", "severity = WARNING")),
    "watch alerts by an unknown severity": ("viewer", _watch("WatchAlerts", "severity >= BAD")),
    "alerts by a flag that is none": ("viewer", _alerts(filter="acknowledged = maybe")),
    "alerts, a negative page": ("viewer", _alerts(page_size=-HUGE)),
    "alerts, a token of the wrong type": ("viewer", _alerts(page_token=page_token("ListAlerts ", "now", "a"))),
    "acknowledge nothing": ("operator", _acknowledge("")),
    "acknowledge an unknown alert": ("operator", _acknowledge("nobody.OVERHEATING.1.1")),
    "acknowledge with a novel": ("operator", _acknowledge("a", "x" * 501)),
    "figures of an unknown vehicle": ("viewer", _windows("GHOST-003")),
    "figures of nobody": ("viewer", _windows("")),
    "figures by a time without a zone": ("viewer", _windows(filter='window_start_time > "2026-11-01T12:00:00"')),
    "figures, another vehicle's token": (
        "viewer",
        _windows(page_token=page_token("ListVehicleMetrics GHOST-003 ", 1, 60_000)),
    ),
    "figures, a token beyond all numbers": (
        "viewer",
        _windows(page_token=page_token(f"ListVehicleMetrics {VEHICLE} ", 2**63, 60_000)),
    ),
    "readings": ("viewer", METHODS["ListReadings"]),
    "gaps by an unknown state": ("viewer", _gaps(filter="state = CLOSED")),
    "gaps by a time": ("viewer", _gaps(filter='found_time > "2026-11-01T12:00:00Z"')),
    "gaps, a negative page": ("viewer", _gaps(page_size=-1)),
    "gaps, another query's token": ("viewer", _gaps(page_token=page_token("ListGaps True ", VEHICLE, 1, 1))),
    "gaps, a token of the wrong type": ("viewer", _gaps(page_token=page_token("ListGaps False ", VEHICLE, 1, "1"))),
    **{f"{method} without a token": ("", bad) for method, bad in METHODS.items()},
    **{f"{method} by a {role}": (role, METHODS[method]) for method, roles in FORBIDDEN.items() for role in roles},
}
