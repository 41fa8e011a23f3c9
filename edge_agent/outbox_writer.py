"""The one thread that uses the outbox, for all vehicles of the process.

A reading is offered to the stream when it is on disk. When the disk is full, read-only or broken, live telemetry goes
on from memory, bounded, and is written down as soon as the disk takes it; that it is so is counted, logged and shown in
health. The stop path never comes here.
"""

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_agent.limits import MAX_UNSAVED_READINGS, OUTBOX_QUEUE, OUTBOX_RETRY_S
from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.readings_log import ReadingsLog
from edge_agent.reports import Lost
from edge_agent.shipment import Stored, Wanted
from edge_agent.sqlite_file import is_damage, set_aside
from edge_agent.worker import Worker
from pitwall.clock import monotonic_s, wall_time
from pitwall.domain.sequence import RangeSet, SequenceRange

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Remove:
    """Acknowledged."""

    vehicle_id: str
    boot_epoch: int
    ranges: tuple[SequenceRange, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    vehicle_id: str
    wanted: Wanted


Command = NewReading | Remove | Fetch


@dataclass(slots=True)
class Outcome:
    """What came of a run of commands. `unsaved`: readings that are in memory alone."""

    stored: list[NewReading] = field(default_factory=list)
    fetched: list[tuple[Fetch, list[Stored] | None]] = field(default_factory=list)
    lost: dict[str, list[Lost]] = field(default_factory=dict)
    problem: str = ""
    rows: int = 0
    bytes: int = 0
    unsaved: int = 0


_Key = tuple[str, int, int]


class OutboxWriter:
    """`tell` is called in the thread with each outcome; it passes it to the event loop."""

    def __init__(self, path: Path, bounds: Bounds, log: ReadingsLog, tell: Callable[[Outcome], None]) -> None:
        self._path, self._bounds, self._log, self._tell = path, bounds, log, tell
        self._outbox: Outbox | None = None
        # What the disk has still to take: new readings, and what is acknowledged and may go.
        self._unsaved: OrderedDict[_Key, NewReading] = OrderedDict()
        self._removed: dict[tuple[str, int], RangeSet] = {}
        self._problem = ""
        self._retry_s = 0.0
        self._open()
        self.worker: Final[Worker[Command]] = Worker("outbox", self._handle, OUTBOX_QUEUE)

    def put(self, command: Command) -> bool:
        """Removals wait for the next reading: they are no hurry, and share its sync."""
        return self.worker.put(command, wake=not isinstance(command, Remove))

    def left_over(self, vehicle_id: str) -> tuple[list[tuple[int, SequenceRange]], list[Lost]]:
        """What was there at the start: unacknowledged readings, and losses to be told. Before the first `put` only."""
        if self._outbox is None:
            return [], []
        try:
            return self._outbox.pending(vehicle_id), self._outbox.lost(vehicle_id)
        except sqlite3.Error as error:
            self._failed(error)
            return [], []

    # In the thread

    def _handle(self, commands: list[Command]) -> None:
        new = [c for c in commands if isinstance(c, NewReading)]
        self._log.write(new)
        self._unsaved.update((_key(reading), reading) for reading in new)
        for command in commands:
            if isinstance(command, Remove):
                self._take_removal(command)
        outcome = Outcome(stored=new)
        self._save(outcome)
        self._bound_memory(outcome)
        outcome.fetched = [(c, self._fetch(c)) for c in commands if isinstance(c, Fetch)]
        outcome.problem, outcome.unsaved = self._problem, len(self._unsaved)
        if self._outbox is not None:
            outcome.rows, outcome.bytes = self._outbox.rows, self._outbox.bytes
        self._tell(outcome)

    def _save(self, outcome: Outcome) -> None:
        """Everything that is not on disk yet, and what may go, in one synced transaction."""
        if self._problem and monotonic_s() < self._retry_s:
            return
        if self._outbox is None:
            self._open()
        outbox = self._outbox
        if outbox is None:
            return
        try:
            outbox.begin()
            for (vehicle_id, boot_epoch), ranges in self._removed.items():
                outbox.remove(vehicle_id, boot_epoch, ranges.ranges())
            outbox.add(self._unsaved.values())
            lost = outbox.evict(wall_time().timestamp())
            outbox.commit()
        except sqlite3.Error as error:
            self._failed(error)
            return
        self._unsaved.clear()
        self._removed.clear()
        outcome.lost = lost
        if self._problem:
            _log.warning("%s: readings are written to disk again", self._path)
        self._problem = ""

    def _failed(self, error: sqlite3.Error) -> None:
        """Goes on from memory. A connection that failed is not trusted again; a damaged file makes way.

        A full disk can still be read: history goes on.
        """
        self._note(error)
        if self._outbox is not None:
            self._outbox.abandon()
        if is_damage(error):
            set_aside(self._path, error)
            self._retry_s = 0.0
        self._open()

    def _open(self) -> None:
        try:
            self._outbox = Outbox(self._path, self._bounds)
        except (sqlite3.Error, OSError) as error:
            self._outbox = None
            self._note(error)

    def _note(self, error: Exception) -> None:
        if str(error) != self._problem:
            _log.error("%s: %s; readings go on from memory, at most %d", self._path, error, MAX_UNSAVED_READINGS)
        self._problem = str(error)
        self._retry_s = monotonic_s() + OUTBOX_RETRY_S

    def _bound_memory(self, outcome: Outcome) -> None:
        lost: dict[tuple[str, int], RangeSet] = {}
        while len(self._unsaved) > MAX_UNSAVED_READINGS:
            (vehicle_id, boot_epoch, sequence), _ = self._unsaved.popitem(last=False)
            lost.setdefault((vehicle_id, boot_epoch), RangeSet()).add(sequence)
        for (vehicle_id, boot_epoch), ranges in lost.items():
            outcome.lost.setdefault(vehicle_id, []).extend(Lost(boot_epoch, r, "MEMORY_FULL") for r in ranges.ranges())

    def _take_removal(self, removal: Remove) -> None:
        removed = self._removed.setdefault((removal.vehicle_id, removal.boot_epoch), RangeSet())
        for r in removal.ranges:
            removed.add(r.first, r.last)
        if not self._problem:
            return  # nothing waits in memory but what came with this very run
        for key in [k for k in self._unsaved if k[:2] == (removal.vehicle_id, removal.boot_epoch)]:
            if key[2] in removed:
                del self._unsaved[key]

    def _fetch(self, command: Fetch) -> list[Stored] | None:
        """None where the disk can't say what it has."""
        outbox = self._outbox
        if outbox is None:
            return None
        wanted = command.wanted
        found = {
            new.stored.sequence: new.stored
            for (vehicle_id, boot_epoch, sequence), new in self._unsaved.items()
            if (vehicle_id, boot_epoch) == (command.vehicle_id, wanted.boot_epoch)
            and wanted.first <= sequence <= wanted.last
        }
        try:
            found.update((stored.sequence, stored) for stored in outbox.fetch(command.vehicle_id, wanted))
        except sqlite3.Error as error:
            self._failed(error)
            return None
        return [found[sequence] for sequence in sorted(found)]


def _key(new: NewReading) -> _Key:
    return new.vehicle_id, new.stored.boot_epoch, new.stored.sequence
