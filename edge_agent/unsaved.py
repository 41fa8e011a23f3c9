"""What the disk has still to take: new readings, what is acknowledged and may go, and what was given up.

Readings are bounded by whoever holds them; the rest is kept as ranges, which take little however long the disk fails.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from edge_agent.outbox import NewReading, Outbox
from edge_agent.outbox_commands import Lose, Remove
from edge_agent.reports import Lost
from edge_agent.shipment import Stored, Wanted
from pitwall.domain.sequence import RangeSet, SequenceRange


class Notes:
    """Ranges that are acknowledged or given up, gathered."""

    def __init__(self) -> None:
        self._removed: dict[tuple[str, int], RangeSet] = {}
        self._lost: dict[tuple[str, int, str], RangeSet] = {}

    def __bool__(self) -> bool:
        return bool(self._removed or self._lost)

    def take(self, note: Remove | Lose) -> None:
        if isinstance(note, Remove):
            _add(self._removed.setdefault((note.vehicle_id, note.boot_epoch), RangeSet()), note.ranges)
            return
        for lost in note.losses:
            _add(self._lost.setdefault((note.vehicle_id, lost.boot_epoch, lost.reason), RangeSet()), [lost.range])

    def losses(self) -> dict[str, list[Lost]]:
        """By vehicle."""
        found: dict[str, list[Lost]] = {}
        for (vehicle_id, boot_epoch, reason), ranges in self._lost.items():
            found.setdefault(vehicle_id, []).extend(Lost(boot_epoch, r, reason) for r in ranges.ranges())
        return found

    def removals(self) -> list[Remove]:
        return [Remove(vehicle_id, epoch, found.ranges()) for (vehicle_id, epoch), found in self._removed.items()]


class Unsaved:
    """In the order in which it came."""

    def __init__(self) -> None:
        self._readings: OrderedDict[tuple[str, int, int], NewReading] = OrderedDict()
        self._notes = Notes()

    def __bool__(self) -> bool:
        return bool(self._readings or self._notes)

    def __len__(self) -> int:
        """Readings."""
        return len(self._readings)

    def add(self, readings: Iterable[NewReading]) -> None:
        for new in readings:
            self._readings[new.vehicle_id, new.stored.boot_epoch, new.stored.sequence] = new

    def note(self, note: Remove | Lose) -> None:
        """Acknowledged or given up: not to be written, and to be taken from the disk."""
        self._notes.take(note)
        if not self._readings:
            return
        if isinstance(note, Remove):
            spans = [(note.boot_epoch, r) for r in note.ranges]
        else:
            spans = [(lost.boot_epoch, lost.range) for lost in note.losses]
        for boot_epoch, r in spans:
            for key in self._keys(note.vehicle_id, boot_epoch, r):
                del self._readings[key]

    def bound(self, most: int) -> dict[str, list[Lost]]:
        """Gives up the oldest readings beyond so many. Returns them by vehicle."""
        over = Notes()
        while len(self._readings) > most:
            (vehicle_id, boot_epoch, sequence), _ = self._readings.popitem(last=False)
            lost = Lost(boot_epoch, SequenceRange(sequence, sequence), "MEMORY_FULL")
            over.take(Lose(vehicle_id, (lost,)))
        losses = over.losses()
        for vehicle_id, of_one in losses.items():
            self._notes.take(Lose(vehicle_id, tuple(of_one)))
        return losses

    def find(self, vehicle_id: str, wanted: Wanted) -> list[Stored]:
        keys = self._keys(vehicle_id, wanted.boot_epoch, SequenceRange(wanted.first, wanted.last))
        return [self._readings[key].stored for key in keys]

    def write(self, outbox: Outbox, now_s: float) -> None:
        """Within a transaction. `now_s`: CLOCK_BOOTTIME. A loss that is known already is taken out again by its ack."""
        outbox.lose(self._notes.losses(), now_s)
        for removal in self._notes.removals():
            outbox.remove(removal.vehicle_id, removal.boot_epoch, removal.ranges)
        outbox.add(self._readings.values())

    def clear(self) -> None:
        """All of it is on disk."""
        self._readings.clear()
        self._notes = Notes()

    def _keys(self, vehicle_id: str, boot_epoch: int, r: SequenceRange) -> list[tuple[str, int, int]]:
        """Those that are there. An ack may name more than anybody has, and then what is here is looked through."""
        readings = self._readings
        if r.last - r.first < len(readings):
            keys = ((vehicle_id, boot_epoch, sequence) for sequence in range(r.first, r.last + 1))
            return [key for key in keys if key in readings]
        return [k for k in readings if k[:2] == (vehicle_id, boot_epoch) and r.first <= k[2] <= r.last]


def _add(found: RangeSet, ranges: Sequence[SequenceRange]) -> None:
    for r in ranges:
        found.add(r.first, r.last)
