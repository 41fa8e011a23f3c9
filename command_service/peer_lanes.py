"""What one peer is told, in the order in which it is written, and what of it the peer has on disk.

Pure. Everything that is known goes first, in frames that are counted, then what is new as it comes. Nothing here has a
bound of its own: a peer that doesn't read is cut off within seconds, and what waited for it is forgotten, because the
next stream begins with all of it again.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from command_service.effects import Ack, Awaited, approval
from command_service.events import OrderRecorded
from command_service.hearing import Hears
from command_service.lanes import in_chunks
from pitwall.domain.stop_set import Release, SetDelta


@dataclass(frozen=True, slots=True)
class Told:
    """One frame: what is in force, and releases that are not yet."""

    number: int
    delta: SetDelta
    waiting: tuple[Release, ...]

    @property
    def acks(self) -> tuple[Ack, ...]:
        """What hangs on its being on the peer's disk. A release that is in force needs nobody's disk any more."""
        stops = (Ack(Awaited.STOP, stop.stop_id) for stop in self.delta.stops)
        releases = (
            approval(release) if release.approved_by else Ack(Awaited.REQUEST, release.release_id)
            for release in self.waiting
        )
        return (*stops, *releases)


class PeerLanes:
    """Of one stream to one peer. After the beginning, sets go ahead of waiting releases, and those of the newest word
    about who hears which gateway; orders, which the peer merely remembers, go last."""

    def __init__(self, whole: SetDelta, waiting: Sequence[Release]) -> None:
        self._opening: deque[tuple[SetDelta, tuple[Release, ...]]] = deque((part, ()) for part in in_chunks(whole))
        asked = tuple(release for release in waiting if not release.approved_by)
        self._opening.extend((SetDelta(), part.releases) for part in in_chunks(SetDelta((), asked)))
        # An approval that the peer can't vouch for is never acknowledged: nothing else may hang on that.
        self._opening.extend((SetDelta(), (release,)) for release in waiting if release.approved_by)
        #: Frames that hold all that was known at the beginning; they have the first numbers.
        self.opening_frames = len(self._opening)
        self._sets: deque[SetDelta] = deque()
        self._waiting: deque[Release] = deque()
        self._hears: Hears | None = None
        self._orders: deque[OrderRecorded] = deque()
        self._number = 0
        self._unacked: dict[int, tuple[Ack, ...]] = {}

    def push(self, delta: SetDelta) -> None:
        self._sets.extend(in_chunks(delta))

    def ask(self, release: Release) -> None:
        self._waiting.append(release)

    def hear(self, hears: Hears) -> None:
        self._hears = hears

    def order(self, record: OrderRecorded) -> None:
        self._orders.append(record)

    def next(self) -> Told | Hears | OrderRecorded | None:
        """The frame to write now, taken out of its lane."""
        if self._opening:
            return self._tell(*self._opening.popleft())
        if self._sets:
            return self._tell(self._sets.popleft(), ())
        if self._waiting:
            return self._tell(SetDelta(), (self._waiting.popleft(),))
        if self._hears is not None:
            hears, self._hears = self._hears, None
            return hears
        return self._orders.popleft() if self._orders else None

    def _tell(self, delta: SetDelta, waiting: tuple[Release, ...]) -> Told:
        self._number += 1
        told = Told(self._number, delta, waiting)
        self._unacked[told.number] = told.acks
        return told

    def journaled(self, number: int) -> tuple[Ack, ...]:
        """The peer has that frame on disk. Returns what it held; nothing of one that was never sent, or twice."""
        return self._unacked.pop(number, ())


class Inbox:
    """The other end: what a peer has told on its stream, until it is on disk here."""

    def __init__(self, opening_frames: int) -> None:
        self._opening_frames = self._opening_left = opening_frames
        self._pending: dict[int, list[Ack]] = {}
        self._approvals: dict[int, list[Ack]] = {}  # by frame: they take more than a disk

    @property
    def opened(self) -> bool:
        """Whether all that the peer knew when it called is on disk here."""
        return self._opening_left == 0

    def take(self, told: Told) -> None:
        acks = list(told.acks)
        self._pending[told.number] = acks
        approvals = [ack for ack in acks if ack.kind is Awaited.APPROVAL]
        if approvals:
            self._approvals[told.number] = approvals

    def ready(self, on_disk: Callable[[Ack], bool], vouches: Callable[[Ack], bool]) -> bool:
        """Whether there is a frame to acknowledge."""
        return any(_settled(acks, on_disk) for acks in self._pending.values()) or bool(self._vouched(vouches))

    def settle(self, on_disk: Callable[[Ack], bool], vouches: Callable[[Ack], bool]) -> list[int]:
        """The frames to acknowledge now, each once: on disk here, and vouched for."""
        settled = [number for number, acks in self._pending.items() if _settled(acks, on_disk)]
        for number in settled:
            del self._pending[number]
            self._opening_left -= number <= self._opening_frames
        vouched = self._vouched(vouches)
        for number in vouched:
            del self._approvals[number]
        return sorted([*(number for number in settled if number not in self._approvals), *vouched])

    def _vouched(self, vouches: Callable[[Ack], bool]) -> list[int]:
        """Frames with approvals that are on disk and can be acknowledged."""
        there = (item for item in self._approvals.items() if item[0] not in self._pending)
        return [number for number, acks in there if all(map(vouches, acks))]


def _settled(acks: list[Ack], on_disk: Callable[[Ack], bool]) -> bool:
    """Takes out what is on disk, from the end: what was told last gets there last, so each is rarely asked twice."""
    while acks and on_disk(acks[-1]):
        acks.pop()
    return not acks
