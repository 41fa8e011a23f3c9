"""Which readings of a vehicle are on their way to Kafka, which are there, and what to acknowledge.

Kept per vehicle and boot epoch, beyond the session: a vehicle that reconnects offers again what it has no ack for, and
what is known here is not written a second time. What is in flight is acknowledged when it arrives; what has arrived,
at once. Only what this process has forgotten or never saw (another gateway took it, this one was restarted) is
written again; readers of Kafka tell it by its identity.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ingest_gateway.limits import (
    MAX_EPOCHS_PER_VEHICLE,
    MAX_KNOWN_RANGES,
    MAX_RANGES_PER_ACK,
    MAX_REJECTIONS_PER_ACK,
)
from ingest_gateway.validation import Fault
from pitwall.domain.sequence import RangeSet, SequenceRange


class Known(Enum):
    """What is known of an identity that is offered."""

    NEW = auto()
    IN_FLIGHT = auto()
    DURABLE = auto()


@dataclass(frozen=True, slots=True)
class Refused:
    """One rejected reading of an ack."""

    sequence: int
    fault: Fault


@dataclass(frozen=True, slots=True)
class Ack:
    """What ReadingAck says, for one boot epoch."""

    boot_epoch: int
    ranges: tuple[SequenceRange, ...]
    refused: tuple[Refused, ...]


class _Epoch:
    """One boot epoch. `durable` is in Kafka; `in_flight` is offered to it; `due` is durable and to be acknowledged.

    `unnumbered`: faults of readings in flight to the dead letters that have no sequence, oldest first. `losing`:
    declared losses in flight, first and last; `lost`: those that are in Kafka.
    """

    __slots__ = ("due", "durable", "faults", "in_flight", "losing", "lost", "refused_due", "unnumbered")

    def __init__(self) -> None:
        self.in_flight = RangeSet()
        self.durable = RangeSet()
        self.due = RangeSet()
        self.faults: dict[int, Fault] = {}  # of rejected readings in flight to the dead letters
        self.unnumbered: list[Fault] = []
        self.losing: list[tuple[int, int]] = []
        self.lost = RangeSet()
        self.refused_due: list[Refused] = []

    @property
    def idle(self) -> bool:
        return not (self.in_flight or self.unnumbered or self.losing or self.due or self.refused_due)


class AckTracker:
    """One vehicle's readings. Sequences are those of the vehicle, from 1; 0 stands for one that has none."""

    __slots__ = ("_epochs", "_in_flight")

    def __init__(self) -> None:
        self._epochs: OrderedDict[int, _Epoch] = OrderedDict()
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Readings offered to Kafka, good and bad, that have not arrived."""
        return self._in_flight

    @property
    def losses_in_flight(self) -> int:
        """Declared losses offered to Kafka that have not arrived."""
        return sum(len(epoch.losing) for epoch in self._epochs.values())

    @property
    def due(self) -> bool:
        """Whether there is something to acknowledge."""
        return any(epoch.due or epoch.refused_due for epoch in self._epochs.values())

    @property
    def unsent(self) -> int:
        """Ranges and rejections to be acknowledged. A vehicle that reads its acks leaves few here."""
        return sum(epoch.due.fragments + len(epoch.refused_due) for epoch in self._epochs.values())

    def has_place(self, boot_epoch: int) -> bool:
        """Whether something new of this epoch can be remembered. To be asked before it is taken."""
        epochs = self._epochs
        few = boot_epoch in epochs or len(epochs) < MAX_EPOCHS_PER_VEHICLE
        return few or any(epoch.idle for epoch in epochs.values())

    def known(self, boot_epoch: int, sequence: int) -> Known:
        epoch = self._epochs.get(boot_epoch)
        if epoch is None or sequence == 0:
            return Known.NEW
        if sequence in epoch.in_flight:
            return Known.IN_FLIGHT
        return Known.DURABLE if sequence in epoch.durable else Known.NEW

    def loss_known(self, boot_epoch: int, first: int, last: int) -> Known:
        """What is known of a loss that is declared."""
        epoch = self._epochs.get(boot_epoch)
        if epoch is None:
            return Known.NEW
        if (first, last) in epoch.losing:
            return Known.IN_FLIGHT
        return Known.NEW if epoch.lost.missing(first, last) else Known.DURABLE

    def repeated(self, boot_epoch: int, sequences: Sequence[int]) -> int:
        """How many of these are in flight."""
        epoch = self._epochs.get(boot_epoch)
        return sum(sequence in epoch.in_flight for sequence in sequences) if epoch else 0

    def newest(self, boot_epoch: int) -> int:
        """The highest sequence known of an epoch; 0 where none is."""
        epoch = self._epochs.get(boot_epoch)
        return max(epoch.in_flight.last, epoch.durable.last) if epoch else 0

    def take(self, boot_epoch: int, first: int, last: int) -> None:
        """These new ones go to Kafka now."""
        self._epoch(boot_epoch).in_flight.add(first, last)
        self._in_flight += last - first + 1

    def reject(self, boot_epoch: int, sequence: int, fault: Fault) -> None:
        """This one goes to the dead letters now."""
        epoch = self._epoch(boot_epoch)
        self._in_flight += 1
        if sequence:
            epoch.faults[sequence] = fault
            epoch.in_flight.add(sequence)
        else:
            epoch.unnumbered.append(fault)

    def again(self, boot_epoch: int, first: int, last: int | None = None) -> None:
        """What is durable was offered again, or declared lost again: the vehicle has not had the ack."""
        self._epoch(boot_epoch).due.add(first, last)

    def arrived(self, boot_epoch: int, sequences: Sequence[int]) -> None:
        """Delivery reports are in. Ascending runs are cheap."""
        epoch = self._epoch(boot_epoch)
        self._in_flight -= len(sequences)
        good = _settle_refused(epoch, sequences) if epoch.faults or epoch.unnumbered else sequences
        for first, last in runs(good):
            epoch.in_flight.discard(first, last)
            epoch.durable.add(first, last)
            epoch.due.add(first, last)
        _forget_lowest(epoch.durable)

    def failed(self, boot_epoch: int, sequence: int) -> None:
        """Kafka will never have this record: its identity is new again."""
        epoch = self._epoch(boot_epoch)
        self._in_flight -= 1
        if sequence:
            epoch.faults.pop(sequence, None)
            epoch.in_flight.discard(sequence)
        else:
            epoch.unnumbered.pop(0)

    def lose(self, boot_epoch: int, first: int, last: int) -> None:
        """The vehicle's word that these are gone goes to Kafka now."""
        self._epoch(boot_epoch).losing.append((first, last))

    def loss_failed(self, boot_epoch: int, first: int, last: int) -> None:
        """Kafka will never have it."""
        self._epoch(boot_epoch).losing.remove((first, last))

    def declared_lost(self, boot_epoch: int, first: int, last: int) -> int:
        """The vehicle's word that these are gone is durable: it need not say so again. Returns of how many that was
        not known."""
        epoch = self._epoch(boot_epoch)
        epoch.losing.remove((first, last))
        epoch.due.add(first, last)
        count = sum(map(len, epoch.lost.missing(first, last)))
        epoch.lost.add(first, last)
        _forget_lowest(epoch.lost)
        return count

    def next_ack(self) -> Ack | None:
        """What to acknowledge next; it is then no longer due. Bounded in size: call until None."""
        for boot_epoch, epoch in self._epochs.items():
            if epoch.due or epoch.refused_due:
                return Ack(boot_epoch, *_cut(epoch))
        return None

    def _epoch(self, boot_epoch: int) -> _Epoch:
        epoch = self._epochs.get(boot_epoch)
        if epoch is None:
            self._make_place()
            epoch = self._epochs[boot_epoch] = _Epoch()
        return epoch

    def _make_place(self) -> None:
        """For one more epoch: the oldest one with nothing on its way goes."""
        if len(self._epochs) >= MAX_EPOCHS_PER_VEHICLE:
            idle = [boot_epoch for boot_epoch, epoch in self._epochs.items() if epoch.idle]
            if idle:
                del self._epochs[min(idle)]


def _settle_refused(epoch: _Epoch, sequences: Sequence[int]) -> list[int]:
    """Takes the rejected ones out, which are due once they are durable as dead letters. Returns the good ones."""
    good = []
    for sequence in sequences:
        if not sequence:
            epoch.refused_due.append(Refused(0, epoch.unnumbered.pop(0)))
            continue
        fault = epoch.faults.pop(sequence, None)
        if fault is None:
            good.append(sequence)
            continue
        epoch.refused_due.append(Refused(sequence, fault))
        epoch.in_flight.discard(sequence)
        epoch.durable.add(sequence)
    return good


def _cut(epoch: _Epoch) -> tuple[tuple[SequenceRange, ...], tuple[Refused, ...]]:
    """One ack's worth of what is due. Every rejection is in an ack whose ranges cover it."""
    due = epoch.due.ranges()
    if len(due) > MAX_RANGES_PER_ACK:
        due = due[:MAX_RANGES_PER_ACK]
        epoch.due.discard(due[0].first, due[-1].last)
    else:
        epoch.due = RangeSet()
    if not epoch.refused_due:
        return due, ()
    covered = RangeSet()
    for each in due:
        covered.add(each.first, each.last)
    refused = tuple(epoch.refused_due[:MAX_REJECTIONS_PER_ACK])
    del epoch.refused_due[:MAX_REJECTIONS_PER_ACK]
    for one in refused:
        if one.sequence:
            covered.add(one.sequence)
    return covered.ranges(), refused


def runs(sequences: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours that ascend by one, as (first, last)."""
    if not sequences:
        return []
    if sequences == list(range(sequences[0], sequences[0] + len(sequences))):
        return [(sequences[0], sequences[-1])]
    found: list[tuple[int, int]] = []
    for sequence in sequences:
        if found and sequence == found[-1][1] + 1:
            found[-1] = (found[-1][0], sequence)
        else:
            found.append((sequence, sequence))
    return found


def _forget_lowest(known: RangeSet) -> None:
    """Half of them at once: to look at all for each batch of scattered readings takes longer than to take it in."""
    if known.fragments > MAX_KNOWN_RANGES:
        ranges = known.ranges()
        known.discard(ranges[0].first, ranges[-MAX_KNOWN_RANGES // 2 - 1].last)
