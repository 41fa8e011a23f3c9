"""The newest heartbeat and live reading of a vehicle in short, for command services: a few times a second."""

from haul.command.v1.stop_pb2 import GeoPoint
from haul.link.v1.gateway_link_service_pb2 import VehiclePulse
from haul.telemetry.v1.telemetry_pb2 import Reading

from ingest_gateway.clock_offset import NANOS
from ingest_gateway.moment import Moment
from pitwall import wire


class Pulse:
    """One session's."""

    __slots__ = ("_reading", "_sampled_s", "_vehicle_id")

    def __init__(self, vehicle_id: str) -> None:
        self._vehicle_id = vehicle_id
        self._reading: Reading | None = None
        self._sampled_s = 0.0

    def reading(self, reading: Reading, now: Moment) -> None:
        """A live reading with its corrected event_time, received now."""
        event = reading.event_time
        age_s = (now.wall_ns - event.seconds * NANOS - event.nanos) / NANOS
        self._reading, self._sampled_s = reading, now.boottime_s - age_s

    def message(self, heartbeat_number: int, now_s: float) -> VehiclePulse:
        """Quantities that the newest reading does not have stay absent."""
        pulse = VehiclePulse(vehicle_id=self._vehicle_id, heartbeat_number=heartbeat_number)
        reading = self._reading
        if reading is not None:
            pulse.age.CopyFrom(wire.duration(max(0.0, now_s - self._sampled_s)))
            if reading.HasField("speed_kph"):
                pulse.speed_kph = reading.speed_kph
            if reading.HasField("latitude_degrees") and reading.HasField("longitude_degrees"):
                pulse.location.CopyFrom(
                    GeoPoint(latitude_degrees=reading.latitude_degrees, longitude_degrees=reading.longitude_degrees)
                )
        return pulse
