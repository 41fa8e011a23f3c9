"""A zone file is taken whole or refused with the field that is wrong."""

import json
from pathlib import Path

import pytest

from console.failures import UsageProblem
from console.zone_file import read_zone
from pitwall.domain.geo import Position

RING = [[119.7, -23.3], [119.8, -23.3], [119.8, -23.4], [119.7, -23.3]]
POLYGON = {"type": "Polygon", "coordinates": [RING]}
CORNERS = (Position(-23.3, 119.7), Position(-23.3, 119.8), Position(-23.4, 119.8))


def write(folder: Path, document: object) -> Path:
    path = folder / "ramp-3.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (POLYGON, "ramp-3"),
        ({"type": "Polygon", "coordinates": [[[*corner, 640.0] for corner in RING]]}, "ramp-3"),
        ({"type": "Feature", "properties": {"name": "Ramp 3"}, "geometry": POLYGON}, "Ramp 3"),
        ({"type": "Feature", "properties": None, "geometry": POLYGON}, "ramp-3"),
        (
            {
                "type": "FeatureCollection",
                "features": [{"type": "Feature", "properties": {"name": "R"}, "geometry": POLYGON}],
            },
            "R",
        ),
        ([{"lat": corner[1], "lon": corner[0]} for corner in RING[:-1]], "ramp-3"),
        ([{"latitude_degrees": corner[1], "longitude_degrees": corner[0]} for corner in RING[:-1]], "ramp-3"),
    ],
)
def test_each_form_gives_the_same_corners(tmp_path: Path, document: object, name: str) -> None:
    zone = read_zone(write(tmp_path, document))
    assert (zone.name, zone.corners) == (name, CORNERS)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("7", "neither a list of corners nor a GeoJSON object"),
        ({}, "type: is missing"),
        ({"type": "Point", "coordinates": [1, 2]}, "type: is 'Point'"),
        ({"type": "Polygon"}, "coordinates: is missing"),
        ({"type": "Polygon", "coordinates": 5}, "coordinates: is no list"),
        ({"type": "Polygon", "coordinates": [RING, RING]}, "coordinates: has 2 rings"),
        ({"type": "Polygon", "coordinates": [RING[:-1]]}, "coordinates[0]: is not closed"),
        ({"type": "Polygon", "coordinates": [[[1], [2]]]}, "coordinates[0][0]: is no [longitude, latitude]"),
        ({"type": "Polygon", "coordinates": [[["1", 2], [2, 3]]]}, "coordinates[0][0][0]: '1' is no number"),
        ({"type": "Feature", "properties": {}}, "geometry: is missing"),
        ({"type": "Feature", "geometry": {"type": "Polygon"}}, "geometry.coordinates: is missing"),
        ({"type": "FeatureCollection", "features": []}, "features: has 0"),
        ([[1, 2], [3, 4], [5, 6]], "[0]: is no"),
        ([{"lat": 1, "lon": 2}, {"lat": 1}], "[1].lon: is missing"),
        ([{"lat": True, "lon": 2}], "[0].lat: True is no number"),
        ([{"lat": 1, "lon": 2}, {"lat": 1, "lon": 3}], "3 to 100 corners"),
        ([{"lat": 1, "lon": 2}, {"lat": 91, "lon": 3}, {"lat": 1, "lon": 4}], "corner 2: latitude 91"),
        ('[{"lat": NaN, "lon": 2}, {"lat": 1, "lon": 3}, {"lat": 1, "lon": 4}]', "corner 1: latitude nan"),
    ],
)
def test_a_bad_file_is_refused_with_the_field(tmp_path: Path, document: object, named: str) -> None:
    path = write(tmp_path, document)
    with pytest.raises(UsageProblem) as error:
        read_zone(path)
    assert named in error.value.message
    assert str(path) in error.value.message
    assert error.value.exit_code == 2


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="No such file"):
        read_zone(tmp_path / "nothing.json")
