"""The checksum of a reading is that of what the vehicle said, whatever happened on the way."""

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading
from hypothesis import given
from hypothesis import strategies as st

from pitwall.domain.units import QUANTITIES
from pitwall.reading import TRANSPORT_FIELDS, content_crc32


def generated(seconds: int = 1_000) -> Reading:
    reading = Reading(vehicle_id="A-1", boot_epoch=7, sequence=3, speed_kph=12.5)
    reading.event_time.FromSeconds(seconds)
    return reading


def test_receiving_and_backfilling_change_nothing() -> None:
    on_the_way = generated()
    on_the_way.received_time.FromSeconds(2_000)
    on_the_way.backfilled = True
    assert content_crc32(on_the_way) == content_crc32(generated())


def test_a_corrected_time_changes_nothing() -> None:
    corrected = generated()
    corrected.vehicle_time.CopyFrom(corrected.event_time)
    corrected.event_time.FromSeconds(1_999)
    corrected.received_time.FromSeconds(2_000)
    assert content_crc32(corrected) == content_crc32(generated())


def test_the_reading_itself_is_left_as_it_is() -> None:
    reading = generated()
    reading.backfilled = True
    content_crc32(reading)
    assert reading.backfilled


@pytest.mark.parametrize("name", ["vehicle_id", "boot_epoch", "sequence", "event_time", *QUANTITIES])
def test_whatever_the_vehicle_said_counts(name: str) -> None:
    changed = generated()
    if name == "event_time":
        changed.event_time.FromSeconds(1_001)
    elif name == "vehicle_id":
        changed.vehicle_id = "A-2"
    else:
        setattr(changed, name, 1)
    assert content_crc32(changed) != content_crc32(generated())


@pytest.mark.parametrize("name", QUANTITIES)
def test_unknown_is_not_zero(name: str) -> None:
    unknown, zero = generated(), generated()
    unknown.ClearField(name)  # type: ignore[arg-type]
    setattr(zero, name, 0.0)
    assert content_crc32(unknown) != content_crc32(zero)


def test_the_names_left_out_are_fields() -> None:
    assert set(TRANSPORT_FIELDS) <= set(Reading.DESCRIPTOR.fields_by_name)


@given(st.integers(0, 2**31), st.booleans(), st.integers(0, 2**31))
def test_no_way_through_the_gateway_changes_it(event_s: int, corrected: bool, received_s: int) -> None:
    before, after = generated(event_s), generated(event_s)
    after.received_time.FromSeconds(received_s)
    if corrected:
        after.vehicle_time.CopyFrom(after.event_time)
        after.event_time.FromSeconds(received_s)
    assert content_crc32(after) == content_crc32(before)
    assert content_crc32(Reading.FromString(after.SerializeToString())) == content_crc32(before)
