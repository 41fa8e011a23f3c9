"""What records of three topics say of readings, for the gap ledger. What can't be read is refused: Poison.

The gateway writes a dead letter or a declared loss before it acknowledges it, so each is here once the vehicle has let
go of it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from haul.link.v1.vehicle_link_service_pb2 import LostRange
from haul.telemetry.v1.telemetry_pb2 import Reading, StatusChange

from fleet_service.gap_ledger import EpochKey
from fleet_service.gaps import Run
from fleet_service.records import Letter, Poison
from pitwall.wire import MAX_NUMBER, VEHICLE_ID

_GATEWAY: Final = "ingest_gateway/"
_IDENTITY: Final = frozenset({"vehicle_id", "boot_epoch", "sequence"})
_MAX_REASON: Final = 100
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Missed:
    """Readings that will not come. `rejected`: they are in the letter; else the vehicle has given them up."""

    epoch: EpochKey
    first: int
    last: int
    reason: str
    time_ns: int
    rejected: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What a vehicle had made in a boot_epoch when a session began."""

    epoch: EpochKey
    last: int
    time_ns: int


def runs_of(values: Iterable[bytes], refused: Callable[[Exception], None]) -> list[tuple[EpochKey, Run]]:
    """Of vehicle-telemetry, a few microseconds each. Of one epoch in the order in which they came."""
    under_way: dict[EpochKey, list[Reading]] = {}  # the first and the last reading of the latest run
    found: list[tuple[EpochKey, Run]] = []
    for value in values:
        try:
            reading = Reading.FromString(value)
        except DecodeError as error:
            refused(error)
            continue
        key = reading.vehicle_id, reading.boot_epoch
        ends = under_way.get(key)
        if ends is not None and reading.sequence == ends[1].sequence + 1:
            ends[1] = reading
            continue
        if ends is not None:
            _finish(key, ends, found, refused)
        under_way[key] = [reading, reading]
    for key, ends in under_way.items():
        _finish(key, ends, found, refused)
    return found


def _finish(
    key: EpochKey, ends: Sequence[Reading], found: list[tuple[EpochKey, Run]], refused: Callable[[Exception], None]
) -> None:
    first, last = ends
    try:
        _checked(*key, first.sequence, last.sequence)
    except Poison as error:
        refused(error)
        return
    # A time that says nothing doesn't make a reading that is there a missing one.
    times = (first.event_time, last.event_time, first.received_time, last.received_time)
    found.append((key, Run(first.sequence, last.sequence, *map(_nanos, times))))


def missed_from(letter: Letter) -> Missed | None:
    """None for what is no gateway's, or has no place among the vehicle's readings."""
    headers = letter.headers
    if not headers.get("dl_where", "").startswith(_GATEWAY):
        return None
    match headers.get("ce_type"):
        case "haul.link.v1.LostRange":
            return _lost(letter)
        case "haul.telemetry.v1.Reading":
            return _rejected(letter)
    return None


def _lost(letter: Letter) -> Missed:
    try:
        lost = LostRange.FromString(letter.value)
    except DecodeError as error:
        raise Poison(f"no LostRange: {error}") from error
    first, last = lost.range.first_sequence, lost.range.last_sequence
    _checked(letter.key, lost.boot_epoch, first, last)
    return Missed((letter.key, lost.boot_epoch), first, last, _text(lost.reason), letter.time_ns, rejected=False)


def _rejected(letter: Letter) -> Missed | None:
    """By the gateway's word, which knows whose stream it was: the reading itself may say anything.

    None where what is wrong is which reading it is: its sequence may be another vehicle's, or anything.
    """
    if letter.headers.get("dl_field") in _IDENTITY:
        return None
    identity = letter.headers.get("ce_id", "")
    vehicle_id, *numbers = identity.rsplit(":", 2)
    try:
        boot_epoch, sequence = map(int, numbers)
    except ValueError:
        raise Poison(f"ce_id {identity[:80]!r} is not vehicle:boot_epoch:sequence") from None
    _checked(vehicle_id, boot_epoch, sequence, sequence)
    reason = _text(f"{letter.headers.get('dl_reason', '')} {letter.headers.get('dl_field', '')}".strip())
    return Missed((vehicle_id, boot_epoch), sequence, sequence, reason, letter.time_ns, rejected=True)


def told_from(value: bytes) -> Told | None:
    """Of vehicle-status-change. None where it says nothing of readings."""
    try:
        change = StatusChange.FromString(value)
    except DecodeError as error:
        raise Poison(f"no StatusChange: {error}") from error
    if not change.last_sequence:
        return None
    _checked(change.vehicle_id, change.boot_epoch, 1, change.last_sequence)
    return Told((change.vehicle_id, change.boot_epoch), change.last_sequence, _nanos(change.received_time))


def _checked(vehicle_id: str, boot_epoch: int, first: int, last: int) -> None:
    if VEHICLE_ID.fullmatch(vehicle_id) is None:
        raise Poison(f"vehicle_id {vehicle_id[:80]!r} does not match {VEHICLE_ID.pattern}")
    if not (0 <= boot_epoch <= MAX_NUMBER and 1 <= first <= last <= MAX_NUMBER):
        raise Poison(f"{first} to {last} of boot_epoch {boot_epoch} is no range of readings")


def _nanos(time: Timestamp) -> int:
    """0 for what a database would not hold."""
    nanos = time.seconds * _NS + time.nanos
    return nanos if 0 < nanos <= MAX_NUMBER else 0


def _text(text: str) -> str:
    return text.replace("\x00", "")[:_MAX_REASON]
