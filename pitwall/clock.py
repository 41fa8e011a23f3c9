"""The clocks of this process.

Leases, permits and every age on the stop path count CLOCK_BOOTTIME: it goes on while the computer is suspended, and no
operator or NTP server can set it. The wall clock is for people and for records alone.
"""

import time
from datetime import UTC, datetime


def boottime_s() -> float:
    """CLOCK_BOOTTIME, seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def monotonic_s() -> float:
    """CLOCK_MONOTONIC, seconds: the clock of the plant files and of `issuedMonotonic`, the same in all processes."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def wall_time() -> datetime:
    """Now, UTC."""
    return datetime.now(UTC)
