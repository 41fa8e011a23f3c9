"""What the registry says of a simulated vehicle is what drives: in normal work it raises nothing, a fault does."""

from datetime import UTC, datetime

import pytest
from haul.fleet.v1.registry_pb2 import RegistryEntry

from edge_agent.fleet import fleet_ids
from edge_agent.simulator.faults import OVERLOADED_SHARE, OVERSPEED_KPH
from edge_agent.simulator.models import OVERLOAD_SHARE, model_of
from edge_agent.simulator.truck import CRUISE_KPH
from fleet_service.publication import record_of
from fleet_service.registry import first_seen

#: A vehicle that drives so close to its limit would raise and clear all the time.
ROOM_KPH = 2.0


@pytest.mark.parametrize("vehicle_id", fleet_ids(12))
def test_a_vehicle_of_the_local_stack_is_registered_as_what_it_is(vehicle_id: str) -> None:
    told = RegistryEntry.FromString(record_of(first_seen(vehicle_id, datetime(2026, 11, 1, tzinfo=UTC))) or b"")
    model = model_of(vehicle_id)
    assert told.model.startswith(model.name)
    assert told.rated_payload_tons == model.rated_payload_tons
    overload_tons = told.rated_payload_tons * OVERLOAD_SHARE
    assert told.max_payload_tons == pytest.approx(overload_tons, abs=0.1)
    assert model.highest_payload_tons < overload_tons < told.rated_payload_tons * OVERLOADED_SHARE
    assert max(fast for _, fast in CRUISE_KPH.values()) < told.max_speed_kph - ROOM_KPH
    assert told.max_speed_kph + ROOM_KPH < OVERSPEED_KPH
