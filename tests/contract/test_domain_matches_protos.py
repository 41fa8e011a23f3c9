"""The domain knows nothing of protobuf, and yet their numbers and names are the same."""

from enum import IntEnum

import pytest
from google.protobuf.descriptor import FieldDescriptor
from haul.command.v1 import order_pb2
from haul.link.v1 import vehicle_link_service_pb2 as link
from haul.telemetry.v1 import telemetry_pb2 as telemetry

from pitwall.domain.drill import DrillVerdict
from pitwall.domain.order import OrderResult
from pitwall.domain.permit import PermitDenial
from pitwall.domain.units import QUANTITIES
from pitwall.domain.vehicle_state import Connectivity, MotionHold, SubStatus, VehicleStatus

#: (ours, the contract's, what the contract writes before each name, our name for UNSPECIFIED or None for "not ours")
ENUMS = [
    (VehicleStatus, telemetry.VehicleStatus.items(), "VEHICLE_STATUS_", None),
    (SubStatus, telemetry.VehicleSubStatus.items(), "VEHICLE_SUB_STATUS_", "NONE"),
    (MotionHold, telemetry.MotionHold.items(), "MOTION_HOLD_", None),
    (Connectivity, telemetry.Connectivity.items(), "CONNECTIVITY_", None),
    (OrderResult, order_pb2.OrderResult.items(), "ORDER_RESULT_", None),
    (DrillVerdict, order_pb2.DrillVerdict.items(), "DRILL_VERDICT_", None),
    (PermitDenial, link.PermitDenial.items(), "PERMIT_DENIAL_", "NONE"),
]


@pytest.mark.parametrize(("ours", "theirs", "prefix", "unspecified"), ENUMS, ids=[row[0].__name__ for row in ENUMS])
def test_names_and_numbers_are_the_same(
    ours: type[IntEnum], theirs: list[tuple[str, int]], prefix: str, unspecified: str | None
) -> None:
    expected = {name.removeprefix(prefix): int(number) for name, number in theirs}
    assert expected.pop("UNSPECIFIED") == 0
    if unspecified is not None:
        expected[unspecified] = 0
    assert {member.name: member.value for member in ours} == expected


def test_every_quantity_of_a_reading_has_its_range_and_every_range_its_quantity() -> None:
    optional_doubles = {
        field.name
        for field in telemetry.Reading.DESCRIPTOR.fields
        if field.type == FieldDescriptor.TYPE_DOUBLE and field.has_presence
    }
    assert set(QUANTITIES) == optional_doubles


def test_no_number_of_a_reading_is_without_presence() -> None:
    """An absent quantity is unknown; a plain double would be zero instead."""
    plain = [
        field.name
        for field in telemetry.Reading.DESCRIPTOR.fields
        if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT) and not field.has_presence
    ]
    assert plain == []
