"""A quick look at the bytes of a reading: almost all of them keep every rule, and this says so in three C calls.

A serialized reading is laid out one way only: its fields in the order of their numbers, those that are absent or 0 left
out. So a pattern can tell whether vehicle, epoch, sequence, event_time and the enums are all there, each once and
within its set, and nothing else before the quantities. These come last, ten bytes each (a tag and a double), and are
compared with their limits all at once: as one large integer, subtracted from that of the limits.

Yes means yes: whatever passes here breaks no rule of validation.RULES, apart from the range of the nanoseconds, which
the caller has in hand as a number; nor is it oversize, because nothing in it can be long. No means nothing: a reading
that is laid out in another way, has a quantity below zero where the range is not the same on both sides, or is a bad
one, is judged rule by rule.
"""

import re
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from haul.telemetry.v1.telemetry_pb2 import MotionHold, Reading, VehicleStatus, VehicleSubStatus

from pitwall.domain.units import QUANTITIES, Quantity
from pitwall.wire import MAX_NUMBER

#: Tag and double of one quantity.
_QUANTITY_BYTES: Final = 10
_TAG_BITS: Final = 16
_SIGN: Final = 1 << 63
#: Sets of quantities whose layouts are kept: vehicles of one make lack the same sensors.
_LAYOUTS: Final = 64

# The head, from behind the tag of the sequence up to the first quantity. Numbers of up to 63 bits.
_NUMBER: Final = rb"[\x80-\xff]{0,8}[\x00-\x7f]"
# Five bytes: 1978 to 3058.
_SECONDS: Final = rb"\x08[\x80-\xff]{4}[\x01-\x7f]"
_SECONDS_BYTES: Final = 6


def _event_time() -> bytes:
    """With its length spelled out, so that nothing can hide in it."""
    with_nanos = [
        re.escape(bytes((_SECONDS_BYTES + 2 + more,))) + _SECONDS + b"\\x10" + rb"[\x80-\xff]{%d}[\x01-\x7f]" % more
        for more in (4, 3, 2, 1, 0)
    ]
    return b'"(?:' + b"|".join([*with_nanos, re.escape(bytes((_SECONDS_BYTES,))) + _SECONDS]) + b")"


def _one_of(tag: int, values: Iterable[int]) -> bytes:
    """A field with one of these values; 0 is left out on the wire."""
    allowed = b"".join(re.escape(bytes((value,))) for value in sorted(values) if value)
    return re.escape(bytes((tag,))) + b"[" + allowed + b"]"


_HEAD = re.compile(
    _NUMBER
    + _event_time()
    + rb"(?:8" + _NUMBER + b")?"  # monotonic_nanos
    + rb"(?:@\x01)?"  # backfilled
    + _one_of(0x48, VehicleStatus.values())
    + b"(?:" + _one_of(0x50, VehicleSubStatus.values()) + b")?"
    + b"(?:" + _one_of(0x58, MotionHold.values()) + b")?",
    re.DOTALL,
)  # fmt: skip
_SEQUENCE_TAG: Final = b"\x18"


class Quantities:
    """Those that are present, at the end of a reading."""

    __slots__ = ("_guards", "_limits", "_tag_mask", "_tags", "_value_mask", "size")

    def __init__(self, present: Iterable[Quantity]) -> None:
        #: Bytes, from the end of the reading.
        self.size = 0
        self._tags = self._tag_mask = self._limits = self._value_mask = self._guards = 0
        for quantity in present:
            at, value_at = 8 * self.size, 8 * self.size + _TAG_BITS
            self._tags |= int.from_bytes(_tag(quantity.name), "little") << at
            self._tag_mask |= ((1 << _TAG_BITS) - 1) << at
            # Doubles of one sign are in the order of their bits. Where both signs go equally far, the sign is left out.
            mirrored = quantity.minimum == -quantity.maximum
            self._value_mask |= (_SIGN - 1 if mirrored else 2 * _SIGN - 1) << value_at
            self._limits |= _bits(quantity.maximum) << value_at
            # Above each value stands a 1 to borrow from: it is gone where the value was larger than its limit.
            self._guards |= 2 * _SIGN << value_at
            self.size += _QUANTITY_BYTES
        self._limits |= self._guards

    def admit(self, reading: bytes) -> bool:
        """Whether it ends in exactly these, each within its limits. False for NaN and infinities."""
        end = int.from_bytes(reading[-self.size :], "little")
        if end & self._tag_mask != self._tags:
            return False
        return (self._limits - (end & self._value_mask)) & self._guards == self._guards


class Layout:
    """What the readings of one vehicle and boot epoch look like: `admits` is asked for each of them."""

    __slots__ = ("_begin", "_prefix", "_quantities", "_size", "boot_epoch")

    def __init__(self, vehicle_id: str, boot_epoch: int) -> None:
        self.boot_epoch = boot_epoch
        self._prefix = Reading(vehicle_id=vehicle_id, boot_epoch=boot_epoch).SerializeToString() + _SEQUENCE_TAG
        self._begin = len(self._prefix)
        self._set(_quantities(tuple(QUANTITIES)))

    def learn(self, reading: Reading) -> None:
        """Later ones will have the quantities that this good one has."""
        present = tuple(name for name in QUANTITIES if reading.HasField(name))  # type: ignore[arg-type]
        if present:
            self._set(_quantities(present))

    def admits(self, data: bytes) -> bool:
        """Whether a reading, as protobuf serializes it here, is known to be a good one of this vehicle and epoch."""
        return (
            data.startswith(self._prefix)
            and _HEAD.fullmatch(data, self._begin, len(data) - self._size) is not None
            and self._quantities.admit(data)
        )

    def _set(self, quantities: Quantities) -> None:
        self._quantities, self._size = quantities, quantities.size


@lru_cache(_LAYOUTS)
def _quantities(present: tuple[str, ...]) -> Quantities:
    return Quantities(sorted((QUANTITIES[name] for name in present), key=lambda quantity: _number(quantity.name)))


def _number(name: str) -> int:
    return Reading.DESCRIPTOR.fields_by_name[name].number


def _tag(name: str) -> bytes:
    """Wire type 1, as a varint of two bytes."""
    tag = _number(name) << 3 | 1
    return bytes((tag & 0x7F | 0x80, tag >> 7))


def _bits(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


# What the layout relies on.
assert MAX_NUMBER == (1 << 63) - 1
assert all(16 <= _number(name) < 2048 for name in QUANTITIES)
assert all(field.number < 16 or field.name in QUANTITIES for field in Reading.DESCRIPTOR.fields)
assert all(quantity.minimum == -quantity.maximum or quantity.admits(0.0) for quantity in QUANTITIES.values())
assert max(*VehicleStatus.values(), *VehicleSubStatus.values(), *MotionHold.values()) < 128
