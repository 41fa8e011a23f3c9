"""Every rule of the table, each limit from both sides, and the quick look against the slow one."""

import math
from typing import Any

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.limits import MAX_READING_BYTES
from ingest_gateway.validation import RULES, Expected, explain, find_fault, oversize
from pitwall.domain.units import QUANTITIES
from pitwall.wire import MAX_NUMBER
from tests.unit.ingest_gateway.builders import EPOCH, OTHER, VEHICLE, reading

EXPECTED = Expected(VEHICLE, EPOCH)


def with_time(seconds: int, nanos: int) -> Reading:
    made = reading(1)
    made.event_time.seconds, made.event_time.nanos = seconds, nanos
    return made


def without_time() -> Reading:
    made = reading(1)
    made.ClearField("event_time")
    return made


ROWS: list[tuple[str, Reading, str, str, list[str]]] = [
    ("a latitude of 200", reading(1, latitude_degrees=200.0), "latitude_degrees", "OUT_OF_RANGE", ["200", "-90 to 90"]),
    ("a speed that is no number", reading(1, speed_kph=math.nan), "speed_kph", "OUT_OF_RANGE", ["nan", "0 to 130"]),
    ("an infinite rpm", reading(1, engine_rpm=math.inf), "engine_rpm", "OUT_OF_RANGE", ["inf"]),
    ("a negative payload", reading(1, payload_tons=-3.0), "payload_tons", "OUT_OF_RANGE", ["-3 t", "0 to 550 t"]),
    ("no status", reading(1, status=0), "status", "NOT_ALLOWED", ["0 is not one of 1 to 10"]),
    ("a status of the future", reading(1, status=77), "status", "NOT_ALLOWED", ["77"]),
    ("an unknown sub-status", reading(1, sub_status=50), "sub_status", "NOT_ALLOWED", ["50"]),
    ("an unknown hold", reading(1, motion_hold=9), "motion_hold", "NOT_ALLOWED", ["9"]),
    ("another vehicle's id", reading(1, vehicle_id=OTHER), "vehicle_id", "WRONG_VEHICLE", [OTHER, VEHICLE]),
    ("another epoch", reading(1, boot_epoch=7), "boot_epoch", "WRONG_EPOCH", ["7", str(EPOCH)]),
    ("sequence 0", reading(0), "sequence", "OUT_OF_RANGE", ["0", "from 1"]),
    ("a sequence that no reader can hold", reading(MAX_NUMBER + 1), "sequence", "OUT_OF_RANGE", [str(MAX_NUMBER)]),
    ("no event time", without_time(), "event_time", "MISSING", ["absent"]),
    ("a billion nanos", with_time(1_760_000_000, 1_000_000_000), "event_time", "MALFORMED", ["999,999,999"]),
    ("the year 10000", with_time(253_402_300_800, 0), "event_time", "MALFORMED", ["years 1 to 9999"]),
]


@pytest.mark.parametrize(("what", "bad", "field", "reason", "named"), ROWS, ids=[row[0] for row in ROWS])
def test_names_field_value_and_limit(what: str, bad: Reading, field: str, reason: str, named: list[str]) -> None:
    fault = find_fault(bad, EXPECTED)
    assert fault is not None, what
    assert (fault.field, fault.reason) == (field, reason)
    assert fault.message.startswith(f"{field}: ")
    for text in named:
        assert text in fault.message


def test_a_good_reading_has_no_fault() -> None:
    assert find_fault(reading(1), EXPECTED) is None


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=list(QUANTITIES))
def test_each_quantity_is_taken_up_to_its_limits_and_no_further(quantity: Any) -> None:
    for value in (quantity.minimum, quantity.maximum):
        assert find_fault(reading(1, **{quantity.name: value}), EXPECTED) is None
    for value in (math.nextafter(quantity.minimum, -math.inf), math.nextafter(quantity.maximum, math.inf)):
        fault = find_fault(reading(1, **{quantity.name: value}), EXPECTED)
        assert fault is not None
        assert fault.field == quantity.name


def test_an_absent_quantity_is_no_fault_and_stays_absent() -> None:
    bare = reading(1)
    bare.ClearField("speed_kph")
    assert find_fault(bare, EXPECTED) is None
    assert not bare.HasField("speed_kph")


def test_before_1970_is_a_wrong_clock_and_no_bad_reading() -> None:
    assert find_fault(with_time(-5, 0), EXPECTED) is None
    assert find_fault(with_time(0, 0), EXPECTED) is None


@st.composite
def any_reading(draw: st.DrawFn) -> Reading:
    """Mostly good, with one to three fields off."""
    made = reading(draw(st.integers(0, 3)))
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from([*QUANTITIES, "status", "sub_status", "motion_hold", "boot_epoch"]))
        if name in QUANTITIES:
            setattr(made, name, draw(st.floats(width=64)))
        else:
            setattr(made, name, draw(st.integers(0, 12)))
    made.event_time.seconds = draw(st.sampled_from([-1, 0, 1, 1_760_000_000, 2**62, -(2**62)]))
    made.event_time.nanos = draw(st.sampled_from([-1, 0, 999_999_999, 1_000_000_000]))
    return made


@given(any_reading())
def test_the_quick_look_and_the_table_agree(candidate: Reading) -> None:
    assert find_fault(candidate, EXPECTED) == explain(candidate, EXPECTED)


def test_every_rule_has_a_row_or_a_sweep() -> None:
    swept = {(row[2], row[3]) for row in ROWS} | {(name, "OUT_OF_RANGE") for name in QUANTITIES}
    assert {(rule.field, rule.reason) for rule in RULES} == swept


def test_a_record_may_be_as_large_as_the_limit() -> None:
    assert oversize(MAX_READING_BYTES) is None
    fault = oversize(MAX_READING_BYTES + 1)
    assert fault is not None
    assert str(MAX_READING_BYTES) in fault.message
