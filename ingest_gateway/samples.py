"""When the newest batches of a vehicle were sampled, by its own monotonic clock: tells a reading that comes again from
another one under the same identity.

Sequences ascend with time. So a reading with a sequence of a known batch was sampled between the batch's first one and
its last, a tolerance apart, or it is another reading. That costs nothing per reading, and two looks per batch. A batch
that is no longer remembered, or whose times do not ascend, is believed.
"""

from array import array
from collections.abc import Sequence

from haul.telemetry.v1.telemetry_pb2 import Reading

from ingest_gateway.limits import CLOCK_TOLERANCE_S, MAX_MONOTONIC_NANOS, REMEMBERED_BATCHES

#: Numbers of one batch: its boot epoch, its first and last sequence, and when these were sampled, nanoseconds.
_NUMBERS = 5
#: A vehicle may take a reading's time a little before or after that of its neighbours.
_TOLERANCE_NANOS = round(CLOCK_TOLERANCE_S * 1e9)


class Samples:
    """One vehicle's."""

    __slots__ = ("_batches", "_next")

    def __init__(self) -> None:
        self._batches = array("Q", bytes(8 * _NUMBERS * REMEMBERED_BATCHES))
        self._next = 0

    def keep(self, boot_epoch: int, readings: Sequence[Reading]) -> None:
        """A batch with something in it whose sequences ascend, all of them good ones. The oldest one is forgotten."""
        first, last = readings[0], readings[-1]
        since, until = first.monotonic_nanos, last.monotonic_nanos
        if 0 < since <= until <= MAX_MONOTONIC_NANOS:
            place = self._next * _NUMBERS
            batch = (boot_epoch, first.sequence, last.sequence, since, until)
            self._batches[place : place + _NUMBERS] = array("Q", batch)
            self._next = (self._next + 1) % REMEMBERED_BATCHES

    def differs(self, boot_epoch: int, reading: Reading) -> bool:
        """Whether a batch is remembered that had this identity in it, and was sampled at another time."""
        batches, sequence, nanos = self._batches, reading.sequence, reading.monotonic_nanos
        for place in range(0, len(batches), _NUMBERS):
            epoch, first, last, since, until = batches[place : place + _NUMBERS]
            if epoch == boot_epoch and first <= sequence <= last:
                return not since - _TOLERANCE_NANOS <= nanos <= until + _TOLERANCE_NANOS
        return False
