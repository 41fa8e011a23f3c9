"""Which readings go up next: live ones first, history behind them at a bounded share, none forgotten.

A reading is *live* while it waits in memory for its first sending; it is *history* once newer ones have gone ahead of
it, when there was no stream for it, or when it was there before the process. History is marked as backfilled. Live
readings that a broken stream left without an ack are sent again as live, ahead of newer ones, so that sequences ascend
within each of the two kinds.

Live readings gather for at most the flush interval, counted from the live batch before: whoever samples once a second
waits for nothing, whoever samples ten times a second saves half of the frames. A full batch goes at once.

Nothing here touches the disk: `wanted` says which history to fetch, `fetched` takes it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from edge_agent.limits import HISTORY_SHARE, LIVE_READINGS, MAX_EPOCHS_UNDER_WAY, MAX_UNACKED_READINGS
from pitwall.domain.sequence import RangeSet, SequenceRange


@dataclass(frozen=True, slots=True)
class Stored:
    """A reading in the outbox. `content`: the serialized Reading."""

    boot_epoch: int
    sequence: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """History to fetch from the disk."""

    boot_epoch: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings of one boot_epoch, sequences ascending."""

    boot_epoch: int
    readings: tuple[Stored, ...]
    backfilled: bool


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """As the gateway's Welcome says. Bytes are of the readings in one batch."""

    max_readings: int
    max_bytes: int
    max_unacked: int


class _Epochs:
    """Sequences by boot_epoch."""

    def __init__(self) -> None:
        self._sets: dict[int, RangeSet] = {}

    def add(self, boot_epoch: int, first: int, last: int) -> None:
        self._sets.setdefault(boot_epoch, RangeSet()).add(first, last)

    def discard(self, boot_epoch: int, first: int, last: int) -> None:
        found = self._sets.get(boot_epoch)
        if found is not None:
            found.discard(first, last)
            if not found:
                del self._sets[boot_epoch]

    def absent(self, boot_epoch: int, first: int, last: int) -> tuple[SequenceRange, ...]:
        found = self._sets.get(boot_epoch)
        return (SequenceRange(first, last),) if found is None else found.missing(first, last)

    def __bool__(self) -> bool:
        return bool(self._sets)

    def oldest(self) -> tuple[int, SequenceRange] | None:
        if not self._sets:
            return None
        boot_epoch = min(self._sets)
        return boot_epoch, self._sets[boot_epoch].ranges()[0]

    def ranges(self) -> list[tuple[int, SequenceRange]]:
        return [(boot_epoch, r) for boot_epoch, found in self._sets.items() for r in found.ranges()]

    @property
    def count(self) -> int:
        return sum(found.count for found in self._sets.values())

    def takes(self, boot_epoch: int) -> bool:
        """Without becoming more epochs than may be under way."""
        return boot_epoch in self._sets or len(self._sets) < MAX_EPOCHS_UNDER_WAY


class _Queue:
    """Readings that wait for their sending, and how much that is."""

    __slots__ = ("bytes", "readings")

    def __init__(self) -> None:
        self.readings: deque[Stored] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.readings)

    def append(self, reading: Stored) -> None:
        self.readings.append(reading)
        self.bytes += len(reading.content)

    def first(self) -> Stored:
        """Takes it out."""
        reading = self.readings.popleft()
        self.bytes -= len(reading.content)
        return reading

    def put_before(self, readings: Iterable[Stored]) -> None:
        """In front of what is there, in their order."""
        kept = list(readings)
        self.readings.extendleft(reversed(kept))
        self.bytes += sum(len(reading.content) for reading in kept)

    def drop(self, boot_epoch: int, gone: SequenceRange) -> None:
        if any(_within(reading, boot_epoch, gone) for reading in self.readings):
            self.readings = deque(r for r in self.readings if not _within(r, boot_epoch, gone))
            self.bytes = sum(len(reading.content) for reading in self.readings)

    def clear(self) -> None:
        self.readings.clear()
        self.bytes = 0

    def cut(self, most: int, max_bytes: int) -> tuple[Stored, ...]:
        """From the front: one boot_epoch, ascending, within both limits, but at least one."""
        batch = [self.first()]
        size = len(batch[0].content)
        while self.readings and len(batch) < most:
            following = self.readings[0]
            size += len(following.content)
            after = following.boot_epoch == batch[0].boot_epoch and following.sequence > batch[-1].sequence
            if size > max_bytes or not after:
                break
            batch.append(self.first())
        return tuple(batch)


class Shipment:
    """One vehicle's readings on their way, over all its sessions."""

    def __init__(self, flush_interval_s: float = 0.0) -> None:
        self._flush_interval_s = flush_interval_s
        self._live_from_s = -inf  # before, live readings gather
        self._live = _Queue()
        self._live_sent: dict[tuple[int, int], Stored] = {}
        self._history = _Epochs()
        self._history_sent = _Epochs()
        self._fetching: Wanted | None = None
        self._fetched = _Queue()

    # From the outbox

    def on_disk(self, boot_epoch: int, first: int, last: int) -> None:
        """History: readings that were there at the start, or that no stream was there for."""
        self._history.add(boot_epoch, first, last)

    def add(self, reading: Stored) -> None:
        """A new reading, stored. The oldest live one becomes history when there are too many."""
        self._live.append(reading)
        if len(self._live) + len(self._live_sent) > LIVE_READINGS:
            oldest = self._live.first()
            self._history.add(oldest.boot_epoch, oldest.sequence, oldest.sequence)

    def wanted(self, limits: BatchLimits) -> Wanted | None:
        """History to fetch now: the next batch, while the one before is on its way. One fetch at a time."""
        oldest = self._history.oldest()
        if oldest is None or self._fetching or self._fetched:
            return None
        boot_epoch, found = oldest
        most = min(self._history_share(limits), limits.max_readings)
        self._fetching = Wanted(boot_epoch, found.first, min(found.last, found.first + most - 1))
        return self._fetching

    def fetched(self, wanted: Wanted, readings: Sequence[Stored] | None) -> tuple[SequenceRange, ...]:
        """What the disk had of it; None: it could not say, so it is asked again.

        Returns what it should have had: lost, with a damaged file for example.
        """
        if wanted is not self._fetching:
            return ()  # asked for by an earlier session
        self._fetching = None
        if readings is None:
            return ()
        accounted = RangeSet()
        for r in self._history.absent(wanted.boot_epoch, wanted.first, wanted.last):
            accounted.add(r.first, r.last)  # acknowledged or given up while the disk was at it
        kept = [reading for reading in readings if reading.sequence not in accounted]
        for reading in kept:
            accounted.add(reading.sequence)
        self._history.discard(wanted.boot_epoch, wanted.first, wanted.last)
        self._fetched.put_before(kept)
        return accounted.missing(wanted.first, wanted.last)

    # To and from the gateway

    def offer_again(self) -> None:
        """A new session, or the end of a Throttle: what has no ack may never have been taken, so it goes again."""
        self._live.put_before(self._live_sent.values())
        self._live_sent.clear()
        self._live_from_s = -inf
        for boot_epoch, r in self._history_sent.ranges():
            self._history.add(boot_epoch, r.first, r.last)
        self._history_sent = _Epochs()
        for reading in self._fetched.readings:
            self._history.add(reading.boot_epoch, reading.sequence, reading.sequence)
        self._fetched.clear()
        self._fetching = None

    def live_due(self, limits: BatchLimits, now_s: float) -> bool:
        """A batch of live readings could go now: it has gathered long enough, or is full."""
        if not self._live or self._room(limits) < 1:
            return False
        full = len(self._live) >= limits.max_readings or self._live.bytes >= limits.max_bytes
        return full or now_s >= self._live_from_s

    @property
    def has_history(self) -> bool:
        """Some of it waits."""
        return bool(self._fetched) or bool(self._history)

    def take(self, limits: BatchLimits, now_s: float) -> Batch | None:
        """The next batch, None where nothing is to be sent or the window is full."""
        if self.live_due(limits, now_s):
            batch = self._live.cut(min(self._room(limits), limits.max_readings), limits.max_bytes)
            self._live_sent.update({(r.boot_epoch, r.sequence): r for r in batch})
            self._live_from_s = now_s + self._flush_interval_s
            return Batch(batch[0].boot_epoch, batch, backfilled=False)
        if not self._fetched or (room := self._history_room(limits)) < 1:
            return None
        batch = self._fetched.cut(min(room, limits.max_readings), limits.max_bytes)
        for reading in batch:
            self._history_sent.add(reading.boot_epoch, reading.sequence, reading.sequence)
        return Batch(batch[0].boot_epoch, batch, backfilled=True)

    def gone(self, boot_epoch: int, ranges: Iterable[SequenceRange]) -> None:
        """Acknowledged, or given up: not to be sent any more."""
        for r in ranges:
            for epoch, sequence in [k for k in self._live_sent if k[0] == boot_epoch and r.first <= k[1] <= r.last]:
                del self._live_sent[epoch, sequence]
            self._history_sent.discard(boot_epoch, r.first, r.last)
            self._history.discard(boot_epoch, r.first, r.last)
            self._live.drop(boot_epoch, r)
            self._fetched.drop(boot_epoch, r)

    @property
    def unacked(self) -> int:
        """Readings on their way."""
        return len(self._live_sent) + self._history_sent.count

    @property
    def waiting(self) -> int:
        """Readings that have not been sent in this session."""
        return len(self._live) + len(self._fetched) + self._history.count

    def _room(self, limits: BatchLimits) -> int:
        return min(limits.max_unacked, MAX_UNACKED_READINGS) - self.unacked

    def _history_share(self, limits: BatchLimits) -> int:
        return max(1, int(min(limits.max_unacked, MAX_UNACKED_READINGS) * HISTORY_SHARE))

    def _history_room(self, limits: BatchLimits) -> int:
        """0 while it would be less than half of what could go: acks come a few at a time, and small batches cost. And
        while acks of enough earlier boots are awaited.
        """
        if not self._history_sent.takes(self._fetched.readings[0].boot_epoch):
            return 0
        share = self._history_share(limits)
        room = min(self._room(limits), share - self._history_sent.count)
        worth = min(len(self._fetched), limits.max_readings, share)
        return room if 2 * room >= worth else 0


def _within(reading: Stored, boot_epoch: int, gone: SequenceRange) -> bool:
    return reading.boot_epoch == boot_epoch and gone.first <= reading.sequence <= gone.last
