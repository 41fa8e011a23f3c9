"""What a reading must be to be true: one table of rules, made from pitwall.domain.units and what goes beyond it.

`find_fault` asks the whole table in a few C calls, because every reading passes here; only a reading that breaks a
rule is walked through rule by rule, to name the field, the value and the limit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter, le

from google.protobuf.timestamp_pb2 import Timestamp
from haul.telemetry.v1.telemetry_pb2 import MotionHold, Reading, VehicleStatus, VehicleSubStatus

from ingest_gateway.limits import MAX_READING_BYTES
from pitwall.domain.units import QUANTITIES, Quantity
from pitwall.wire import MAX_NUMBER

#: Seconds since 1970 of the first and the last second that a google.protobuf.Timestamp may hold.
MIN_TIMESTAMP_S, MAX_TIMESTAMP_S = -62_135_596_800, 253_402_300_799
_MAX_NANOS = 999_999_999
_STATUSES = frozenset(VehicleStatus.values()) - {VehicleStatus.VEHICLE_STATUS_UNSPECIFIED}
_SUB_STATUSES = frozenset(VehicleSubStatus.values())
_HOLDS = frozenset(MotionHold.values())

_quantities: Callable[[Reading], tuple[float, ...]] = attrgetter(*QUANTITIES)
_MINIMA = tuple(quantity.minimum for quantity in QUANTITIES.values())
_MAXIMA = tuple(quantity.maximum for quantity in QUANTITIES.values())

# An absent quantity reads as 0, so that one look at all of them suffices.
assert all(quantity.admits(0.0) for quantity in QUANTITIES.values())


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a reading is not taken. `reason` for programs, `message` for people: the value, the limit, the mend."""

    field: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What the readings of one batch have in common: the vehicle of the certificate, the boot epoch of the batch."""

    vehicle_id: str
    boot_epoch: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table. `broken` gives the sentence for people, or nothing where the reading keeps the rule."""

    field: str
    reason: str
    broken: Callable[[Reading, Expected], str | None]


def _vehicle(reading: Reading, expected: Expected) -> str | None:
    if reading.vehicle_id == expected.vehicle_id:
        return None
    return f"{reading.vehicle_id[:80]!r} is not {expected.vehicle_id!r}, whose certificate the stream has"


def _epoch(reading: Reading, expected: Expected) -> str | None:
    if reading.boot_epoch == expected.boot_epoch:
        return None
    return f"{reading.boot_epoch} is not {expected.boot_epoch}, the boot_epoch of its batch"


def _sequence(reading: Reading, _: Expected) -> str | None:
    if 0 < reading.sequence <= MAX_NUMBER:
        return None
    return f"{reading.sequence} is no sequence: they count from 1, to {MAX_NUMBER} at most"


def _time_missing(reading: Reading, _: Expected) -> str | None:
    return None if reading.HasField("event_time") else "is absent: say when it was sampled"


def _time_malformed(reading: Reading, _: Expected) -> str | None:
    return malformed_time(reading.event_time)


def malformed_time(time: Timestamp) -> str | None:
    """What is wrong with a time, in words."""
    if MIN_TIMESTAMP_S <= time.seconds <= MAX_TIMESTAMP_S and 0 <= time.nanos <= _MAX_NANOS:
        return None
    return f"{time.seconds} s and {time.nanos} ns are no Timestamp: years 1 to 9999, nanos 0 to 999,999,999"


def _known_enum(name: str, values: frozenset[int], hint: str) -> Rule:
    def broken(reading: Reading, _: Expected) -> str | None:
        value: int = getattr(reading, name)
        return None if value in values else f"{value} is not one of {min(values)} to {max(values)}: {hint}"

    return Rule(name, "NOT_ALLOWED", broken)


def _in_range(quantity: Quantity) -> Rule:
    def broken(reading: Reading, _: Expected) -> str | None:
        value: float = getattr(reading, quantity.name)
        if quantity.admits(value):
            return None
        limits = f"{quantity.minimum:g} to {quantity.maximum:g} {quantity.unit}"
        return f"{value:g} {quantity.unit} is not within {limits}; leave it out where it is unknown"

    return Rule(quantity.name, "OUT_OF_RANGE", broken)


RULES: tuple[Rule, ...] = (
    Rule("vehicle_id", "WRONG_VEHICLE", _vehicle),
    Rule("boot_epoch", "WRONG_EPOCH", _epoch),
    Rule("sequence", "OUT_OF_RANGE", _sequence),
    Rule("event_time", "MISSING", _time_missing),
    Rule("event_time", "MALFORMED", _time_malformed),
    _known_enum("status", _STATUSES, "the status of the vehicle must be said"),
    _known_enum("sub_status", _SUB_STATUSES, "0 where the status has none"),
    _known_enum("motion_hold", _HOLDS, "see haul.telemetry.v1.MotionHold"),
    *map(_in_range, QUANTITIES.values()),
)


def find_fault(reading: Reading, expected: Expected) -> Fault | None:
    """The first rule that the reading breaks."""
    values = _quantities(reading)
    time = reading.event_time
    if (
        all(map(le, _MINIMA, values))
        and all(map(le, values, _MAXIMA))
        and reading.vehicle_id == expected.vehicle_id
        and reading.boot_epoch == expected.boot_epoch
        and reading.status in _STATUSES
        and reading.sub_status in _SUB_STATUSES
        and reading.motion_hold in _HOLDS
        and 0 <= time.nanos <= _MAX_NANOS
        and 0 < time.seconds <= MAX_TIMESTAMP_S  # 0 or less: absent, or before 1970, for the slow way to tell apart
        and 0 < reading.sequence <= MAX_NUMBER
    ):
        return None
    return explain(reading, expected)


def explain(reading: Reading, expected: Expected) -> Fault | None:
    """The same, rule by rule."""
    for rule in RULES:
        sentence = rule.broken(reading, expected)
        if sentence is not None:
            return Fault(rule.field, rule.reason, f"{rule.field}: {sentence}")
    return None


def oversize(record_bytes: int) -> Fault | None:
    """A reading that is larger than any honest one, by what travels with it unknown to us."""
    if record_bytes <= MAX_READING_BYTES:
        return None
    sentence = f"reading: {record_bytes} bytes are more than {MAX_READING_BYTES}; send the known fields alone"
    return Fault("reading", "TOO_LARGE", sentence)
