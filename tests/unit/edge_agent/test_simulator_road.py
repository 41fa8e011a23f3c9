"""The road, the fleet and how they come together."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from edge_agent.fleet import MAX_FLEET, REPLAY_VEHICLE_ID, fleet_ids
from edge_agent.simulator.build import build_vehicles
from edge_agent.simulator.config import PlantSettings
from edge_agent.simulator.models import KOMATSU_930E, KOMATSU_980E, model_of
from edge_agent.simulator.replay import InvalidRecording
from edge_agent.simulator.road import PIT_CENTER, STEEPEST_GRADE, Road
from pitwall.domain.geo import Position, distance_m, move
from pitwall.domain.units import QUANTITIES
from tests.unit.edge_agent.rig import START_S, sample_of

SEEDS = range(8)


def places(road: Road, count: int = 500) -> list[tuple[float, float, float, float]]:
    return [road.place(road.length_m * at / count) for at in range(count)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_road_is_a_closed_loop_of_its_own_length(seed: int) -> None:
    road = Road(seed)
    round_trip = [*places(road), road.place(road.length_m)]
    legs = [distance_m(Position(*a[:2]), Position(*b[:2])) for a, b in pairwise(round_trip)]
    assert sum(legs) == pytest.approx(road.length_m, rel=0.01)
    assert max(legs) == pytest.approx(min(legs), rel=0.05)
    assert 6_000 < road.length_m < 12_000


@pytest.mark.parametrize("seed", SEEDS)
def test_the_road_stays_in_its_pit_and_is_never_steep(seed: int) -> None:
    road = Road(seed)
    for latitude, longitude, altitude_m, heading in places(road):
        assert distance_m(PIT_CENTER, Position(latitude, longitude)) < 2_000
        assert 2_900 < altitude_m < 3_200
        assert QUANTITIES["heading_degrees"].admits(heading)
    steepest = max(abs(road.near(at * 8.0).grade) for at in range(2_000))
    assert 0 < steepest <= STEEPEST_GRADE * 1.01


@pytest.mark.parametrize("seed", SEEDS)
def test_the_heading_is_the_way_it_goes(seed: int) -> None:
    road = Road(seed)
    for at_m in range(0, 7_000, 200):
        latitude, longitude, _, heading = road.place(at_m)
        ahead = road.place(at_m + 10)
        guess = move(Position(latitude, longitude), heading, 10)
        assert distance_m(guess, Position(*ahead[:2])) < 1.5


def test_the_road_repeats_by_seed() -> None:
    assert places(Road(3)) == places(Road(3))
    assert places(Road(3)) != places(Road(4))


@pytest.mark.parametrize(
    ("count", "ids"),
    [
        (0, ()),
        (1, ("KOMATSU-930E-001",)),
        (3, ("KOMATSU-930E-001", "KOMATSU-980E-002", "KOMATSU-930E-003")),
    ],
)
def test_odd_numbers_are_930e_and_even_ones_980e(count: int, ids: tuple[str, ...]) -> None:
    assert fleet_ids(count) == ids


def test_a_fleet_is_shared_out_by_number() -> None:
    assert fleet_ids(2) + fleet_ids(3, first=3) == fleet_ids(5)
    assert fleet_ids(1, first=MAX_FLEET) == fleet_ids(MAX_FLEET)[-1:]


@pytest.mark.parametrize(("count", "first"), [(-1, 1), (MAX_FLEET + 1, 1), (2, MAX_FLEET), (1, 0)])
def test_a_fleet_that_the_socket_cannot_number_is_refused(count: int, first: int) -> None:
    with pytest.raises(ValueError, match=f"fleet is {count} vehicles from number {first} on; .* 1 to {MAX_FLEET}"):
        fleet_ids(count, first)


def test_all_ids_are_different_and_well_formed() -> None:
    ids = [*fleet_ids(MAX_FLEET), REPLAY_VEHICLE_ID]
    assert len(set(ids)) == MAX_FLEET + 1
    assert all(re.fullmatch(r"[A-Z0-9][A-Z0-9-]{2,62}", vehicle_id) for vehicle_id in ids)


def test_a_model_is_known_by_the_id() -> None:
    assert model_of("KOMATSU-930E-001") is KOMATSU_930E
    assert model_of("KOMATSU-980E-002") is KOMATSU_980E


def settings(**more: object) -> PlantSettings:
    paths = {"vehicle_socket": Path("v"), "control_socket": Path("c"), "plant_dir": Path("p")}
    return PlantSettings.model_validate({**paths, "fleet": 4, **more})


def test_the_fleet_stands_spread_along_the_road() -> None:
    vehicles = build_vehicles(settings(), START_S)
    assert tuple(vehicle.vehicle_id for vehicle in vehicles) == fleet_ids(4)
    positions = [sample_of(vehicle).position for vehicle in vehicles]
    for a, b in pairwise(positions):
        assert a is not None
        assert b is not None
        assert distance_m(a, b) > 1_000


def test_the_same_settings_give_the_same_fleet() -> None:
    one, other = (
        [vehicle.body.quantities() for vehicle in build_vehicles(settings(seed=9), START_S)] for _ in range(2)
    )
    assert one == other
    assert one != [vehicle.body.quantities() for vehicle in build_vehicles(settings(seed=10), START_S)]


def test_a_bad_recording_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecording, match=r"none\.csv"):
        build_vehicles(settings(replay=tmp_path / "none.csv"), START_S)
