"""A reading's bytes on disk: smaller, and known to be whole."""

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.packing import Packing
from tests.unit.edge_agent.builders import EPOCH, OTHER, VEHICLE

PACKING = Packing(VEHICLE, EPOCH)


def content(sequence: int = 300) -> bytes:
    made = Reading(vehicle_id=VEHICLE, boot_epoch=EPOCH, sequence=sequence, speed_kph=12.5, fuel_level_percent=0.0)
    return made.SerializeToString()


@pytest.mark.parametrize("sequence", [1, 127, 128, 604_800, 2**63 - 1])
def test_it_comes_back_as_it_was_and_takes_less(sequence: int) -> None:
    packed = PACKING.pack(sequence, content(sequence))
    assert PACKING.unpack(sequence, packed) == content(sequence)
    assert len(packed) <= len(content(sequence)) - len(VEHICLE) - 5


@given(st.binary(max_size=300), st.integers(1, 2**40))
def test_whatever_bytes_they_are_they_come_back(anything: bytes, sequence: int) -> None:
    assert PACKING.unpack(sequence, PACKING.pack(sequence, anything)) == anything


@given(st.integers(0, 8 * len(PACKING.pack(300, content())) - 1))
def test_one_bit_is_enough_to_be_noticed(bit: int) -> None:
    packed = bytearray(PACKING.pack(300, content()))
    packed[bit // 8] ^= 1 << bit % 8
    assert PACKING.unpack(300, bytes(packed)) is None


def test_in_the_place_of_another_reading_it_is_damaged() -> None:
    packed = PACKING.pack(300, content())
    assert PACKING.unpack(301, packed) is None
    assert Packing(OTHER, EPOCH).unpack(300, packed) is None


@pytest.mark.parametrize("found", [None, "text", 7, b"", b"abc"])
def test_what_is_no_row_of_ours_is_damaged(found: object) -> None:
    assert PACKING.unpack(1, found) is None
