"""The haul road of a made-up open pit in the Atacama: one loop, drawn from the seed."""

import math
import random
from dataclasses import dataclass
from typing import Final

from pitwall.domain.geo import Position, distance_m, move

PIT_CENTER: Final = Position(-24.2700, -69.0700)
PIT_RADIUS_M: Final = 1_200.0
PIT_ALTITUDE_M: Final = 3_050.0

#: Points of the table. The loop is about 8 km, so one lies about 8 m from the next.
POINTS: Final = 1024
#: The steepest that the road gets, rise over run. Gentle, so that a laden truck keeps its speed.
STEEPEST_GRADE: Final = 0.015
#: A bend of this radius or less is taken at the lowest speed, one of ten times that at full speed.
TIGHT_RADIUS_M: Final = 150.0


@dataclass(frozen=True, slots=True)
class RoadPoint:
    """One place on the road. `grade` is rise over run; `ease` is 0 in a tight bend and 1 on the straight."""

    latitude_degrees: float
    longitude_degrees: float
    altitude_meters: float
    heading_degrees: float
    grade: float
    ease: float


class Road:
    """A closed loop, driven clockwise or not as the seed has it. Places are metres from its start."""

    __slots__ = ("_points", "_spacing_m", "length_m")

    def __init__(self, seed: int) -> None:
        chance = random.Random(f"{seed}/road")  # noqa: S311 (repeatable, not secret)
        outline = _outline(chance)
        self.length_m = sum(distance_m(a, b) for a, b in zip(outline, outline[1:] + outline[:1], strict=True))
        self._spacing_m = self.length_m / POINTS
        even = _evenly(outline, self._spacing_m)
        altitudes = _altitudes(chance, self.length_m)
        self._points = tuple(_point(even, altitudes, self._spacing_m, at) for at in range(POINTS))

    def near(self, at_m: float) -> RoadPoint:
        """The table's point at or before that place; cheap, for grade and ease."""
        return self._points[int(at_m / self._spacing_m) % POINTS]

    def place(self, at_m: float) -> tuple[float, float, float, float]:
        """Latitude, longitude (degrees), altitude (m) and heading (degrees) at that place."""
        whole, share = divmod(at_m / self._spacing_m, 1.0)
        a = self._points[int(whole) % POINTS]
        b = self._points[(int(whole) + 1) % POINTS]
        return (
            a.latitude_degrees + share * (b.latitude_degrees - a.latitude_degrees),
            a.longitude_degrees + share * (b.longitude_degrees - a.longitude_degrees),
            a.altitude_meters + share * (b.altitude_meters - a.altitude_meters),
            a.heading_degrees,
        )


def _outline(chance: random.Random) -> list[Position]:
    """A circle, dented by a few waves, so that it has bends both ways."""
    waves = [(k, chance.uniform(0.02, 0.12) / k, chance.uniform(0, math.tau)) for k in (2, 3, 5, 7)]
    outline = []
    for step in range(4 * POINTS):
        angle = math.tau * step / (4 * POINTS)
        radius_m = PIT_RADIUS_M * (1 + sum(size * math.cos(k * angle + phase) for k, size, phase in waves))
        outline.append(move(PIT_CENTER, math.degrees(angle), radius_m))
    return outline if chance.random() < 0.5 else outline[::-1]


def _evenly(outline: list[Position], spacing_m: float) -> list[Position]:
    """POINTS positions along the outline, at equal distances."""
    even, walked_m = [outline[0]], 0.0
    for a, b in zip(outline, outline[1:] + outline[:1], strict=True):
        leg_m = distance_m(a, b)
        while len(even) < POINTS and walked_m + leg_m >= len(even) * spacing_m:
            share = (len(even) * spacing_m - walked_m) / leg_m
            even.append(_between(a, b, share))
        walked_m += leg_m
    return even


def _between(a: Position, b: Position, share: float) -> Position:
    return Position(
        a.latitude_degrees + share * (b.latitude_degrees - a.latitude_degrees),
        a.longitude_degrees + share * (b.longitude_degrees - a.longitude_degrees),
    )


def _altitudes(chance: random.Random, length_m: float) -> list[float]:
    """Two waves around the loop, scaled so that their steepest places together are STEEPEST_GRADE."""
    phases = [chance.uniform(0, math.tau), chance.uniform(0, math.tau)]
    shares = {1: 0.65, 2: 0.35}
    heights = {k: share * STEEPEST_GRADE * length_m / (math.tau * k) for k, share in shares.items()}
    return [
        PIT_ALTITUDE_M
        + sum(
            height * math.sin(math.tau * k * at / POINTS + phase)
            for (k, height), phase in zip(heights.items(), phases, strict=True)
        )
        for at in range(POINTS)
    ]


def _point(even: list[Position], altitudes: list[float], spacing_m: float, at: int) -> RoadPoint:
    after, before = (at + 1) % POINTS, (at - 1) % POINTS
    heading = _bearing(even[at], even[after])
    turn = abs((heading - _bearing(even[before], even[at]) + 180) % 360 - 180)
    radius_m = spacing_m / max(math.radians(turn), 1e-6)
    return RoadPoint(
        latitude_degrees=even[at].latitude_degrees,
        longitude_degrees=even[at].longitude_degrees,
        altitude_meters=altitudes[at],
        heading_degrees=heading,
        grade=(altitudes[after] - altitudes[at]) / spacing_m,
        ease=min(max((radius_m / TIGHT_RADIUS_M - 1) / 9, 0.0), 1.0),
    )


def _bearing(a: Position, b: Position) -> float:
    """Degrees clockwise from north, 0 up to but not including 360, on the plane: for neighbours."""
    north = b.latitude_degrees - a.latitude_degrees
    east = (b.longitude_degrees - a.longitude_degrees) * math.cos(math.radians(a.latitude_degrees))
    bearing = math.degrees(math.atan2(east, north)) % 360
    return 0.0 if bearing >= 360 else bearing
