"""What moves a truck and what stops it."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.simulator.body import LONGEST_CATCH_UP_S, LONGEST_STEP_S, Drive, steps
from edge_agent.simulator.faults import OVERSPEED_LASTS_S, OVERSPEED_SEEN_S, FaultKind
from edge_agent.simulator.truck import Truck
from edge_agent.vehicle import LOWEST_DECELERATION_MPS2
from edge_agent.vehicle_wire import QUANTITY_NAMES
from pitwall.domain.units import QUANTITIES
from pitwall.domain.vehicle_state import VehicleStatus
from tests.unit.edge_agent.rig import truck

_S = VehicleStatus
NAMES = tuple(QUANTITIES)
DENIED = Drive(may_move=False, status=_S.HAULING)


def values(one: Truck) -> dict[str, float]:
    return dict(zip(NAMES, one.quantities(), strict=True))


def driving(kph: float, status: VehicleStatus = _S.ROUTING, *, laden: bool = False) -> Truck:
    """At about that speed, on its way."""
    one = truck()
    if laden:
        for _ in range(1_000):
            one.advance(0.1, Drive(True, _S.LOADING))
        assert values(one)["payload_tons"] >= 240
    while one.speed_kph < kph:
        one.advance(0.1, Drive(True, status))
    return one


def test_it_stands_braked_before_anybody_says_anything() -> None:
    one = truck()
    assert one.braking
    assert one.speed_kph == 0
    assert values(one)["brake_pressure_psi"] > 0


@pytest.mark.parametrize("laden", [False, True])
@pytest.mark.parametrize("kph", [1, 5, 10, 20, 30, 35])
def test_denied_it_slows_by_at_most_3_and_at_least_the_promised_deceleration(kph: float, laden: bool) -> None:
    one = driving(kph, _S.HAULING, laden=laden)
    speeds = [one.speed_kph / 3.6]
    while one.speed_kph > 0:
        one.advance(0.1, DENIED)
        speeds.append(one.speed_kph / 3.6)
    changes = [(a - b) / 0.1 for a, b in itertools.pairwise(speeds)]
    assert max(changes) <= 3.0 + 1e-9
    assert all(change >= LOWEST_DECELERATION_MPS2 - 1e-9 for change in changes[:-1])
    assert 0.1 * (len(speeds) - 1) <= speeds[0] / LOWEST_DECELERATION_MPS2 + 0.1


def test_a_laden_truck_needs_longer_to_stand() -> None:
    def stands_after_s(one: Truck) -> float:
        after_s = 0.0
        while one.speed_kph > 0:
            one.advance(0.01, DENIED)
            after_s += 0.01
        return after_s

    assert stands_after_s(driving(30, _S.HAULING, laden=True)) > stands_after_s(driving(30, _S.HAULING)) + 0.3


def test_the_brake_answers_at_once_and_not_with_the_next_step() -> None:
    one = driving(30)
    assert not one.braking
    one.advance(0.0, DENIED)
    assert one.braking


def test_an_empty_truck_gathers_speed_faster_than_a_laden_one() -> None:
    def after_10_s(one: Truck) -> float:
        for _ in range(100):
            one.advance(0.1, Drive(True, _S.HAULING))
        return one.speed_kph

    laden = driving(0.001, _S.HAULING, laden=True)
    empty = driving(0.001, _S.HAULING)
    assert after_10_s(laden) < after_10_s(empty) - 3
    assert after_10_s(laden) > 0


def test_a_laden_truck_burns_more_fuel_on_the_same_road() -> None:
    def spent(laden: bool) -> float:
        one = driving(5, _S.HAULING, laden=laden)
        before = values(one)["fuel_level_percent"]
        start_m = one._at_m
        while (one._at_m - start_m) % 7_000 < 1_000:
            one.advance(0.1, Drive(True, _S.HAULING))
        return before - values(one)["fuel_level_percent"]

    assert spent(laden=True) > 1.3 * spent(laden=False) > 0


@pytest.mark.parametrize("status", [_S.IDLE, _S.DUMPING, _S.MAINTENANCE, _S.OFFLINE, _S.EMERGENCY_STOP, _S.ERROR, None])
def test_leave_to_move_without_anything_to_do_moves_nothing(status: VehicleStatus | None) -> None:
    one = truck()
    for _ in range(300):
        one.advance(0.1, Drive(True, status))
    assert one.speed_kph == 0


def test_slowing_brings_it_to_a_stand_by_the_retarder() -> None:
    one = driving(40)
    for _ in range(150):
        before = one.speed_kph
        one.advance(0.1, Drive(True, _S.ROUTING, slowing=True))
        assert before - one.speed_kph <= 0.1 * 3.6 + 1e-9
    assert one.speed_kph == 0
    assert not one.braking


def test_overspeed_acts_while_it_drives_and_ends_by_itself() -> None:
    one = truck()
    one.start_fault(FaultKind.OVERSPEED)
    for _ in range(300):
        one.advance(0.1, Drive(True, _S.IDLE))
    assert one.speed_kph == 0
    speeds = []
    for _ in range(600):
        one.advance(0.1, Drive(True, _S.ROUTING))
        speeds.append(one.speed_kph)
    assert 150 <= sum(speed > 60 for speed in speeds) <= 300
    assert max(speeds) < 70
    assert speeds[-1] < 57
    assert one.active_faults == frozenset()


@pytest.mark.parametrize(("vehicle_id", "rated_tons"), [("KOMATSU-930E-001", 290), ("KOMATSU-980E-001", 369)])
def test_an_overloaded_truck_says_so_until_it_is_over(vehicle_id: str, rated_tons: float) -> None:
    one, payload = truck(vehicle_id), QUANTITY_NAMES.index("payload_tons")
    one.start_fault(FaultKind.OVERLOAD)
    one.advance(0.1, Drive(True, _S.ROUTING))
    assert 1.1 * rated_tons < one.quantities()[payload] <= 1.25 * rated_tons
    assert one.active_faults == {FaultKind.OVERLOAD}
    one.end_fault(FaultKind.OVERLOAD)
    assert (one.quantities()[payload], one.active_faults) == (0, frozenset())


@pytest.mark.parametrize("kph", [5, 40, 62, 66])
def test_overspeed_never_defeats_a_brake_order(kph: float) -> None:
    one = truck()
    one.start_fault(FaultKind.OVERSPEED)
    while one.speed_kph < kph:
        one.advance(0.1, Drive(True, _S.ROUTING))
    for _ in range(round(kph / 3.6 / LOWEST_DECELERATION_MPS2 / 0.1) + 1):
        before = one.speed_kph
        one.advance(0.1, Drive(False, _S.ROUTING))
        assert one.speed_kph < before or before == 0
    assert one.speed_kph == 0


@pytest.mark.parametrize(
    ("since_s", "expected"),
    [
        (-1.0, []),
        (0.0, []),
        (0.1, [0.1]),
        (LONGEST_STEP_S, [LONGEST_STEP_S]),
        (1.2, [0.5, 0.5, pytest.approx(0.2)]),
        (1e9, [LONGEST_STEP_S] * round(LONGEST_CATCH_UP_S / LONGEST_STEP_S)),
    ],
)
def test_time_is_cut_into_steps(since_s: float, expected: list[float]) -> None:
    assert steps(since_s) == expected


DRIVES = st.builds(Drive, may_move=st.booleans(), status=st.sampled_from([None, *VehicleStatus]), slowing=st.booleans())
RUNS = st.lists(
    st.tuples(st.floats(0, 3.0), DRIVES, st.sampled_from([None, None, None, *FaultKind])), min_size=1, max_size=60
)


@settings(max_examples=60)
@given(seed=st.integers(0, 30), run=RUNS, time_scale=st.sampled_from([1.0, 10.0]))
def test_whatever_it_is_told_the_laws_hold(
    seed: int, run: list[tuple[float, Drive, FaultKind | None]], time_scale: float
) -> None:
    one = truck(seed=seed, time_scale=time_scale)
    for since_s, drive, fault in run:
        if fault is not None:
            one.start_fault(fault)
        before = one.speed_kph
        one.advance(since_s, drive)
        after = one.speed_kph
        assert after >= 0
        assert before - after <= 3.0 * 3.6 * since_s + 1e-6
        assert one.braking is not drive.may_move
        if not drive.may_move:
            assert after <= max(before - LOWEST_DECELERATION_MPS2 * 3.6 * since_s, 0) + 1e-6
        for name, value in values(one).items():
            assert QUANTITIES[name].admits(value), name


@given(seed=st.integers(0, 30), run=RUNS)
def test_denied_it_comes_to_rest_and_stays(seed: int, run: list[tuple[float, Drive, FaultKind | None]]) -> None:
    one = truck(seed=seed)
    for since_s, drive, fault in run:
        if fault is not None:
            one.start_fault(fault)
        one.advance(since_s, drive)
    one.advance(one.speed_kph / 3.6 / LOWEST_DECELERATION_MPS2 + 0.001, DENIED)
    place = one.quantities()[-4:]
    for since_s, drive, _ in run:
        one.advance(since_s, Drive(False, drive.status, drive.slowing))
        assert one.speed_kph == 0
        assert one.quantities()[-4:] == place


@given(seed=st.integers(0, 5), run=RUNS)
def test_the_same_seed_and_the_same_drive_give_the_same_vehicle(
    seed: int, run: list[tuple[float, Drive, FaultKind | None]]
) -> None:
    one, other = truck(seed=seed), truck(seed=seed)
    for since_s, drive, fault in run:
        for each in (one, other):
            if fault is not None:
                each.start_fault(fault)
            each.advance(since_s, drive)
        assert one.quantities() == other.quantities()


def test_another_seed_gives_another_vehicle() -> None:
    assert truck(seed=1).quantities() != truck(seed=4).quantities()
    assert truck("KOMATSU-930E-001").quantities() != truck("KOMATSU-930E-003").quantities()


@pytest.mark.parametrize("leg_ends_after_s", [0.5 * step for step in range(2, 45)])
def test_an_overspeed_fault_is_seen_exactly_once_whenever_the_leg_ends(leg_ends_after_s: float) -> None:
    one = driving(33)
    one.start_fault(FaultKind.OVERSPEED)
    seen: list[float] = []
    for leg_s in (leg_ends_after_s, 60.0, 60.0):
        for _ in range(int(leg_s * 10)):
            one.advance(0.1, Drive(True, _S.ROUTING))
            seen.append(one.speed_kph)
        while one.speed_kph > 0:
            one.advance(0.1, Drive(True, _S.ROUTING, slowing=True))
            seen.append(one.speed_kph)
    runs = [sum(1 for _ in run) / 10 for too_fast, run in itertools.groupby(v > 60 for v in seen) if too_fast]
    assert len(runs) == 1
    assert OVERSPEED_SEEN_S <= runs[0] <= OVERSPEED_LASTS_S + 5
    assert not one.active_faults


def test_a_vehicle_that_is_stopped_while_too_fast_is_not_too_fast_again() -> None:
    one = driving(33)
    one.start_fault(FaultKind.OVERSPEED)
    while one.speed_kph <= 62:
        one.advance(0.1, Drive(True, _S.ROUTING))
    while one.speed_kph > 0:
        one.advance(0.1, DENIED)
    for _ in range(600):
        one.advance(0.1, Drive(True, _S.ROUTING))
        assert one.speed_kph <= 60
