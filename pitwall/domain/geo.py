"""Places on the ground: positions, zones, distances.

A mine is a few kilometres wide, so a zone is judged on the plane of its own degrees: the error against the sphere is
centimetres, far below that of any receiver. Zones across the 180th meridian are refused.
"""

import math
from dataclasses import dataclass, field

#: Mean radius of the Earth, metres (IUGG).
EARTH_RADIUS_M = 6_371_008.8

MIN_CORNERS = 3
MAX_CORNERS = 100

#: The box around a zone is this much wider, degrees (a tenth of a millimetre), so that no rounding is left out of it.
_BOX_MARGIN = 1e-9


class InvalidZone(ValueError):
    """Says which corner or edge is wrong."""


@dataclass(frozen=True, slots=True)
class Position:
    """WGS 84, degrees."""

    latitude_degrees: float
    longitude_degrees: float


@dataclass(frozen=True, slots=True)
class Zone:
    """A simple polygon, closed by itself. The edge belongs to it.

    Raises InvalidZone for fewer than 3 or more than 100 corners, a corner off the globe, two corners in one place,
    crossing edges, or a width of more than 180 degrees.
    """

    name: str
    corners: tuple[Position, ...]
    #: South, north, west, east. Most positions are outside of most boxes, and a box takes a thirtieth of a polygon.
    _box: tuple[float, float, float, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not MIN_CORNERS <= len(self.corners) <= MAX_CORNERS:
            raise InvalidZone(f"a zone has {MIN_CORNERS} to {MAX_CORNERS} corners, this one has {len(self.corners)}")
        for number, corner in enumerate(self.corners, 1):
            _check_corner(number, corner)
        if len(set(self.corners)) < len(self.corners):
            raise InvalidZone("two corners are in the same place; leave the closing corner out")
        longitudes = [corner.longitude_degrees for corner in self.corners]
        if max(longitudes) - min(longitudes) > 180:
            raise InvalidZone("a zone can't cross the 180th meridian; make two of it")
        _check_edges(self.corners)
        object.__setattr__(self, "_box", _box_of(self.corners))

    def contains(self, position: Position) -> bool:
        """Whether the position is inside or on the edge."""
        south, north, west, east = self._box
        if not (south <= position.latitude_degrees <= north and west <= position.longitude_degrees <= east):
            return False
        inside = False
        for a, b in _edges(self.corners):
            if _on_segment(a, b, position):
                return True
            if (a.latitude_degrees > position.latitude_degrees) != (b.latitude_degrees > position.latitude_degrees):
                # The edge crosses this latitude; count it when it does so east of the position.
                share = (position.latitude_degrees - a.latitude_degrees) / (b.latitude_degrees - a.latitude_degrees)
                crossing = a.longitude_degrees + share * (b.longitude_degrees - a.longitude_degrees)
                inside ^= position.longitude_degrees < crossing
        return inside


def _box_of(corners: tuple[Position, ...]) -> tuple[float, float, float, float]:
    latitudes = [corner.latitude_degrees for corner in corners]
    longitudes = [corner.longitude_degrees for corner in corners]
    return (
        min(latitudes) - _BOX_MARGIN,
        max(latitudes) + _BOX_MARGIN,
        min(longitudes) - _BOX_MARGIN,
        max(longitudes) + _BOX_MARGIN,
    )


def _check_corner(number: int, corner: Position) -> None:
    if not (math.isfinite(corner.latitude_degrees) and -90 <= corner.latitude_degrees <= 90):
        raise InvalidZone(f"corner {number}: latitude {corner.latitude_degrees} is not within -90 to 90 degrees")
    if not (math.isfinite(corner.longitude_degrees) and -180 <= corner.longitude_degrees <= 180):
        raise InvalidZone(f"corner {number}: longitude {corner.longitude_degrees} is not within -180 to 180 degrees")


def _edges(corners: tuple[Position, ...]) -> list[tuple[Position, Position]]:
    return list(zip(corners, corners[1:] + corners[:1], strict=True))


def _check_edges(corners: tuple[Position, ...]) -> None:
    edges = _edges(corners)
    for i, (a, b) in enumerate(edges):
        for j in range(i + 1, len(edges)):
            c, d = edges[j]
            if b == c or d == a:
                _check_neighbours(i, j, (a, b), (c, d))
            elif _touch(a, b, c, d):
                raise InvalidZone(
                    f"edge {i + 1} crosses or touches edge {j + 1}; list the corners in order around the zone"
                )


def _check_neighbours(i: int, j: int, first: tuple[Position, Position], second: tuple[Position, Position]) -> None:
    """Neighbours share a corner; folded back onto each other they enclose nothing there."""
    (a, b), (c, d) = first, second
    shared, p, q = (b, a, d) if b == c else (a, b, c)
    if _on_segment(shared, p, q) or _on_segment(shared, q, p):
        raise InvalidZone(f"edge {i + 1} folds back onto edge {j + 1}; list the corners in order around the zone")


def _turn(a: Position, b: Position, c: Position) -> float:
    """Positive where a-b-c turns left, 0 on a line."""
    return (b.longitude_degrees - a.longitude_degrees) * (c.latitude_degrees - a.latitude_degrees) - (
        b.latitude_degrees - a.latitude_degrees
    ) * (c.longitude_degrees - a.longitude_degrees)


def _on_segment(a: Position, b: Position, p: Position) -> bool:
    return (
        _turn(a, b, p) == 0
        and min(a.latitude_degrees, b.latitude_degrees)
        <= p.latitude_degrees
        <= max(a.latitude_degrees, b.latitude_degrees)
        and min(a.longitude_degrees, b.longitude_degrees)
        <= p.longitude_degrees
        <= max(a.longitude_degrees, b.longitude_degrees)
    )


def _touch(a: Position, b: Position, c: Position, d: Position) -> bool:
    """Whether the segments a-b and c-d have a point in common."""
    if _on_segment(a, b, c) or _on_segment(a, b, d) or _on_segment(c, d, a) or _on_segment(c, d, b):
        return True
    return (_turn(a, b, c) > 0) != (_turn(a, b, d) > 0) and (_turn(c, d, a) > 0) != (_turn(c, d, b) > 0)


def distance_m(a: Position, b: Position) -> float:
    """Great-circle distance in metres (haversine)."""
    lat_a, lat_b = math.radians(a.latitude_degrees), math.radians(b.latitude_degrees)
    half_lat = (lat_b - lat_a) / 2
    half_lon = math.radians(b.longitude_degrees - a.longitude_degrees) / 2
    h = math.sin(half_lat) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(h)))


def move(position: Position, heading_degrees: float, meters: float) -> Position:
    """The position so many metres further on a heading (clockwise from north). For distances within a mine."""
    heading = math.radians(heading_degrees)
    north = meters * math.cos(heading) / EARTH_RADIUS_M
    east = meters * math.sin(heading) / (EARTH_RADIUS_M * math.cos(math.radians(position.latitude_degrees)))
    return Position(position.latitude_degrees + math.degrees(north), position.longitude_degrees + math.degrees(east))
