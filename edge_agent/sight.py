"""What a vehicle has last said of itself, and how long ago."""

from math import inf

from edge_agent.limits import BLIND_HOLD_S, SAMPLE_AHEAD_S, SAMPLE_MAX_AGE_S
from edge_agent.vehicle import VehicleSample
from pitwall.domain.geo import Position


class Sight:
    """Of one vehicle. Times are seconds of CLOCK_BOOTTIME."""

    __slots__ = ("_positioned", "latest")

    def __init__(self) -> None:
        self.latest: VehicleSample | None = None
        self._positioned: VehicleSample | None = None  # the latest one that knows where it is

    def see(self, sample: VehicleSample) -> None:
        self.latest = sample
        if sample.position is not None:
            self._positioned = sample

    def blind(self, now_s: float) -> bool:
        """Whether what the vehicle does is no longer known."""
        return _age_s(self.latest, now_s) > SAMPLE_MAX_AGE_S

    def lost(self, now_s: float) -> bool:
        """Whether it has been unknown for so long that the vehicle must not go on by itself."""
        return _age_s(self.latest, now_s) > BLIND_HOLD_S

    def place(self, now_s: float) -> tuple[Position | None, float]:
        """Where it was last, and how long ago."""
        known = self._positioned
        return None if known is None else known.position, _age_s(known, now_s)


def _age_s(sample: VehicleSample | None, now_s: float) -> float:
    """Infinite where there is none, or its time is ahead of ours: that says nothing of the present."""
    age_s = inf if sample is None else now_s - sample.measured_s
    return age_s if age_s >= -SAMPLE_AHEAD_S else inf
