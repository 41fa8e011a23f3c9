"""What one vehicle may send: its rate on the average and no more, and nothing of it is lost."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.allowance import FREE, Allowance, Bucket, Rates
from ingest_gateway.limits import BURST_S, GRACE_S, MAX_HELD_S, MIN_THROTTLE_S

RATE = 1_000
RATES = Rates(readings_per_s=RATE)


def test_a_burst_is_free_and_one_more_is_asked_to_wait() -> None:
    allowance = Allowance(RATES)
    assert allowance.spend(round(RATE * BURST_S), 0, 0.0) is FREE
    charge = allowance.spend(1, 0, 0.0)
    assert charge.throttle_s == pytest.approx(BURST_S / 2 + 1 / RATE)
    assert (charge.reason, charge.hold_s, charge.cut) == ("READINGS_PER_SECOND", 0.0, False)


@pytest.mark.parametrize(
    ("rates", "reason"),
    [
        (Rates(readings_per_s=1), "READINGS_PER_SECOND"),
        (Rates(bytes_per_s=1), "BYTES_PER_SECOND"),
        (Rates(frames_per_s=0.4), "FRAMES_PER_SECOND"),
    ],
)
def test_what_is_too_much_is_named(rates: Rates, reason: str) -> None:
    assert Allowance(rates).spend(2, 2, 0.0).reason == reason


def test_without_rates_everything_is_free() -> None:
    allowance = Allowance(Rates())
    assert all(allowance.spend(10**9, 10**9, 0.0) is FREE for _ in range(10))


def test_whoever_waits_as_asked_is_never_held_back_and_keeps_the_rate() -> None:
    """With as much under way at each Throttle as may be."""
    allowance, now_s, sent = Allowance(RATES), 0.0, 0
    while now_s < 100:
        charge = allowance.spend(10, 0, now_s)
        sent += 10
        if charge.throttle_s:
            late = allowance.spend(round(RATE * GRACE_S / 2), 0, now_s)
            sent += round(RATE * GRACE_S / 2)
            assert (late.hold_s, late.throttle_s) == (0.0, 0.0)
            now_s += charge.throttle_s
        assert charge.hold_s == 0
    assert sent / now_s == pytest.approx(RATE, rel=0.05)


def test_the_same_is_not_asked_twice_before_the_time_is_over() -> None:
    allowance = Allowance(RATES)
    asked = allowance.spend(RATE + 100, 0, 0.0)
    assert asked.throttle_s > 0
    assert allowance.spend(1, 0, asked.throttle_s - 0.01).throttle_s == 0
    assert allowance.spend(RATE, 0, asked.throttle_s).throttle_s > 0


def test_whoever_goes_on_is_not_read_until_it_is_within_its_burst() -> None:
    allowance = Allowance(RATES)
    count = round(RATE * (BURST_S + GRACE_S))
    assert allowance.spend(count, 0, 0.0).hold_s == 0
    charge = allowance.spend(1, 0, 0.0)
    assert charge.hold_s == pytest.approx(GRACE_S + 1 / RATE)
    assert allowance.spend(0, 0, charge.hold_s) is FREE


def flood(allowance: Allowance, for_s: float) -> tuple[int, float, bool]:
    """Batches one after the other, whatever is said; read only when the gateway reads. How much came in, in which
    time, and whether it was cut."""
    now_s, taken = 0.0, 0
    while now_s < for_s:
        charge = allowance.spend(100, 0, now_s)
        taken += 100
        if charge.cut:
            return taken, now_s, True
        now_s += charge.hold_s
    return taken, now_s, False


def test_a_flood_gets_its_rate_and_is_cut_in_the_end() -> None:
    taken, took_s, cut = flood(Allowance(RATES), 10 * MAX_HELD_S)
    assert cut
    assert MAX_HELD_S * 0.9 <= took_s <= MAX_HELD_S * 1.1
    assert taken <= RATE * (took_s + BURST_S + GRACE_S) + 200


def test_a_new_stream_is_no_new_allowance() -> None:
    """It is kept with the vehicle; so whoever is cut and comes back goes on where it was."""
    allowance = Allowance(RATES)
    _, took_s, _ = flood(allowance, 10 * MAX_HELD_S)
    assert allowance.spend(1, 0, took_s).hold_s > 0


def test_one_that_has_been_at_rest_starts_anew() -> None:
    allowance = Allowance(RATES)
    flood(allowance, MAX_HELD_S / 2)
    assert allowance.spend(1, 0, MAX_HELD_S * 10) is FREE
    assert not allowance.spend(3 * RATE, 0, MAX_HELD_S * 10).cut


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 5)), max_size=50))
def test_a_charge_says_one_thing_at_a_time(frames: list[tuple[int, float]]) -> None:
    allowance, now_s = Allowance(Rates(readings_per_s=20)), 0.0
    for readings, pause_s in frames:
        charge = allowance.spend(readings, 0, now_s)
        assert charge.throttle_s == 0 or charge.throttle_s >= MIN_THROTTLE_S
        assert charge.hold_s == 0 or charge.hold_s > GRACE_S
        assert (charge is FREE) == (charge.reason == "")
        now_s += pause_s


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 10)), min_size=1), st.floats(0.1, 1_000))
def test_a_bucket_lets_through_no_more_than_its_rate_and_what_is_ahead(
    spent: list[tuple[int, float]], per_s: float
) -> None:
    bucket, now_s, total = Bucket(per_s), 0.0, 0
    for count, pause_s in spent:
        level_s = bucket.spend(count, now_s)
        total += count
        assert total <= (now_s + level_s) * per_s * (1 + 1e-9) + 1e-6
        now_s += pause_s
    assert bucket.level_s(now_s + inf) == 0
