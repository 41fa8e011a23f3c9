"""Readings of a large fleet, built beforehand but for who, when and the how many-th: a microsecond for each."""

import math
import random
from collections.abc import Iterator
from itertools import repeat

from haul.fleet.v1.registry_pb2 import RegistryEntry
from haul.telemetry.v1.telemetry_pb2 import Reading

from tests.bench.telemetry.frames import sequences, varint

BOOT_EPOCH = 1_763_000_000_000
#: Vehicles with an odd number are of one model, the others of the other; so a profile is for one of them.
PROFILES = 40
#: Seconds after which a profile begins anew. One after the other is 11 minutes late, so that few do the same at once.
TOUR_S = 660
#: Spells of a tour in which a quantity goes past the limit of a rule and back: (quantity, from, to, seconds).
TROUBLES = (
    ("speed_kph", 61.0, 66.0, 8),
    ("engine_temperature_celsius", 101.0, 108.0, 75),
    ("fuel_level_percent", 8.0, 14.0, 60),
    ("battery_level_percent", 12.0, 19.0, 30),
    ("tire_pressure_front_left_psi", 121.0, 126.0, 20),
    ("tire_pressure_rear_right_psi", 70.0, 79.0, 20),
)
#: Where they drive, degrees.
_NORTH, _EAST = -23.36, 119.67
_SEED = 1
_SEQUENCE_TAG = b"\x18"
_EVENT_TIME_TAG = b"\x22"


def vehicle_id(number: int) -> str:
    """From 1."""
    return f"KOMATSU-{'930E' if number % 2 else '980E'}-{number:05d}"


def registered(vehicles: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of what the registry says of each: model, limits, and a zone that they don't leave."""
    for number in range(1, vehicles + 1):
        entry = RegistryEntry(vehicle_id=vehicle_id(number), max_speed_kph=60, rated_payload_tons=_rated_tons(number))
        entry.model = "930E-5" if number % 2 else "980E-5"
        entry.zone.name = "PIT"
        for north, east in ((1, 1), (1, -1), (-1, -1), (-1, 1)):
            corner = entry.zone.corners.add()
            corner.latitude_degrees, corner.longitude_degrees = _NORTH + 0.02 * north, _EAST + 0.02 * east
        yield entry.vehicle_id.encode(), entry.SerializeToString()


def _rated_tons(number: int) -> float:
    return 290 if number % 2 else 369


def profiles() -> list[list[bytes]]:
    """Per profile a reading for each second of its tour, serialized, without identity and time."""
    choose = random.Random(_SEED)
    return [_tour(choose, _rated_tons(number)) for number in range(PROFILES)]


def _tour(choose: random.Random, rated_tons: float) -> list[bytes]:
    """Two hauls, in which something goes wrong twice."""
    troubles: dict[int, tuple[str, float]] = {}
    for first in (choose.randrange(60, 200), choose.randrange(360, 500)):
        quantity, low, high, lasts_s = choose.choice(TROUBLES)
        troubles |= {second: (quantity, choose.uniform(low, high)) for second in range(first, first + lasts_s)}
    load_tons, made = rated_tons * choose.uniform(0.85, 1.04), []
    for second in range(TOUR_S):
        reading = _healthy(choose, second, load_tons)
        if second in troubles:
            setattr(reading, *troubles[second])
        made.append(reading.SerializeToString())
    return made


def _healthy(choose: random.Random, second: int, load_tons: float) -> Reading:
    phase = second / TOUR_S * 4 * math.pi
    loaded, speed = math.sin(phase) > 0, abs(33 * math.sin(2 * phase)) + choose.uniform(0, 4)
    reading = Reading(status=4 if loaded else 6, motion_hold=1, monotonic_nanos=second * 10**9)  # type: ignore[arg-type]
    values = {
        "speed_kph": speed,
        "payload_tons": (load_tons if loaded else 0) + choose.uniform(0, 0.4),
        "engine_temperature_celsius": 87 + 4 * math.sin(phase) + choose.uniform(-1, 1),
        "engine_rpm": 750 + 25 * speed,
        "fuel_level_percent": 75 - 40 * second / TOUR_S,
        "battery_level_percent": 90 - choose.uniform(0, 2),
        "battery_volts": 27.5 + choose.uniform(-0.2, 0.2),
        "brake_pressure_psi": 2600 + choose.uniform(-50, 50),
        "latitude_degrees": _NORTH + 0.01 * math.cos(phase),
        "longitude_degrees": _EAST + 0.01 * math.sin(phase),
        "altitude_meters": 540 + 60 * math.sin(phase),
        "heading_degrees": math.degrees(phase) % 360,
    }
    wheels = ("front_left", "front_right", "rear_left", "rear_right")
    values |= {f"tire_pressure_{wheel}_psi": 100 + choose.uniform(-3, 3) for wheel in wheels}
    for name, value in values.items():
        setattr(reading, name, round(value, 6 if name.endswith("degrees") else 2))
    return reading


def records(vehicles: int, begin_s: int, seconds: int, tours: list[list[bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of a reading a second of each vehicle, second by second, each vehicle at a moment of its own."""
    keys = [vehicle_id(number).encode() for number in range(1, vehicles + 1)]
    heads = [Reading(vehicle_id=k.decode(), boot_epoch=BOOT_EPOCH).SerializeToString() + _SEQUENCE_TAG for k in keys]
    nanos = [b"\x10" + varint(1_000_000 + 997_000 * number // vehicles * 1_000) for number in range(vehicles)]
    ways = [(tours[n % PROFILES], n * 7919 % TOUR_S) for n in range(1, vehicles + 1)]
    for second, sequence in enumerate(sequences(1, seconds)):
        at = b"\x08" + varint(begin_s + second)
        times = [_EVENT_TIME_TAG + varint(len(at) + len(n)) + at + n for n in nanos]
        bodies = [tour[(offset + second) % TOUR_S] for tour, offset in ways]
        yield from zip(keys, map(b"".join, zip(heads, repeat(sequence), times, bodies)), strict=True)
