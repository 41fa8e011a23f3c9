"""The journal as the event loop sees it: hand a record over, await that it is on disk.

One thread writes, so a slow or hung disk holds up nobody but those who await it. What must be on disk before somebody
is told so (`append`) goes ahead of what may follow a moment later (`note`). A write that fails is tried again for ever
with the same records; until then the journal is not healthy, and no lease is given.
"""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections import deque
from typing import Final

from opentelemetry import metrics

from command_service.events import Record
from command_service.store import Store
from pitwall import logs
from pitwall.clock import boottime_s
from pitwall.instruments import gauge, seconds_histogram, total

#: How long a record that nobody awaits may wait for others to be written with it, seconds: until the stop of a fleet,
#: which makes thousands of them, has been told.
NOTE_DELAY_S: Final = 0.25
#: Records of that kind in one commit: an urgent one waits for them 1 ms or so.
NOTES_PER_COMMIT: Final = 100
#: Records that may wait; the next one is refused (`append`) or dropped and counted (`note`).
MAX_URGENT: Final = 20_000
MAX_NOTES: Final = 100_000
#: How often an idle journal writes, to know that it can.
PROBE_S: Final = 0.5
#: No write for so long: not healthy. A process that was asleep for longer is not healthy either until it has written.
HUNG_AFTER_S: Final = 2.0
RETRY_S: Final = 0.2

assert NOTE_DELAY_S < PROBE_S < HUNG_AFTER_S

_log = logs.get(__name__)


class JournalFull(Exception):
    """Too many records wait for the disk. What the next one says is in force all the same; try it again later."""


class Journal:
    """Takes over the store. To be made and used in one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._urgent: deque[tuple[Record, asyncio.Future[None]]] = deque()
        self._notes: deque[Record] = deque()
        self._vehicles: dict[str, tuple[bytes, int]] = {}
        self._exported: int | None = None
        self._complete = False
        self._closing = False
        self._abandoned = False
        #: What the last write failed of; empty when it succeeded.
        self.trouble = ""
        #: Notes that found no room.
        self.dropped = 0
        #: The last record on disk.
        self.sequence = store.head.sequence
        self._written_s = boottime_s()
        #: Done when the writer has ended by a defect; the process should end too.
        self.died: asyncio.Future[None] = self._loop.create_future()
        self._measure()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def _measure(self) -> None:
        meter = metrics.get_meter("command_service.journal")
        self._seconds = seconds_histogram(meter, "pitwall.journal.commit", "One synced write of the journal")
        gauge(meter, "pitwall.journal.waiting.records", "Records that wait for the disk", lambda: float(self.waiting))
        text = "Stages and refusals that found no room"
        total(meter, "pitwall.journal.dropped.records", text, lambda: float(self.dropped))

    # For the event loop

    @property
    def waiting(self) -> int:
        return len(self._urgent) + len(self._notes)

    def healthy(self, now_s: float) -> bool:
        """Whether the disk takes what it is given. `now_s`: CLOCK_BOOTTIME."""
        return not self.trouble and now_s - self._written_s <= HUNG_AFTER_S

    def append(self, record: Record) -> asyncio.Future[None]:
        """Done when the record is on disk. Never fails, may take for ever. Raises JournalFull."""
        if len(self._urgent) >= MAX_URGENT:
            raise JournalFull(f"{MAX_URGENT:,} records wait for {self._store.path}; the disk hangs or is full")
        future: asyncio.Future[None] = self._loop.create_future()
        with self._lock:
            self._urgent.append((record, future))
        self._wake.set()
        return future

    def note(self, record: Record) -> None:
        """Written soon; nobody awaits it."""
        if len(self._notes) >= MAX_NOTES:
            self.dropped += 1
            return
        with self._lock:
            self._notes.append(record)

    def remember(self, vehicle_id: str, session: bytes, since_ns: int) -> None:
        """Keeps the vehicle's newest session. The last word of several wins."""
        with self._lock:
            self._vehicles[vehicle_id] = (session, since_ns)

    def exported(self, sequence: int) -> None:
        """Keeps how far the journal has been delivered to Kafka."""
        with self._lock:
            self._exported = sequence

    def complete(self) -> None:
        """Keeps that what was lost with an earlier journal is known again."""
        with self._lock:
            self._complete = True

    async def close(self, timeout_s: float) -> bool:
        """Writes what waits. Returns False where the disk did not take it in time; it is lost then."""
        self._closing = True
        self._wake.set()
        await asyncio.to_thread(self._thread.join, timeout_s)
        self._abandoned = self._thread.is_alive()
        return not self._abandoned

    # The thread

    def _run(self) -> None:
        try:
            while self._turn():
                pass
            self._store.close()
        except Exception as error:  # noqa: BLE001  # a defect; without a writer the process is of no use
            self.trouble = f"the writer has ended: {error!r}"
            _log.exception("journal writer has ended")
            self._resolve([self.died])

    def _turn(self) -> bool:
        """Waits for something to write, and writes it. Returns False when there will be no more."""
        self._wake.wait(NOTE_DELAY_S)
        self._wake.clear()
        closing = self._closing
        due = self._urgent or self._notes or self._vehicles or self._exported is not None or self._complete
        if due or closing or boottime_s() - self._written_s >= PROBE_S:
            self._write_waiting()
        return not (closing or self._abandoned)

    def _write_waiting(self) -> None:
        """Everything that waits; urgent records that come meanwhile go ahead of notes that are still to be written."""
        more = True
        while more and not self._abandoned:
            with self._lock:
                urgent = [self._urgent.popleft() for _ in range(len(self._urgent))]
                notes = [self._notes.popleft() for _ in range(min(len(self._notes), NOTES_PER_COMMIT))]
                vehicles, self._vehicles = self._vehicles, {}
                exported, self._exported = self._exported, None
                complete, self._complete = self._complete, False
            if self._commit([*(record for record, _ in urgent), *notes], vehicles, exported, complete=complete):
                self._resolve([future for _, future in urgent])
            more = bool(self._urgent or self._notes)

    def _commit(
        self, records: list[Record], vehicles: dict[str, tuple[bytes, int]], exported: int | None, *, complete: bool
    ) -> bool:
        """Until it is on disk. Returns False where the process gave that up."""
        goal = self._store.head.sequence + len(records)
        while not self._abandoned:
            started_s = boottime_s()
            try:
                self._store.commit(records, vehicles, exported, complete=complete)
            except sqlite3.Error as error:
                self._failed(error)
                # What failed may have been the answer and not the write.
                if not records or self._store.head.sequence < goal:
                    time.sleep(RETRY_S)
                    continue
            self._succeeded(started_s)
            return True
        return False

    def _failed(self, error: sqlite3.Error) -> None:
        if not self.trouble:
            _log.error("journal can't be written", file=str(self._store.path), error=str(error))
        self.trouble = str(error)

    def _succeeded(self, started_s: float) -> None:
        if self.trouble:
            _log.warning("journal is written again", file=str(self._store.path))
        self.trouble = ""
        self.sequence = self._store.head.sequence
        self._written_s = boottime_s()
        self._seconds.record(self._written_s - started_s)

    def _resolve(self, futures: list["asyncio.Future[None]"]) -> None:
        if futures:
            with contextlib.suppress(RuntimeError):  # the loop has ended; nobody awaits them any more
                self._loop.call_soon_threadsafe(_set_done, futures)


def _set_done(futures: list["asyncio.Future[None]"]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
