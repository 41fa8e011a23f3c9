"""Now, on both clocks at once."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from haul.link.v1 import vehicle_link_service_pb2 as link

from pitwall.clock import boottime_s, wall_time
from pitwall.wire import timestamp


@dataclass(frozen=True, slots=True)
class Moment:
    """`s`: CLOCK_BOOTTIME in seconds, by which everything is decided. `wall`: for people and records alone."""

    s: float
    wall: datetime

    @classmethod
    def now(cls) -> "Moment":
        return cls(boottime_s(), wall_time())

    def wall_at(self, at_s: float) -> datetime:
        """What the wall clock, as it is set now, says to another moment."""
        return self.wall - timedelta(seconds=self.s - at_s)

    def clock(self) -> link.VehicleClock:
        return link.VehicleClock(wall_time=timestamp(self.wall), monotonic_nanos=nanos(self.s))


def nanos(at_s: float) -> int:
    """A float of seconds is exact to about 0.1 µs within ten years of uptime."""
    return round(at_s * 1e9)
