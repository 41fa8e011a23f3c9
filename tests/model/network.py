"""True time, processes that can be paused and killed, and streams between them that can break in every way.

A stream is what gRPC gives: in order, nothing twice, and when it ends, each side hears that by itself, late, or never.
What was under way then is lost. Duplicates come about as in production: a new stream tells everything again.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.model.surroundings import CLOCK, Clock

#: gRPC's keepalive finds a dead other end in this time, seconds (LINK_LIMITS: 2 s + 2 s).
KEEPALIVE_S = 4.0

Do = Callable[..., None]


class Timeline:
    """Events by true time, seconds. `after` is called when an event has happened."""

    def __init__(self) -> None:
        self.now_s = 0.0
        #: Time in which nothing happened, skipped; see World.idle.
        self.idle_s = 0.0
        self.events = 0
        self._heap: list[tuple[float, int, Do, tuple[Any, ...]]] = []
        self._number = 0

    def at(self, when_s: float, do: Do, *arguments: Any) -> None:
        self._number += 1
        heapq.heappush(self._heap, (when_s, self._number, do, arguments))

    def run(self, until_s: float, before: Callable[[], None]) -> None:
        """Everything up to this time. `before` is called ahead of each event, at its time."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            self.now_s, _, do, arguments = heapq.heappop(heap)
            self.events += 1
            before()
            do(*arguments)
        self.now_s = until_s


class Process:
    """One program on one machine. Subclasses say in `begin` what it does when it starts."""

    def __init__(self, name: str, timeline: Timeline, clock: Clock) -> None:
        self.name, self.timeline, self.clock = name, timeline, clock
        self.alive = self.paused = False
        #: The machine is without power: nobody answers for it.
        self.dark = False
        self.incarnation = 0
        self.ends: list[End] = []
        self._backlog: deque[tuple[int, Do, tuple[Any, ...]]] = deque()

    def begin(self) -> None:
        raise NotImplementedError

    def pump(self) -> None:
        """Writes what waits. Called after each step."""
        raise NotImplementedError

    def accept(self, end: "End") -> None:
        raise NotImplementedError

    def start(self) -> None:
        if not self.alive:
            self.alive, self.dark = True, False
            self.incarnation += 1
            self.run(self.incarnation, self.begin)

    def kill(self, *, dark: bool) -> None:
        """`dark`: with its machine, so that nobody is told that its connections are gone."""
        self.alive, self.dark, self.paused = False, dark, False
        self._backlog.clear()
        ends, self.ends = self.ends, []
        for end in ends:
            end.open = False
            if not dark:
                end.stream.tell_closed(end.other)

    def pause(self) -> None:
        self.paused = True

    def wake(self) -> None:
        self.paused = False
        backlog, self._backlog = self._backlog, deque()
        for incarnation, do, arguments in backlog:
            self.run(incarnation, do, *arguments)

    def run(self, incarnation: int, do: Do, *arguments: Any) -> None:
        """One step of its event loop; later, where it is paused; never, where it has ended since."""
        if incarnation != self.incarnation or not self.alive:
            return
        if self.paused:
            self._backlog.append((incarnation, do, arguments))
            return
        CLOCK.set(self.clock, self.timeline.now_s, self.timeline.idle_s)
        do(*arguments)
        self.pump()

    def later(self, own_s: float, do: Do, *arguments: Any) -> None:
        """After so many seconds of its own clock."""
        when_s = self.timeline.now_s + own_s / self.clock.rate
        self.timeline.at(when_s, self.run, self.incarnation, do, *arguments)

    def every(self, own_s: float, do: Do, first_s: float = 0.0) -> None:
        def turn() -> None:
            self.later(own_s, turn)
            do()

        self.later(first_s, turn)


class End:
    """One side of a stream. `on_frame` and `on_close` are set by whoever has it."""

    def __init__(self, process: Process, stream: "Stream") -> None:
        self.process, self.stream = process, stream
        self.incarnation = process.incarnation
        self.open = True
        self.other: End = self
        self.on_frame: Callable[[Any], None] = lambda _: None
        self.on_close: Callable[[], None] = lambda: None
        #: What has arrived at a wall, and waits for it to fall.
        self.held: list[tuple[Do, tuple[Any, ...]]] = []
        #: Nothing arrives here any more, and nobody says so.
        self.deaf = False
        self.arrived_s = 0.0

    def send(self, frame: object) -> None:
        if self.open:
            self.stream.carry(self.other, self.stream.arrive, self.other, frame)

    def close(self) -> None:
        """Ends it from this side."""
        if self.open:
            self.open = False
            self.process.ends.remove(self)
            self.stream.tell_closed(self.other)

    def lose(self) -> None:
        """This side finds out that the stream is gone. As an event of the process: it may be paused."""
        if self.open:
            self.process.run(self.incarnation, self.lost)

    def lost(self) -> None:
        if self.open:
            self.close()
            self.on_close()


class Stream:
    """Between a client and a server. `keepalive`: gRPC looks whether the other side is there."""

    def __init__(self, network: "Network", client: Process, server: Process, *, keepalive: bool) -> None:
        self.network, self.keepalive = network, keepalive
        self.pair = frozenset({client.name, server.name})
        self.client, self.server = End(client, self), End(server, self)
        self.client.other, self.server.other = self.server, self.client
        client.ends.append(self.client)
        self.server.open = False  # until the first packet has come
        self.carry(self.server, self._opened)

    def carry(self, to: End, do: Do, *arguments: Any) -> None:
        timeline = self.network.timeline
        to.arrived_s = max(to.arrived_s, timeline.now_s + self.network.delay_s(self.pair)) + 1e-6
        timeline.at(to.arrived_s, self._through, to, do, arguments)

    def _through(self, to: End, do: Do, arguments: tuple[Any, ...]) -> None:
        if to.deaf:
            return
        if self.pair in self.network.walls:
            to.held.append((do, arguments))
        else:
            do(*arguments)

    def fall(self) -> None:
        """The wall has gone: what waited arrives, in its order."""
        for to in (self.client, self.server):
            held, to.held = to.held, []
            for do, arguments in held:
                self.network.timeline.at(self.network.timeline.now_s, self._through, to, do, arguments)

    def _opened(self) -> None:
        server = self.server.process
        if server.alive:
            self.server.incarnation, self.server.open = server.incarnation, True
            server.ends.append(self.server)
            server.run(server.incarnation, server.accept, self.server)
        elif not server.dark:
            self.tell_closed(self.client)

    def arrive(self, to: End, frame: object) -> None:
        if to.open:
            to.process.run(to.incarnation, self._take, to, frame)
        elif not to.process.dark:
            self.tell_closed(to.other)

    @staticmethod
    def _take(to: End, frame: object) -> None:
        if to.open:
            to.on_frame(frame)

    def tell_closed(self, to: End) -> None:
        self.carry(to, to.lose)


class Network:
    """`walls`: pairs of names between which nothing passes. `slow_s`: pairs whose frames are late, seconds."""

    def __init__(self, timeline: Timeline, chance: random.Random) -> None:
        self.timeline, self._chance = timeline, chance
        self.walls: set[frozenset[str]] = set()
        self.slow_s: dict[frozenset[str], float] = {}
        self.streams: list[Stream] = []

    def delay_s(self, pair: frozenset[str]) -> float:
        chance = self._chance.random()
        return 0.002 + 0.01 * chance * chance + chance * self.slow_s.get(pair, 0.0)

    def connect(self, client: Process, server: Process, *, keepalive: bool) -> End:
        if len(self.streams) > 200:
            self.streams = [s for s in self.streams if s.client.open or s.server.open]
        stream = Stream(self, client, server, keepalive=keepalive)
        self.streams.append(stream)
        return stream.client

    def missing(self, gone: Callable[["Stream"], bool]) -> None:
        """Something may have become unreachable: where it still is after the keepalive, those streams end."""
        for stream in [s for s in self.streams if s.keepalive and gone(s)]:
            self.timeline.at(self.timeline.now_s + KEEPALIVE_S, self._look, stream, gone)

    def _look(self, stream: Stream, gone: Callable[["Stream"], bool]) -> None:
        if gone(stream):
            stream.client.lose()
            stream.server.lose()

    def cut(self, stream: Stream, *, heard_by: tuple[End, ...]) -> None:
        """The stream breaks with all that is under way. Who doesn't hear of it has a half-open link."""
        for end in (stream.client, stream.server):
            end.deaf = True
        for end in heard_by:
            end.lose()
        self.missing(lambda s: s is stream)
