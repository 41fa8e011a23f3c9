"""Zones and points, and which are inside: the one table for all who judge that."""

from typing import Final

from pitwall.domain.geo import Position, Zone

SQUARE: Final = Zone("square", (Position(0, 0), Position(0, 1), Position(1, 1), Position(1, 0)))
#: A U, open to the north: its notch is outside.
NOTCHED: Final = Zone(
    "u", tuple(Position(*p) for p in [(0, 0), (0, 3), (3, 3), (3, 2), (1, 2), (1, 1), (3, 1), (3, 0)])
)

#: Zone, latitude and longitude in degrees, whether it is inside.
POINTS: Final = [
    (SQUARE, 0.5, 0.5, True),
    (SQUARE, 1.0000001, 0.5, False),
    (SQUARE, -0.0000001, 0.5, False),
    (SQUARE, 0.5, 1.0000001, False),
    (SQUARE, 0.5, -0.0000001, False),
    # The edge and the corner belong to it.
    (SQUARE, 0.0, 0.5, True),
    (SQUARE, 0.5, 1.0, True),
    (SQUARE, 1.0, 1.0, True),
    # West of it, level with a corner.
    (SQUARE, 0.0, -1.0, False),
    (SQUARE, 1.0, -1.0, False),
    (NOTCHED, 2.0, 1.5, False),
    (NOTCHED, 2.0, 0.5, True),
    (NOTCHED, 2.0, 2.5, True),
    (NOTCHED, 0.5, 1.5, True),
]


def reversed_zone(zone: Zone) -> Zone:
    """The same, its corners listed the other way around."""
    return Zone(zone.name, zone.corners[::-1])
