"""The vehicle's own reasons not to move, as stops that it issues and withdraws itself.

They are in the same set as everybody's. One stop a reason: it begins when the vehicle measures the reason and is
withdrawn when the reason has been gone for a second. An own stop that comes back from the site without a reason, after
a restart for example, is withdrawn in the same way.
"""

from collections.abc import Callable, Collection
from datetime import datetime

from edge_agent.limits import OWN_STOP_CLEAR_S
from pitwall.domain.stop_set import Release, SetDelta, Stop, StopSet, VehicleScope


class OwnStops:
    """Of one vehicle. `uri` is its identity, `new_id` makes UUIDv7."""

    def __init__(self, vehicle_id: str, uri: str, new_id: Callable[[], str]) -> None:
        self._vehicle_id, self._uri, self._new_id = vehicle_id, uri, new_id
        self._active: dict[str, set[str]] = {}  # reason -> stop ids
        self._gone_s: dict[str, float] = {}  # reason -> since when it is no longer measured

    def adopt(self, stops: StopSet) -> None:
        """To be called when the set has changed: finds own stops in it, wherever they came from."""
        self._active = {}
        for stop in stops.applies_to(self._vehicle_id):
            if stop.issuing_vehicle_id == self._vehicle_id:
                self._active.setdefault(stop.reason, set()).add(stop.stop_id)

    def names(self, reason: str) -> bool:
        """Whether a stop of its own for this reason is active."""
        return reason in self._active

    def judge(self, faults: Collection[str], measured_s: float, wall: datetime) -> SetDelta:
        """What begins and what ends by a measurement. To be merged; then `adopt` has to be called."""
        if not faults and not self._active:
            return SetDelta()
        issued = tuple(self._issue(reason, wall) for reason in sorted(faults) if reason not in self._active)
        ended = [reason for reason in sorted(self._active) if self._ended(reason, faults, measured_s)]
        return SetDelta(issued, tuple(self._withdraw(reason, wall) for reason in ended))

    def _ended(self, reason: str, faults: Collection[str], measured_s: float) -> bool:
        if reason in faults:
            self._gone_s.pop(reason, None)
            return False
        return measured_s - self._gone_s.setdefault(reason, measured_s) >= OWN_STOP_CLEAR_S

    def _issue(self, reason: str, wall: datetime) -> Stop:
        self._gone_s.pop(reason, None)
        scope = VehicleScope(frozenset({self._vehicle_id}))
        return Stop(self._new_id(), scope, reason, self._uri, wall, issuing_vehicle_id=self._vehicle_id)

    def _withdraw(self, reason: str, wall: datetime) -> Release:
        self._gone_s.pop(reason)
        return Release(
            self._new_id(),
            stop_ids=frozenset(self._active[reason]),
            vehicle_ids=frozenset({self._vehicle_id}),
            reason=f"{reason} is gone",
            requested_by=self._uri,
            requested_time=wall,
            issuing_vehicle_id=self._vehicle_id,
        )
