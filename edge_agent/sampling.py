"""Readings from samples: one every period, numbered without a gap, with what is unknown left out."""

from collections.abc import Callable
from operator import attrgetter
from typing import Final

from haul.telemetry.v1 import telemetry_pb2

from edge_agent.effects import StateSnapshot
from edge_agent.limits import CONTROL_PERIOD_S, SAMPLE_MAX_AGE_S
from edge_agent.moment import Moment, nanos
from edge_agent.vehicle import VehicleSample
from pitwall.domain.units import QUANTITIES

#: Quantities of a reading that a sample has under the same name.
SAMPLED: Final = tuple(name for name in QUANTITIES if name in VehicleSample._fields)
_quantities: Final[Callable[[VehicleSample], tuple[float | None, ...]]] = attrgetter(*SAMPLED)
#: The vehicle samples once a control period; a reading asked for so often is the most there is.
MAX_RATE_HZ: Final = 1 / CONTROL_PERIOD_S
#: A sample may come so much before its reading is due, seconds, and still be it: otherwise jitter halves the rate.
_EARLY_S: Final = CONTROL_PERIOD_S / 2


class Sampler:
    """Makes one vehicle's readings. `phase` (0 up to 1) spreads the vehicles of one process over the period."""

    def __init__(self, vehicle_id: str, boot_epoch: int, rate_hz: float, phase: float, now_s: float) -> None:
        if not 0 < rate_hz <= MAX_RATE_HZ:
            raise ValueError(f"rate_hz is {rate_hz}; it must be above 0 and at most {MAX_RATE_HZ:g}")
        self._vehicle_id, self._boot_epoch = vehicle_id, boot_epoch
        self._period_s = 1 / rate_hz
        self._due_s = now_s + phase * self._period_s
        #: Of the last reading; 0 before the first.
        self.sequence = 0

    def due(self, measured_s: float) -> bool:
        """Whether a sample of this time becomes a reading."""
        return measured_s >= self._due_s - _EARLY_S

    def overdue(self, now_s: float) -> bool:
        """No sample has come for so long that the reading has to say so: with a state and without quantities."""
        return now_s >= self._due_s + SAMPLE_MAX_AGE_S

    def reading(
        self, state: StateSnapshot, sample: VehicleSample | None, at_s: float, now: Moment
    ) -> telemetry_pb2.Reading:
        """The next reading, of time `at_s`."""
        # Missed periods are not made up for: they were never measured.
        self._due_s = max(self._due_s + self._period_s, at_s)
        self.sequence += 1
        known = {} if sample is None else _known(sample)
        reading = telemetry_pb2.Reading(
            vehicle_id=self._vehicle_id,
            boot_epoch=self._boot_epoch,
            sequence=self.sequence,
            monotonic_nanos=nanos(at_s),
            status=int(state.status),  # type: ignore[arg-type]
            sub_status=int(state.sub_status),  # type: ignore[arg-type]
            motion_hold=int(state.hold),  # type: ignore[arg-type]
            **known,  # type: ignore[arg-type]  # by name, all of them doubles
        )
        reading.event_time.FromDatetime(now.wall_at(at_s))
        return reading


def _known(sample: VehicleSample) -> dict[str, float]:
    return {name: value for name, value in zip(SAMPLED, _quantities(sample), strict=True) if value is not None}
