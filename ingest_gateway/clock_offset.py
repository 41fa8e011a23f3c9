"""When a reading was sampled, by the gateway's clock, whatever the vehicle's wall clock says.

Each batch carries both clocks of the vehicle, read together when it was made. What the gateway's clock shows on
arrival minus what the vehicle's showed is the true offset plus the time under way; the least of many is the best
estimate, because delay only adds. It is taken against CLOCK_BOOTTIME on both sides, so that a step of either wall
clock does not disturb it; the gateway's wall clock comes in only for the moment of arrival. Two windows, so that a
drift of the two clocks against each other is followed.

The monotonic clock of an earlier boot epoch means nothing today: readings of older epochs are shifted by what the
vehicle's wall clock is off by now.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ingest_gateway.limits import CLOCK_TOLERANCE_S, CLOCK_WINDOW_S
from ingest_gateway.moment import Moment

NANOS = 1_000_000_000
_TOLERANCE_NS = round(CLOCK_TOLERANCE_S * NANOS)


class WindowedMinimum:
    """The least value of the last one to two windows of `window_s` seconds."""

    __slots__ = ("_current", "_previous", "_since_s", "_window_s")

    def __init__(self, window_s: float = CLOCK_WINDOW_S) -> None:
        self._window_s = window_s
        self._since_s = 0.0
        self._current: int | None = None
        self._previous: int | None = None

    def add(self, value: int, now_s: float) -> None:
        elapsed = now_s - self._since_s
        if self._current is None or elapsed >= self._window_s:
            self._previous = self._current if elapsed < 2 * self._window_s else None
            self._current, self._since_s = value, now_s
        elif value < self._current:
            self._current = value

    @property
    def value(self) -> int | None:
        """None before the first."""
        if self._current is None or self._previous is None:
            return self._current
        return min(self._current, self._previous)


@dataclass(frozen=True, slots=True)
class VehicleClockReading:
    """Both clocks of the vehicle, nanoseconds. `monotonic_ns` is CLOCK_BOOTTIME of its computer."""

    wall_ns: int
    monotonic_ns: int


class Corrector(NamedTuple):
    """For the readings of one batch. A shift is nanoseconds from the vehicle's clock to the gateway's wall clock.

    `monotonic_shift_ns` is None for a batch of an older boot epoch.
    """

    received_ns: int
    wall_shift_ns: int
    monotonic_shift_ns: int | None

    def event_ns(self, event_ns: int, monotonic_ns: int) -> int:
        """The event time to record: the vehicle's own, unless it is off by more than the tolerance or in the future.

        Where its clocks contradict each other so that what comes out can't be, that of its arrival.
        """
        if self.monotonic_shift_ns is not None and monotonic_ns:
            estimate = monotonic_ns + self.monotonic_shift_ns
        else:
            estimate = event_ns + self.wall_shift_ns
        if -_TOLERANCE_NS <= event_ns - estimate <= _TOLERANCE_NS:
            estimate = event_ns
        return estimate if 0 < estimate <= self.received_ns else self.received_ns


class VehicleClocks:
    """What is known of one vehicle's clocks. Survives its sessions, as long as the boot epoch is the same."""

    __slots__ = ("_boot_epoch", "_monotonic", "_wall")

    def __init__(self) -> None:
        self._boot_epoch = 0
        self._monotonic = WindowedMinimum()
        self._wall = WindowedMinimum()

    def sample(self, boot_epoch: int, clock: VehicleClockReading, now: Moment) -> None:
        """Takes the clocks of a Hello or a batch. `boot_epoch` is that of the session."""
        if boot_epoch != self._boot_epoch:
            self._boot_epoch, self._monotonic, self._wall = boot_epoch, WindowedMinimum(), WindowedMinimum()
        arrival_ns = _boottime_ns(now)
        self._monotonic.add(arrival_ns - clock.monotonic_ns, now.boottime_s)
        self._wall.add(arrival_ns - clock.wall_ns, now.boottime_s)

    def corrector(self, batch_epoch: int, now: Moment) -> Corrector:
        """For a batch of the session's epoch or an older one, received now. Without a sample nothing is shifted."""
        to_wall_ns = now.wall_ns - _boottime_ns(now)
        wall, monotonic = self._wall.value, self._monotonic.value
        return Corrector(
            received_ns=now.wall_ns,
            wall_shift_ns=0 if wall is None else wall + to_wall_ns,
            monotonic_shift_ns=monotonic + to_wall_ns
            if monotonic is not None and batch_epoch == self._boot_epoch
            else None,
        )


def _boottime_ns(now: Moment) -> int:
    return round(now.boottime_s * NANOS)
