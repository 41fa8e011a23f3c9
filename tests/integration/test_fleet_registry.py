"""The registry of a real fleet service: changed by whoever may, and by one at a time."""

import asyncio

import grpc
import pytest
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2

from tests.integration.fleet_messages import CONNECTED, change
from tests.integration.fleet_rig import FleetProcess, Site, caller, eventually

SECOND = "KOMATSU-980E-302"


async def test_an_entry_is_changed_by_whoever_may_and_by_one_at_a_time(fleet_site: Site, fleet: FleetProcess) -> None:
    vehicle = vehicle_pb2.Vehicle(vehicle_id="WATER-CART-1", model="HD785", max_speed_kph=50)
    async with caller(fleet, "maintainer") as maintainer, caller(fleet) as operator:
        create = fleet_pb2.CreateVehicleRequest(vehicle=vehicle, request_id="r-1")
        made = await maintainer.call("CreateVehicle", create)
        assert await maintainer.call("CreateVehicle", create) == made, "the same request once more"
        assert await operator.vehicle("WATER-CART-1") == made

        async def refused(person: object, method: str, request: object, code: str, names: str) -> None:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await person.call(method, request)  # type: ignore[attr-defined]
            assert (caught.value.code().name, names in str(caught.value.details())) == (code, True), caught.value

        other = fleet_pb2.CreateVehicleRequest(vehicle=vehicle, request_id="r-2")
        await refused(maintainer, "CreateVehicle", other, "ALREADY_EXISTS", "WATER-CART-1")
        await refused(operator, "CreateVehicle", create, "PERMISSION_DENIED", "CHANGE_REGISTRY")
        update = fleet_pb2.UpdateVehicleRequest(vehicle=made)
        update.vehicle.destination = "Dump 3"
        update.update_mask.paths.append("destination")
        changed = await maintainer.call("UpdateVehicle", update)
        assert (changed.destination, changed.model, changed.etag == made.etag) == ("Dump 3", "HD785", False)
        await refused(maintainer, "UpdateVehicle", update, "ABORTED", changed.etag)
        update.update_mask.paths[0] = "destinaton"
        await refused(maintainer, "UpdateVehicle", update, "INVALID_ARGUMENT", "did you mean 'destination'?")
        update.update_mask.paths[0] = "status"
        await refused(maintainer, "UpdateVehicle", update, "INVALID_ARGUMENT", "can't be written")
        update.vehicle.max_speed_kph = -1
        update.update_mask.paths[0] = "max_speed_kph"
        await refused(maintainer, "UpdateVehicle", update, "INVALID_ARGUMENT", "vehicle.max_speed_kph")
        update.vehicle.vehicle_id = "NOBODY-1"
        update.update_mask.paths[0] = "model"
        await refused(maintainer, "UpdateVehicle", update, "NOT_FOUND", "NOBODY-1")
        gone = fleet_pb2.DeleteVehicleRequest(vehicle_id="WATER-CART-1", etag=made.etag)
        await refused(maintainer, "DeleteVehicle", gone, "ABORTED", "etag")
        gone.etag = changed.etag
        await maintainer.call("DeleteVehicle", gone)
        await refused(maintainer, "GetVehicle", fleet_pb2.GetVehicleRequest(vehicle_id="WATER-CART-1"), "NOT_FOUND", "")
        await refused(maintainer, "DeleteVehicle", gone, "NOT_FOUND", "WATER-CART-1")
        back = await maintainer.call("CreateVehicle", other)
        assert (back.destination, back.model) == ("", "HD785")
        update = fleet_pb2.UpdateVehicleRequest(vehicle=back)
        update.vehicle.destination = "Dump 4"
        races = (maintainer.call("UpdateVehicle", update) for _ in range(5))
        ends = await asyncio.gather(*races, return_exceptions=True)
        won = [end for end in ends if isinstance(end, vehicle_pb2.Vehicle)]
        lost = [end.code() for end in ends if isinstance(end, grpc.aio.AioRpcError)]
        assert (len(won), lost) == (1, [grpc.StatusCode.ABORTED] * 4)
        fleet_site.changes(change(SECOND, 50, CONNECTED))
        await eventually(lambda: operator.vehicle(SECOND), lambda v: v.connectivity == CONNECTED, "the connection")
        connected = fleet_pb2.DeleteVehicleRequest(vehicle_id=SECOND)
        await refused(maintainer, "DeleteVehicle", connected, "FAILED_PRECONDITION", SECOND)
        readings = fleet_pb2.ListReadingsRequest()
        await refused(operator, "ListReadings", readings, "UNIMPLEMENTED", "ListReadings")
