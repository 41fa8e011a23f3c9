"""Bad readings on a good stream, between good ones: the bad one becomes a dead letter, the good ones arrive."""

import math
from collections.abc import Callable

from confluent_kafka import Message
from haul.telemetry.v1.telemetry_pb2 import VEHICLE_STATUS_UNSPECIFIED, Reading

from tests.integration.bad_input.rows import Outcome
from tests.integration.bad_input.site import STRANGER, VEHICLE, Site
from tests.integration.bad_input.streams import channel, strangers_certificate
from tests.integration.bad_input.vehicle import VehicleStream, connected
from tests.support.topics import readings, records

#: Above what one reading may have, bytes.
BALLAST = 4096
HOUR_S = 3600
YEAR_S = 365 * 24 * HOUR_S


def read(site: Site, given: str) -> Outcome:
    with channel(site, "gateway-1", strangers_certificate(site)) as opened, connected(opened, STRANGER) as stream:
        if given in SPOIL:
            return _refused(site, stream, SPOIL[given])
        return TAKEN[given](site, stream)


def _refused(site: Site, stream: VehicleStream, spoil: Callable[[Reading], None]) -> Outcome:
    """The one in the middle is bad."""
    first, bad, last = (stream.reading(sequence) for sequence in (1, 2, 3))
    spoil(bad)
    stream.send_readings(first, bad, last)
    [rejection] = stream.await_acks(1, 2, 3)
    assert rejection.sequence == 2
    assert sorted(reading.sequence for reading in _written(site, stream)) == [1, 3]
    headers = _dead_letter(site, stream, bad)
    assert headers["dl_reason"] == rejection.reason
    assert headers["dl_field"] == rejection.field
    assert headers["dl_message"] == rejection.message
    return Outcome(rejection.message, reason=rejection.reason)


def _written(site: Site, stream: VehicleStream) -> list[Reading]:
    """What vehicle-telemetry has of this stream."""
    mine = (stream.vehicle_id, stream.boot_epoch)
    return [one for one in readings(site.stack.kafka_bootstrap) if (one.vehicle_id, one.boot_epoch) == mine]


def _dead_letter(site: Site, stream: VehicleStream, bad: Reading) -> dict[str, str]:
    """Headers of the one record that has the bad reading's very bytes."""
    identity = f"{stream.vehicle_id}:{stream.boot_epoch}:2"
    found = [
        record
        for record in records(site.stack.kafka_bootstrap, "dead-letter-topic")
        if headers_of(record).get("ce_id") == identity
    ]
    assert len(found) == 1
    assert found[0].value() == bad.SerializeToString()
    return headers_of(found[0])


def headers_of(record: Message) -> dict[str, str]:
    return {key: value.decode() for key, value in dict(record.headers() or ()).items() if isinstance(value, bytes)}


def _going_back(site: Site, stream: VehicleStream) -> Outcome:
    again = stream.reading(2)
    stream.send_readings(stream.reading(1), again, stream.reading(3))
    assert stream.await_acks(1, 2, 3) == []
    stream.send_readings(again, stream.reading(4))
    assert stream.await_acks(2, 4) == []
    assert sorted(reading.sequence for reading in _written(site, stream)) == [1, 2, 3, 4]
    return Outcome("")


def _repeated_differently(site: Site, stream: VehicleStream) -> Outcome:
    """Another reading of the same identity, sampled an hour later by the vehicle's own clock."""
    first = stream.reading(2)
    stream.send_readings(stream.reading(1), first, stream.reading(3))
    assert stream.await_acks(1, 2, 3) == []
    other = stream.reading(2)
    other.speed_kph, other.monotonic_nanos = 12.0, other.monotonic_nanos + HOUR_S * 10**9
    stream.send_readings(other, stream.reading(4))
    [rejection] = stream.await_acks(2, 4)
    written = {reading.sequence: reading for reading in _written(site, stream)}
    assert len(_written(site, stream)) == len(written) == 4
    assert written[2].speed_kph == first.speed_kph
    assert _dead_letter(site, stream, other)["dl_field"] == rejection.field == "sequence"
    return Outcome(rejection.message, reason=rejection.reason)


def _jumping(site: Site, stream: VehicleStream) -> Outcome:
    """And filled later, as history is."""
    stream.send_readings(stream.reading(1))
    stream.send_readings(stream.reading(100))
    assert stream.await_acks(1, 100) == []
    stream.send_readings(stream.reading(50))
    assert stream.await_acks(50) == []
    assert sorted(reading.sequence for reading in _written(site, stream)) == [1, 50, 100]
    return Outcome("")


def _of_another_vehicle(site: Site, stream: VehicleStream) -> Outcome:
    """All of a batch; the next one is good."""
    bad = [stream.reading(sequence) for sequence in (1, 2, 3)]
    for reading in bad:
        reading.vehicle_id = VEHICLE
    stream.send_readings(*bad)
    rejections = stream.await_acks(1, 2, 3)
    assert [rejection.sequence for rejection in rejections] == [1, 2, 3]
    stream.send_readings(stream.reading(4))
    assert stream.await_acks(4) == []
    assert [reading.sequence for reading in _written(site, stream)] == [4]
    assert _dead_letter(site, stream, bad[1])["dl_reason"] == "WRONG_VEHICLE"
    return Outcome(rejections[0].message, reason=rejections[0].reason)


def _nothing(site: Site, stream: VehicleStream) -> Outcome:
    """No harm: the stream goes on."""
    stream.send_readings()
    stream.send_readings(stream.reading(1))
    assert stream.await_acks(1) == []
    return Outcome("")


def _clock_step(seconds: int) -> Callable[[Site, VehicleStream], Outcome]:
    """Of the vehicle's wall clock, between two readings."""

    def step(site: Site, stream: VehicleStream) -> Outcome:
        stream.send_readings(stream.reading(1))
        stepped = stream.reading(2)
        stepped.event_time.seconds += seconds
        stream.send_readings(stepped)
        assert stream.await_acks(1, 2) == []
        before, written = sorted(_written(site, stream), key=lambda reading: reading.sequence)
        assert not before.HasField("vehicle_time")
        assert written.vehicle_time == stepped.event_time
        assert written.event_time.ToNanoseconds() <= written.received_time.ToNanoseconds()
        assert abs(written.event_time.seconds + seconds - stepped.event_time.seconds) <= 1
        return Outcome("")

    return step


def _set(name: str, value: float) -> Callable[[Reading], None]:
    return lambda reading: setattr(reading, name, value)


def _ballast(reading: Reading) -> None:
    """A field that nobody knows: number 2000, wire type 2, as protobuf encodes it."""
    tag, length = (2000 << 3) | 2, BALLAST
    unknown = bytes((tag & 0x7F | 0x80, tag >> 7, length & 0x7F | 0x80, length >> 7)) + b"x" * BALLAST
    reading.MergeFromString(unknown)


SPOIL: dict[str, Callable[[Reading], None]] = {
    "latitude 200": _set("latitude_degrees", 200.0),
    "NaN": _set("speed_kph", math.nan),
    "infinity": _set("engine_temperature_celsius", math.inf),
    "negative payload": _set("payload_tons", -1.0),
    "another vehicle's name": lambda reading: setattr(reading, "vehicle_id", VEHICLE),
    "another boot's number": lambda reading: setattr(reading, "boot_epoch", reading.boot_epoch - 1),
    "no event time": lambda reading: reading.ClearField("event_time"),
    "no status": lambda reading: setattr(reading, "status", VEHICLE_STATUS_UNSPECIFIED),
    "unknown ballast": _ballast,
}

TAKEN: dict[str, Callable[[Site, VehicleStream], Outcome]] = {
    "sequence going back": _going_back,
    "sequence used twice": _repeated_differently,
    "sequence that jumps": _jumping,
    "batch of another vehicle": _of_another_vehicle,
    "empty batch": _nothing,
    "clock an hour ahead": _clock_step(HOUR_S),
    "clock an hour back": _clock_step(-HOUR_S),
    "clock two years ahead": _clock_step(2 * YEAR_S),
    "clock two years back": _clock_step(-2 * YEAR_S),
}
