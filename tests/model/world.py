"""A site and its vehicles, one run of them by one seed: some time of faults, then peace, and what must be true then."""

import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from pitwall.domain.permit import PermitTerms
from pitwall.domain.stop_set import StopSet, ZoneScope
from tests.model.agents import Agent
from tests.model.commands import CommandService
from tests.model.faults import Faults
from tests.model.gateways import Gateway
from tests.model.network import Network, Process, Timeline
from tests.model.people import ROUND, People
from tests.model.plan import PLACES, Action, plan
from tests.model.properties import RATE_ERROR, Properties
from tests.model.surroundings import Clock, Ids, simulated

#: From the start until vehicles drive, and from the last fault until all must have settled, seconds.
START_S, SETTLE_S = 3.0, 12.0
#: How often nothing happens for hours.
IDLE_SPELLS = 4


class World:
    """`busy`: how long things go wrong, in lives of a lease. `left_out`: numbers of actions that are not done. `hours`
    of quiet between, on the average. `often`: the kind of action that comes most; `members`: command services; both by
    the seed where they are not given."""

    def __init__(
        self,
        seed: object,
        busy: float = 30.0,
        left_out: Collection[int] = (),
        *,
        hours: float = 24.0,
        often: str = "",
        members: int = 0,
        log: bool = False,
    ) -> None:
        chance = self._chance = random.Random(f"{seed}/world")
        self.seed, self._left_out = seed, left_out
        self.timeline = Timeline()
        #: What happened, in words.
        self.story: list[str] = []
        self._log, self._hours = log, hours
        ttl_s = chance.choice((1.0, 2.0, 2.0, 4.0, 8.0))
        self.terms = PermitTerms(ttl_s, ttl_s, ttl_s / 5)
        names = [f"command-{number}" for number in range(1, (members or chance.choice((1, 3, 3, 3))) + 1)]
        self.watch = Properties(self.timeline, len(names), self.terms)
        self.ids = Ids(f"{seed}/ids")
        network = self.network = Network(self.timeline, random.Random(f"{seed}/network"))
        self.members = [
            CommandService(name, self.timeline, self._clock(), network, names, self.terms, self.watch, self._own(name))
            for name in names
        ]
        for member in self.members:
            member.peers = [peer for peer in self.members if peer is not member]
        self.gateways = [
            Gateway(name, self.timeline, self._clock(), network, self.members, self.terms, self._own(name))
            for name in ("gateway-1", "gateway-2")
        ]
        period_s = self.terms.control_period_s
        self.agents = [
            Agent(
                f"TRUCK-{number}",
                self.timeline,
                self._clock(),
                network,
                self.gateways,
                self.watch,
                self._own(f"TRUCK-{number}"),
                self.ids,
                PLACES[0],
                period_s,
            )
            for number in range(1, chance.choice((2, 3)) + 1)
        ]
        self.people = People(self.members, self.agents, self.watch, self._own("people"), self.ids)
        self.faults = Faults(
            self.timeline, network, self.members, self.gateways, self.agents, self.people, self.watch, self.say, ttl_s
        )
        self.busy_s = busy * ttl_s
        every_s = ttl_s * chance.choice((1.0, 2.0, 4.0))
        self.plan = plan(self._own("plan"), START_S, START_S + self.busy_s, every_s, often)

    def _own(self, what: str) -> random.Random:
        return random.Random(f"{self.seed}/{what}")

    def _clock(self) -> Clock:
        chance = self._chance
        rate = 1 + chance.uniform(-RATE_ERROR, RATE_ERROR)
        return Clock(rate, chance.uniform(0, 1e6), chance.uniform(-7200, 7200))

    def say(self, text: str) -> None:
        if self._log:
            self.story.append(f"{self.timeline.now_s:9.3f}  {text}")

    @property
    def processes(self) -> list[Process]:
        return [*self.members, *self.gateways, *self.agents]

    @contextmanager
    def _here(self) -> Iterator[None]:
        with simulated(self.ids, self.terms.control_period_s):
            yield

    # A run

    def run(self) -> None:
        """Raises Violation."""
        with self._here():
            timeline = self.timeline
            for process in self.processes:
                timeline.at(self._chance.random() * 0.5, process.start)
            timeline.at(1.0, self._round)
            for action in self.plan:
                if action.number not in self._left_out:
                    timeline.at(action.at_s, self._do, action)
            for _ in range(IDLE_SPELLS):
                timeline.at(START_S + self.busy_s * self._chance.random(), self._idle)
            self._until(START_S + self.busy_s)
            self._heal()
            self._until(timeline.now_s + SETTLE_S + 2 * self.terms.lease_ttl_s)
            self.settled()

    def _until(self, true_s: float) -> None:
        self.timeline.run(true_s, self.watch.check)

    def _do(self, action: Action) -> None:
        if not self.faults.ended:
            self.faults.do(self.seed, action)

    def _round(self) -> None:
        if self.faults.ended:
            return
        self.timeline.at(self.timeline.now_s + ROUND * self.terms.lease_ttl_s, self._round)
        self.people.round()

    def _idle(self) -> None:
        """Hours in which nothing happens but heartbeats and what answers them, skipped.

        The rules know no time of day but the 12 h of a request and the 90 days of a stop, which count wall clocks; all
        else are ages of a minute at most, by clocks that nobody compares. So the state after the hours is the one from
        before them, with wall clocks set on.
        """
        hours = 2 * self._hours / IDLE_SPELLS * self._chance.random()
        self.timeline.idle_s += hours * 3600
        self.say(f"{hours:.1f} h pass")

    def _heal(self) -> None:
        self.say("all faults end")
        self.faults.ended = True
        self.network.slow_s.clear()
        self.network.walls.clear()
        for stream in self.network.streams:
            stream.fall()
        for process in self.processes:
            if process.paused:
                process.wake()
            process.start()
        for member in self.members:
            member.disk.hangs = False
        for agent in self.agents:
            agent.disk.hangs = False
            agent.body.faults, agent.body.located = frozenset(), True

    # Peace

    def settled(self) -> None:
        """P6."""
        first = self.members[0].core.stops
        for member in self.members:
            self._same(member.name, member.core.stops, first)
            for stop in first.active_stops():
                if not member.core.ledger.summary(stop.stop_id).confirmed:
                    self.watch.broken("P6", f"{member.name} does not know that {stop.stop_id} is issued")
        for gateway in self.gateways:
            self._same(gateway.name, gateway.hub.board._set, first)
        for agent in self.agents:
            self._agent_settled(agent, first)

    def _same(self, name: str, stops: StopSet, first: StopSet) -> None:
        for agent in self.agents:
            here = sorted(stop.stop_id for stop in stops.applies_to(agent.name))
            there = sorted(stop.stop_id for stop in first.applies_to(agent.name))
            if here != there:
                text = f"{name} holds {here} against {agent.name}, {self.members[0].name} {there}"
                self.watch.broken("P6", text)

    def _agent_settled(self, agent: Agent, first: StopSet) -> None:
        gate = agent.agent.gate
        applies = {stop.stop_id: stop for stop in first.applies_to(agent.name)}
        must = {
            stop_id
            for stop_id, stop in applies.items()
            if not isinstance(stop.scope, ZoneScope) or stop.scope.zone.contains(agent.body.place)
        }
        if not must <= gate.latched <= applies.keys():
            self.watch.broken("P6", f"{agent.name} holds {sorted(gate.latched)}, should hold {sorted(must)}")
        complete = all(member.core.recall.complete for member in self.members)
        if complete and not gate.latched and not gate.permit_valid(agent.clock.own_s(self.timeline.now_s)):
            self.watch.broken("P6", f"{agent.name} is not stopped and has no permit")
