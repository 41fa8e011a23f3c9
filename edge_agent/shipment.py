"""Which readings go up next: live ones first, history behind them at a bounded share, none forgotten.

A reading is *live* while it waits in memory for its first sending; it is *history* once newer ones have gone ahead of
it, or when it was there before the process. History is marked as backfilled. Live readings that a broken stream left
without an ack are sent again as live, ahead of newer ones, so that sequences ascend within each of the two kinds.

Nothing here touches the disk: `wanted` says which history to fetch, `fetched` takes it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_agent.limits import HISTORY_SHARE, LIVE_READINGS, MAX_UNACKED_READINGS
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


class Shipment:
    """One vehicle's readings on their way, over all its sessions."""

    def __init__(self) -> None:
        self._live: deque[Stored] = deque()
        self._live_sent: dict[tuple[int, int], Stored] = {}
        self._history = _Epochs()
        self._history_sent = _Epochs()
        self._fetching: Wanted | None = None
        self._fetched: deque[Stored] = deque()

    # From the outbox

    def on_disk(self, boot_epoch: int, first: int, last: int) -> None:
        """Unacknowledged readings that were there at the start."""
        self._history.add(boot_epoch, first, last)

    def add(self, reading: Stored) -> None:
        """A new reading, stored. The oldest live one becomes history when there are too many."""
        self._live.append(reading)
        if len(self._live) + len(self._live_sent) > LIVE_READINGS:
            oldest = self._live.popleft()
            self._history.add(oldest.boot_epoch, oldest.sequence, oldest.sequence)

    def wanted(self, limits: BatchLimits) -> Wanted | None:
        """History to fetch now. One fetch at a time; none while history has its share of the window."""
        oldest = self._history.oldest()
        if oldest is None or self._fetching or self._fetched:
            return None
        room = min(self._history_room(limits), limits.max_readings)
        if room < 1:
            return None
        boot_epoch, found = oldest
        self._fetching = Wanted(boot_epoch, found.first, min(found.last, found.first + room - 1))
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
        self._fetched.extend(kept)
        return accounted.missing(wanted.first, wanted.last)

    # To and from the gateway

    def offer_again(self) -> None:
        """A new session, or the end of a Throttle: what has no ack may never have been taken, so it goes again."""
        self._live.extendleft(reversed(self._live_sent.values()))
        self._live_sent.clear()
        for boot_epoch, r in self._history_sent.ranges():
            self._history.add(boot_epoch, r.first, r.last)
        self._history_sent = _Epochs()
        for reading in self._fetched:
            self._history.add(reading.boot_epoch, reading.sequence, reading.sequence)
        self._fetched.clear()
        self._fetching = None

    def take(self, limits: BatchLimits) -> Batch | None:
        """The next batch, None where nothing is to be sent or the window is full."""
        room = min(limits.max_unacked, MAX_UNACKED_READINGS) - self.unacked
        if self._live and room > 0:
            batch = _cut(self._live, min(room, limits.max_readings), limits.max_bytes)
            self._live_sent.update({(r.boot_epoch, r.sequence): r for r in batch})
            return Batch(batch[0].boot_epoch, batch, backfilled=False)
        room = min(room, self._history_room(limits))
        if self._fetched and room > 0:
            batch = _cut(self._fetched, min(room, limits.max_readings), limits.max_bytes)
            for reading in batch:
                self._history_sent.add(reading.boot_epoch, reading.sequence, reading.sequence)
            return Batch(batch[0].boot_epoch, batch, backfilled=True)
        return None

    def gone(self, boot_epoch: int, ranges: Iterable[SequenceRange]) -> None:
        """Acknowledged, or given up: not to be sent any more."""
        for r in ranges:
            for epoch, sequence in [k for k in self._live_sent if k[0] == boot_epoch and r.first <= k[1] <= r.last]:
                del self._live_sent[epoch, sequence]
            self._history_sent.discard(boot_epoch, r.first, r.last)
            self._history.discard(boot_epoch, r.first, r.last)
            self._live = _without(self._live, boot_epoch, r)
            self._fetched = _without(self._fetched, boot_epoch, r)

    @property
    def unacked(self) -> int:
        """Readings on their way."""
        return len(self._live_sent) + self._history_sent.count

    @property
    def waiting(self) -> int:
        """Readings that have not been sent in this session."""
        return len(self._live) + len(self._fetched) + self._history.count

    def _history_room(self, limits: BatchLimits) -> int:
        share = max(1, int(min(limits.max_unacked, MAX_UNACKED_READINGS) * HISTORY_SHARE))
        return share - self._history_sent.count


def _cut(queue: deque[Stored], most: int, max_bytes: int) -> tuple[Stored, ...]:
    """From the front: one boot_epoch, ascending, within both limits, but at least one."""
    batch = [queue.popleft()]
    size = len(batch[0].content)
    while queue and len(batch) < most and queue[0].boot_epoch == batch[0].boot_epoch:
        size += len(queue[0].content)
        if size > max_bytes or queue[0].sequence <= batch[-1].sequence:
            break
        batch.append(queue.popleft())
    return tuple(batch)


def _without(queue: deque[Stored], boot_epoch: int, gone: SequenceRange) -> deque[Stored]:
    if not any(_within(reading, boot_epoch, gone) for reading in queue):
        return queue
    return deque(reading for reading in queue if not _within(reading, boot_epoch, gone))


def _within(reading: Stored, boot_epoch: int, gone: SequenceRange) -> bool:
    return reading.boot_epoch == boot_epoch and gone.first <= reading.sequence <= gone.last
