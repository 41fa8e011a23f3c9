"""Frames of one vehicle, built beforehand but for their sequence numbers, so that the client isn't what is measured."""

import random
import time
from collections.abc import Iterator, Sequence
from itertools import islice, repeat

from google.protobuf.timestamp_pb2 import Timestamp
from haul.link.v1.vehicle_link_service_pb2 import VehicleClock
from haul.telemetry.v1.telemetry_pb2 import Reading

from pitwall.domain.units import QUANTITIES

#: From here on a sequence takes five bytes on the wire, up to 2**35: every frame of a vehicle has the same layout.
FIRST_SEQUENCE = 2**28
#: What a reading says beside its identity: from a pool, large enough that Kafka's compression finds few repeats.
POOL = 1_000
_SEED = 1
_LOW_BYTES = [bytes((0x80 | low,)) for low in range(128)]
_SEQUENCE_TAG = b"\x18"


def bodies(count: int = POOL) -> list[bytes]:
    """Readings without vehicle_id, boot_epoch and sequence, as serialized: every quantity known, a random walk."""
    rng = random.Random(_SEED)
    values = {name: q.minimum + (q.maximum - q.minimum) * rng.uniform(0.3, 0.7) for name, q in QUANTITIES.items()}
    began_ns, monotonic_ns = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    made = []
    for number in range(count):
        sampled_ns = (number - count) * 1_000_000
        reading = Reading(monotonic_nanos=monotonic_ns + sampled_ns, status=4, sub_status=4, motion_hold=1)  # type: ignore[arg-type]
        reading.event_time.FromNanoseconds(began_ns + sampled_ns)
        for name, quantity in QUANTITIES.items():
            step = 0.002 * (quantity.maximum - quantity.minimum) * rng.uniform(-1, 1)
            values[name] = min(quantity.maximum, max(quantity.minimum, values[name] + step))
            setattr(reading, name, values[name])
        made.append(reading.SerializeToString())
    return made


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def sequences(first: int, count: int) -> list[bytes]:
    """Varints of `count` neighbours from `first` on."""
    encoded: list[bytes] = []
    while count:
        low, taken = first & 0x7F, min(count, 128 - (first & 0x7F))
        high = varint(first >> 7)
        encoded += [byte + high for byte in _LOW_BYTES[low : low + taken]]
        first, count = first + taken, count - taken
    return encoded


class Frames:
    """Of one vehicle and boot epoch, `batch` readings each. `offset`: where in the pool its bodies begin."""

    def __init__(self, vehicle_id: str, boot_epoch: int, batch: int, pool: Sequence[bytes], offset: int = 0) -> None:
        self.batch = batch
        self.next_sequence = FIRST_SEQUENCE
        identity = Reading(vehicle_id=vehicle_id, boot_epoch=boot_epoch).SerializeToString() + _SEQUENCE_TAG
        chosen = [pool[(offset + i) % len(pool)] for i in range(batch)]
        heads = [b"\x12" + varint(len(identity) + 5 + len(body)) + identity for body in chosen]
        #: Between the sequences: first a head, then a body and the head of the next one, last a body.
        self._parts = [heads[0]]
        for body, head in zip(chosen, [*heads[1:], b""], strict=True):
            self._parts += [b"", body + head]
        self._epoch = b"\x08" + varint(boot_epoch)
        self._fixed = len(self._epoch) + sum(map(len, self._parts)) + 5 * batch

    def next(self, heartbeat_number: int = 0) -> bytes:
        """A serialized ConnectRequest with the next readings. 0: no heartbeat on it."""
        self._parts[1::2] = sequences(self.next_sequence, self.batch)
        self.next_sequence += self.batch
        clock = _clock()
        beat = b"\x08" + varint(heartbeat_number) if heartbeat_number else b""
        return b"".join((beat, b"\x1a", varint(self._fixed + len(clock)), self._epoch, *self._parts, clock))


def records(vehicle_id: str, boot_epoch: int, pool: Sequence[bytes]) -> Iterator[bytes]:
    """What Kafka gets of one vehicle, without end: the readings with their time of arrival."""
    identity = Reading(vehicle_id=vehicle_id, boot_epoch=boot_epoch).SerializeToString() + _SEQUENCE_TAG
    received = Reading()
    received.received_time.FromNanoseconds(time.time_ns())
    ends = [body + received.SerializeToString() for body in pool]
    first = FIRST_SEQUENCE
    while True:
        yield from map(b"".join, zip(repeat(identity), sequences(first, len(ends)), ends))
        first += len(ends)


def _clock() -> bytes:
    """Field 3 of a ReadingBatch, read now."""
    wall = Timestamp()
    wall.FromNanoseconds(time.time_ns())
    read = VehicleClock(wall_time=wall, monotonic_nanos=time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    data = read.SerializeToString()
    return b"\x1a" + varint(len(data)) + data


def take(source: Iterator[bytes], count: int) -> list[bytes]:
    return list(islice(source, count))
