"""What may be written into the registry: each mistake is told with its field, before anything is asked of a store."""

import math

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from haul.command.v1 import stop_pb2
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2

from fleet_service.registry import MUTABLE
from fleet_service.registry_desk import _checked, _masked, _revision
from pitwall.rpc.errors import InvalidArgument


def masked(*paths: str, **fields: object) -> tuple[str, ...]:
    vehicle = vehicle_pb2.Vehicle(vehicle_id="V-1", **fields)  # type: ignore[arg-type]
    return _masked(fleet_pb2.UpdateVehicleRequest(vehicle=vehicle, update_mask=FieldMask(paths=paths)))


@pytest.mark.parametrize("name", MUTABLE)
def test_what_may_be_written_is_of_the_contract(name: str) -> None:
    assert name in vehicle_pb2.Vehicle.DESCRIPTOR.fields_by_name
    assert masked(name) == (name,)


def test_the_mask_says_what_is_written() -> None:
    assert masked("model", "destination", "model") == ("model", "destination")
    assert masked("*") == MUTABLE
    assert masked(model="A", max_speed_kph=0.0) == ("model", "max_speed_kph"), "without one, whatever is set"


@pytest.mark.parametrize(
    ("path", "reason", "named"),
    [
        ("modle", "UNKNOWN_FIELD", "did you mean 'model'?"),
        ("colour", "UNKNOWN_FIELD", "fields: model, manufacturer"),
        ("safety_envelope.max_speed_kph", "UNKNOWN_FIELD", "safety_envelope"),
        ("status", "FIELD_IS_FIXED", "can't be written"),
        ("vehicle_id", "FIELD_IS_FIXED", "can't be written"),
        ("etag", "FIELD_IS_FIXED", "can't be written"),
    ],
)
def test_a_field_that_is_none_is_named(path: str, reason: str, named: str) -> None:
    with pytest.raises(InvalidArgument, match="update_mask") as caught:
        masked(path)
    assert caught.value.reason == reason
    assert named in caught.value.message


def test_an_update_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="name at least one field"):
        masked()


def checked(name: str, **fields: object) -> object:
    return _checked(vehicle_pb2.Vehicle(**fields), (name,))[name]  # type: ignore[arg-type]


def envelope(*corners: tuple[float, float], **fields: float) -> vehicle_pb2.SafetyEnvelope:
    points = [stop_pb2.GeoPoint(latitude_degrees=a, longitude_degrees=b) for a, b in corners]
    zone = stop_pb2.Zone(name="pit", corners=points) if corners else None
    return vehicle_pb2.SafetyEnvelope(zone=zone, **fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", ""),
        ("model", "x" * 200),
        ("max_speed_kph", 130.0),
        ("rated_payload_tons", 0.1),
        ("autonomous_mode", True),
        ("autonomous_mode", False),
    ],
)
def test_what_is_right_is_taken_as_it_is(name: str, value: object) -> None:
    assert checked(name, **{name: value}) == value


@pytest.mark.parametrize("name", ["rated_payload_tons", "max_payload_tons", "max_speed_kph", "safety_envelope"])
def test_what_is_absent_becomes_unknown(name: str) -> None:
    assert checked(name) is None


def test_an_envelope_comes_back_as_it_was() -> None:
    sent = envelope((0, 0), (0, 1), (1, 0), max_speed_kph=40)
    assert checked("safety_envelope", safety_envelope=sent) == sent.SerializeToString()


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("model", "x" * 201, "vehicle.model: has 201"),
        ("model", "a\x00", "vehicle.model"),
        ("max_speed_kph", 0.0, "vehicle.max_speed_kph: is 0"),
        ("max_speed_kph", 130.1, "vehicle.max_speed_kph: is 130.1"),
        ("max_speed_kph", math.nan, "vehicle.max_speed_kph: is nan"),
        ("rated_payload_tons", math.inf, "vehicle.rated_payload_tons: is inf"),
        ("safety_envelope", envelope(max_speed_kph=-1), "safety_envelope.max_speed_kph"),
        ("safety_envelope", envelope((0, 0), (1, 1)), "safety_envelope.zone"),
        ("safety_envelope", envelope((0, 0), (0, 1), (math.nan, 0)), "safety_envelope.zone"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object, named: str) -> None:
    with pytest.raises(InvalidArgument, match=named):
        checked(name, **{name: value})


@pytest.mark.parametrize(("etag", "revision"), [("", None), ('"7"', 7), ("7", 7)])
def test_an_etag_is_a_revision(etag: str, revision: int | None) -> None:
    assert _revision(etag, "etag") == revision


@pytest.mark.parametrize("etag", ["x", '"', "-1", "²", "9" * 19])
def test_an_etag_of_somebody_else_is_refused(etag: str) -> None:
    with pytest.raises(InvalidArgument, match="etag"):
        _revision(etag, "etag")
