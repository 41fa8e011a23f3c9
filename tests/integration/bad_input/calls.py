"""Calls of CommandService that the console would not make."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
from google.protobuf.duration_pb2 import Duration
from haul.command.v1 import command_service_pb2 as pb
from haul.command.v1.command_service_pb2_grpc import CommandServiceStub
from haul.command.v1.order_pb2 import Order, Resume
from haul.command.v1.stop_pb2 import GeoPoint, Scope, VehicleList, Zone

from pitwall.ids import uuid7
from tests.integration.bad_input.pages import page_token
from tests.integration.bad_input.rows import Outcome
from tests.integration.bad_input.site import VEHICLE, Site
from tests.integration.bad_input.streams import outcome_of

TIMEOUT_S = 10.0
#: Beyond what a server takes in one message, bytes.
OVERSIZE = 8 * 1024 * 1024

Metadata = tuple[tuple[str, str], ...]
BadCall = Callable[[CommandServiceStub, Metadata], object]


def call(site: Site, given: str) -> Outcome:
    """Has to fail."""
    metadata = (("authorization", f"Bearer {(site.stack.places.tokens / 'operator').read_text()}"),)
    with _stub(site) as stub:
        try:
            CALLS[given](stub, metadata)
        except grpc.RpcError as error:
            return outcome_of(error)
    raise AssertionError(f"{given}: was taken")


@contextmanager
def _stub(site: Site) -> Iterator[CommandServiceStub]:
    credentials = grpc.ssl_channel_credentials((site.certs / "ca.pem").read_bytes())
    with grpc.secure_channel(site.stack.address("command-1"), credentials) as channel:
        yield CommandServiceStub(channel)


def _stop(stub: CommandServiceStub, metadata: Metadata, **fields: object) -> None:
    request = pb.EmergencyStopRequest(stop_id=uuid7(), **fields)  # type: ignore[arg-type]
    next(stub.EmergencyStop(request, metadata=metadata, timeout=TIMEOUT_S))


def _stop_zone(stub: CommandServiceStub, metadata: Metadata, *corners: tuple[float, float]) -> None:
    """Corners are latitude and longitude, degrees."""
    points = [GeoPoint(latitude_degrees=north, longitude_degrees=east) for north, east in corners]
    _stop(stub, metadata, scope=Scope(zone=Zone(name="bad", corners=points)))


def _old_release_for_a_new_stop(stub: CommandServiceStub, metadata: Metadata) -> None:
    """The same release_id twice."""
    release_id = uuid7()
    for ghost in ("GHOST-006", "GHOST-007"):
        stop = pb.EmergencyStopRequest(stop_id=uuid7(), scope=Scope(vehicles=VehicleList(vehicle_ids=[ghost])))
        next(stub.EmergencyStop(stop, metadata=metadata, timeout=TIMEOUT_S))
        request = pb.RequestReleaseRequest(release_id=release_id, stop_ids=[stop.stop_id], reason="clear")
        stub.RequestRelease(request, metadata=metadata, timeout=TIMEOUT_S)


def _order(stub: CommandServiceStub, metadata: Metadata, etag: str, expire_after_s: int = 10) -> None:
    order = Order(request_id=uuid7(), resume=Resume(), expire_after=Duration(seconds=expire_after_s))
    targets = [pb.OrderTarget(vehicle_id=VEHICLE, etag=etag)]
    stub.SendOrder(pb.SendOrderRequest(order=order, targets=targets), metadata=metadata, timeout=TIMEOUT_S)


def _etag(stub: CommandServiceStub, metadata: Metadata) -> str:
    state = stub.GetMotionState(pb.GetMotionStateRequest(vehicle_id=VEHICLE), metadata=metadata, timeout=TIMEOUT_S)
    return state.etag


def _etag_of_an_earlier_boot(stub: CommandServiceStub, metadata: Metadata) -> str:
    boot_epoch, _, rest = _etag(stub, metadata).partition("-")
    return f"{int(boot_epoch) - 1}-{rest}"


def _motion_state(stub: CommandServiceStub, metadata: Metadata, vehicle_id: str) -> None:
    stub.GetMotionState(pb.GetMotionStateRequest(vehicle_id=vehicle_id), metadata=metadata, timeout=TIMEOUT_S)


def _stops(stub: CommandServiceStub, metadata: Metadata, page_token: str = "") -> None:
    stub.ListStops(pb.ListStopsRequest(page_token=page_token), metadata=metadata, timeout=TIMEOUT_S)


def _audit(stub: CommandServiceStub, metadata: Metadata, after: int) -> None:
    """From a place in the journal on that there can't be."""
    request = pb.ListAuditEventsRequest()
    query = f"ListAuditEvents {request.since_time.ToJsonString()} {request.within.ToJsonString()}"
    request.page_token = page_token(query, after)
    stub.ListAuditEvents(request, metadata=metadata, timeout=TIMEOUT_S)


ONE = Scope(vehicles=VehicleList(vehicle_ids=[VEHICLE]))

CALLS: dict[str, BadCall] = {
    "no token": lambda stub, _: _stops(stub, ()),
    "token that is none": lambda stub, _: _stops(stub, (("authorization", "Bearer let-me-in"),)),
    "motion state of an unknown vehicle": lambda stub, metadata: _motion_state(stub, metadata, "GHOST-003"),
    "motion state of a malformed id": lambda stub, metadata: _motion_state(stub, metadata, "truck 1"),
    "stop of nobody": lambda stub, metadata: _stop(stub, metadata),
    "stop of a line": lambda stub, metadata: _stop_zone(stub, metadata, (1, 2), (2, 3)),
    "stop of a bow tie": lambda stub, metadata: _stop_zone(stub, metadata, (1, 1), (2, 2), (1, 2), (2, 1)),
    "reason too long": lambda stub, metadata: _stop(stub, metadata, scope=ONE, reason="x" * 501),
    "oversize message": lambda stub, metadata: _stop(stub, metadata, scope=ONE, reason="x" * OVERSIZE),
    "order with a made-up etag": lambda stub, metadata: _order(stub, metadata, "seen it"),
    "order that lasts an hour": lambda stub, metadata: _order(stub, metadata, _etag(stub, metadata), 3600),
    "order that lasts no time": lambda stub, metadata: _order(stub, metadata, _etag(stub, metadata), 0),
    "old release for a new stop": _old_release_for_a_new_stop,
    "order with an etag of an earlier boot": lambda stub, metadata: _order(
        stub, metadata, _etag_of_an_earlier_boot(stub, metadata)
    ),
    "made-up page token": lambda stub, metadata: _stops(stub, metadata, "page 2"),
    "page token with a word for a time": lambda stub, metadata: _stops(
        stub, metadata, page_token("ListStops False", "now", "s")
    ),
    "page token beyond the journal": lambda stub, metadata: _audit(stub, metadata, 2**70),
}
