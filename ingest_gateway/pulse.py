"""The newest heartbeat and live reading of a vehicle in short, for command services: a few times a second."""

from zlib import crc32

from haul.link.v1.gateway_link_service_pb2 import VehiclePulse
from haul.telemetry.v1.telemetry_pb2 import Reading

from ingest_gateway.clock_offset import NANOS
from ingest_gateway.limits import PULSE_TURNS
from ingest_gateway.moment import Moment


class Pulse:
    """One session's."""

    __slots__ = ("_record", "_taken", "_vehicle_id", "turn")

    def __init__(self, vehicle_id: str) -> None:
        self._vehicle_id = vehicle_id
        #: When this one is told, where those of many are told in turns.
        self.turn = crc32(vehicle_id.encode()) % PULSE_TURNS
        self._record: bytes | None = None
        self._taken: Moment | None = None

    def reading(self, record: bytes, now: Moment) -> None:
        """A live reading as it goes to Kafka, received now. Most are never looked at: the next one comes sooner."""
        self._record, self._taken = record, now

    def message(self, heartbeat_number: int, now_s: float) -> VehiclePulse:
        """Quantities that the newest reading does not have stay absent."""
        pulse = VehiclePulse(vehicle_id=self._vehicle_id, heartbeat_number=heartbeat_number)
        if self._record is not None and self._taken is not None:
            reading = Reading.FromString(self._record)
            event = reading.event_time
            age_ns = self._taken.wall_ns - event.seconds * NANOS - event.nanos
            age_ns += round((now_s - self._taken.boottime_s) * NANOS)
            pulse.age.FromNanoseconds(max(0, age_ns))
            if reading.HasField("speed_kph"):
                pulse.speed_kph = reading.speed_kph
            if reading.HasField("latitude_degrees") and reading.HasField("longitude_degrees"):
                pulse.location.latitude_degrees = reading.latitude_degrees
                pulse.location.longitude_degrees = reading.longitude_degrees
        return pulse
