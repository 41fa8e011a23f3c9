"""Operators and supervisors, at whatever command service answers them. Some look before they act, some don't."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from haul.command.v1 import command_service_pb2 as command_pb2

from pitwall import wire
from pitwall.domain.order import LinkLossDrill, MotionEtag, Order, OrderKind, Resume, SetStatus, StartRoute
from pitwall.domain.stop_set import Release, Scope
from pitwall.domain.vehicle_state import MotionHold, VehicleStatus
from pitwall.rpc.errors import PitwallError
from pitwall.tokens import Person, Role
from tests.model.agents import Agent
from tests.model.commands import CommandService
from tests.model.properties import Properties
from tests.model.surroundings import CLOCK, Ids

#: How often somebody looks after the vehicles, in lives of a lease.
ROUND = 0.2
#: With so many active stops another one would show nothing: everybody stands.
MAX_ACTIVE = 2
#: Of those that are looked after and drive, so many are drilled.
DRILLED = 0.05
#: Etags that somebody may still have on a screen.
MAX_SEEN = 60

_ANNA, _BERT = (Person(name, frozenset(Role)) for name in ("anna", "bert"))


class People:
    """All of them. What they do is a step of the command service that they ask."""

    def __init__(
        self,
        members: Sequence[CommandService],
        agents: Sequence[Agent],
        watch: Properties,
        chance: random.Random,
        ids: Ids,
    ) -> None:
        self._members, self._agents, self._watch = members, agents, watch
        self._chance, self._ids = chance, ids
        self._careless = chance.choice((0.0, 0.2, 0.8))
        self._seen: list[tuple[str, MotionEtag]] = []
        self._sent: list[Order] = []
        self.stop_ids: list[str] = []

    def _ask(self, chance: random.Random, do: Any, *arguments: Any) -> None:
        """A member that answers, if any; the first one that was tried may be gone."""
        there = [member for member in self._members if member.alive and not member.paused]
        if there:
            member = chance.choice(there)
            member.run(member.incarnation, do, member, *arguments)

    # Stops and releases

    def may_stop(self) -> bool:
        """Not too many stops are active."""
        return min(member.core.stops.active_count for member in self._members if member.incarnation) <= MAX_ACTIVE

    def stop(self, chance: random.Random, scope: Scope, *, again: bool) -> None:
        """`again`: the client tries two members, or clicks a second time on a stop of before."""
        stop_id = chance.choice(self.stop_ids) if again and self.stop_ids else self._ids.new()
        self.stop_ids.append(stop_id)
        request = command_pb2.EmergencyStopRequest(stop_id=stop_id, reason="why not", scope=wire.scope_to_proto(scope))
        for _ in range(chance.choice((1, 1, 2))):
            self._ask(chance, self._stop, request)

    @staticmethod
    def _stop(member: CommandService, request: command_pb2.EmergencyStopRequest) -> None:
        member.stop_desk.stop(request, _ANNA)

    def request(self, member: CommandService, chance: random.Random) -> None:
        """A release of some stops, for all or for some vehicles."""
        stops = [s for s in member.core.stops.active_stops() if s.issuing_vehicle_id is None]
        stops.sort(key=lambda stop: stop.stop_id)
        if not stops:
            return
        chosen = chance.sample(stops, chance.randint(1, len(stops)))
        only = frozenset({chance.choice(self._agents).name}) if chance.random() < 0.3 else frozenset[str]()
        stop_ids = frozenset(stop.stop_id for stop in chosen)
        release = Release(self._ids.new(), stop_ids, only, "all clear", _ANNA.subject, CLOCK.wall())
        try:
            member.release_desk._check_stops(release)
        except PitwallError:
            return
        member.core.request(release, CLOCK.command())
        member.hub.carry_out()

    def approve(self, member: CommandService, chance: random.Random) -> None:
        """All that wait there, one by one."""
        for release in sorted(member.core.releases.waiting_releases(), key=lambda release: release.release_id):
            if not release.approved_by and chance.random() < 0.7:
                agreed = replace(release, approved_by=_BERT.subject, approved_time=CLOCK.wall())
                member.core.approve(agreed, CLOCK.command())
                member.hub.carry_out()

    # Orders

    def round(self) -> None:
        """Somebody looks at each vehicle and sends it on, releases what is stopped, repeats what was sent."""
        chance = self._chance
        for agent in self._agents:
            if chance.random() < 0.7:
                self._ask(chance, self._send_on, agent.name)
        if chance.random() < 0.4:
            self._ask(chance, self.request, chance)
        if chance.random() < 0.5:
            self._ask(chance, self.approve, chance)
        for _ in range(3):
            if chance.random() < self._careless:
                self._ask(chance, self.careless, chance)

    def _send_on(self, member: CommandService, vehicle_id: str) -> None:
        vehicle = member.core.registry.get(vehicle_id)
        if vehicle is None:
            return
        self._seen.append((vehicle_id, vehicle.etag))
        del self._seen[:-MAX_SEEN]
        status, hold = vehicle.status.status, vehicle.status.motion_hold
        kind: OrderKind | None = None
        if not vehicle.connected or hold is MotionHold.STOPPED:
            return
        if status in (VehicleStatus.MAINTENANCE, VehicleStatus.OFFLINE):
            kind = SetStatus(VehicleStatus.IDLE)
        elif status is VehicleStatus.ERROR:
            kind = SetStatus(VehicleStatus.MAINTENANCE)
        elif hold in (MotionHold.BOOT, MotionHold.LINK_LOST):
            kind = Resume()
        elif status is VehicleStatus.IDLE:
            kind = StartRoute("7")
        elif self._chance.random() < DRILLED:
            kind = LinkLossDrill()
        if kind is not None:
            self._send(
                member,
                Order(self._ids.new(), kind, self._chance.choice((1.0, 3.0, 10.0)), "anna"),
                {vehicle_id: vehicle.etag},
            )

    def careless(self, member: CommandService, chance: random.Random) -> None:
        """With an etag of before, or once more what was sent before."""
        if self._sent and chance.random() < 0.5:
            order = chance.choice(self._sent)
            self._send(member, order, self._watch.orders[order.request_id][1])
        elif self._seen:
            vehicle_id, etag = chance.choice(self._seen)
            kinds = (Resume(), StartRoute("8"), SetStatus(VehicleStatus.IDLE), SetStatus(VehicleStatus.MAINTENANCE))
            expire_s = chance.choice((1.0, 3.0, 10.0, 60.0))
            self._send(member, Order(self._ids.new(), chance.choice(kinds), expire_s, "eve"), {vehicle_id: etag})

    def _send(self, member: CommandService, order: Order, etags: dict[str, MotionEtag]) -> None:
        if member.core.orders.get(order.request_id) is None:
            self._watch.orders[order.request_id] = order, etags
            self._sent.append(order)
            del self._sent[:-MAX_SEEN]
            member.order_desk._send(order, etags)
