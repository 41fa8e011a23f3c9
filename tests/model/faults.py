"""What goes wrong. Each kind of action in the plan is a method here, with a chance of its own, that ends its fault."""

import random
from collections.abc import Callable, Sequence
from functools import partial

from edge_agent.vehicle import DRIVE_FAULT, LOCAL_STOP_BUTTON
from pitwall.domain.geo import Position
from pitwall.domain.stop_set import FleetScope, Scope, VehicleScope, ZoneScope
from tests.model.agents import Agent
from tests.model.commands import CommandService
from tests.model.gateways import Gateway
from tests.model.network import Network, Process, Timeline
from tests.model.people import People
from tests.model.plan import PLACES, ZONES, Action
from tests.model.properties import Properties


class Faults:
    """`say` hears in words what is done. `unit_s`: faults last some times as long, seconds; a lease's life."""

    def __init__(
        self,
        timeline: Timeline,
        network: Network,
        members: Sequence[CommandService],
        gateways: Sequence[Gateway],
        agents: Sequence[Agent],
        people: People,
        watch: Properties,
        say: Callable[[str], None],
        unit_s: float,
    ) -> None:
        self._timeline, self._network, self._people, self._watch = timeline, network, people, watch
        self._members, self._gateways, self._agents = members, gateways, agents
        self._processes: list[Process] = [*members, *gateways, *agents]
        self._say, self._unit_s = say, unit_s
        self._walls: dict[frozenset[str], int] = {}
        #: No more of it.
        self.ended = False

    def do(self, seed: object, action: Action) -> None:
        chance = random.Random(f"{seed}/{action.number}")
        getattr(self, action.kind)(chance)

    def _after(self, chance: random.Random, most: float, do: Callable[[], None], least_s: float = 0.0) -> float:
        """At the end of the fault, some `most` units later at most. Mostly short, seldom long."""
        lasts_s = least_s + most * self._unit_s * chance.random() ** 2 + 0.02
        self._timeline.at(self._timeline.now_s + lasts_s, do)
        return lasts_s

    # What people and vehicles do

    def stop(self, chance: random.Random) -> None:
        if not self._people.may_stop():
            return
        vehicles = frozenset(a.name for a in chance.sample(self._agents, chance.randint(1, len(self._agents))))
        scopes: tuple[Scope, ...] = (FleetScope(), ZoneScope(chance.choice(ZONES)), VehicleScope(vehicles))
        scope = chance.choices(scopes, (2, 3, 5))[0]
        self._say(f"stop {type(scope).__name__} {sorted(vehicles) if isinstance(scope, VehicleScope) else ''}")
        self._people.stop(chance, scope, again=chance.random() < 0.2)

    def ambush(self, chance: random.Random) -> None:
        """A zone is stopped, and sooner or later somebody drives into it."""
        if self._people.may_stop():
            zone = chance.choice(ZONES)
            self._say(f"stop zone {zone.name}")
            self._people.stop(chance, ZoneScope(zone), again=False)
            inside = next(place for place in PLACES if zone.contains(place))
            at_s = self._timeline.now_s + 4 * self._unit_s * chance.random()
            self._timeline.at(at_s, self._drive, chance.choice(self._agents), inside)

    def drive(self, chance: random.Random) -> None:
        self._drive(chance.choice(self._agents), chance.choice(PLACES))

    def _drive(self, agent: Agent, place: Position) -> None:
        if agent.body.located and agent.alive:
            agent.body.place = place
            zones = frozenset(zone.name for zone in ZONES if zone.contains(place))
            self._say(f"{agent.name} drives into {sorted(zones)}")
            self._watch.drove(agent.name, zones)

    def button(self, chance: random.Random) -> None:
        agent = chance.choice(self._agents)
        agent.body.faults = frozenset({chance.choice((LOCAL_STOP_BUTTON, DRIVE_FAULT))})
        self._say(f"{agent.name} has {sorted(agent.body.faults)}")

        def over() -> None:
            agent.body.faults = frozenset()

        self._after(chance, 3.0, over)

    def blind(self, chance: random.Random) -> None:
        agent = chance.choice(self._agents)
        agent.body.located = False

        def over() -> None:
            agent.body.located = True

        self._say(f"{agent.name} does not know where it is for {self._after(chance, 5.0, over):.1f} s")

    def wrong_clock(self, chance: random.Random) -> None:
        process = chance.choice(self._processes)
        process.clock.wrong_s += chance.uniform(-7200, 7200)
        self._say(f"{process.name}'s wall clock is {process.clock.wrong_s:.0f} s off")

    # The network

    def wall(self, chance: random.Random) -> None:
        """Between two, or around one."""
        one = chance.choice(self._processes)
        others = [other for other in self._processes if other is not one]
        shut = others if chance.random() < 0.4 else chance.sample(others, 1)
        lasts_s = self._shut(chance, {frozenset({one.name, other.name}) for other in shut})
        self._say(f"wall between {one.name} and {sorted(o.name for o in shut)} for {lasts_s:.2f} s")

    def split(self, chance: random.Random) -> None:
        """Two islands."""
        island = {process.name for process in self._processes if chance.random() < 0.5}
        rest = {process.name for process in self._processes} - island
        lasts_s = self._shut(chance, {frozenset({a, b}) for a in island for b in rest})
        self._say(f"wall between {sorted(island)} and {sorted(rest)} for {lasts_s:.2f} s")

    def members_cut_off(self, chance: random.Random) -> None:
        """Some command services, by themselves."""
        self._cut_off(chance.sample(self._members, chance.randint(1, max(1, len(self._members) - 1))), 0.0, chance)

    def _cut_off(self, island: Sequence[Process], least: float, chance: random.Random) -> None:
        """For `least` units at least."""
        rest = [process for process in self._processes if process not in island]
        pairs = {frozenset({one.name, other.name}) for one in island for other in rest}
        lasts_s = self._shut(chance, pairs, least * self._unit_s)
        self._say(f"wall around {sorted(one.name for one in island)} for {lasts_s:.2f} s")

    def siege(self, chance: random.Random) -> None:
        """A stop while the site is in two, and somebody dies or sleeps."""
        self._in_turn(chance, chance.choice((self.split, self.members_cut_off)), self.stop)
        self._in_turn(chance, chance.choice((self.kill, self.pause, self.stop)))

    def amnesia(self, chance: random.Random) -> None:
        """Two know of a stop; one of them forgets it, and the other is cut off."""
        if len(self._members) < 3:
            return
        one, other = chance.sample(self._members, 2)
        forget = partial(self._kill, process=one, wiped=True)
        self._in_turn(
            chance, partial(self._cut_off, [one, other], 2.0), self.stop, forget, partial(self._cut_off, [other], 6.0)
        )

    def outage(self, chance: random.Random) -> None:
        """All gateways die at one moment, and vehicles are to be stopped before they are back."""
        for gateway in self._gateways:
            self._kill(chance, gateway, wiped=False)
        self._in_turn(chance, self.stop)

    def _in_turn(self, chance: random.Random, *steps: Callable[[random.Random], None]) -> None:
        at_s = self._timeline.now_s
        for step in steps:
            self._timeline.at(at_s, self._step, step, random.Random(chance.random()))
            at_s += chance.random() * self._unit_s

    def _step(self, step: Callable[[random.Random], None], chance: random.Random) -> None:
        if not self.ended:
            step(chance)

    def _shut(self, chance: random.Random, pairs: set[frozenset[str]], least_s: float = 0.0) -> float:
        """Builds walls, and lets them fall later."""
        walls = self._network.walls
        for pair in pairs:
            self._walls[pair] = self._walls.get(pair, 0) + 1
            walls.add(pair)
        self._network.missing(lambda stream: stream.pair in pairs and stream.pair in walls)
        return self._after(chance, 6.0, lambda: self._open(pairs), least_s)

    def _open(self, pairs: set[frozenset[str]]) -> None:
        for pair in sorted(pairs, key=sorted):
            self._walls[pair] -= 1
            if not self._walls[pair]:
                self._network.walls.discard(pair)
                for stream in self._network.streams:
                    if stream.pair == pair:
                        stream.fall()

    def slow(self, chance: random.Random) -> None:
        one, other = chance.sample(self._processes, 2)
        pair = frozenset({one.name, other.name})
        late_s = self._network.slow_s[pair] = self._unit_s * chance.choice((0.1, 0.5, 1.5))

        def over() -> None:
            self._network.slow_s.pop(pair, None)

        lasts_s = self._after(chance, 6.0, over)
        self._say(f"{one.name} and {other.name} hear each other up to {late_s:.1f} s late for {lasts_s:.2f} s")

    def cut(self, chance: random.Random) -> None:
        streams = [s for s in self._network.streams if s.client.open and s.server.open]
        if streams:
            stream = chance.choice(streams)
            heard = tuple(end for end in (stream.client, stream.server) if chance.random() < 0.6)
            self._say(f"cut {sorted(stream.pair)}, heard by {[end.process.name for end in heard]}")
            self._network.cut(stream, heard_by=heard)

    # Processes

    def kill(self, chance: random.Random) -> None:
        self._kill(chance, chance.choice(self._processes), wiped=chance.random() < 0.3)

    def _kill(self, chance: random.Random, process: Process, *, wiped: bool) -> None:
        dark, wiped = chance.random() < 0.4, wiped and self._may_lose_disk(process)
        if not process.alive:
            return
        process.kill(dark=dark)
        if dark:
            self._network.missing(lambda s: process.dark and process in (s.client.process, s.server.process))
        if wiped and isinstance(process, CommandService | Agent):
            process.wipe()
        lasts_s = self._after(chance, 3.0, process.start)
        how = f"{' with its machine' if dark else ''}{', its disk is lost' if wiped else ''}"
        self._say(f"kill {process.name}{how}, back in {lasts_s:.2f} s")

    def _may_lose_disk(self, process: Process) -> bool:
        """Not while another command service has not heard again what it lost: then nobody knows all of it."""
        others = [member for member in self._members if member is not process]
        return not isinstance(process, CommandService) or (
            len(others) > 1 and all(member.disk.complete for member in others)
        )

    def pause(self, chance: random.Random) -> None:
        process = chance.choice(self._processes)
        if process.paused or not process.alive:
            return
        process.pause()
        self._network.missing(lambda s: process.paused and process in (s.client.process, s.server.process))
        lasts_s = self._after(chance, 4.0, process.wake)
        self._say(f"pause {process.name} for {lasts_s:.2f} s")

    def hang(self, chance: random.Random) -> None:
        """A disk."""
        parties: list[CommandService | Agent] = [*self._members, *self._agents]
        process = chance.choice(parties)
        disk = process.disk
        disk.hangs = True

        def over() -> None:
            disk.hangs = False

        self._say(f"{process.name}'s disk hangs for {self._after(chance, 4.0, over):.2f} s")
