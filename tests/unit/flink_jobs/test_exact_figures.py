"""What exact means, on the plain definition that the real windows are held against to the bit."""

import math
from fractions import Fraction

from haul.telemetry.v1.telemetry_pb2 import Reading
from hypothesis import given
from hypothesis import strategies as st

from pitwall.domain.units import QUANTITIES
from tests.integration.stream_windows import figures_of

SPEED = QUANTITIES["speed_kph"]
SPEEDS = st.lists(st.floats(SPEED.minimum, SPEED.maximum), min_size=1, max_size=60)
WINDOW = ("T-1", 0, 60)


def average(speeds: list[float]) -> float:
    return figures_of(WINDOW, [Reading(vehicle_id="T-1", speed_kph=speed) for speed in speeds]).speed_kph_avg


@given(st.data(), SPEEDS)
def test_no_order_changes_a_bit(data: st.DataObject, speeds: list[float]) -> None:
    assert average(data.draw(st.permutations(speeds))) == average(speeds)


@given(SPEEDS)
def test_an_average_is_within_half_a_millionth_of_the_mean(speeds: list[float]) -> None:
    mean = sum(map(Fraction, speeds), Fraction(0)) / len(speeds)
    error = abs(Fraction(average(speeds)) - mean)
    assert error <= Fraction(1, 2_000_000) + Fraction(math.ulp(SPEED.maximum * 1e6)) / 1_000_000


@given(st.floats(SPEED.minimum, SPEED.maximum), st.integers(1, 500))
def test_an_average_of_one_value_does_not_depend_on_how_often_it_came(speed: float, count: int) -> None:
    assert average([speed] * count) == average([speed])


@given(SPEEDS, st.sampled_from([-1.0, 130.5, 1e300, math.inf, math.nan]))
def test_a_value_that_can_not_be_counts_in_no_figure(speeds: list[float], impossible: float) -> None:
    members = [Reading(vehicle_id="T-1", speed_kph=speed) for speed in [*speeds, impossible]]
    found = figures_of(WINDOW, members)
    assert found.reading_count == len(members)
    assert (found.speed_kph_avg, found.speed_kph_max) == (average(speeds), max(speeds))
