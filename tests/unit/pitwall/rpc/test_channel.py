"""How long a client waits before the next try."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitwall.rpc.channel import MAX_BACKOFF_S, MIN_BACKOFF_S, jitter_s


@given(st.integers(1, 10**9), st.integers())
def test_every_wait_is_within_the_bounds(attempt: int, seed: int) -> None:
    assert MIN_BACKOFF_S <= jitter_s(attempt, random.Random(seed)) <= MAX_BACKOFF_S


@pytest.mark.parametrize(("attempt", "longest_s"), [(1, 0.4), (2, 0.8), (3, 1.6), (4, 2.0), (100, 2.0)])
def test_the_longest_wait_doubles_up_to_two_seconds(attempt: int, longest_s: float) -> None:
    waits = [jitter_s(attempt, random.Random(seed)) for seed in range(500)]
    assert longest_s * 0.95 < max(waits) <= longest_s


def test_a_fleet_that_lost_its_gateway_does_not_come_back_at_one_moment() -> None:
    waits = sorted(jitter_s(4) for _ in range(1_000))
    assert max(later - earlier for earlier, later in zip(waits, waits[10:], strict=False)) < 0.2
    assert waits[-1] - waits[0] > 1.5
