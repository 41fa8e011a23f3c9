"""The plant: verdicts, their deadlines, the button, and when who is stepped."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.simulator.plant import MOST_SLICES, STEP_PERIOD_S, VEHICLES_PER_SLICE, Plant
from edge_agent.simulator.plant_vehicle import (
    CAUSE_AGENT_GONE,
    CAUSE_BUTTON,
    CAUSE_EXPIRED,
    CAUSE_LATE,
    CAUSE_NO_AGENT,
    LONGEST_VERDICT_S,
    PlantState,
    PlantVehicle,
)
from edge_agent.vehicle import Verdict
from pitwall.domain.vehicle_state import VehicleStatus
from tests.unit.edge_agent.rig import START_S, sample_of, truck, verdict

_S = VehicleStatus


def vehicle(name: str = "KOMATSU-930E-001") -> PlantVehicle:
    return PlantVehicle(name, truck(name), iter(()), START_S)


def moving(seconds: float = 10.0) -> tuple[PlantVehicle, float]:
    """On its way, and the present moment; its verdict lasts another 0.3 s."""
    one, now_s = vehicle(), START_S
    for _ in range(round(seconds * 10)):
        one.apply(verdict(deadline_s=now_s + 0.3), now_s)
        now_s += 0.1
        one.advance(now_s)
    one.apply(verdict(deadline_s=now_s + 0.3), now_s)
    return one, now_s


def test_before_any_agent_it_stands_braked() -> None:
    one = vehicle()
    one.advance(START_S + 100)
    assert one.state() == PlantState(0.0, True, False, None, CAUSE_NO_AGENT, 0, 0)


def test_a_verdict_moves_it_and_is_told_as_it_came() -> None:
    one, _ = moving()
    state = one.state()
    assert state.speed_kph > 20
    assert (state.brake, state.permitted, state.status, state.boot_epoch) == (False, True, _S.ROUTING, 7)


def test_a_denial_brakes_in_the_same_moment() -> None:
    one, now_s = moving()
    before = one.state().speed_kph
    assert one.apply(verdict(_S.EMERGENCY_STOP, may_move=False, cause="stop 1", deadline_s=now_s + 1), now_s + 0.05)
    state = one.state()
    assert (state.brake, state.permitted, state.status, state.cause) == (True, False, _S.EMERGENCY_STOP, "stop 1")
    assert sample_of(one).braking
    assert sample_of(one).measured_s == now_s + 0.05
    one.advance(now_s + 0.15)
    assert one.state().speed_kph < before


def test_a_second_denial_is_no_new_braking() -> None:
    one, now_s = moving()
    assert one.apply(verdict(may_move=False), now_s)
    assert not one.apply(verdict(may_move=False), now_s)


@pytest.mark.parametrize("late_s", [0.0, 0.001, 0.1, 1.0, 3_600.0])
def test_at_its_deadline_it_brakes_by_itself_however_late_anybody_looks(late_s: float) -> None:
    one, now_s = moving()
    speed_mps = one.state().speed_kph / 3.6
    deadline_s = now_s + 0.3
    one.advance(deadline_s + late_s)
    state = one.state()
    assert (state.brake, state.permitted, state.cause) == (True, False, CAUSE_EXPIRED)
    # It gained speed up to the deadline at most, and has braked since.
    assert state.speed_kph / 3.6 <= max(speed_mps + 0.3 * 0.8 - 2.5 * min(late_s, 10), 0) + 1e-6


def test_just_before_its_deadline_it_still_moves() -> None:
    one, now_s = moving()
    one.advance(now_s + 0.299)
    assert one.permitted


@pytest.mark.parametrize("deadline_s", [START_S, START_S - 1, -math.inf, math.nan])
def test_a_verdict_that_comes_after_its_deadline_denies(deadline_s: float) -> None:
    one = vehicle()
    one.apply(verdict(deadline_s=deadline_s), START_S)
    assert not one.permitted
    assert one.state().cause == CAUSE_LATE


@pytest.mark.parametrize("deadline_s", [START_S + 100, math.inf])
def test_no_verdict_is_believed_for_longer_than_the_limit(deadline_s: float) -> None:
    one = vehicle()
    one.apply(verdict(deadline_s=deadline_s), START_S)
    one.advance(START_S + LONGEST_VERDICT_S - 0.001)
    assert one.permitted
    one.advance(START_S + LONGEST_VERDICT_S)
    assert not one.permitted


def test_when_the_agent_leaves_it_brakes() -> None:
    one, now_s = moving()
    assert one.leave(now_s)
    assert one.state().brake
    assert one.state().cause == CAUSE_AGENT_GONE
    assert not one.leave(now_s)


def test_the_button_brakes_whatever_the_verdict_says() -> None:
    one, now_s = moving()
    one.press(True, now_s)
    assert one.state().brake
    assert one.state().cause == CAUSE_BUTTON
    assert sample_of(one).faults == {"LOCAL_STOP_BUTTON"}
    one.apply(verdict(deadline_s=now_s + 0.4), now_s)
    assert not one.permitted


def test_let_go_it_moves_by_a_verdict_that_still_lasts_and_not_by_one_that_has_ended() -> None:
    one, now_s = moving()
    one.press(True, now_s)
    one.press(False, now_s + 0.1)
    assert one.permitted
    one.press(True, now_s + 0.2)
    one.press(False, now_s + 5.0)
    assert not one.permitted
    assert sample_of(one).faults == frozenset()


def test_time_that_goes_back_changes_nothing() -> None:
    one, now_s = moving()
    before = one.state()
    one.advance(now_s - 50)
    assert one.state() == before
    assert one.measured_s == now_s


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0, 2)),
        st.builds(
            verdict,
            st.sampled_from(VehicleStatus),
            may_move=st.booleans(),
            deadline_s=st.floats(-1, 3),
            slowing=st.booleans(),
        ),
        st.sampled_from(["press", "let go", "leave"]),
    ),
    max_size=60,
)


@given(acts=ACTS)
def test_it_moves_only_by_a_verdict_that_lasts_and_an_open_button(acts: list[object]) -> None:
    one, now_s = vehicle(), START_S
    allowed_until_s, pressed = -math.inf, False
    for act in acts:
        if isinstance(act, Verdict):
            given_ = verdict(act.status, may_move=act.may_move, deadline_s=now_s + act.deadline_s)
            one.apply(given_, now_s)
            allowed_until_s = min(given_.deadline_s, now_s + LONGEST_VERDICT_S) if given_.may_move else -math.inf
        elif isinstance(act, tuple):
            before, was_allowed_to_s = one.state().speed_kph, allowed_until_s if not pressed else -math.inf
            waited_s = act[1]
            one.advance(now_s + waited_s)
            free_s = min(max(was_allowed_to_s - now_s, 0.0), waited_s)
            braked_s = waited_s - free_s
            assert one.state().speed_kph <= max(before + 0.8 * 3.6 * free_s - 2.5 * 3.6 * braked_s, 0) + 1e-6
            now_s += waited_s
        else:
            if act == "leave":
                one.leave(now_s)
                allowed_until_s = -math.inf
            else:
                pressed = act == "press"
                one.press(pressed, now_s)
        assert one.permitted is (now_s < allowed_until_s and not pressed)
        assert one.state().brake is not one.permitted


# The plant as a whole


def plant(count: int) -> Plant:
    return Plant([vehicle(f"KOMATSU-930E-{n:03d}") for n in range(count)], START_S)


@pytest.mark.parametrize("count", [0, 1, 5, 99, 100, 101, 250, 1_000, 1_001, 3_000])
def test_every_vehicle_is_stepped_once_in_a_period_in_slices_of_bounded_size(count: int) -> None:
    one = plant(count)
    stepped: list[str] = []
    while one.next_wake_s <= START_S + STEP_PERIOD_S + 1e-6:
        touched = one.wake(one.next_wake_s)
        assert len(touched) <= max(VEHICLES_PER_SLICE, math.ceil(count / MOST_SLICES))
        stepped += [v.vehicle_id for v in touched]
    assert sorted(stepped) == sorted(one.vehicles)


def test_after_a_sleep_every_vehicle_is_stepped_once() -> None:
    one = plant(250)
    touched = one.wake(START_S + 1_000)
    assert sorted(v.vehicle_id for v in touched) == sorted(one.vehicles)
    assert all(v.measured_s == START_S + 1_000 for v in touched)
    assert START_S + 1_000 < one.next_wake_s <= START_S + 1_000 + STEP_PERIOD_S


def test_the_plant_wakes_for_the_first_deadline_and_brakes_that_vehicle_alone() -> None:
    one = plant(3)
    first, second, third = one.vehicles.values()
    first.apply(verdict(deadline_s=START_S + 0.05), START_S)
    second.apply(verdict(deadline_s=START_S + 0.45), START_S)
    one.watch([first, second, third])
    assert one.next_wake_s == START_S + 0.05
    assert one.wake(START_S + 0.049) == []
    assert one.wake(START_S + 0.05) == [first]
    assert first.state().brake
    assert second.permitted
    assert one.next_wake_s == START_S + STEP_PERIOD_S
    for _ in range(4):
        one.wake(one.next_wake_s)
    assert one.next_wake_s == START_S + 0.45
    assert one.wake(START_S + 0.45) == [second]


def test_a_renewed_verdict_is_not_braked_for_at_the_old_deadline() -> None:
    one = plant(1)
    (only,) = one.vehicles.values()
    only.apply(verdict(deadline_s=START_S + 0.05), START_S)
    one.watch([only])
    only.apply(verdict(deadline_s=START_S + 0.5), START_S + 0.04)
    one.watch([only])
    assert one.wake(START_S + 0.05) == []
    assert only.permitted


def test_after_a_sleep_of_the_plant_nothing_moves_by_an_old_verdict() -> None:
    one = plant(150)
    for each in one.vehicles.values():
        each.apply(verdict(deadline_s=START_S + 0.3), START_S)
    one.watch(one.vehicles.values())
    braked = one.brake_overdue(START_S + 60)
    assert len(braked) == 150
    assert all(v.state().brake and v.state().speed_kph == 0 for v in braked)
