"""The quick look at bytes: yes means yes for whatever comes, and what healthy vehicles send gets a yes."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.layout import Layout
from ingest_gateway.limits import MAX_READING_BYTES
from ingest_gateway.validation import Expected, find_fault
from pitwall.domain.units import QUANTITIES, Quantity
from tests.unit.ingest_gateway.builders import EPOCH, OTHER, VEHICLE, reading

NAMES = tuple(QUANTITIES)


def full(sequence: int = 1, **fields: Any) -> Reading:
    """With every quantity known."""
    return reading(
        sequence, 9.5, **{name: min(33.3, quantity.maximum) for name, quantity in QUANTITIES.items()} | fields
    )


def admitted(made: Reading, layout: Layout | None = None) -> bool:
    return (layout or Layout(VEHICLE, EPOCH)).admits(made.SerializeToString())


def with_time(seconds: int, nanos: int) -> Reading:
    made = full()
    made.event_time.seconds, made.event_time.nanos = seconds, nanos
    return made


def without_time() -> Reading:
    made = full()
    made.ClearField("event_time")
    return made


GOOD: list[tuple[str, Reading]] = [
    ("the usual one", full()),
    ("a high sequence", full(2**63 - 1)),
    ("history", full(backfilled=True)),
    ("no sub-status, no hold", full(sub_status=0, motion_hold=0)),
    ("every enum at its end", full(status=10, sub_status=8, motion_hold=4)),
    ("without a monotonic time", full(monotonic_nanos=0)),
    ("a whole second", with_time(1_760_000_000, 0)),
    ("the first nanosecond", with_time(1_760_000_000, 1)),
    ("the last nanosecond", with_time(1_760_000_000, 999_999_999)),
    ("south and west", full(latitude_degrees=-33.5, longitude_degrees=-70.6)),
]


@pytest.mark.parametrize(("what", "good"), GOOD, ids=[row[0] for row in GOOD])
def test_what_healthy_vehicles_send_is_admitted(what: str, good: Reading) -> None:
    assert admitted(good), what


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=NAMES)
def test_each_quantity_up_to_its_limits_and_not_beyond(quantity: Quantity) -> None:
    def at(value: float) -> bool:
        made = full()
        setattr(made, quantity.name, value)
        return admitted(made)

    assert at(quantity.maximum)
    assert not at(math.nextafter(quantity.maximum, math.inf))
    assert not at(math.nextafter(quantity.minimum, -math.inf))
    assert at(quantity.minimum) or quantity.minimum not in (0.0, -quantity.maximum)
    for strange in (math.nan, -math.nan, math.inf, -math.inf, 1e300, -1e300):
        assert not at(strange)


def hidden_time() -> Reading:
    """A status of 0, and one that is good within event_time, as a field that it does not have."""
    made = full(status=0)
    made.event_time.MergeFromString(b"\x48\x04")
    return made


def hidden_end() -> Reading:
    """A speed beyond all limits, and a good end of a reading in a field that is not known."""
    made, end = full(speed_kph=1000.0), full().SerializeToString()[-10 * len(NAMES) :]
    made.MergeFromString(b"\xca\x3e" + bytes((len(end) & 0x7F | 0x80, len(end) >> 7)) + end)
    return made


def merged(data: bytes) -> Reading:
    made = full()
    made.MergeFromString(data)
    return made


OTHERS: list[tuple[str, Reading]] = [
    ("another vehicle", full(vehicle_id=OTHER)),
    ("another epoch", full(boot_epoch=EPOCH - 1)),
    ("no sequence", full(0)),
    ("no status", full(status=0)),
    ("a status of the future", full(status=11)),
    ("an unknown sub-status", full(sub_status=9)),
    ("an unknown hold", full(motion_hold=5)),
    ("no time", without_time()),
    ("before 1970", with_time(-5, 0)),
    ("negative nanos", with_time(1_760_000_000, -1)),
    ("a time of arrival", merged(b"\x2a\x02\x08\x05")),
    ("a time of its own", merged(b"\x32\x02\x08\x05")),
    ("a status in another field", hidden_time()),
    ("an end in another field", hidden_end()),
    ("a field of the future", merged(b"\xca\x3e\x01a")),
]


@pytest.mark.parametrize(("what", "other"), OTHERS, ids=[row[0] for row in OTHERS])
def test_everything_else_is_for_the_rules(what: str, other: Reading) -> None:
    assert not admitted(other), what


def test_a_vehicle_that_lacks_sensors_is_known_by_its_first_reading() -> None:
    layout = Layout(VEHICLE, EPOCH)
    poor = reading(1, 9.0, speed_kph=31.5, heading_degrees=12.0)
    assert not admitted(poor, layout)
    layout.learn(poor)
    assert admitted(poor, layout)
    assert not admitted(reading(2, 9.0, speed_kph=131.0, heading_degrees=12.0), layout)
    assert not admitted(full(), layout)
    assert not admitted(reading(3, 9.0), layout)
    other = reading(4, 9.0, payload_tons=31.5, heading_degrees=12.0)
    other.ClearField("speed_kph")
    assert not admitted(other, layout)


def test_nothing_that_passes_is_too_large() -> None:
    vehicle_id = "V" * 63
    longest = full(2**63 - 1, vehicle_id=vehicle_id, boot_epoch=2**63 - 1, monotonic_nanos=2**63 - 1, backfilled=True)
    assert admitted(longest, Layout(vehicle_id, 2**63 - 1))
    assert len(longest.SerializeToString()) < MAX_READING_BYTES - 100


def test_without_any_quantity_nothing_is_learnt() -> None:
    layout, bare = Layout(VEHICLE, EPOCH), reading(1, 9.0)
    bare.ClearField("speed_kph")
    layout.learn(bare)
    assert not admitted(bare, layout)
    assert admitted(full(), layout)


def _value(quantity: Quantity) -> st.SearchStrategy[float]:
    near = [quantity.minimum, quantity.maximum, 0.0, -0.0]
    inside = st.floats(quantity.minimum, quantity.maximum)
    return st.one_of(inside, inside, inside, st.sampled_from(near), st.floats())


QUANTITY_VALUES = st.fixed_dictionaries({}, optional={name: _value(q) for name, q in QUANTITIES.items()})
HEADS = st.fixed_dictionaries(
    {},
    optional={
        "vehicle_id": st.sampled_from([VEHICLE, OTHER, ""]),
        "boot_epoch": st.sampled_from([EPOCH, 0, 1]),
        "sequence": st.integers(0, 2**64 - 1),
        "monotonic_nanos": st.integers(0, 2**64 - 1),
        "backfilled": st.booleans(),
        "status": st.integers(-1, 12),
        "sub_status": st.integers(-1, 10),
        "motion_hold": st.integers(-1, 6),
    },
)
TIMES = st.none() | st.tuples(st.integers(-(2**40), 2**40), st.integers(-(2**31), 2**31 - 1))


@given(HEADS, TIMES, QUANTITY_VALUES, st.binary(max_size=4), st.integers(0, 400), st.booleans())
def test_yes_means_that_no_rule_is_broken(
    head: dict[str, Any],
    time: tuple[int, int] | None,
    values: dict[str, float],
    noise: bytes,
    at: int,
    known: bool,
) -> None:
    """Also for bytes that were changed on the way, as protobuf reads and writes them."""
    made = reading(head.pop("sequence", 5), 9.0, **head, **values)
    if time is not None:
        made.event_time.seconds, made.event_time.nanos = time
    data = made.SerializeToString()
    changed = _parsed(data[:at] + noise + data[at + len(noise) :]) or made
    layout = Layout(VEHICLE, EPOCH)
    if known:
        layout.learn(changed)
    if admitted(changed, layout) and changed.event_time.nanos < 1_000_000_000:
        assert find_fault(changed, Expected(VEHICLE, EPOCH)) is None
        assert not changed.HasField("received_time")
        assert not changed.HasField("vehicle_time")


def _parsed(data: bytes, parse: Callable[[bytes], Reading] = Reading.FromString) -> Reading | None:
    try:
        return parse(data)
    except Exception:  # noqa: BLE001  # protobuf's own, and UnicodeDecodeError: not a message
        return None
