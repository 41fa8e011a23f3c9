"""A site's command services as pure objects: real cores with real lanes between them; disks and network are made here.

What one has sent before its end has arrived, or not, by then: later, it would change nothing.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import TypeVar

from haul.command.v1 import event_pb2

from command_service.core import CommandCore
from command_service.effects import Ack, Ask, Journal, Push, Recalled
from command_service.peer_lanes import Inbox, PeerLanes, Told
from command_service.records import Head, seal
from command_service.replay import restore
from pitwall.domain.permit import PermitTerms
from pitwall.domain.stop_set import Release, Stop
from tests.unit.command_service.samples import at

ALL = 1_000_000
#: Whatever happened before, a few are enough.
ROUNDS = 20
_T = TypeVar("_T")


@dataclass
class Line:
    """A stream: what the one tells, what the other takes, and what is under way."""

    lanes: PeerLanes
    inbox: Inbox
    complete: bool
    frames: deque[Told] = field(default_factory=deque)
    acks: deque[int] = field(default_factory=deque)


class Member:
    """A command service: its core, its disk, and the records that wait for it."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        self.name, self.names = name, names
        #: What has ever been on its disk, whatever became of that.
        self.written: set[Ack] = set()
        self.new_disk(complete=True)

    def new_disk(self, *, complete: bool) -> None:
        self.head, self.complete = Head(), complete
        self.disk: list[event_pb2.CommandEvent] = []
        self.start()

    def start(self) -> None:
        """From its disk; what waited for it is gone."""
        self.urgent: deque[Journal | Recalled] = deque()
        self.notes: deque[Journal | Recalled] = deque()
        self.core = CommandCore(self.name, self.names, PermitTerms(), complete=self.complete)
        restore(self.core, [], self.disk, at())

    def put(self, effect: Journal | Recalled) -> None:
        if isinstance(effect, Recalled):
            self.complete = True
            return
        raw, self.head = seal(effect.record, self.name, self.head)
        self.disk.append(event_pb2.CommandEvent.FromString(raw))
        if effect.ack is not None:
            self.written.add(effect.ack)
            self.core.journaled(effect.ack, self.name, at())


class Site:
    """Its members, and a line for each two of them and each direction, or none."""

    def __init__(self, size: int) -> None:
        self.names = "ABCDE"[:size]
        self.members = [Member(name, self.names) for name in self.names]
        self.lines: dict[tuple[str, str], Line] = {}  # by who tells and who hears
        #: Stops that any of them has ever shown as confirmed.
        self.confirmed: set[str] = set()

    def __getitem__(self, name: str) -> Member:
        return self.members[self.names.index(name)]

    def carry_out(self, member: Member) -> None:
        """As the hub does."""
        lanes = [line.lanes for (teller, _), line in self.lines.items() if teller == member.name]
        for effect in member.core.take_effects():
            match effect:
                case Push(delta):
                    for lane in lanes:
                        lane.push(delta)
                case Ask(release):
                    for lane in lanes:
                        lane.ask(release)
                case Journal(_, ack) if ack is not None:
                    member.urgent.append(effect)
                case Journal() | Recalled():
                    member.notes.append(effect)
        self.confirmed |= {entry.stop_id for entry in member.core.ledger.entries() if entry.issued_ns is not None}

    # People

    def issue(self, member: Member, stop: Stop) -> None:
        member.core.issue(stop, at())
        self.carry_out(member)

    def request(self, member: Member, release: Release) -> None:
        member.core.request(release, at())
        self.carry_out(member)

    def approve(self, member: Member, approved: Release) -> None:
        member.core.approve(approved, at())
        self.carry_out(member)

    # Disks and lines; each says whether there was anything to do

    def write(self, member: Member, most: int = ALL, *, notes: bool = False) -> bool:
        """What nobody awaits may come to disk later than what came after it."""
        taken = _some(member.notes if notes else member.urgent, most)
        for effect in taken:
            member.put(effect)
        self.carry_out(member)
        return bool(taken)

    def send(self, teller: Member, hearer: Member, most: int = ALL) -> bool:
        line = self.lines.get((teller.name, hearer.name))
        sent = 0
        while line and sent < most and (frame := line.lanes.next()) is not None:
            assert isinstance(frame, Told)
            line.frames.append(frame)
            sent += 1
        return sent > 0

    def hear(self, teller: Member, hearer: Member, most: int = ALL) -> bool:
        """Frames arrive, and what is on disk is acknowledged."""
        line = self.lines.get((teller.name, hearer.name))
        if line is None:
            return False
        taken = _some(line.frames, most)
        for told in taken:
            hearer.core.told(told.delta, told.waiting, teller.name, at())
            line.inbox.take(told)
        settled = line.inbox.settle(hearer.core.on_disk, hearer.core.vouches)
        line.acks.extend(settled)
        if line.inbox.opened:
            hearer.core.recalled(teller.name, at(), complete=line.complete)
        self.carry_out(hearer)
        return bool(taken or settled)

    def acknowledge(self, teller: Member, hearer: Member, most: int = ALL) -> bool:
        line = self.lines.get((teller.name, hearer.name))
        if line is None:
            return False
        taken = _some(line.acks, most)
        for number in taken:
            for ack in line.lanes.journaled(number):
                teller.core.journaled(ack, hearer.name, at())
        self.carry_out(teller)
        return bool(taken)

    def connect(self, there: Iterable[Member]) -> None:
        """Those who have no line get one, which begins with everything."""
        for teller, hearer in permutations(there, 2):
            if (teller.name, hearer.name) not in self.lines:
                lanes = PeerLanes(teller.core.stops.snapshot(), teller.core.releases.waiting_releases())
                line = Line(lanes, Inbox(lanes.opening_frames), teller.core.recall.complete)
                self.lines[teller.name, hearer.name] = line

    def meet(self, there: Sequence[Member], hung: Sequence[Member] = ()) -> None:
        """These are in reach of each other until all is said; the disks of some of them take nothing."""
        self.connect(there)
        for _ in range(ROUNDS):
            well = [member for member in there if member not in hung]
            done = [self.write(member, notes=notes) for member in well for notes in (False, True)]
            for teller, hearer in permutations(there, 2):
                done += [step(teller, hearer) for step in (self.send, self.hear, self.acknowledge)]
            if not any(done):
                return
        raise AssertionError(f"after {ROUNDS} rounds they still have something to say to each other")

    # Faults

    def cut(self, teller: Member, hearer: Member) -> None:
        self.lines.pop((teller.name, hearer.name), None)

    def crash(self, member: Member, *, disk_lost: bool = False) -> None:
        """It is there again at once; its lines are not."""
        self.lines = {ends: line for ends, line in self.lines.items() if member.name not in ends}
        if disk_lost:
            member.new_disk(complete=False)
        else:
            member.start()
        self.carry_out(member)


def _some(queue: deque[_T], most: int) -> list[_T]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]
