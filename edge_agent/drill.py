"""One vehicle's drill: it measures itself how it brakes when its leave to move ends. It never gives leave.

- Loss of the link: from the order on no permit is taken, as if the link were gone, until the vehicle stands. The last
  one runs out, the gate holds LINK_LOST, and RESUME ends that, as ever. Whatever else denies meanwhile, denies.
- A stop: the order names it, and waits for it; it comes by the way that every stop comes.

What something else has ended first, or a vehicle that was not moving, shows nothing, and the drill says so.
"""

from dataclasses import dataclass
from typing import Final

from edge_agent.gate import Gate
from edge_agent.limits import DRILL_LASTS_S, DRILL_STOP_WAIT_S
from edge_agent.vehicle import VehicleSample
from pitwall.domain.drill import DrillReaction
from pitwall.domain.order import LinkLossDrill, OrderOutcome, OrderResult, StopDrill
from pitwall.domain.vehicle_state import MotionHold

#: Why a drill shows nothing: for programs, and for people.
NOT_MOVING: Final = ("NOT_MOVING", "not moving: nothing measured; drill it while it drives")
OTHER_CAUSE: Final = ("OTHER_CAUSE", "something else has stopped it first: nothing measured")
NO_STOP_CAME: Final = ("NO_STOP_CAME", f"the stop has not come within {DRILL_STOP_WAIT_S:g} s: nothing measured")
SPEED_UNKNOWN: Final = ("SPEED_UNKNOWN", "its speed was not known: nothing measured")


@dataclass(slots=True)
class _Run:
    """A drill under way. `since_s`: when the link was given up or the stop took hold; None: the stop has not come.

    `speed_kph`: the last one before leave to move ended.
    """

    request_id: str
    stop_id: str
    began_s: float
    since_s: float | None
    speed_kph: float | None
    braking_s: float | None = None

    def outcome(self, standstill_s: float | None = None) -> OrderOutcome:
        reaction = DrillReaction(self.speed_kph, self._after(self.braking_s), self._after(standstill_s))
        return OrderOutcome(OrderResult.EXECUTED, reaction=reaction)

    def nothing(self, why: tuple[str, str]) -> OrderOutcome:
        return OrderOutcome(OrderResult.EXECUTED, *why, reaction=DrillReaction(self.speed_kph))

    def _after(self, at_s: float | None) -> float | None:
        return None if at_s is None or self.since_s is None else at_s - self.since_s


class Drill:
    """At most one at a time. `look` and `measured` end it: they give its order's last outcome."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._run: _Run | None = None

    @property
    def under_way(self) -> bool:
        return self._run is not None

    @property
    def takes_no_permits(self) -> bool:
        return self._run is not None and not self._run.stop_id

    def begin(self, request_id: str, kind: LinkLossDrill | StopDrill, now_s: float) -> None:
        """`pitwall.domain.order.judge` has agreed: it is moving by leave, and in no drill."""
        latest = self._gate.sight.latest
        speed_kph = None if latest is None else latest.speed_kph
        if isinstance(kind, StopDrill):
            self._run = _Run(request_id, kind.stop_id, now_s, None, speed_kph)
        else:
            self._run = _Run(request_id, "", now_s, now_s, speed_kph)

    def look(self, now_s: float) -> tuple[str, OrderOutcome] | None:
        """After whatever may have changed the gate. The request id and the outcome of a drill that is over."""
        run, gate = self._run, self._gate
        if run is None:
            return None
        if run.since_s is None and run.stop_id in gate.latched:
            run.since_s = now_s
        if run.braking_s is None and self._stopped_otherwise(run, now_s):
            return self._end(run.nothing(OTHER_CAUSE))
        if run.since_s is None:
            late = now_s - run.began_s > DRILL_STOP_WAIT_S
            return self._end(run.nothing(NO_STOP_CAME)) if late else None
        return self._end(run.outcome()) if now_s - run.since_s > DRILL_LASTS_S else None

    def measured(self, sample: VehicleSample) -> tuple[str, OrderOutcome] | None:
        """A sample that the gate has seen."""
        run = self._run
        if run is None:
            return None
        if run.braking_s is None:
            why = self._await_brakes(run, sample)
            if why is not None:
                return self._end(run.nothing(why))
        stands = run.braking_s is not None and sample.braking and sample.speed_kph == 0
        return self._end(run.outcome(sample.measured_s)) if stands else None

    def _await_brakes(self, run: _Run, sample: VehicleSample) -> tuple[str, str] | None:
        """Why the drill shows nothing, where that is so."""
        if not self._leave_had_ended(run, sample.measured_s):
            run.speed_kph = sample.speed_kph
            if sample.speed_kph == 0:
                return NOT_MOVING
            return OTHER_CAUSE if sample.braking else None
        if run.speed_kph is None:
            return SPEED_UNKNOWN
        if sample.braking:  # whoever comes to stand without has failed
            run.braking_s = sample.measured_s
        return None

    def _leave_had_ended(self, run: _Run, measured_s: float) -> bool:
        if run.since_s is None or measured_s < run.since_s:
            return False
        return bool(run.stop_id) or measured_s >= self._gate.permit_until_s

    def _stopped_otherwise(self, run: _Run, now_s: float) -> bool:
        """Another stop, or a hold that is not of the end of the last permit."""
        gate = self._gate
        if run.stop_id:
            return gate.hold is not MotionHold.NONE and run.stop_id not in gate.latched
        return gate.hold is not MotionHold.NONE and (bool(gate.latched) or gate.permit_valid(now_s))

    def _end(self, outcome: OrderOutcome) -> tuple[str, OrderOutcome]:
        assert self._run is not None
        request_id, self._run = self._run.request_id, None
        return request_id, outcome
