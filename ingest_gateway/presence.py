"""What vehicle-status-change says of one session: each record whole, so that a reader needs no earlier one.

change_id names vehicle, boot epoch, session and a count within it, so the same change has the same id however often it
is delivered, and a reader tells LOST of an older session from news of the newest one.
"""

from google.protobuf.timestamp_pb2 import Timestamp
from haul.link.v1.vehicle_link_service_pb2 import StatusReport
from haul.telemetry.v1.telemetry_pb2 import Connectivity, StatusChange

CONNECTED, LOST = Connectivity.CONNECTIVITY_CONNECTED, Connectivity.CONNECTIVITY_LOST


class Presence:
    """One session's state as it is published. Times are nanoseconds since 1970 by the gateway's clock."""

    __slots__ = (
        *("_boot_epoch", "_connect_count", "_connectivity", "_count"),
        *("_last_sequence", "_status", "_vehicle_id"),
    )

    def __init__(self, vehicle_id: str, boot_epoch: int, connect_count: int) -> None:
        self._vehicle_id, self._boot_epoch, self._connect_count = vehicle_id, boot_epoch, connect_count
        self._status = StatusReport()
        self._connectivity = LOST
        self._count = self._last_sequence = 0

    @property
    def connected(self) -> bool:
        return self._connectivity == CONNECTED

    def connect(self, since_ns: int, now_ns: int) -> StatusChange:
        """The stream has come, or speaks again."""
        self._connectivity = CONNECTED
        return self._change("CONNECTED", since_ns, now_ns)

    def lose(self, since_ns: int, now_ns: int, reason: str) -> StatusChange | None:
        """The stream is gone or silent since then. None where that is known."""
        if not self.connected:
            return None
        self._connectivity = LOST
        return self._change(reason, since_ns, now_ns)

    def report(self, status: StatusReport, event_ns: int, now_ns: int) -> StatusChange | None:
        """The vehicle's word. None where status, sub-status and hold are what they were."""
        before, self._status = self._status, status
        if _state(before) == _state(status):
            return None
        return self._change(status.cause, event_ns, now_ns)

    def hello(self, status: StatusReport, last_sequence: int) -> None:
        """The state with which the session begins, and how many readings there were; `connect` publishes it."""
        self._status, self._last_sequence = status, last_sequence

    def _change(self, cause: str, event_ns: int, now_ns: int) -> StatusChange:
        self._count += 1
        event, received = Timestamp(), Timestamp()
        event.FromNanoseconds(min(event_ns, now_ns))
        received.FromNanoseconds(now_ns)
        return StatusChange(
            change_id=f"{self._vehicle_id}:{self._boot_epoch}:{self._connect_count}:{self._count}",
            vehicle_id=self._vehicle_id,
            boot_epoch=self._boot_epoch,
            connect_count=self._connect_count,
            event_time=event,
            received_time=received,
            status=self._status.status,
            sub_status=self._status.sub_status,
            motion_hold=self._status.motion_hold,
            connectivity=self._connectivity,
            cause=cause,
            last_sequence=self._last_sequence,
        )


def _state(status: StatusReport) -> tuple[int, int, int]:
    return status.status, status.sub_status, status.motion_hold
