"""The gate: whether one vehicle may move. Everything starts denied.

It may move only when no stop has hold of it, nobody has to resume it first, a permit is valid, it is in autonomous
mode, its measurements are fresh, and it is at something that drives; judged in that order, stops before any status.

- A *latch* is a stop that has hold. It goes by a release that names it, and by nothing else.
- A *hold* is BOOT after a start, and LINK_LOST after leave was lost: a valid permit ran out, the vehicle below the gate
  has not been heard of for BLIND_HOLD_S, or its connection has ended. RESUME ends it. It lies beneath a latch and is
  back when the latch goes.
- A stop voids the permit: answers to heartbeats that were sent before it count for nothing.

Pure: `feed, tick -> effects`, times in seconds of CLOCK_BOOTTIME. What is fed may deny at once; only a tick, which has
read the clock after waking, lets anything move.
"""

from collections.abc import Iterable

from edge_agent.effects import (
    Apply,
    Effect,
    LatchRecord,
    PersistLatch,
    PersistState,
    ReportState,
    ReportStops,
    StateSnapshot,
    in_order,
)
from edge_agent.limits import CONTROL_PERIOD_S, SET_TRIM_AT, VERDICT_PERIODS
from edge_agent.memory import carried, trimmed
from edge_agent.mission import Mission
from edge_agent.sight import Sight
from edge_agent.stages import Stages
from edge_agent.vehicle import VehicleSample, Verdict
from pitwall.domain.permit import HeartbeatLog, PermitDenial, PermitHolder
from pitwall.domain.stop_set import LatchChange, Latches, SetDelta, StopSet
from pitwall.domain.vehicle_state import MOVING, MotionHold, VehicleStatus

_VERDICT_LIFE_S = CONTROL_PERIOD_S * VERDICT_PERIODS

Effects = list[Effect]


class Gate:
    """One vehicle's gate. `mission` holds the status, which stops and releases change."""

    def __init__(self, vehicle_id: str, boot_epoch: int, mission: Mission, now_s: float) -> None:
        self.vehicle_id, self.boot_epoch, self.mission = vehicle_id, boot_epoch, mission
        self.stops = StopSet()
        self.heartbeats = HeartbeatLog()
        self.stages = Stages()
        self.autonomous = True
        #: Of the last reading that was generated, for the vehicle's own log.
        self.sequence = 0
        #: Stops, releases, holds and orders that changed the state so far. An order from before the latest one does
        #: nothing: whoever gave it has not seen what came of the others.
        self.hold_count = 1
        self._latches = Latches(vehicle_id)
        self._permit = PermitHolder(self.heartbeats)
        self._beneath = MotionHold.BOOT
        self._had_leave = False  # a permit was valid and nothing held: its end is a lost link
        self._watches = False  # zones must be judged anew with every position
        self.sight = Sight()
        self._recorded = LatchRecord()
        self._since_s = now_s
        self._cause = "boot"
        self._told: tuple[object, ...] = ()

    # What can be seen

    @property
    def hold(self) -> MotionHold:
        return MotionHold.STOPPED if self._latches.stop_ids else self._beneath

    @property
    def latched(self) -> frozenset[str]:
        return self._latches.stop_ids

    @property
    def status(self) -> VehicleStatus:
        return self.mission.status

    @property
    def record(self) -> LatchRecord:
        """What the latch file must hold."""
        return self._recorded

    @property
    def permit_until_s(self) -> float:
        """-inf without one."""
        return self._permit.until_s

    def permit_valid(self, now_s: float) -> bool:
        return self._permit.valid(now_s)

    def snapshot(self) -> StateSnapshot:
        """Where it stands, since when and by what cause."""
        mission = self.mission
        return StateSnapshot(
            mission.status, mission.sub_status, self.hold, self.hold_count, self.latched, self._cause, self._since_s
        )

    # What is fed

    def restore(self, record: LatchRecord, now_s: float) -> Effects:
        """What the latch file held. Adopted as it is: a latch whose stop nobody can describe holds all the same."""
        self.stops.merge(record.carried.stops, record.carried.releases)
        self._latches = Latches(self.vehicle_id, record.latched)
        if record.latched:
            self.hold_count += len(record.latched)
            if self.status is not VehicleStatus.ERROR:  # which may be what holds it
                self.mission.stop()
            self.stages.latched(record.latched, now_s, durable=True)
        elif self.status is VehicleStatus.EMERGENCY_STOP:
            self.mission.release()  # the last release was on disk, what came of it was not
        self._recorded = record
        _, self._watches = carried(self.stops, self.vehicle_id, record.latched)
        return self._judged(SetDelta(), now_s, "boot")

    def merge(self, delta: SetDelta, now_s: float) -> Effects:
        """A set adds to what is here; it never replaces it."""
        lapsed = self.lapse(now_s)
        new = self.stops.merge(delta.stops, delta.releases)
        return in_order(lapsed + self._judged(new, now_s, _cause(new))) if new else lapsed

    def permit(self, number: int, ttl_s: float, now_s: float, denial: PermitDenial = PermitDenial.STOPPED) -> Effects:
        """The answer to a heartbeat. An end that was missed between ticks counts.

        A ttl of 0 takes leave away at once, but for NO_MAJORITY: that gateway can permit nothing, and what was
        permitted before runs to its own end, which no stop that it has not heard of can be later than.
        """
        lapsed = self.lapse(now_s)
        if ttl_s <= 0 and denial is PermitDenial.NO_MAJORITY:
            return lapsed
        self._permit.grant(number, ttl_s)
        self._had_leave = self._had_leave or (self.hold is MotionHold.NONE and self._permit.valid(now_s))
        return in_order(lapsed + self.lapse(now_s))

    def sample(self, sample: VehicleSample, now_s: float) -> Effects:
        """A new measurement: where it is, against the zones; what it does, for the stages."""
        effects = self.lapse(now_s)
        self.sight.see(sample)
        if self._watches:
            effects = effects + self._judged(SetDelta(), now_s)
        progress = self.stages.measured(sample)
        if progress:
            effects = [*effects, ReportStops(progress)]
        return in_order(effects)

    def cut_off(self, now_s: float) -> Effects:
        """The connection to the vehicle below has ended. It brakes by itself, and must not drive on by itself."""
        return self._lose("vehicle interface gone", now_s) if self._had_leave else []

    def durable(self, stop_ids: Iterable[str]) -> Effects:
        """These latches are on disk."""
        progress = self.stages.durable(stop_ids)
        return [ReportStops(progress)] if progress else []

    def resume(self, now_s: float, cause: str) -> Effects:
        """Ends BOOT or LINK_LOST. `pitwall.domain.order.judge` has agreed."""
        if self._latches.stop_ids or not self._permit.valid(now_s) or self.sight.blind(now_s):
            raise ValueError(f"nothing to resume: hold is {self.hold.name}, permit until {self._permit.until_s}")
        self._beneath = MotionHold.NONE
        self._had_leave = True
        self.mission.engage()
        self.hold_count += 1
        return self.changed(now_s, cause)

    def fail(self, now_s: float, cause: str) -> Effects:
        """The vehicle has found a fault in itself; its own stop holds it. ERROR stays when that stop is withdrawn."""
        if self.status is VehicleStatus.ERROR:
            return []
        self.mission.fail()
        self.hold_count += 1
        return self.changed(now_s, cause)

    def set_status(self, status: VehicleStatus, now_s: float, cause: str) -> Effects:
        """By order; START_ROUTE is ROUTING. Raises IllegalTransition and changes nothing."""
        self.mission.order(status)
        self.hold_count += 1
        return self.changed(now_s, cause)

    def set_autonomous(self, enabled: bool, now_s: float, cause: str) -> Effects:
        """Out of autonomous mode it stands at once; back in it, it moves with the next tick."""
        self.hold_count += enabled != self.autonomous
        self.autonomous = enabled
        effects = self.changed(now_s, cause)
        return effects if enabled else in_order([*effects, Apply(self.verdict(now_s))])

    def tick(self, now_s: float) -> Effects:
        """One control period: judge, number a heartbeat, give the verdict. `now_s` was read after waking."""
        effects = self.lapse(now_s)
        if self._watches:
            effects += self._judged(SetDelta(), now_s)
        may_run = not self._denied(now_s)
        went_on = self.mission.tick(now_s, may_run, self.sight.latest)
        effects += self.changed(now_s, "mission" if went_on else "")
        self.heartbeats.beat(now_s)
        return in_order([*effects, Apply(self.verdict(now_s))])

    # How it judges

    def verdict(self, now_s: float) -> Verdict:
        denial = self._denied(now_s) or self._stands()
        deadline_s = now_s + _VERDICT_LIFE_S
        return Verdict(
            may_move=not denial,
            deadline_s=deadline_s if denial else min(self._permit.until_s, deadline_s),
            status=self.mission.status,
            cause=denial,
            boot_epoch=self.boot_epoch,
            sequence=self.sequence,
            slowing=self.mission.slowing,
        )

    def _denied(self, now_s: float) -> str:
        """Why it may not move whatever its status; empty when it may."""
        if self._latches.stop_ids:
            return f"STOPPED {min(self._latches.stop_ids)}"
        if self._beneath is not MotionHold.NONE:
            return self._beneath.name
        if not self._permit.valid(now_s):
            return "NO_PERMIT"
        if not self.autonomous:
            return "MANUAL"
        return "BLIND" if self.sight.blind(now_s) else ""

    def _stands(self) -> str:
        return "" if self.mission.status in MOVING else self.mission.status.name

    def lapse(self, now_s: float) -> Effects:
        """Sees that leave has ended. To be called before anything that might renew it, or asks whether it is there."""
        if not self._had_leave:
            return []
        if not self._permit.valid(now_s):
            return self._lose("permit ran out", now_s)
        # A little jitter is BLIND and no more; whoever was out of sight for longer has stood, and waits to be resumed.
        return self._lose("vehicle interface silent", now_s) if self.sight.lost(now_s) else []

    def _lose(self, cause: str, now_s: float) -> Effects:
        self._had_leave = False
        self._beneath = MotionHold.LINK_LOST
        self.hold_count += 1
        return [Apply(self.verdict(now_s)), *self.changed(now_s, cause)]

    def _judged(self, new: SetDelta, now_s: float, cause: str = "") -> Effects:
        """The set against the vehicle: brake, write, report."""
        change = self._latches.update(self.stops, *self.sight.place(now_s))
        named = {s for r in new.releases if not r.vehicle_ids or self.vehicle_id in r.vehicle_ids for s in r.stop_ids}
        effects: Effects = []
        if change.latched:
            effects.append(self._brake(change, now_s))
            cause = f"stop {min(change.latched)}"
        self.hold_count += len(change.released)
        if change.released and not self._latches.stop_ids:
            self.mission.release()
        if change or new:
            effects += self._write()
        progress = self.stages.latched(change.latched, now_s)
        progress += self.stages.released((change.released | named) - self._latches.stop_ids, now_s)
        if progress:
            effects.append(ReportStops(progress))
        return in_order(effects + self.changed(now_s, cause))

    def _brake(self, change: LatchChange, now_s: float) -> Apply:
        self._permit.void()
        self._had_leave = False
        self.hold_count += len(change.latched)
        self.mission.stop()
        return Apply(self.verdict(now_s))

    def _write(self) -> Effects:
        everything = self.stops.snapshot()
        if len(everything.stops) + len(everything.releases) > SET_TRIM_AT:
            self.stops = trimmed(self.stops, self.vehicle_id, self._latches.stop_ids)
        delta, self._watches = carried(self.stops, self.vehicle_id, self._latches.stop_ids)
        record = LatchRecord(self._latches.stop_ids, delta)
        if record == self._recorded:
            return []
        self._recorded = record
        return [PersistLatch(record)]

    def changed(self, now_s: float, cause: str) -> Effects:
        """What to write and report when status, hold or latches are no longer as last told."""
        mission = self.mission
        now = (mission.status, mission.sub_status, self.hold, self._latches.stop_ids, self.autonomous, self.hold_count)
        if now == self._told:
            return []
        before, self._told = self._told, now
        self._since_s, self._cause = now_s, cause
        report = ReportState(self.snapshot())
        if before and (before[0], before[4]) == (now[0], now[4]):
            return [report]
        return [PersistState(mission.status, self.autonomous), report]


def _cause(new: SetDelta) -> str:
    """In the words of a status report, where nothing new took hold."""
    return f"release {new.releases[0].release_id}" if new.releases else ""
