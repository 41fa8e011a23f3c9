"""The mission: what the vehicle goes on to by itself, and what stops that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mission import LONGEST_TICK_S, LONGEST_WAIT_S, PHASES, Mission, leg_duration_s
from edge_agent.vehicle import VehicleSample
from pitwall.domain.vehicle_state import (
    TRANSITIONS,
    Cause,
    IllegalTransition,
    SubStatus,
    VehicleStatus,
    released,
    stopped,
)

_S = VehicleStatus
VEHICLE = "KOMATSU-930E-001"
PARKED = [status for status in VehicleStatus if status not in PHASES]


def mission(status: VehicleStatus = _S.IDLE, *, seed: int = 1, time_scale: float = 1.0) -> Mission:
    return Mission(VEHICLE, status, seed=seed, time_scale=time_scale)


def sample(now_s: float, speed_kph: float | None = 0.0) -> VehicleSample:
    return VehicleSample(now_s, braking=False, speed_kph=speed_kph)


def run(
    one: Mission, lasts_s: float, *, may_run: bool = True, speed_kph: float | None = 0.0, start_s: float = 0.0
) -> list[VehicleStatus]:
    """The statuses that it went on to, ticked ten times a second."""
    went_on = []
    for tick in range(round(lasts_s * 10) + 1):
        now_s = start_s + tick / 10
        if status := one.tick(now_s, may_run, sample(now_s, speed_kph)):
            went_on.append(status)
    return went_on


def engaged(status: VehicleStatus = _S.IDLE, **options: float) -> Mission:
    one = mission(status, **options)  # type: ignore[arg-type]
    one.engage()
    return one


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("status", PHASES)
def test_every_leg_lasts_as_long_as_the_contract_says(status: VehicleStatus, seed: int) -> None:
    phase = PHASES[status]
    one = engaged(status, seed=seed)
    assert run(one, phase.shortest_s - 0.2) == []
    assert run(one, phase.longest_s - phase.shortest_s + 0.4, start_s=phase.shortest_s - 0.2)[0] is phase.next


def test_every_way_on_is_a_transition_of_the_table() -> None:
    for status, phase in PHASES.items():
        assert (status, phase.next) in TRANSITIONS[Cause.MISSION]


def test_durations_differ_by_seed_vehicle_and_leg_and_repeat() -> None:
    def durations(seed: int, vehicle_id: str) -> list[float]:
        return [leg_duration_s(seed, vehicle_id, leg, _S.HAULING, 1.0) for leg in range(5)]

    assert durations(1, "A") == durations(1, "A")
    assert len({*durations(1, "A"), *durations(2, "A"), *durations(1, "B")}) == 15


@pytest.mark.parametrize("time_scale", [0.5, 1, 10, 60])
def test_time_scale_shortens_durations(time_scale: float) -> None:
    plain = leg_duration_s(1, VEHICLE, 0, _S.IDLE, 1.0)
    assert leg_duration_s(1, VEHICLE, 0, _S.IDLE, time_scale) == pytest.approx(plain / time_scale)


@pytest.mark.parametrize("time_scale", [0, -1, float("nan")])
def test_a_time_scale_of_nothing_is_refused(time_scale: float) -> None:
    with pytest.raises(ValueError, match="time_scale"):
        mission(time_scale=time_scale)


def test_at_boot_nothing_goes_on_by_itself() -> None:
    for status in VehicleStatus:
        one = mission(status)
        assert run(one, 400) == []
        assert one.status is status


def test_held_or_denied_its_time_stands_still() -> None:
    one = engaged(_S.IDLE)
    assert run(one, 25) == []
    assert run(one, 600, may_run=False, start_s=25) == []
    assert run(one, 4, start_s=625) == []
    assert run(one, 35, start_s=629) == [_S.ROUTING]


def test_an_agent_that_was_asleep_does_not_skip_a_leg() -> None:
    one = engaged(_S.IDLE)
    one.tick(0.0, True, sample(0.0))
    assert one.tick(3_600.0, True, sample(3_600.0)) is None
    assert run(one, 30 - LONGEST_TICK_S - 0.2, start_s=3_600.0) == []


def test_a_clock_that_goes_back_counts_for_nothing() -> None:
    one = engaged(_S.IDLE)
    one.tick(1_000.0, True, None)
    assert one.tick(0.0, True, None) is None
    assert run(one, 29) == []


@pytest.mark.parametrize("status", PARKED)
def test_resume_has_nothing_to_go_on_with_when_parked_stopped_or_in_error(status: VehicleStatus) -> None:
    one = engaged(status)
    assert not one.engaged
    assert run(one, 200) == []


def test_a_stop_ends_the_mission_and_a_release_does_not_bring_it_back() -> None:
    for status in VehicleStatus:
        one = engaged(status)
        one.stop()
        assert one.status is stopped(status)
        one.release()
        assert one.status is released(stopped(status))
        assert run(one, 300) == []


def test_after_a_release_two_orders_lead_to_the_road() -> None:
    one = engaged(_S.HAULING)
    one.stop()
    one.release()
    one.order(_S.IDLE)
    assert run(one, 300) == []
    assert one.sub_status is SubStatus.WAITING
    one.order(_S.ROUTING)
    assert one.engaged
    assert run(one, 121) == [_S.LOADING]


@pytest.mark.parametrize("current", VehicleStatus)
@pytest.mark.parametrize("requested", VehicleStatus)
def test_an_order_obeys_the_table(current: VehicleStatus, requested: VehicleStatus) -> None:
    one = engaged(current)
    before = one.engaged
    if (current, requested) in TRANSITIONS[Cause.ORDER]:
        one.order(requested)
        assert one.status is requested
        assert one.engaged is (requested is _S.ROUTING)
    else:
        with pytest.raises(IllegalTransition):
            one.order(requested)
        assert (one.status, one.engaged) == (current, before)


def test_a_fault_of_its_own_takes_it_out_of_work() -> None:
    one = engaged(_S.HAULING)
    one.fail()
    assert (one.status, one.engaged) == (_S.ERROR, False)
    with pytest.raises(IllegalTransition):
        one.fail()


@pytest.mark.parametrize("status", [_S.ROUTING, _S.HAULING, _S.RETURNING])
def test_a_driving_leg_ends_when_the_vehicle_stands(status: VehicleStatus) -> None:
    duration_s = leg_duration_s(1, VEHICLE, 0, status, 1.0)
    one = engaged(status)
    assert run(one, duration_s + 5, speed_kph=20) == []
    assert one.slowing
    now_s = duration_s + 5.1
    assert one.tick(now_s, True, sample(now_s, 0.0)) is PHASES[status].next
    assert not one.slowing


@pytest.mark.parametrize("status", [_S.ROUTING, _S.HAULING, _S.RETURNING])
def test_a_vehicle_that_never_stands_is_waited_for_no_longer_than_the_limit(status: VehicleStatus) -> None:
    duration_s = leg_duration_s(1, VEHICLE, 0, status, 1.0)
    one = engaged(status)
    assert run(one, duration_s + LONGEST_WAIT_S - 0.2, speed_kph=5) == []
    assert run(one, 0.5, speed_kph=5, start_s=duration_s + LONGEST_WAIT_S - 0.2) == [PHASES[status].next]


@pytest.mark.parametrize("speed", [None, 0.0])
def test_an_unknown_speed_is_not_waited_for(speed: float | None) -> None:
    assert run(engaged(_S.ROUTING), 121, speed_kph=speed) == [_S.LOADING]


@pytest.mark.parametrize("kph", [10, 36, 60])
def test_it_begins_to_slow_when_the_retarder_needs_the_rest(kph: float) -> None:
    duration_s = leg_duration_s(1, VEHICLE, 0, _S.ROUTING, 1.0)
    one = engaged(_S.ROUTING)
    run(one, duration_s - kph / 3.6 - 0.3, speed_kph=kph)
    assert not one.slowing
    run(one, 0.4, speed_kph=kph, start_s=duration_s - kph / 3.6 - 0.3)
    assert one.slowing


def test_once_slowing_it_slows_until_the_leg_is_over() -> None:
    one = engaged(_S.ROUTING)
    run(one, 50, speed_kph=30)
    one.slowing = True
    run(one, 1, speed_kph=1, start_s=50)
    assert one.slowing


def test_a_vehicle_without_sample_goes_on_all_the_same() -> None:
    one = engaged(_S.ROUTING)
    assert [status for tick in range(1_210) if (status := one.tick(tick / 10, True, None))] == [_S.LOADING]


@pytest.mark.parametrize(
    ("status", "after_s", "kph", "expected"),
    [
        (_S.LOADING, 0.1, 4, SubStatus.POSITIONING),
        (_S.LOADING, 7.8, 0, SubStatus.POSITIONING),
        (_S.LOADING, 8.2, 0, SubStatus.RECEIVING),
        (_S.LOADING, 71.8, 0, SubStatus.RECEIVING),
        (_S.LOADING, 72.2, 0, SubStatus.VERIFYING),
        (_S.HAULING, 0.1, 0, SubStatus.ACCELERATING),
        (_S.HAULING, 60, 30, SubStatus.CRUISING),
        (_S.HAULING, 120, 1_000, SubStatus.DECELERATING),
        (_S.ROUTING, 10, 30, SubStatus.NONE),
        (_S.IDLE, 1, 0, SubStatus.READY),
    ],
)
def test_sub_status(status: VehicleStatus, after_s: float, kph: float, expected: SubStatus) -> None:
    one = engaged(status)
    run(one, after_s, speed_kph=kph)
    assert one.sub_status is expected


@pytest.mark.parametrize(
    ("mps2", "expected"),
    [
        (0.5, SubStatus.ACCELERATING),
        (0.2, SubStatus.ACCELERATING),
        (0.1, SubStatus.CRUISING),
        (0.0, SubStatus.CRUISING),
        (-0.1, SubStatus.CRUISING),
        (-0.2, SubStatus.DECELERATING),
        (-1.0, SubStatus.DECELERATING),
    ],
)
def test_hauling_is_told_by_how_the_speed_changes(mps2: float, expected: SubStatus) -> None:
    one = engaged(_S.HAULING)
    for tick in range(100):
        one.tick(tick / 10, True, sample(tick / 10, (12 + mps2 * tick / 10) * 3.6))
    assert one.sub_status is expected


def test_held_while_hauling_it_decelerates_and_then_has_no_step() -> None:
    one = engaged(_S.HAULING)
    steps = []
    for now_s, kph in ((0.0, 20.0), (0.1, 0.0)):
        one.tick(now_s, False, sample(now_s, kph))
        steps.append(one.sub_status)
    assert steps == [SubStatus.DECELERATING, SubStatus.NONE]


@given(
    status=st.sampled_from(VehicleStatus),
    seed=st.integers(0, 1_000),
    acts=st.lists(
        st.one_of(
            st.sampled_from(["engage", "stop", "release"]),
            st.sampled_from(VehicleStatus),
            st.tuples(st.floats(0, 200), st.booleans(), st.one_of(st.none(), st.floats(0, 60))),
        ),
        max_size=40,
    ),
)
def test_whatever_happens_it_goes_on_only_while_it_is_engaged_and_may_run(
    status: VehicleStatus, seed: int, acts: list[str | VehicleStatus | tuple[float, bool, float | None]]
) -> None:
    one, now_s = mission(status, seed=seed), 0.0
    for act in acts:
        before, was_engaged = one.status, one.engaged
        if isinstance(act, str):
            getattr(one, act)()
            assert one.status in (before, stopped(before), released(before))
        elif isinstance(act, VehicleStatus):
            if (before, act) in TRANSITIONS[Cause.ORDER]:
                one.order(act)
        else:
            since_s, may_run, kph = act
            now_s += since_s
            went_on = one.tick(now_s, may_run, sample(now_s, kph))
            if went_on is not None:
                assert may_run
                assert was_engaged
                assert (before, went_on) in TRANSITIONS[Cause.MISSION]
            assert one.status is (went_on or before)
        if one.engaged:
            assert one.status in PHASES
