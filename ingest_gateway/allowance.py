"""How much one vehicle may send a second: readings, bytes and frames, each by a bucket that leaks at its rate.

A bucket is the generic cell rate algorithm: one number, the moment at which all that came would have come at the
rate. Its level is how far that lies ahead, in seconds.

What has been sent is always taken, and paid for afterwards:
- Up to BURST_S ahead nothing happens: batches come in bursts.
- Beyond it the vehicle is asked to wait, by a Throttle that lasts until half of the burst is free again. Whatever was
  under way when it was sent fits into GRACE_S; see the relations in config.py.
- Beyond that the vehicle has not listened, and its stream is not read until it is back within its burst: it then has
  its rate and no more, whatever it does. Its heartbeats wait behind what it sends, so it loses its permit and stops,
  which is the safe side. Stops still go down to it.
- One that is held back for MAX_HELD_S in all, without being ever at rest in between, is cut.

Kept beyond the session, so that a new stream is no new allowance.
"""

from dataclasses import dataclass
from math import inf

from ingest_gateway.limits import BURST_S, GRACE_S, MAX_HELD_S, MIN_THROTTLE_S


@dataclass(frozen=True, slots=True)
class Rates:
    """What one vehicle may send a second, on the average."""

    readings_per_s: float = inf
    bytes_per_s: float = inf
    frames_per_s: float = inf


UNLIMITED = Rates()


@dataclass(frozen=True, slots=True)
class Charge:
    """What comes of a frame. `throttle_s` above 0: ask the vehicle to wait, for `reason`. `hold_s` above 0: read
    nothing for so long. `cut`: it has not listened for too long."""

    throttle_s: float = 0.0
    hold_s: float = 0.0
    reason: str = ""
    cut: bool = False


FREE = Charge()


class Bucket:
    """One rate, a second."""

    __slots__ = ("_each_s", "_paid_s")

    def __init__(self, per_s: float) -> None:
        self._each_s = 1 / per_s
        self._paid_s = -inf

    def level_s(self, now_s: float) -> float:
        """How far what has come is ahead of the rate, seconds."""
        return max(0.0, self._paid_s - now_s)

    def spend(self, count: int, now_s: float) -> float:
        """The level afterwards, seconds."""
        self._paid_s = max(self._paid_s, now_s) + count * self._each_s
        return self._paid_s - now_s


class Allowance:
    """One vehicle's."""

    __slots__ = ("_asked_until_s", "_buckets", "_bytes", "_frames", "_held_s", "_readings")

    def __init__(self, rates: Rates) -> None:
        self._readings = Bucket(rates.readings_per_s)
        self._bytes = Bucket(rates.bytes_per_s)
        self._frames = Bucket(rates.frames_per_s)
        self._asked_until_s = -inf
        self._held_s = 0.0

    def spend(self, readings: int, size_bytes: int, now_s: float) -> Charge:
        """A frame of so many bytes has come, with so many readings in it."""
        by_readings = self._readings.spend(readings, now_s)
        by_bytes = self._bytes.spend(size_bytes, now_s)
        by_frames = self._frames.spend(1, now_s)
        level_s = max(by_readings, by_bytes, by_frames)
        if level_s <= BURST_S:
            if level_s < BURST_S / 2:
                self._held_s = 0.0
            return FREE
        if level_s == by_readings:
            return self._over(level_s, "READINGS_PER_SECOND", now_s)
        return self._over(level_s, "BYTES_PER_SECOND" if level_s == by_bytes else "FRAMES_PER_SECOND", now_s)

    def _over(self, level_s: float, reason: str, now_s: float) -> Charge:
        throttle_s = 0.0
        if now_s >= self._asked_until_s:
            throttle_s = max(MIN_THROTTLE_S, level_s - BURST_S / 2)
            self._asked_until_s = now_s + throttle_s
        if level_s <= BURST_S + GRACE_S:
            return Charge(throttle_s, 0.0, reason)
        hold_s = level_s - BURST_S
        self._held_s += hold_s
        return Charge(throttle_s, hold_s, reason, cut=self._held_s > MAX_HELD_S)
