"""A truck's insides, one value at a time."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.simulator.machine import Machine
from edge_agent.simulator.models import KOMATSU_930E
from edge_agent.vehicle_wire import QUANTITY_NAMES
from pitwall.domain.units import QUANTITIES
from pitwall.domain.vehicle_state import VehicleStatus

_S = VehicleStatus
NAMES = QUANTITY_NAMES[2:12]


def machine(seed: int = 1) -> Machine:
    return Machine(KOMATSU_930E, random.Random(seed))


def step(
    one: Machine,
    since_s: float,
    *,
    effort: float = 0.0,
    speed_mps: float = 0.0,
    load_share: float = 0.0,
    brake_share: float = 0.0,
    status: VehicleStatus | None = _S.HAULING,
) -> dict[str, float]:
    one.step(
        since_s,
        effort=effort,
        speed_mps=speed_mps,
        load_share=load_share,
        brake_share=brake_share,
        status=status,
    )
    return dict(zip(NAMES, one.quantities(), strict=True))


def test_coolant_follows_the_load_with_a_lag() -> None:
    one = machine()
    before = step(one, 0.001)["engine_temperature_celsius"]
    soon = step(one, 10.0, effort=1.0)["engine_temperature_celsius"]
    late = [step(one, 10.0, effort=1.0)["engine_temperature_celsius"] for _ in range(60)][-1]
    assert before < soon < before + 3
    assert late == pytest.approx(93, abs=0.1)
    assert step(one, 10.0)["engine_temperature_celsius"] > 90


def test_brake_pressure_rises_at_once_and_is_nothing_when_released() -> None:
    one = machine()
    for _ in range(20):
        step(one, 0.1)
    assert step(one, 0.1)["brake_pressure_psi"] == 0
    rising = [step(one, 0.1, brake_share=1.0)["brake_pressure_psi"] for _ in range(10)]
    assert rising == sorted(rising)
    assert rising[0] > 1_000
    assert rising[-1] == pytest.approx(2_400, rel=0.01)


def test_a_parked_truck_is_held_by_less_pressure() -> None:
    one = machine()
    assert step(one, 10.0, brake_share=1 / 3)["brake_pressure_psi"] == pytest.approx(800, rel=0.01)


def test_tyres_warm_up_with_speed_and_load() -> None:
    cold = step(machine(), 0.001)
    warm_machine = machine()
    for _ in range(100):
        warm = step(warm_machine, 60.0, speed_mps=15, load_share=1.0)
    for name in cold:
        if name.startswith("tire_"):
            assert 93 < cold[name] < 99
            assert cold[name] + 8 < warm[name] < 115


def test_more_effort_burns_more_fuel_and_turns_the_engine_faster() -> None:
    def after_an_hour(effort: float) -> dict[str, float]:
        one = machine()
        for _ in range(60):
            values = step(one, 60.0, effort=effort)
        return values

    runs = [after_an_hour(effort) for effort in (0.0, 0.3, 0.6, 1.0)]
    fuels = [values["fuel_level_percent"] for values in runs]
    speeds = [values["engine_rpm"] for values in runs]
    assert fuels == sorted(fuels, reverse=True)
    assert len(set(fuels)) == len(fuels)
    assert speeds == sorted(speeds)
    assert 700 <= speeds[0] < speeds[-1] <= 1_900


def test_a_week_of_hard_work_finds_a_bowser_in_time() -> None:
    one = machine()
    levels = []
    for _ in range(7 * 24 * 4):
        levels.append(step(one, 840.0, effort=0.6)["fuel_level_percent"])
        levels.append(step(one, 60.0, brake_share=1 / 3, status=_S.IDLE)["fuel_level_percent"])
    assert min(levels) > 17
    assert any(after > before for before, after in itertools.pairwise(levels))


def test_nobody_refuels_a_truck_that_drives_or_has_enough() -> None:
    one = machine()
    level = step(one, 0.001)["fuel_level_percent"]
    assert step(one, 60.0, brake_share=1 / 3, status=_S.IDLE)["fuel_level_percent"] < level
    while level > 29:
        level = step(one, 60.0, effort=1.0)["fuel_level_percent"]
    assert step(one, 60.0, effort=1.0)["fuel_level_percent"] < level


def test_switched_off_it_cools_down_and_burns_nothing() -> None:
    one = machine()
    before = step(one, 0.001, status=_S.OFFLINE)
    for _ in range(100):
        after = step(one, 60.0, brake_share=1 / 3, status=_S.OFFLINE)
    assert after["fuel_level_percent"] == before["fuel_level_percent"]
    assert after["engine_rpm"] == 0
    assert after["engine_temperature_celsius"] < 40
    assert after["battery_volts"] < before["battery_volts"] - 2 or before["battery_volts"] < 26


def test_a_month_switched_off_leaves_the_batteries_able_to_crank() -> None:
    one = machine()
    for _ in range(30):
        values = step(one, 86_400.0, brake_share=1 / 3, status=_S.OFFLINE)
    assert values["battery_level_percent"] > 22


@given(
    seed=st.integers(0, 50),
    steps=st.lists(
        st.tuples(
            st.floats(1e-3, 3_600),
            st.floats(0, 1),
            st.floats(0, 19),
            st.floats(0, 1),
            st.sampled_from([0.0, 1 / 3, 1.0]),
            st.sampled_from([None, *VehicleStatus]),
        ),
        max_size=30,
    ),
)
def test_whatever_happens_every_value_can_be_measured(
    seed: int, steps: list[tuple[float, float, float, float, float, VehicleStatus | None]]
) -> None:
    one = machine(seed)
    for since_s, effort, speed_mps, load_share, brake_share, status in steps:
        values = step(
            one,
            since_s,
            effort=effort,
            speed_mps=speed_mps,
            load_share=load_share,
            brake_share=brake_share,
            status=status,
        )
        for name, value in values.items():
            assert QUANTITIES[name].admits(value), name
