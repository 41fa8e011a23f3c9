"""A zone from a file: a GeoJSON polygon (RFC 7946), or a plain list of corners.

A plain corner names its degrees, because a bare pair of numbers is latitude first to some people and longitude first to
others, and a zone in the wrong place stops nobody.
"""

import json
from pathlib import Path

from console.failures import UsageProblem
from pitwall.domain.geo import InvalidZone, Position, Zone

MAX_FILE_BYTES = 1_000_000

_LATITUDE_KEYS = ("latitude_degrees", "latitudeDegrees", "latitude", "lat")
_LONGITUDE_KEYS = ("longitude_degrees", "longitudeDegrees", "longitude", "lon")
_EXAMPLE = '[{"lat": -23.36, "lon": 119.73}, …] or a GeoJSON Polygon'


class _BadFile(ValueError):
    """`field` is the path in the document, as in `geometry.coordinates[0][2]`."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)


def read_zone(path: Path) -> Zone:
    """The zone in a file, called as the file says or as it is named. Raises UsageProblem naming the field."""
    try:
        name, corners = _polygon(_document(path), "")
        return Zone(name or path.stem, tuple(corners))
    except (_BadFile, InvalidZone) as error:
        raise UsageProblem(f"--zone {path}: {error}", fix=f"write the zone as {_EXAMPLE}") from error


def _document(path: Path) -> object:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _BadFile("", str(error.strerror)) from error
    if len(raw) > MAX_FILE_BYTES:
        raise _BadFile("", f"has {len(raw):,} bytes, at most {MAX_FILE_BYTES:,} are read")
    try:
        document: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _BadFile("", f"is no JSON: {error}") from error
    return document


def _polygon(document: object, where: str) -> tuple[str, list[Position]]:
    if isinstance(document, list):
        return "", [_named_corner(corner, f"{where}[{index}]") for index, corner in enumerate(document)]
    match _member(document, "type", where):
        case "FeatureCollection":
            features = _list(document, "features", where)
            if len(features) != 1:
                raise _BadFile(_at(where, "features"), f"has {len(features)}, a zone is one polygon")
            return _polygon(features[0], _at(where, "features[0]"))
        case "Feature":
            name, corners = _polygon(_member(document, "geometry", where), _at(where, "geometry"))
            return _feature_name(document) or name, corners
        case "Polygon":
            return "", _ring(_list(document, "coordinates", where), _at(where, "coordinates"))
        case other:
            raise _BadFile(_at(where, "type"), f"is {other!r}; a zone is a Polygon, or a Feature that holds one")


def _ring(rings: list[object], where: str) -> list[Position]:
    if len(rings) != 1:
        raise _BadFile(where, f"has {len(rings)} rings; a zone is one ring without holes")
    ring = rings[0]
    if not isinstance(ring, list):
        raise _BadFile(f"{where}[0]", "is no list of corners")
    corners = [_pair(corner, f"{where}[0][{index}]") for index, corner in enumerate(ring)]
    # RFC 7946, 3.1.6: the last corner of a ring repeats the first.
    if len(corners) < 2 or corners[0] != corners[-1]:
        raise _BadFile(f"{where}[0]", "is not closed: in GeoJSON the last corner repeats the first")
    return corners[:-1]


def _pair(corner: object, where: str) -> Position:
    """RFC 7946, 3.1.1: longitude, latitude, perhaps altitude."""
    if not isinstance(corner, list) or not 2 <= len(corner) <= 3:
        raise _BadFile(where, "is no [longitude, latitude]")
    return Position(_number(corner[1], f"{where}[1]"), _number(corner[0], f"{where}[0]"))


def _named_corner(corner: object, where: str) -> Position:
    if not isinstance(corner, dict):
        raise _BadFile(where, 'is no {"lat": …, "lon": …}; a bare pair of numbers could be either way round')
    return Position(_degrees(corner, _LATITUDE_KEYS, where), _degrees(corner, _LONGITUDE_KEYS, where))


def _degrees(corner: dict[str, object], keys: tuple[str, ...], where: str) -> float:
    for key in keys:
        if key in corner:
            return _number(corner[key], _at(where, key))
    raise _BadFile(_at(where, keys[-1]), "is missing")


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _BadFile(where, f"{value!r} is no number")
    return float(value)


def _member(document: object, key: str, where: str) -> object:
    if not isinstance(document, dict):
        raise _BadFile(where, f"{document!r:.80} is neither a list of corners nor a GeoJSON object")
    if key not in document:
        raise _BadFile(_at(where, key), "is missing")
    return document[key]


def _list(document: object, key: str, where: str) -> list[object]:
    value = _member(document, key, where)
    if not isinstance(value, list):
        raise _BadFile(_at(where, key), "is no list")
    return value


def _feature_name(feature: object) -> str:
    properties = feature.get("properties") if isinstance(feature, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    return name if isinstance(name, str) else ""


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
