"""haul.link.v1.VehicleLinkService. Messages pass as bytes: frames down are serialized once for many vehicles."""

from collections.abc import AsyncIterator

import grpc

from ingest_gateway.admission import Admission
from ingest_gateway.effects import Close, Code
from ingest_gateway.hub import Hub
from ingest_gateway.stream import VehicleStream
from pitwall.rpc.around import Context, Handler
from pitwall.rpc.callers import current_identity
from pitwall.rpc.errors import PitwallError

SERVICE = "haul.link.v1.VehicleLinkService"


class VehicleLinkServicer:
    """Behind an IdentityInterceptor for vehicles."""

    def __init__(self, hub: Hub, admission: Admission) -> None:
        self._hub, self._admission = hub, admission

    async def Connect(self, _: AsyncIterator[bytes], context: Context) -> None:  # noqa: N802  # gRPC's name
        vehicle_id = current_identity().name
        with self._admission.enter(vehicle_id):
            close = await VehicleStream(self._hub, vehicle_id, context).run()
        raise_unless_ok(close)


def raise_unless_ok(close: Close | None) -> None:
    """Tells the vehicle, where it can be told."""
    if close is not None and close.code is not Code.OK:
        raise PitwallError(grpc.StatusCode[close.code.value], close.reason, close.message, fields=close.fields)


def add_to(server: grpc.aio.Server, servicer: VehicleLinkServicer) -> None:
    connect: Handler = grpc.stream_stream_rpc_method_handler(servicer.Connect)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Connect": connect}),))
