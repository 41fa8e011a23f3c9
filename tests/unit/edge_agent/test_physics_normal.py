"""Whole missions without faults: what the contract says of normal driving."""

from itertools import groupby, pairwise

import pytest

from edge_agent.simulator.faults import LIMITS, SCHEDULED, FaultKind
from edge_agent.simulator.models import model_of
from pitwall.domain.geo import Position, distance_m
from pitwall.domain.units import QUANTITIES
from pitwall.domain.vehicle_state import VehicleStatus
from tests.unit.edge_agent.rig import Moment, Rig

_S = VehicleStatus
CYCLE_S = 720.0
VEHICLES = ["KOMATSU-930E-001", "KOMATSU-980E-002", "KOMATSU-930E-003"]

#: The quantity that each alert looks at.
WATCHED = {
    FaultKind.OVERSPEED: ["speed_kph"],
    FaultKind.OVERHEATING: ["engine_temperature_celsius"],
    FaultKind.LOW_FUEL: ["fuel_level_percent"],
    FaultKind.LOW_BATTERY: ["battery_level_percent"],
    FaultKind.TIRE_PRESSURE_HIGH: [name for name in QUANTITIES if name.startswith("tire_")],
    FaultKind.TIRE_PRESSURE_LOW: [name for name in QUANTITIES if name.startswith("tire_")],
}


@pytest.fixture(scope="module", params=VEHICLES)
def two_cycles(request: pytest.FixtureRequest) -> tuple[str, list[Moment]]:
    return request.param, Rig(request.param, seed=5).run(2 * CYCLE_S)


def _legs(moments: list[Moment]) -> list[tuple[VehicleStatus, list[Moment]]]:
    """Whole legs: neither the first nor the last."""
    legs = [(status, list(leg)) for status, leg in groupby(moments, key=lambda moment: moment.status)]
    return legs[1:-1]


def test_the_cycle_is_that_of_the_contract(two_cycles: tuple[str, list[Moment]]) -> None:
    order = [_S.IDLE, _S.ROUTING, _S.LOADING, _S.HAULING, _S.DUMPING, _S.RETURNING]
    statuses = [status for status, _ in groupby(two_cycles[1], key=lambda moment: moment.status)]
    assert len(statuses) > len(order)
    assert statuses == [order[at % len(order)] for at in range(len(statuses))]


@pytest.mark.parametrize("kind", SCHEDULED)
def test_no_alert_in_normal_driving(two_cycles: tuple[str, list[Moment]], kind: FaultKind) -> None:
    for moment in two_cycles[1]:
        for name in WATCHED[kind]:
            assert not LIMITS[kind].raises(moment.values[name]), f"{name} at {moment.at_s} s"


@pytest.mark.parametrize("name", QUANTITIES)
def test_every_value_can_be_measured(two_cycles: tuple[str, list[Moment]], name: str) -> None:
    assert all(QUANTITIES[name].admits(moment.values[name]) for moment in two_cycles[1])


@pytest.mark.parametrize(
    ("status", "low", "high"), [(_S.ROUTING, 30, 60), (_S.HAULING, 20, 40), (_S.RETURNING, 30, 60)]
)
def test_a_leg_is_driven_at_the_speed_of_the_contract(
    two_cycles: tuple[str, list[Moment]], status: VehicleStatus, low: float, high: float
) -> None:
    legs = [leg for found, leg in _legs(two_cycles[1]) if found is status]
    assert legs
    for leg in legs:
        speeds = [moment.values["speed_kph"] for moment in leg]
        assert low <= max(speeds) <= high
        cruising = speeds[300:-300]  # 30 s to get going, 30 s to stand
        assert all(low <= speed <= high for speed in cruising)


def test_a_leg_begins_where_the_last_one_stood_still(two_cycles: tuple[str, list[Moment]]) -> None:
    for _, leg in _legs(two_cycles[1]):
        assert leg[0].values["speed_kph"] == 0


def test_normal_slowing_is_gentler_than_the_brake(two_cycles: tuple[str, list[Moment]]) -> None:
    for before, after in pairwise(two_cycles[1]):
        change_mps = (after.values["speed_kph"] - before.values["speed_kph"]) / 3.6
        assert change_mps >= -1.0 * 0.1 - 1e-9
        assert change_mps <= 0.8 * 0.1 + 1e-9


def test_the_brake_rests_while_it_drives(two_cycles: tuple[str, list[Moment]]) -> None:
    for _, leg in _legs(two_cycles[1]):
        driving = [moment.values["brake_pressure_psi"] for moment in leg if moment.values["speed_kph"] > 5]
        assert all(psi == 0 for psi in driving[20:])


def test_it_hauls_a_load_of_its_model_and_tips_all_of_it(two_cycles: tuple[str, list[Moment]]) -> None:
    vehicle_id, moments = two_cycles
    model = model_of(vehicle_id)
    hauls = [leg for status, leg in _legs(moments) if status is _S.HAULING]
    returns = [leg for status, leg in _legs(moments) if status is _S.RETURNING]
    assert hauls
    for leg in hauls:
        loads = {moment.values["payload_tons"] for moment in leg}
        assert len(loads) == 1
        assert model.lowest_payload_tons <= loads.pop() <= model.highest_payload_tons
    assert all(moment.values["payload_tons"] == 0 for leg in returns for moment in leg)


def test_the_load_only_grows_under_the_shovel(two_cycles: tuple[str, list[Moment]]) -> None:
    for before, after in pairwise(two_cycles[1]):
        if after.values["payload_tons"] > before.values["payload_tons"]:
            assert after.status is _S.LOADING
            assert after.values["speed_kph"] == 0


def test_the_engine_keeps_its_temperature(two_cycles: tuple[str, list[Moment]]) -> None:
    temperatures = [moment.values["engine_temperature_celsius"] for moment in two_cycles[1]]
    assert 80 <= min(temperatures) < max(temperatures) <= 95
    # It follows the load with a lag: never more than a tenth of a degree in a step.
    assert all(abs(b - a) < 0.1 for a, b in pairwise(temperatures))


def test_it_moves_along_as_fast_as_it_says(two_cycles: tuple[str, list[Moment]]) -> None:
    for before, after in list(pairwise(two_cycles[1]))[::7]:
        a, b = (Position(m.values["latitude_degrees"], m.values["longitude_degrees"]) for m in (before, after))
        mean_mps = (before.values["speed_kph"] + after.values["speed_kph"]) / 2 / 3.6
        assert distance_m(a, b) == pytest.approx(mean_mps * 0.1, rel=0.05, abs=0.01)


@pytest.mark.parametrize("time_scale", [0.5, 2, 5, 20, 100])
def test_faster_missions_keep_the_physics(time_scale: float) -> None:
    moments = Rig(seed=3, time_scale=time_scale).run(3 * CYCLE_S / max(time_scale, 2) + 200)
    hauls = [leg for status, leg in _legs(moments) if status is _S.HAULING]
    assert hauls
    for before, after in pairwise(moments):
        assert after.values["speed_kph"] - before.values["speed_kph"] <= 0.8 * 0.1 * 3.6 + 1e-9
    for kind, names in WATCHED.items():
        assert not any(LIMITS[kind].raises(moment.values[name]) for moment in moments for name in names)
    for leg in hauls:
        assert 240 <= leg[0].values["payload_tons"] <= 300
