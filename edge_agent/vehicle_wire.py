"""Bytes on the vehicle socket: samples up, verdicts down, many vehicles to a frame.

A frame is its length (4 bytes, little-endian, of what follows), a kind (1 byte) and a body. HELLO (agent) and WELCOME
or REFUSED (plant) are JSON, once per connection: HELLO names the vehicles, and their order there is their index in
every later frame. VERDICTS and SAMPLES are packed records, one after the other.
"""

import json
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final

from edge_agent.fleet import MAX_FLEET
from edge_agent.vehicle import DRIVE_FAULT, LOCAL_STOP_BUTTON, VehicleSample, Verdict
from pitwall.domain.units import QUANTITIES
from pitwall.domain.vehicle_state import VehicleStatus

PROTOCOL_VERSION: Final = 1


class FrameKind(IntEnum):
    HELLO = 1
    WELCOME = 2
    REFUSED = 3
    VERDICTS = 4
    SAMPLES = 5


#: The order of a sample's quantities. NaN is unknown.
QUANTITY_NAMES: Final = tuple(QUANTITIES)
#: The vehicle's own reasons to stop that the socket can carry, by bit.
FAULT_NAMES: Final = (LOCAL_STOP_BUTTON, DRIVE_FAULT)

#: A longer cause is cut.
MAX_CAUSE_BYTES: Final = 200
#: A frame above this is a broken peer.
MAX_FRAME_BYTES: Final = 2 * 1024 * 1024

_HEAD = struct.Struct("<IB")
#: index, braking, faults, measured_s, quantities.
_SAMPLE = struct.Struct(f"<HBBd{len(QUANTITY_NAMES)}d")
#: index, flags, status, length of the cause, deadline_s, boot_epoch, sequence; the cause follows.
_VERDICT = struct.Struct("<HBBBdQQ")
_MAY_MOVE, _SLOWING = 1, 2

assert VehicleSample._fields[3:] == QUANTITY_NAMES
assert MAX_CAUSE_BYTES < 256
assert MAX_FLEET < 2**16
assert MAX_FLEET * max(_SAMPLE.size, _VERDICT.size + MAX_CAUSE_BYTES) < MAX_FRAME_BYTES


class BrokenFrame(ValueError):
    """The peer doesn't speak this protocol; drop the connection."""


def frame(kind: FrameKind, *parts: bytes) -> bytes:
    """A whole frame. BrokenFrame when it is longer than the peer would take."""
    size = 1 + sum(map(len, parts))
    if size > MAX_FRAME_BYTES:
        raise BrokenFrame(f"a {kind.name} frame of {size} bytes, more than {MAX_FRAME_BYTES}")
    return b"".join((_HEAD.pack(size, kind), *parts))


class FrameReader:
    """Cuts a stream of bytes into frames, however it arrives. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[FrameKind, memoryview]]:
        """Yields kind and body of each finished frame. Raises BrokenFrame."""
        view = memoryview(self._rest + data if self._rest else data)
        try:
            while len(view) >= _HEAD.size:
                size, kind = _HEAD.unpack_from(view)
                if not 1 <= size <= MAX_FRAME_BYTES:
                    raise BrokenFrame(f"a frame of {size} bytes; 1 to {MAX_FRAME_BYTES} are possible")
                if len(view) < 4 + size:
                    break
                body, view = view[_HEAD.size : 4 + size], view[4 + size :]
                yield _kind(kind), body
        finally:
            self._rest = bytes(view)


def _kind(number: int) -> FrameKind:
    try:
        return FrameKind(number)
    except ValueError as error:
        raise BrokenFrame(f"frame kind {number} is unknown") from error


# HELLO, WELCOME, REFUSED


def hello(vehicle_ids: Sequence[str]) -> bytes:
    return _text(FrameKind.HELLO, {"version": PROTOCOL_VERSION, "vehicle_ids": list(vehicle_ids)})


def read_hello(body: memoryview) -> tuple[str, ...]:
    """The vehicles, in the order of their index. Raises BrokenFrame."""
    match _json(body):
        case {"version": int(version), "vehicle_ids": list(ids)}:
            if version != PROTOCOL_VERSION:
                raise BrokenFrame(f"the agent speaks version {version}, the plant version {PROTOCOL_VERSION}")
            if not 1 <= len(ids) <= MAX_FLEET or not all(isinstance(i, str) for i in ids):
                raise BrokenFrame(f"HELLO must name 1 to {MAX_FLEET} vehicles")
            return tuple(ids)
    raise BrokenFrame("HELLO lacks version or vehicle_ids")


def welcome() -> bytes:
    return _text(FrameKind.WELCOME, {"version": PROTOCOL_VERSION})


def refused(reason: str) -> bytes:
    return _text(FrameKind.REFUSED, {"reason": reason})


def read_refused(body: memoryview) -> str:
    """What the plant has against this connection."""
    match _json(body):
        case {"reason": str(reason)}:
            return reason
    raise BrokenFrame("REFUSED lacks its reason")


def _text(kind: FrameKind, content: dict[str, object]) -> bytes:
    return frame(kind, json.dumps(content).encode())


def _json(body: memoryview) -> object:
    try:
        content: object = json.loads(bytes(body))
    except ValueError as error:
        raise BrokenFrame(f"no JSON: {error}") from error
    return content


# VERDICTS


@lru_cache(maxsize=4096)
def _cause_bytes(cause: str) -> bytes:
    return cause.encode()[:MAX_CAUSE_BYTES]


@lru_cache(maxsize=4096)
def _cause_text(cause: bytes) -> str:
    # Cutting may have split a character.
    return cause.decode(errors="ignore")


def pack_verdict(index: int, verdict: Verdict) -> bytes:
    """One record of a VERDICTS frame."""
    cause = _cause_bytes(verdict.cause)
    flags = _MAY_MOVE * verdict.may_move | _SLOWING * verdict.slowing
    return (
        _VERDICT.pack(
            index,
            flags,
            verdict.status,
            len(cause),
            verdict.deadline_s,
            verdict.boot_epoch,
            verdict.sequence,
        )
        + cause
    )


def verdicts(records: Iterable[bytes]) -> bytes:
    return frame(FrameKind.VERDICTS, *records)


def read_verdicts(body: memoryview) -> Iterator[tuple[int, Verdict]]:
    """Index and verdict of each record. Raises BrokenFrame."""
    at = 0
    while at < len(body):
        try:
            index, flags, status, size, deadline_s, boot_epoch, sequence = _VERDICT.unpack_from(body, at)
            end = at + _VERDICT.size + size
            if end > len(body):
                raise BrokenFrame("the last verdict is cut off")
            yield (
                index,
                Verdict(
                    bool(flags & _MAY_MOVE),
                    deadline_s,
                    VehicleStatus(status),
                    _cause_text(bytes(body[end - size : end])),
                    boot_epoch,
                    sequence,
                    bool(flags & _SLOWING),
                ),
            )
        except (struct.error, ValueError) as error:
            raise BrokenFrame(f"a verdict can't be read: {error}") from error
        at = end


# SAMPLES


def fault_bits(faults: Iterable[str]) -> int:
    """ValueError for a fault that FAULT_NAMES lacks."""
    return sum(1 << FAULT_NAMES.index(name) for name in faults)


_FAULT_SETS: Final = [
    frozenset(name for bit, name in enumerate(FAULT_NAMES) if bits >> bit & 1) for bits in range(1 << len(FAULT_NAMES))
]


def pack_sample(index: int, braking: bool, faults: int, measured_s: float, quantities: tuple[float, ...]) -> bytes:
    """One record of a SAMPLES frame. `faults` as from fault_bits, `quantities` in the order of QUANTITY_NAMES."""
    return _SAMPLE.pack(index, braking, faults, measured_s, *quantities)


def samples(records: Iterable[bytes]) -> bytes:
    return frame(FrameKind.SAMPLES, *records)


def read_samples(body: memoryview) -> Iterator[tuple[int, VehicleSample]]:
    """Index and sample of each record. Raises BrokenFrame."""
    try:
        for index, braking, faults, measured_s, *quantities in _SAMPLE.iter_unpack(body):
            if not math.isfinite(measured_s):
                raise BrokenFrame(f"a sample was measured at {measured_s} s: that is no time")
            # Only NaN is not itself.
            known = [value if value == value else None for value in quantities]
            yield index, VehicleSample(measured_s, bool(braking), _FAULT_SETS[faults], *known)
    except (struct.error, IndexError) as error:
        raise BrokenFrame(f"a sample can't be read: {error}") from error
