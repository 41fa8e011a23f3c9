"""Drills: whether a vehicle that loses its leave to move brakes and stands within the bound that the site promises.

The vehicle measures, on its own clock and by its own speed and brakes; the site, which knows the bound, judges. Only
who was moving can show anything: standing still is no proof of brakes.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

from pitwall.domain.units import kph_to_mps


class DrillVerdict(IntEnum):
    """The numbers are those of haul.command.v1."""

    PASSED = 1
    FAILED = 2
    NOTHING_MEASURED = 3


@dataclass(frozen=True, slots=True)
class DrillReaction:
    """What a vehicle measured of itself, and what the site makes of it.

    Spans are seconds from the moment when it took its last permit, or when the stop took hold of it. `speed_kph`: the
    last one before its leave ended. None: it was not measured. The bounds and the verdict are the site's.
    """

    speed_kph: float | None = None
    braking_after_s: float | None = None
    standstill_after_s: float | None = None
    braking_bound_s: float | None = None
    standstill_bound_s: float | None = None
    verdict: DrillVerdict | None = None


def judged(
    reaction: DrillReaction, reason: str, brakes_within_s: float, deceleration_mps2: float | None
) -> DrillReaction:
    """With the bounds and the verdict. `reason`: the vehicle's, why it shows nothing; empty where it shows something.

    `brakes_within_s`: lease_ttl and one control period. `deceleration_mps2`: the vehicle's lowest; None: unknown, and
    then nobody can say when it had to stand.
    """
    stands_within_s = None
    if reaction.speed_kph is not None and deceleration_mps2:
        stands_within_s = brakes_within_s + kph_to_mps(reaction.speed_kph) / deceleration_mps2
    verdict = DrillVerdict.NOTHING_MEASURED if reason else _verdict(reaction, brakes_within_s, stands_within_s)
    return replace(reaction, braking_bound_s=brakes_within_s, standstill_bound_s=stands_within_s, verdict=verdict)


def _verdict(reaction: DrillReaction, brakes_within_s: float, stands_within_s: float | None) -> DrillVerdict:
    if not reaction.speed_kph:
        return DrillVerdict.NOTHING_MEASURED
    if not _within(reaction.braking_after_s, brakes_within_s):
        return DrillVerdict.FAILED
    if stands_within_s is None:
        return DrillVerdict.NOTHING_MEASURED
    return DrillVerdict.PASSED if _within(reaction.standstill_after_s, stands_within_s) else DrillVerdict.FAILED


def _within(after_s: float | None, bound_s: float) -> bool:
    return after_s is not None and after_s <= bound_s
