import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitwall.domain.geo import MAX_CORNERS, InvalidZone, Position, Zone, distance_m, move
from tests.support.places import POINTS, SQUARE, reversed_zone


@pytest.mark.parametrize(("zone", "latitude", "longitude", "inside"), POINTS)
def test_inside(zone: Zone, latitude: float, longitude: float, inside: bool) -> None:
    assert zone.contains(Position(latitude, longitude)) is inside
    assert reversed_zone(zone).contains(Position(latitude, longitude)) is inside


@given(st.floats(-2, 3), st.floats(-2, 3))
def test_a_square_contains_what_its_bounds_say(latitude: float, longitude: float) -> None:
    assert SQUARE.contains(Position(latitude, longitude)) is (0 <= latitude <= 1 and 0 <= longitude <= 1)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 359)), min_size=3, max_size=8, unique_by=lambda p: p[1]),
    st.floats(-60, 60),
    st.floats(-60, 60),
)
def test_the_box_around_a_zone_leaves_nothing_of_it_out(
    spokes: list[tuple[int, int]], latitude: float, longitude: float
) -> None:
    """A star of any shape around its middle; with a box as wide as the world only its edges decide."""
    corners = tuple(
        Position(length * math.sin(math.radians(angle)), length * math.cos(math.radians(angle)))
        for length, angle in sorted(spokes, key=lambda spoke: spoke[1])
    )
    try:
        zone, boxless = Zone("star", corners), Zone("star", corners)
    except InvalidZone:
        return
    object.__setattr__(boxless, "_box", (-90.0, 90.0, -180.0, 180.0))
    for place in (Position(latitude, longitude), *corners):
        assert zone.contains(place) is boxless.contains(place)


@pytest.mark.parametrize(
    ("corners", "complaint"),
    [
        ([(0, 0), (1, 1)], "has 2"),
        ([(0, 0)] * (MAX_CORNERS + 1), "has 101"),
        ([(0, 0), (0, 1), (91, 0)], "corner 3: latitude 91"),
        ([(0, 0), (0, -181), (1, 0)], "corner 2: longitude -181"),
        ([(0, 0), (0, 1), (math.nan, 0)], "corner 3: latitude nan"),
        ([(0, 0), (0, math.inf), (1, 0)], "corner 2: longitude inf"),
        ([(0, 0), (0, 1), (1, 1), (0, 0)], "leave the closing corner out"),
        ([(0, 0), (1, 1), (0, 1), (1, 0)], "edge 1 crosses or touches edge 3"),
        ([(0, 0), (0, 2), (2, 2), (0, 1)], "edge 1 crosses or touches edge 3"),
        ([(0, 0), (0, 2), (0, 1)], "folds back"),
        ([(0, 179), (0, -179), (1, -179)], "180th meridian"),
    ],
)
def test_what_is_no_zone_is_refused_with_its_place(corners: list[tuple[float, float]], complaint: str) -> None:
    with pytest.raises(InvalidZone, match=complaint):
        Zone("bad", tuple(Position(*corner) for corner in corners))


def test_as_many_corners_as_allowed() -> None:
    circle = [Position(math.sin(a), math.cos(a)) for a in (math.tau * i / MAX_CORNERS for i in range(MAX_CORNERS))]
    assert Zone("circle", tuple(circle)).contains(Position(0, 0))


def test_distance_of_a_degree_of_latitude() -> None:
    assert distance_m(Position(0, 0), Position(1, 0)) == pytest.approx(111_195, abs=1)


@given(st.floats(-60, 60), st.floats(0, 359), st.floats(0.1, 5_000))
def test_moving_goes_as_far_as_told(latitude: float, heading: float, meters: float) -> None:
    start = Position(latitude, 20)
    assert distance_m(start, move(start, heading, meters)) == pytest.approx(meters, rel=0.01, abs=0.01)


def test_headings_run_clockwise_from_north() -> None:
    start = Position(10, 10)
    assert move(start, 0, 100).latitude_degrees > start.latitude_degrees
    assert move(start, 90, 100).longitude_degrees > start.longitude_degrees
