"""Carries out what the core decides: records to the journal, frames into gateways' and peers' lanes, watchers woken.

Whoever feeds the core calls `carry_out` in the same step, so a push is in the lanes before anything else can run.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final

from opentelemetry import metrics

from command_service.core import CommandCore
from command_service.effects import Ack, Ask, Deliver, Effect, Journal, Moment, Push, Recalled, Remember
from command_service.events import OrderRecorded, Record
from command_service.hearing import Hearing, Hears
from command_service.journal import Journal as Disk
from command_service.journal import JournalFull
from command_service.lanes import Lanes
from command_service.ledger import Overdue
from command_service.link import Link
from command_service.link_wire import vehicle_to
from command_service.peer import Peer
from command_service.records import in_parts
from command_service.registry import CloseOlder
from command_service.states import vehicle_states
from command_service.stop_signals import StopSignals
from command_service.watch import Watchers
from pitwall import logs
from pitwall.clock import boottime_s
from pitwall.domain.order import OrderOutcome, OrderResult
from pitwall.instruments import Tally
from pitwall.stop_trace import trace_id

#: How often the core looks at the time: overdue stages, silent vehicles, orders that nobody answers.
TICK_S: Final = 0.1
#: How long news from a peer or a gateway waits before it is passed on, seconds. Others tell of it too, in the moment in
#: which every processor is wanted for vehicles. It never falls behind anything: a lease takes it along.
RELAY_S: Final = 0.04
#: Records that found no room in the journal and are handed to it again, in one tick.
AGAIN_PER_TICK: Final = 1_000
#: Ticks between two counts for metrics.
FIGURES_EVERY: Final = 10

_BUSY: Final = OrderOutcome(OrderResult.UNAVAILABLE, "GATEWAY_BUSY", "its gateway does not read; nothing was sent")

_log = logs.get(__name__)

Later = Callable[[float, Callable[[], None]], object]


def _later(seconds: float, do: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, do)


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts for metrics, which are read from another thread: taken in the event loop once a second."""

    gateways: int = 0
    vehicles: int = 0
    connected: int = 0
    lost: int = 0
    stops: int = 0
    active: int = 0
    states: Mapping[str, float] = field(default_factory=dict)
    overdue: int = 0
    orders: int = 0
    watchers: int = 0
    by_peers: int = 0
    unjournaled: int = 0


def moment() -> Moment:
    return Moment(boottime_s(), time.time_ns())


class Hub:
    """The one place where core, journal, gateways and peers meet. All of it runs in one event loop."""

    def __init__(self, core: CommandCore, journal: Disk, peers: Iterable[Peer] = (), later: Later = _later) -> None:
        self.core, self.journal, self.peers = core, journal, tuple(peers)
        self._later = later
        self.watchers = Watchers()
        self.links: dict[int, Link] = {}
        self.hearing = Hearing()
        self.asked: Mapping[str, frozenset[str]] = {}
        self.figures = Figures()
        self._numbers = 0
        self._until: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        #: What found no room in the journal, oldest first: one record at most of each stop and release that is known.
        self._no_room: dict[Ack, Record] = {}
        self.signals = StopSignals()
        meter = metrics.get_meter("command_service")
        text = "Stops and releases in force that found no room"
        self._unjournaled = Tally(meter, "pitwall.journal.refused.records", text)

    # Gateways

    def attach(self, gateway: str, uri: str) -> Link:
        """A new stream; the set that it will send first is the one of this moment."""
        self._numbers += 1
        link = Link(self._numbers, gateway, uri, self.core.stops.snapshot())
        self.links[link.number] = link
        return link

    def detach(self, link: Link) -> None:
        del self.links[link.number]
        self.core.dropped(link.number, moment())
        self.carry_out()

    # Peers

    def hears(self, name: str, stream: int, hears: Hears) -> None:
        """What a peer hears and wants, by its own word on this stream of it; nothing of both once that has ended."""
        if self.hearing.heard(name, stream, hears.gateways):
            for peer in self.peers:
                if peer.name == name:
                    peer.want(hears.wanted)

    # Effects

    def carry_out(self) -> None:
        """Everything that the core wants done by now."""
        while effects := self.core.take_effects():
            for effect in effects:
                self._do(effect)
        touched = self.core.ledger.take_touched()
        moved = self.core.registry.take_moved()
        if touched:
            self.watchers.wake(touched)
        if touched or moved:
            for peer in self.peers:
                peer.changed(touched, moved)
        if self._until:
            self._check_until()

    def _do(self, effect: Effect) -> None:
        match effect:
            case Journal(record, ack):
                self._to_disk(record, ack)
                self.signals.recorded(record)
            case Push(delta, except_link, relayed):
                for link in self.links.values():
                    if link.number != except_link:
                        link.lanes.push(delta)
                for peer in self.peers:
                    peer.push(delta)
                if relayed:
                    self._later(RELAY_S, self._ring)
                else:
                    self._ring()
            case Ask(release):
                for peer in self.peers:
                    peer.ask(release)
            case Recalled():
                _log.warning("all that was lost with the journal is known again", from_peers=self.core.recall.heard)
                self.journal.complete()
            case Deliver():
                self._deliver(effect)
            case Remember(vehicle):
                row = vehicle_to(vehicle).SerializeToString()
                self.journal.remember(vehicle.vehicle_id, row, vehicle.since_ns)
            case CloseOlder(number, vehicle_id, session):
                self._to_lanes(number, lambda lanes: lanes.close(vehicle_id, session))

    def _ring(self) -> None:
        for link in self.links.values():
            link.ring()
        for peer in self.peers:
            peer.ring()

    def _to_disk(self, record: Record, ack: Ack | None) -> None:
        if ack is None:
            self._note(record)
        elif self._no_room:
            self._wait_for_room(record, ack, f"{len(self._no_room):,} came before it and wait for room")
        else:
            try:
                self._append(record, ack)
            except JournalFull as error:
                self._wait_for_room(record, ack, str(error))

    def _wait_for_room(self, record: Record, ack: Ack, error: str) -> None:
        """In force all the same. It counts once it is on disk; it is handed over again until there is room."""
        self._no_room[ack] = record
        self._unjournaled.add(1)
        _log.error("not journaled", error=error, what=ack.kind.name, id=ack.id, trace_id=self._trace_id(ack.id))

    def _append(self, record: Record, ack: Ack) -> None:
        self.journal.append(record).add_done_callback(partial(self._on_disk, ack))

    def _append_again(self) -> None:
        """What found no room before, in the order in which it came."""
        for ack in list(islice(self._no_room, AGAIN_PER_TICK)):
            try:
                self._append(self._no_room[ack], ack)
            except JournalFull:
                return
            del self._no_room[ack]

    def _note(self, record: Record) -> None:
        if isinstance(record.event, OrderRecorded):
            for part in in_parts(record.event):
                self.journal.note(Record(record.event_ns, record.actor, part, record.vehicle_id))
                for peer in self.peers:
                    peer.order(part)
        else:
            self.journal.note(record)

    def _on_disk(self, ack: Ack, future: "asyncio.Future[None]") -> None:
        if not future.cancelled():
            self.core.journaled(ack, self.core.name, moment())
            self.carry_out()
            self.signals.journaled(ack.id)

    def _deliver(self, effect: Deliver) -> None:
        taken = self._to_lanes(effect.link, lambda lanes: lanes.order(effect.order, effect.etags))
        for vehicle_id in () if taken else effect.etags:
            self.core.answered(vehicle_id, effect.order.request_id, _BUSY, moment())

    def _to_lanes(self, number: int, put: Callable[[Lanes], object]) -> object:
        link = self.links.get(number)
        if link is None:
            return False
        result = put(link.lanes)
        link.ring()
        return result

    # Waiting

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Waits until something that the core knows holds. Returns False where it did not in time."""
        if holds():
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (holds, future)
        self._until.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return holds()
        finally:
            if entry in self._until:
                self._until.remove(entry)
        return True

    def _check_until(self) -> None:
        for holds, future in self._until:
            if not future.done() and holds():
                future.set_result(None)

    # Time

    async def run(self) -> None:
        """Looks at the time until cancelled."""
        while True:
            for _ in range(FIGURES_EVERY):
                for overdue in self.core.tick(moment()):
                    self._tell(overdue)
                self.carry_out()
                self._append_again()
                self._look_for_gateways()
                await asyncio.sleep(TICK_S)
            self.figures = self._count()
            self.signals.settle()

    def _look_for_gateways(self) -> None:
        """Tells each peer which ones this one hears, and asks for what it lacks."""
        own = frozenset(link.gateway for link in self.links.values())
        self.asked = self.hearing.ask(own, [peer.name for peer in self.peers if peer.greeted], boottime_s())
        for peer in self.peers:
            peer.hears(Hears(own, self.asked.get(peer.name, frozenset())))

    def _tell(self, overdue: Overdue) -> None:
        after = overdue.last_stage.name
        self.signals.overdue(overdue.last_stage)
        stop = overdue.stop_id
        _log.warning("stage overdue", stop=stop, vehicle=overdue.vehicle_id, after=after, trace_id=self._trace_id(stop))

    def _trace_id(self, stop_id: str) -> str | None:
        stop = self.core.stops.get(stop_id)
        return trace_id(stop.traceparent) if stop else None

    def _count(self) -> Figures:
        core = self.core
        return Figures(
            gateways=len(self.links),
            vehicles=len(core.registry),
            connected=core.registry.connected_count,
            lost=core.registry.lost_count,
            stops=len(core.ledger),
            active=core.stops.active_count,
            states=vehicle_states(core.ledger.entries()),
            overdue=core.ledger.overdue,
            orders=core.orders.under_way,
            watchers=self.watchers.count,
            by_peers=sum(map(len, self.asked.values())),
            unjournaled=len(self._no_room),
        )
