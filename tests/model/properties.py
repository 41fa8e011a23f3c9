"""What must hold, whatever happens. Judged by the vehicle: it moves when the verdict that it was given lets it.

P1  A stop that a majority has on disk since T: nobody in its scope moves from T + (lease_ttl + control period) * 1.01,
    and the slack of the clocks, until a release that names the pair is approved and on a majority's disks.
P2  A vehicle moves only with an unexpired permit and an empty latch set; after a start it does not.
P3  A latch goes by a release that names it, in force as in P1, or by the vehicle's own withdrawal.
P4  No order runs twice, on an etag from before a stop, hold or session, or later than expire_after.
P5  After LINK_LOST, BOOT and a stop it moves only when an order that says so has been executed since.
P6  When all faults have ended, everybody holds the same, and who is not stopped may move (see World.settle).
P7  ISSUED is said of stops that a majority has had on disk, and of no others.

What is known of permits, orders and disks is kept here by its own bookkeeping, so that a fault in the product's does
not hide itself.
"""

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from haul.link.v1 import vehicle_link_service_pb2 as link_pb2

from command_service.events import OrderRecorded, Record, ReleaseApproved, ReleaseInForce, StageReached, StopIssued
from command_service.progress import Stage
from edge_agent.vehicle import Verdict
from pitwall import wire
from pitwall.domain.order import MotionEtag, Order, Resume, StartRoute
from pitwall.domain.permit import PermitTerms, majority
from pitwall.domain.stop_set import FleetScope, Release, Stop, VehicleScope
from pitwall.domain.vehicle_state import MotionHold
from tests.model.network import Timeline
from tests.model.surroundings import CLOCK, Clock

if TYPE_CHECKING:
    from tests.model.agents import Agent

#: Clocks' rates are within this share of true time.
RATE_ERROR = 0.01
_EPSILON_S = 1e-3


class Violation(Exception):
    """A property does not hold. `rule`: P1 to P7."""

    def __init__(self, rule: str, text: str, at_s: float) -> None:
        super().__init__(f"{rule} at {at_s:.3f} s: {text}")
        self.rule, self.at_s = rule, at_s


@dataclass
class _Stopped:
    """A stop and the members that have, or had, it on disk: one that lost its disk grants no lease before it has heard
    of the stop again, so it counts on. `due_s`: from when on nobody in scope moves, true time."""

    stop: Stop
    disks: set[str] = field(default_factory=set)
    due_s: float = inf


@dataclass
class _Moving:
    """What is known of one vehicle. Times are of its own clock, but for `inside_s` and `moved_until_s` (true)."""

    clock: Clock
    verdict: Verdict | None = None
    moved_until_s: float = -inf
    latched: frozenset[str] = frozenset()
    hold: MotionHold = MotionHold.BOOT
    beats: dict[int, float] = field(default_factory=dict)
    newest: int = 0
    void_until: int = 0
    permit_until_s: float = -inf
    #: Why it needs an order before it may move again.
    waits_for: set[str] = field(default_factory=lambda: {"BOOT"})
    #: Stops that hold it no more, because they are released.
    free_of: set[str] = field(default_factory=set)
    zones: dict[str, float] = field(default_factory=dict)  # name of each zone that it is in -> since when
    changes: int = 0
    seen: dict[tuple[int, int, int], int] = field(default_factory=dict)  # (boot, session, hold count) -> changes
    executed: set[str] = field(default_factory=set)


class Properties:
    """Told of everything by the parties; raises Violation, or keeps it until the event is over."""

    def __init__(self, timeline: Timeline, members: int, terms: PermitTerms) -> None:
        self._timeline, self._majority = timeline, majority(members)
        self._ttl_s, self._period_s = terms.permit_ttl_s, terms.control_period_s
        bound_s = (terms.lease_ttl_s + terms.control_period_s) * 1.01
        self._bound_s = max(bound_s, (terms.lease_ttl_s + terms.control_period_s) / (1 - RATE_ERROR))
        self._vehicles: dict[str, _Moving] = {}
        self._stops: dict[str, _Stopped] = {}
        self._releases: dict[str, tuple[Release, set[str]]] = {}
        self._in_force: dict[str, Release] = {}
        self.orders: dict[str, tuple[Order, dict[str, MotionEtag]]] = {}
        self.movements = self.latchings = 0

    def broken(self, rule: str, text: str) -> None:
        raise Violation(rule, text, self._timeline.now_s)

    # Disks of command services

    def on_disk(self, member: str, record: Record) -> None:
        match record.event:
            case StopIssued(stop):
                known = self._stops.setdefault(stop.stop_id, _Stopped(stop))
                known.disks.add(member)
                if known.due_s == inf and len(known.disks) >= self._majority:
                    known.due_s = self._timeline.now_s + self._bound_s
            case ReleaseApproved(release) | ReleaseInForce(release):
                _, disks = self._releases.setdefault(release.release_id, (release, set()))
                disks.add(member)
                if len(disks) >= self._majority:
                    self._in_force.setdefault(release.release_id, release)
            case StageReached(stop_id, Stage.ISSUED):
                if self._stops[stop_id].due_s == inf:
                    self.broken("P7", f"{member} calls {stop_id} issued; it is on {self._stops[stop_id].disks}")
            case OrderRecorded():
                pass

    def released(self, stop_id: str, vehicle_id: str) -> bool:
        return any(
            stop_id in release.stop_ids and (not release.vehicle_ids or vehicle_id in release.vehicle_ids)
            for release in self._in_force.values()
        )

    # The vehicle

    def booted(self, agent: "Agent", durable: frozenset[str]) -> None:
        """`durable`: latches that were on its disk."""
        known = self._vehicles.get(agent.name)
        if known is not None:
            self._account(known)  # its last verdict ends with the connection of the agent that gave it
        before = known.executed if known else set()
        self._vehicles[agent.name] = _Moving(
            agent.clock,
            moved_until_s=known.moved_until_s if known else -inf,
            executed=before,
            zones=known.zones if known else {},
            latched=durable,
            free_of=known.free_of if known else set(),
        )

    def drove(self, vehicle_id: str, zones: frozenset[str]) -> None:
        known = self._vehicles[vehicle_id]
        known.zones = {name: known.zones.get(name, self._timeline.now_s) for name in zones}

    def beat(self, agent: "Agent") -> None:
        known = self._vehicles[agent.name]
        known.newest = agent.agent.gate.heartbeats.newest
        known.beats[known.newest] = CLOCK.own_s
        if len(known.beats) > 1000:
            del known.beats[next(iter(known.beats))]

    def permit(self, agent: "Agent", permit: link_pb2.Permit) -> None:
        """It has arrived on the vehicle's newest stream."""
        known = self._vehicles[agent.name]
        sent_s = known.beats.get(permit.heartbeat_number)
        ttl_s = wire.to_seconds(permit.ttl)
        if sent_s is not None and permit.heartbeat_number > known.void_until and ttl_s > 0:
            if -inf < known.permit_until_s <= CLOCK.own_s and not known.waits_for:
                known.waits_for.add("LINK_LOST")
            known.permit_until_s = max(known.permit_until_s, sent_s + min(ttl_s, self._ttl_s))

    def applied(self, vehicle_id: str, verdict: Verdict) -> None:
        known = self._vehicles[vehicle_id]
        self._account(known)
        known.verdict = verdict
        if not verdict.may_move:
            return
        self.movements += 1
        if verdict.deadline_s > known.permit_until_s + _EPSILON_S:
            late = verdict.deadline_s - known.permit_until_s
            self.broken("P2", f"{vehicle_id} may move {late:.3f} s beyond its permit")
        if known.waits_for:
            self.broken("P5", f"{vehicle_id} may move; after {sorted(known.waits_for)} nobody has ordered it on")

    def look(self, agent: "Agent") -> None:
        """After each step of an agent: what has changed of latches and holds."""
        gate, known = agent.agent.gate, self._vehicles[agent.name]
        latched, hold = gate.latched, gate.hold
        moves = known.verdict is not None and known.verdict.may_move and CLOCK.own_s < known.verdict.deadline_s
        if moves and (latched or hold is not MotionHold.NONE):
            self.broken("P2", f"{agent.name} moves, latched by {sorted(latched)}, hold {hold.name}")
        if latched is not known.latched:
            self._latches(agent, known, latched)
        if hold is not known.hold:
            known.hold = hold
            if hold is not MotionHold.NONE:
                known.changes += 1
                known.waits_for.add(hold.name)
        etag = (gate.boot_epoch, agent.agent.connect_count, gate.hold_count)
        if etag not in known.seen:
            if not known.seen or etag[1] != next(reversed(known.seen))[1]:
                known.changes += 1
            known.seen[etag] = known.changes

    def _latches(self, agent: "Agent", known: _Moving, latched: frozenset[str]) -> None:
        gate = agent.agent.gate
        for stop_id in known.latched - latched:
            stop = gate.stops.get(stop_id)
            own = stop is not None and stop.issuing_vehicle_id == agent.name
            if not own and not self.released(stop_id, agent.name):
                self.broken("P3", f"{agent.name} has let go of {stop_id}; no release in force names it")
        if latched - known.latched:
            self.latchings += 1
            known.changes += 1
            known.waits_for.add("STOPPED")
            known.void_until, known.permit_until_s = known.newest, -inf
        known.latched = latched

    def executes(self, agent: "Agent", request_id: str) -> None:
        """An order is being carried out."""
        known, (order, etags) = self._vehicles[agent.name], self.orders[request_id]
        etag = etags[agent.name]
        if request_id in known.executed:
            self.broken("P4", f"{agent.name} runs {request_id} a second time")
        known.executed.add(request_id)
        sent_s = known.beats.get(etag.heartbeat_number)
        if sent_s is None or CLOCK.own_s - sent_s >= order.expire_after_s + _EPSILON_S:
            self.broken("P4", f"{agent.name} runs {request_id}, seen at {sent_s}, at {CLOCK.own_s}")
        seen = known.seen.get((etag.boot_epoch, etag.connect_count, etag.hold_count))
        if seen is None or seen < known.changes:
            self.broken("P4", f"{agent.name} runs {request_id}, whose etag {etag.text()} is from before a change")
        if isinstance(order.kind, Resume):
            known.waits_for.clear()
        elif isinstance(order.kind, StartRoute):
            known.waits_for.discard("STOPPED")

    # Time

    def _account(self, known: _Moving) -> None:
        """Until when it has moved for certain."""
        if known.verdict is not None and known.verdict.may_move:
            until_s = min(known.clock.true_s(known.verdict.deadline_s), self._timeline.now_s)
            known.moved_until_s = max(known.moved_until_s, until_s)

    def check(self) -> None:
        """P1, ahead of each event: up to now nobody moved against a stop."""
        for vehicle_id, known in self._vehicles.items():
            if known.verdict is None or not known.verdict.may_move:
                continue
            self._account(known)
            for stop_id, stopped in self._stops.items():
                if known.moved_until_s <= stopped.due_s + _EPSILON_S or stop_id in known.free_of:
                    continue
                if self.released(stop_id, vehicle_id):
                    known.free_of.add(stop_id)
                    continue
                due_s = max(stopped.due_s, self._in_scope_s(known, vehicle_id, stopped.stop))
                if known.moved_until_s > due_s + _EPSILON_S:
                    self.broken("P1", f"{vehicle_id} moves against {stop_id}, {known.moved_until_s - due_s:.3f} s late")

    def _in_scope_s(self, known: _Moving, vehicle_id: str, stop: Stop) -> float:
        """From when on the stop holds for it, true time."""
        scope = stop.scope
        if stop.issuing_vehicle_id is not None:
            return inf  # the vehicle's own, which it withdraws by itself
        if isinstance(scope, FleetScope):
            return -inf
        if isinstance(scope, VehicleScope):
            return -inf if vehicle_id in scope.vehicle_ids else inf
        # The last verdict from outside may be as old as it can be.
        since_s = known.zones.get(scope.zone.name)
        return inf if since_s is None else since_s + 4 * self._period_s / (1 - RATE_ERROR)
