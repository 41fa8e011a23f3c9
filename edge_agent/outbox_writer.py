"""The one thread that uses the outbox, for all vehicles of the process.

A reading is offered to the stream when it is on disk. When the disk is full, read-only or broken, live telemetry goes
on from memory, bounded, and is written down as soon as the disk takes it; that it is so is counted, logged and shown in
health. The stop path never comes here.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from edge_agent.age import AgeClock
from edge_agent.limits import MAX_UNSAVED_READINGS, OUTBOX_QUEUE, OUTBOX_RETRY_S
from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.outbox_commands import Command, Fetch, Lose, Outcome, Remove
from edge_agent.readings_log import ReadingsLog
from edge_agent.reports import Lost
from edge_agent.shipment import Stored
from edge_agent.sqlite_file import is_damage, set_aside
from edge_agent.unsaved import Notes, Unsaved
from edge_agent.worker import Worker
from pitwall.clock import monotonic_s
from pitwall.domain.sequence import SequenceRange

_log = logging.getLogger(__name__)


class OutboxWriter:
    """`tell` is called in the thread with each outcome; it passes it to the event loop."""

    def __init__(self, path: Path, bounds: Bounds, log: ReadingsLog, tell: Callable[[Outcome], None]) -> None:
        self._path, self._bounds, self._log, self._tell = path, bounds, log, tell
        self._outbox: Outbox | None = None
        self._clock: AgeClock | None = None
        self._unsaved = Unsaved()
        self._problem = ""
        self._retry_s = 0.0
        #: How often the disk has refused so far, a damaged file included.
        self.failures = 0
        # What found the queue full, as ranges.
        self._overflow, self._overflowing = Notes(), threading.Lock()
        self._open()
        self.worker: Final[Worker[Command]] = Worker("outbox", self._handle, OUTBOX_QUEUE)

    def put(self, command: Command) -> bool:
        """Removals wait for the next reading: they are no hurry, and share its sync.

        False where the thread is so far behind that the queue is full: a reading is lost then, and that is written down
        with what comes next; what is acknowledged or lost is kept as well.
        """
        if self.worker.put(command, wake=not isinstance(command, Remove)):
            return True
        if isinstance(command, NewReading):
            command = Lose(command.vehicle_id, (busy(command),))
        if not isinstance(command, Fetch):
            with self._overflowing:
                self._overflow.take(command)
        return False

    def close(self, timeout_s: float) -> bool:
        """Writes what waits, and ends. False when that took too long."""
        if not self.worker.close(timeout_s):
            return False
        self._log.close()
        if self._outbox is not None:
            self._outbox.abandon()
        return True

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
        self._unsaved.add(new)
        for note in (*self._overflowed(), *commands):
            if isinstance(note, Remove | Lose):
                self._unsaved.note(note)
        outcome = Outcome(stored=new)
        # Before the sync: whoever sends history waits for it.
        outcome.fetched = [(c, self._fetch(c)) for c in commands if isinstance(c, Fetch)]
        self._save(outcome)
        self._merge_lost(outcome, self._unsaved.bound(MAX_UNSAVED_READINGS))
        outcome.problem, outcome.unsaved = self._problem, len(self._unsaved)
        if self._outbox is not None:
            outcome.rows, outcome.bytes = self._outbox.rows, self._outbox.bytes
        self._tell(outcome)

    def _overflowed(self) -> Iterable[Remove | Lose]:
        with self._overflowing:
            notes, self._overflow = self._overflow, Notes()
        losses = [Lose(vehicle_id, tuple(lost)) for vehicle_id, lost in notes.losses().items()]
        return (*losses, *notes.removals())

    def _save(self, outcome: Outcome) -> None:
        """Everything that is not on disk yet, and what may go, in one synced transaction."""
        if not self._unsaved or (self._problem and monotonic_s() < self._retry_s):
            return
        if self._outbox is None:
            self._open()
        outbox, now = self._outbox, Moment.now()
        if outbox is None:
            return
        try:
            outbox.begin()
            self._unsaved.write(outbox, now.s)
            lost = outbox.evict(now)
            outbox.commit()
        except sqlite3.Error as error:
            self._failed(error)
            return
        self._unsaved.clear()
        self._merge_lost(outcome, lost)
        if self._problem:
            _log.warning("%s: readings are written to disk again", self._path)
        self._problem = ""

    def _merge_lost(self, outcome: Outcome, lost: dict[str, list[Lost]]) -> None:
        for vehicle_id, losses in lost.items():
            outcome.lost.setdefault(vehicle_id, []).extend(losses)

    def _failed(self, error: sqlite3.Error) -> None:
        """Goes on from memory. A full disk can still be read: history goes on. Otherwise a connection that failed is
        not trusted again, and a damaged file makes way.
        """
        self._note(error)
        if self._outbox is not None and _is_full(error) and self._outbox.rollback():
            return
        if self._outbox is not None:
            self._outbox.abandon()
        if is_damage(error):
            self._make_way(error)
        self._open()

    def _make_way(self, error: sqlite3.Error) -> None:
        try:
            set_aside(self._path, error)
        except OSError as refused:  # damaged, and read-only as well
            self._note(refused)
        else:
            self._retry_s = 0.0

    def _open(self) -> None:
        self._outbox = None
        try:
            self._outbox = Outbox(self._path, self._bounds, Moment.now(), self._clock)
            self._clock = self._outbox.clock
        except sqlite3.Error as error:
            self._note(error)
            if is_damage(error):
                # Opened anew when the next reading comes: a new file is not damaged.
                self._make_way(error)
        except OSError as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        self.failures += 1
        if str(error) != self._problem:
            _log.error("%s: %s; readings go on from memory, at most %d", self._path, error, MAX_UNSAVED_READINGS)
        self._problem = str(error)
        self._retry_s = monotonic_s() + OUTBOX_RETRY_S

    def _fetch(self, command: Fetch) -> list[Stored] | None:
        """None where the disk can't say what it has."""
        found = {stored.sequence: stored for stored in self._unsaved.find(command.vehicle_id, command.wanted)}
        if self._outbox is None:
            # All of it in memory: then nobody need know what the disk has.
            wanted = command.wanted.last - command.wanted.first + 1
            return list(found.values()) if len(found) == wanted else None
        try:
            on_disk = self._outbox.fetch(command.vehicle_id, command.wanted)
        except sqlite3.Error as error:
            self._failed(error)
            return None
        found.update((stored.sequence, stored) for stored in on_disk)
        return [found[sequence] for sequence in sorted(found)]


def busy(new: NewReading) -> Lost:
    """The loss of a reading that found the queue full."""
    stored = new.stored
    return Lost(stored.boot_epoch, SequenceRange(stored.sequence, stored.sequence), "OUTBOX_BUSY")


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
