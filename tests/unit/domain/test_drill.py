"""What the site makes of a measured reaction, at each limit."""

import pytest

from pitwall.domain.drill import DrillReaction, DrillVerdict, judged
from pitwall.domain.permit import PermitTerms

BRAKES_S = PermitTerms().brakes_within_s
#: 36 km/h are 10 m/s; at 2.5 m/s² that is 4 s.
STANDS_S = BRAKES_S + 4.0
JUST_S = 0.001
PASSED, FAILED, NOTHING = DrillVerdict.PASSED, DrillVerdict.FAILED, DrillVerdict.NOTHING_MEASURED


@pytest.mark.parametrize(
    ("braking_after_s", "standstill_after_s", "expected"),
    [
        (0.01, 3.4, PASSED),
        (BRAKES_S, STANDS_S, PASSED),
        (BRAKES_S + JUST_S, STANDS_S, FAILED),
        (BRAKES_S, STANDS_S + JUST_S, FAILED),
        (BRAKES_S, None, FAILED),
        (None, None, FAILED),
    ],
)
def test_a_vehicle_passes_where_it_brakes_and_stands_within_both_bounds(
    braking_after_s: float | None, standstill_after_s: float | None, expected: DrillVerdict
) -> None:
    seen = judged(DrillReaction(36.0, braking_after_s, standstill_after_s), "", BRAKES_S, 2.5)
    assert seen.verdict is expected
    assert seen.braking_bound_s == BRAKES_S
    assert seen.standstill_bound_s == pytest.approx(STANDS_S)
    assert (seen.braking_after_s, seen.standstill_after_s) == (braking_after_s, standstill_after_s)


@pytest.mark.parametrize(
    ("speed_kph", "reason", "deceleration_mps2", "expected"),
    [
        (36.0, "OTHER_CAUSE", 2.5, NOTHING),
        (0.0, "", 2.5, NOTHING),
        (None, "", 2.5, NOTHING),
        (36.0, "", None, NOTHING),
        (36.0, "", 2.5, PASSED),
    ],
)
def test_who_was_not_moving_or_was_stopped_otherwise_has_not_passed(
    speed_kph: float | None, reason: str, deceleration_mps2: float | None, expected: DrillVerdict
) -> None:
    assert judged(DrillReaction(speed_kph, 0.01, 0.02), reason, BRAKES_S, deceleration_mps2).verdict is expected


def test_brakes_that_come_too_late_fail_whatever_the_deceleration() -> None:
    assert judged(DrillReaction(36.0, BRAKES_S + JUST_S, 9.0), "", BRAKES_S, None).verdict is FAILED


def test_what_a_vehicle_says_of_its_own_verdict_counts_for_nothing() -> None:
    claimed = DrillReaction(36.0, 9.0, 9.0, braking_bound_s=10.0, standstill_bound_s=20.0, verdict=PASSED)
    assert judged(claimed, "", BRAKES_S, 2.5) == judged(DrillReaction(36.0, 9.0, 9.0), "", BRAKES_S, 2.5)
