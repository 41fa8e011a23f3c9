"""The time of one event by both clocks."""

from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp


@dataclass(frozen=True, slots=True)
class Moment:
    """`boottime_s`: CLOCK_BOOTTIME, seconds, for every age and deadline. `wall_ns`: nanoseconds since 1970, UTC, for
    records alone."""

    boottime_s: float
    wall_ns: int

    @property
    def timestamp(self) -> Timestamp:
        return timestamp(self.wall_ns)


def timestamp(wall_ns: int) -> Timestamp:
    """Nanoseconds since 1970 as a Timestamp."""
    message = Timestamp()
    message.FromNanoseconds(wall_ns)
    return message
