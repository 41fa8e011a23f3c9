"""When which vehicle has which fault: drawn from the seed, printable, so that alerts can be held against it.

Seconds count from the vehicle's first leave to move (its first RESUME, then the first drive), because until then it
stands and nothing about it is tested. A vehicle's faults don't overlap. A stop or a hold doesn't move the schedule.

Every fault but overspeed is beyond the alert's raise limit from `raised_by_s` to `end_s` and beyond its clear limit
from `cleared_by_s` on. Overspeed acts only while the vehicle drives: within its window, until it has been too fast for
OVERSPEED_LASTS_S; the window is long enough for that in a mission that nobody interrupts.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from edge_agent.mission import LONGEST_WAIT_S, PHASES
from edge_agent.simulator.faults import (
    ALERTS,
    CLEARED_WITHIN_S,
    OVERSPEED_LASTS_S,
    RAISED_WITHIN_S,
    SCHEDULED,
    FaultKind,
)
from pitwall.domain.vehicle_state import VehicleStatus

_S = VehicleStatus

#: Seconds before the first fault and between two, at time scale 1. Lags of the physics are not scaled.
FIRST_AFTER_S: Final = (60.0, 240.0)
GAP_S: Final = (120.0, 300.0)
SHORTEST_GAP_S: Final = 2 * CLEARED_WITHIN_S
#: How long a fault that is pushed holds.
LASTS_S: Final = (60.0, 90.0)
#: Above the first, only HAULING is long enough to get too fast; above the second, nothing is.
SHORT_LEGS_ABOVE: Final = 2.0
NO_OVERSPEED_ABOVE: Final = 4.0

assert LASTS_S[0] > RAISED_WITHIN_S


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """Seconds since the vehicle's first leave to move."""

    vehicle_id: str
    kind: FaultKind
    start_s: float
    end_s: float

    @property
    def alert(self) -> str:
        """The alert that it must raise."""
        return ALERTS[self.kind]

    @property
    def raised_by_s(self) -> float:
        """By then the alert's limit is crossed; for overspeed not before the end of the window."""
        return self.end_s if self.kind is FaultKind.OVERSPEED else self.start_s + RAISED_WITHIN_S

    @property
    def cleared_by_s(self) -> float:
        return self.end_s + CLEARED_WITHIN_S


def overspeed_window_s(time_scale: float) -> float:
    """So long, whatever a vehicle is at when it begins, that a leg in which it gets too fast lies within."""
    worst = (
        [_S.ROUTING, _S.LOADING]
        if time_scale <= SHORT_LEGS_ABOVE
        else [_S.HAULING, _S.DUMPING, _S.RETURNING, _S.IDLE, _S.ROUTING, _S.LOADING]
    )
    legs_s = sum(PHASES[status].longest_s for status in worst) / time_scale
    return legs_s + len(worst) * LONGEST_WAIT_S + 2 * OVERSPEED_LASTS_S


def schedule(vehicle_id: str, *, seed: int, time_scale: float) -> Iterator[ScheduledFault]:
    """One vehicle's faults, without end. Each round has every kind once, in an order of its own."""
    chance = random.Random(f"{seed}/{vehicle_id}/faults")  # noqa: S311 (repeatable, not secret)
    kinds = [k for k in SCHEDULED if k is not FaultKind.OVERSPEED or time_scale <= NO_OVERSPEED_ABOVE]
    start_s = chance.uniform(*FIRST_AFTER_S) / time_scale
    while True:
        for kind in chance.sample(kinds, len(kinds)):
            lasts_s = overspeed_window_s(time_scale) if kind is FaultKind.OVERSPEED else chance.uniform(*LASTS_S)
            yield ScheduledFault(vehicle_id, kind, round(start_s, 1), round(start_s + lasts_s, 1))
            start_s += lasts_s + max(chance.uniform(*GAP_S) / time_scale, SHORTEST_GAP_S)


def until(horizon_s: float, faults: Iterator[ScheduledFault]) -> list[ScheduledFault]:
    """Those that begin before the horizon."""
    return list(takewhile(lambda fault: fault.start_s < horizon_s, faults))
