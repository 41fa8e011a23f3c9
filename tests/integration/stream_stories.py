"""Stories of vehicles that go through all that a rule can do, each with the steps that must come of it; and fleets.

The fleets are of chance, and their steps those of the plain definition (tests/support/alert_judge.py).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from haul.command.v1.stop_pb2 import GeoPoint
from haul.command.v1.stop_pb2 import Zone as ZoneMessage
from haul.fleet.v1.registry_pb2 import RegistryEntry
from haul.telemetry.v1.telemetry_pb2 import Connectivity, Reading, StatusChange

from pitwall.domain.geo import Zone
from tests.integration.stream_sweeps import BEGIN_S, FIRST_BOOT, SECOND_BOOT, WHEELS, reading
from tests.support.places import POINTS, SQUARE, reversed_zone

Fields = Mapping[str, float | None]
CONNECTED, LOST = Connectivity.CONNECTIVITY_CONNECTED, Connectivity.CONNECTIVITY_LOST


@dataclass(frozen=True)
class Story:
    """``told``: seconds since BEGIN_S and what was measured; numbered from 1. ``steps``: rule, state and number."""

    name: str
    told: Sequence[tuple[float, Fields]]
    steps: Sequence[tuple[str, str, int]]
    entry: RegistryEntry | None = None

    @property
    def vehicle_id(self) -> str:
        return "STORY-" + self.name.upper().replace(" ", "-")

    @property
    def readings(self) -> list[Reading]:
        return [reading(self.vehicle_id, n, BEGIN_S + at_s, fields) for n, (at_s, fields) in enumerate(self.told, 1)]

    @property
    def entries(self) -> list[RegistryEntry]:
        made = RegistryEntry(vehicle_id=self.vehicle_id)
        if self.entry is not None:
            made.MergeFrom(self.entry)
        return [] if self.entry is None else [made]


def coolant(*told: tuple[float, float | None]) -> list[tuple[float, Fields]]:
    return [(at_s, {"engine_temperature_celsius": value}) for at_s, value in told]


def speeds(*told: tuple[float, float | None]) -> list[tuple[float, Fields]]:
    return [(at_s, {"speed_kph": value}) for at_s, value in told]


def every(seconds: float, until_s: float, value: float) -> list[tuple[float, float]]:
    return [(n * seconds, value) for n in range(1, round(until_s / seconds) + 1)]


def zone_message(zone: Zone) -> ZoneMessage:
    corners = [
        GeoPoint(latitude_degrees=c.latitude_degrees, longitude_degrees=c.longitude_degrees) for c in zone.corners
    ]
    return ZoneMessage(name=zone.name, corners=corners)


def at(latitude: float | None, longitude: float | None) -> Fields:
    return {"latitude_degrees": latitude, "longitude_degrees": longitude}


_IN_SQUARE = RegistryEntry(zone=zone_message(SQUARE))
STORIES = [
    Story("escalates once", coolant((0, 105), (1, 111), (2, 109), (3, 112), (4, 96)),
          [("OVERHEATING", "RAISED", 1), ("OVERHEATING", "ESCALATED", 2), ("OVERHEATING", "CLEARED", 5)]),
    Story("raises and escalates at once", coolant((0, 110.1), (1, 96), (2, 110)),
          [("OVERHEATING", "RAISED", 1), ("OVERHEATING", "ESCALATED", 1), ("OVERHEATING", "CLEARED", 2),
           ("OVERHEATING", "RAISED", 3)]),
    Story("an empty tank", [(n, {"fuel_level_percent": v}) for n, v in enumerate((5.0, 4.9, 17.1))],
          [("LOW_FUEL", "RAISED", 1), ("LOW_FUEL", "ESCALATED", 2), ("LOW_FUEL", "CLEARED", 3)]),
    Story("holds for a minute", coolant((0, 97.5), *every(10, 60, 97.5), (61, 95), (62, 94.9)),
          [("HOT_COOLANT", "RAISED", 7), ("HOT_COOLANT", "CLEARED", 9)]),
    Story("a moment short of a minute", coolant((0, 97.5), *every(10, 50, 97.5), (59.999, 97.5), (60.5, 97)), []),
    Story("what is within ends a hold", coolant((0, 97.5), *every(10, 50, 97.5), (55, 97),
          *[(55 + s, v) for s, v in every(10, 60, 97.5)]), []),
    Story("holds on anew", coolant((0, 97.5), (10, 96), *[(10 + s, 97.5) for s in range(5, 71, 5)]),
          [("HOT_COOLANT", "RAISED", 15)]),
    Story("silence ends a hold", coolant((0, 97.5), *every(10, 50, 97.5), (65.001, 97.5), (70, 97.5)), []),
    Story("a silence of just the longest ends nothing", coolant((0, 97.5), *every(15, 60, 97.5)),
          [("HOT_COOLANT", "RAISED", 5)]),
    Story("the unknown does not count", coolant((0, 97.5), *every(10, 50, 97.5), (55, None), (60, 97.5), (69, 97.5)),
          []),
    Story("the unknown does not end", coolant((0, 97.5), *every(10, 50, 97.5), (55, None), (60, 97.5), (70, 97.5)),
          [("HOT_COOLANT", "RAISED", 9)]),
    Story("overheating is no early warning", coolant((0, 97.5), *[(n, 100.5) for n in range(10, 90, 10)], (90, 96.9)),
          [("OVERHEATING", "RAISED", 2), ("OVERHEATING", "CLEARED", 10)]),
    Story("brakes as in any stop", speeds((0, 50), (1, 39.2), (2, 28.4), (3, 15.9)), []),
    Story("brakes too hard", speeds((0, 50), (1, 37.5), (2, 24.75), (3, 17.5), (4, 10.5)),
          [("HARSH_BRAKING", "RAISED", 3), ("HARSH_BRAKING", "CLEARED", 5)]),
    Story("many readings a second", speeds(*[(n / 5, 50 - n * 2.6) for n in range(8)]),
          [("HARSH_BRAKING", "RAISED", 6)]),
    Story("readings in a burst", speeds((0, 50), (0.05, 30), (1.02, 36), (1.06, 37.5), (2.1, 36)),
          [("HARSH_BRAKING", "RAISED", 3), ("HARSH_BRAKING", "CLEARED", 5)]),
    Story("slow readings", speeds((0, 50), (1.9, 26), (6.9, 0), (12, 50), (17.001, 0)),
          [("HARSH_BRAKING", "RAISED", 2), ("HARSH_BRAKING", "CLEARED", 3)]),
    Story("a rate needs both ends", speeds((0, 50), (1, None), (1.5, 30), (2, None), (3, 0)),
          [("HARSH_BRAKING", "RAISED", 3)]),
    Story("nobody knows its rating", [(0, {"payload_tons": 500.0})], [], RegistryEntry(model="930E-5")),
    Story("nobody knows it", [(0, {"payload_tons": 500.0, **at(50, 50)})], []),
    Story("it may be anywhere", [(0, at(50, 50))], [], RegistryEntry(model="930E-5")),
    Story("out and back", [(0, at(0.5, 0.5)), (1, at(1.5, 0.5)), (2, at(None, 0.5)), (3, at(1.0, 0.5))],
          [("GEOFENCE", "RAISED", 2), ("GEOFENCE", "CLEARED", 4)], _IN_SQUARE),
]  # fmt: skip


def point_stories() -> list[Story]:
    """A vehicle for each point of the table, its zone listed in either order."""
    made = []
    for number, (zone, latitude, longitude, inside) in enumerate(POINTS):
        for way, listed in (("one way", zone), ("the other way", reversed_zone(zone))):
            steps = [] if inside else [("GEOFENCE", "RAISED", 1)]
            entry = RegistryEntry(zone=zone_message(listed))
            made.append(Story(f"point {number} {way}", [(0, at(latitude, longitude))], steps, entry))
    return made


def link_change(
    vehicle_id: str, session: int, number: int, connectivity: int, boot_epoch: int = FIRST_BOOT
) -> StatusChange:
    made = StatusChange(
        change_id=f"{vehicle_id}:{boot_epoch}:{session}:{number}",
        vehicle_id=vehicle_id,
        boot_epoch=boot_epoch,
        connect_count=session,
        connectivity=connectivity,  # type: ignore[arg-type]
    )
    made.event_time.FromNanoseconds((BEGIN_S + 300 + session) * 1_000_000_000 + number)
    return made


def link_story(vehicle_id: str) -> list[StatusChange]:
    """Repeats, a session that is lost twice, and word of old sessions that comes late."""
    return [
        link_change(vehicle_id, 1, 1, CONNECTED),
        link_change(vehicle_id, 1, 2, LOST),  # raises
        link_change(vehicle_id, 1, 2, LOST),
        link_change(vehicle_id, 1, 3, CONNECTED),  # clears
        link_change(vehicle_id, 1, 2, LOST),
        link_change(vehicle_id, 1, 4, LOST),  # raises
        link_change(vehicle_id, 2, 1, CONNECTED),  # clears
        link_change(vehicle_id, 1, 5, LOST),
        link_change(vehicle_id, 1, 1, CONNECTED, SECOND_BOOT),
        link_change(vehicle_id, 2, 2, LOST),
        link_change(vehicle_id, 1, 2, LOST, SECOND_BOOT),  # raises
    ]


LINK_STEPS = [
    ("RAISED", FIRST_BOOT, 1_000_002),
    ("CLEARED", FIRST_BOOT, 1_000_003),
    ("RAISED", FIRST_BOOT, 1_000_004),
    ("CLEARED", FIRST_BOOT, 2_000_001),
    ("RAISED", SECOND_BOOT, 1_000_002),
]

#: On, next to and far past each limit; None is unknown.
_VALUES: Mapping[str, Sequence[float | None]] = {
    "speed_kph": (None, 0, 20, 37.9, 38, 40.1, 50, 57, 60, 60.1, 75),
    "engine_temperature_celsius": (None, 90, 94.9, 95, 97, 97.1, 97.1, 99, 100, 100.1, 110, 110.1),
    "fuel_level_percent": (None, 4.9, 5, 14.9, 15, 16, 17, 17.1, 80),
    "battery_level_percent": (None, 19.9, 20, 22, 22.1),
    "payload_tons": (None, 0, 313.1, 290 * 1.08, 315, 290 * 1.1, 319.1, 500),
    "latitude_degrees": (None, -1, 0, 0.5, 1, 2),
    "longitude_degrees": (None, 0.5, 1, 1.5, 2.5),
    **{f"tire_pressure_{wheel}_psi": (None, 79.9, 80, 100, 100, 118, 120, 120.1) for wheel in WHEELS},
}
_STEPS_S = (0.03, 0.1, 0.5, 1.0, 1.0, 1.0, 5.0, 10.0, 15.0, 15.1)


@dataclass
class Fleet:
    """Of chance. ``told`` in the order of arrival; each vehicle's entry is known before."""

    entries: list[RegistryEntry] = field(default_factory=list)
    told: list[Reading] = field(default_factory=list)


def fleet_of_chance(seed: int, vehicles: int, readings: int) -> Fleet:
    choose = random.Random(seed)
    made = Fleet()
    for number in range(vehicles):
        vehicle_id = f"CHANCE-{number}"
        made.entries += _entry_of_chance(choose, vehicle_id)
        made.told += _told_by_chance(choose, vehicle_id, readings)
    return made


def _entry_of_chance(choose: random.Random, vehicle_id: str) -> list[RegistryEntry]:
    known = RegistryEntry(vehicle_id=vehicle_id, model=choose.choice(["", "930E-5", "980E-5"]))
    if choose.random() < 0.7:
        known.rated_payload_tons = 290
    if choose.random() < 0.7:
        known.max_speed_kph = choose.choice([40, 64.5])
    if choose.random() < 0.7:
        known.zone.CopyFrom(zone_message(choose.choice([row[0] for row in POINTS])))
    return [known] if choose.random() < 0.8 else []


def _told_by_chance(choose: random.Random, vehicle_id: str, count: int) -> list[Reading]:
    """Live and history, two boots, values that stay for a while; some come twice, some too late."""
    sequences, made, at_s = {False: 0, True: 100_000}, [], float(BEGIN_S)
    fields = {name: choose.choice(values) for name, values in _VALUES.items()}
    boot_epoch = FIRST_BOOT
    for number in range(count):
        if number == count * 2 // 3:
            boot_epoch = SECOND_BOOT
        backfilled = choose.random() < 0.25
        at_s += choose.choice(_STEPS_S)
        sequences[backfilled] += choose.choice([1, 1, 1, 3])
        for name in choose.sample(list(_VALUES), 2):
            fields[name] = choose.choice(_VALUES[name])
        made.append(
            reading(vehicle_id, sequences[backfilled], at_s, fields, boot_epoch=boot_epoch, backfilled=backfilled)
        )
        if choose.random() < 0.1:
            made.append(choose.choice(made))
    return made
