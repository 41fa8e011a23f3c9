"""The vehicle's clocks against the gateway's: delay only adds, and no event is later than its arrival."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.clock_offset import NANOS, Corrector, VehicleClockReading, VehicleClocks, WindowedMinimum
from ingest_gateway.limits import CLOCK_TOLERANCE_S, CLOCK_WINDOW_S
from ingest_gateway.moment import Moment
from ingest_gateway.validation import MAX_TIMESTAMP_S
from tests.unit.ingest_gateway.builders import WALL_NS, at

HOUR_S = 3600.0
HOUR_NS = 3600 * NANOS


def vehicle_clock(now_s: float, wall_off_s: float = 0.0, monotonic_off_s: float = 0.0) -> VehicleClockReading:
    return VehicleClockReading(WALL_NS + round((now_s + wall_off_s) * NANOS), round((now_s + monotonic_off_s) * NANOS))


def clocks(wall_off_s: float = 0.0, delay_s: float = 0.0, at_s: float = 10.0) -> VehicleClocks:
    made = VehicleClocks()
    made.sample(1, vehicle_clock(at_s, wall_off_s), at(at_s + delay_s))
    return made


@pytest.mark.parametrize("off_s", [HOUR_S, -HOUR_S, 1.1, -1.1, 400 * 24 * HOUR_S])
def test_a_clock_that_is_off_is_corrected_to_the_moment_of_the_sample(off_s: float) -> None:
    corrector = clocks(off_s).corrector(1, at(20.0))
    said_ns = WALL_NS + round((15.0 + off_s) * NANOS)
    assert corrector.event_ns(said_ns, 15 * NANOS) == WALL_NS + 15 * NANOS


@pytest.mark.parametrize("off_s", [0.0, 0.9, -0.9, CLOCK_TOLERANCE_S, -CLOCK_TOLERANCE_S])
def test_a_clock_within_the_tolerance_is_believed(off_s: float) -> None:
    corrector = clocks(off_s).corrector(1, at(20.0))
    said_ns = WALL_NS + round((15.0 + off_s) * NANOS)
    assert corrector.event_ns(said_ns, 15 * NANOS) == said_ns


def test_a_clock_slightly_ahead_is_never_recorded_after_its_arrival() -> None:
    corrector = clocks(0.5).corrector(1, at(20.0))
    assert corrector.event_ns(WALL_NS + round(20.4 * NANOS), round(19.9 * NANOS)) == WALL_NS + 20 * NANOS


def test_an_older_epoch_is_shifted_by_what_the_wall_clock_is_off() -> None:
    corrector = clocks(HOUR_S).corrector(0, at(20.0))
    assert corrector.monotonic_shift_ns is None
    assert corrector.event_ns(WALL_NS - 5 * HOUR_NS, 123) == WALL_NS - 6 * HOUR_NS


def test_a_reading_without_monotonic_time_is_shifted_so_too() -> None:
    assert clocks(HOUR_S).corrector(1, at(20.0)).event_ns(WALL_NS, 0) == WALL_NS - HOUR_NS


@pytest.mark.parametrize("wall_ns", [WALL_NS * 5, MAX_TIMESTAMP_S * NANOS])
def test_a_time_that_can_not_be_is_that_of_the_arrival(wall_ns: int) -> None:
    """Its wall clock says one year to the batch and another one to the reading, so that the sum is before 1970."""
    made = VehicleClocks()
    made.sample(1, VehicleClockReading(wall_ns, 0), at(10.0))
    assert made.corrector(1, at(20.0)).event_ns(WALL_NS, 0) == at(20.0).wall_ns


def test_a_late_batch_does_not_disturb_what_is_known() -> None:
    known = clocks()
    known.sample(1, vehicle_clock(20.0), at(80.0))
    assert known.corrector(1, at(80.0)).event_ns(WALL_NS + 18 * NANOS, 18 * NANOS) == WALL_NS + 18 * NANOS


def test_a_step_of_the_gateways_own_clock_moves_the_record_and_not_the_age() -> None:
    known = clocks(HOUR_S)
    stepped = Moment(20.0, WALL_NS + 20 * NANOS + 7 * HOUR_NS)
    event_ns = known.corrector(1, stepped).event_ns(WALL_NS + 15 * NANOS + HOUR_NS, 15 * NANOS)
    assert stepped.wall_ns - event_ns == 5 * NANOS


def test_a_new_epoch_starts_from_nothing() -> None:
    known = clocks()
    known.sample(2, VehicleClockReading(WALL_NS, 0), at(100.0))
    assert known.corrector(2, at(100.0)).event_ns(WALL_NS - HOUR_NS, 0 * NANOS + 1) == WALL_NS + 100 * NANOS


def test_without_a_sample_nothing_is_shifted() -> None:
    assert VehicleClocks().corrector(1, at(1.0)) == Corrector(at(1.0).wall_ns, 0, None)


def test_a_drift_is_followed_within_two_windows() -> None:
    known = VehicleClocks()
    slow_by = 0.001  # the vehicle's clock loses a thousandth: far worse than any crystal
    now_s = 0.0
    while now_s < 3 * CLOCK_WINDOW_S:
        known.sample(1, vehicle_clock(now_s * (1 - slow_by)), at(now_s))
        now_s += 10
    event_ns = known.corrector(1, at(now_s)).event_ns(0, round(now_s * (1 - slow_by) * NANOS))
    assert abs(event_ns - at(now_s).wall_ns) <= 2 * CLOCK_WINDOW_S * slow_by * NANOS


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(st.floats(0.0, 50.0), st.floats(0.0, 30.0)), min_size=1, max_size=20),
    st.floats(0.0, 50.0),
)
def test_error_is_at_most_the_least_delay_and_never_after_arrival(
    off_s: float, sent: list[tuple[float, float]], sampled_s: float
) -> None:
    """Whatever the offset and the delays: what is recorded is the truth, or later by no more than the least delay."""
    known = VehicleClocks()
    for made_s, delay_s in sorted(sent):
        known.sample(1, vehicle_clock(made_s, off_s), at(made_s + delay_s))
    arrival = at(sampled_s + 30.0)
    event_ns = known.corrector(1, arrival).event_ns(
        WALL_NS + round((sampled_s + off_s) * NANOS), max(1, round(sampled_s * NANOS))
    )
    truth_ns = WALL_NS + round(sampled_s * NANOS)
    least_ns = round(min(delay for _, delay in sent) * NANOS)
    assert event_ns <= arrival.wall_ns
    assert abs(event_ns - truth_ns) <= max(least_ns, CLOCK_TOLERANCE_S * NANOS + least_ns) + 1000


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.floats(0.0, 60.0)), min_size=1, max_size=40))
def test_the_minimum_is_of_the_last_one_to_two_windows(steps: list[tuple[int, float]]) -> None:
    window, now_s, seen = WindowedMinimum(100.0), 0.0, list[tuple[float, int]]()
    for value, wait_s in steps:
        now_s += wait_s
        window.add(value, now_s)
        seen.append((now_s, value))
        found = window.value
        assert found is not None
        assert found <= min(v for t, v in seen if now_s - t < 50.0 or t == now_s)
        assert found >= min(
            v for t, v in seen if now_s - t <= 200.0 + 60.0
        )  # a window ends with a sample, at most 60 s late
