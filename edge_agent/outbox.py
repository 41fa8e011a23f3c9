"""The outbox: readings on disk until they are acknowledged. One SQLite file for all vehicles of the process.

Bounded by bytes and by age; the oldest go first, whoever's they are, and what goes unacknowledged is written down as
lost in the same transaction. Nothing here is on the stop path.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from edge_agent.age import AGE_SCHEMA, AgeClock, keep_mark, last_mark
from edge_agent.losses import LOST_SCHEMA, LostTable
from edge_agent.moment import Moment
from edge_agent.packing import Packing
from edge_agent.reports import Lost
from edge_agent.shipment import Stored, Wanted
from edge_agent.sqlite_file import Damaged, open_database, whole
from pitwall.domain.sequence import RangeSet, SequenceRange

_log = logging.getLogger(__name__)

#: What a row takes beside its packed content, bytes: keys, index, page overhead. Measured over seven days at 1 Hz.
ROW_OVERHEAD_BYTES: Final = 32
#: Of the tables below. A file of another layout is set aside.
LAYOUT: Final = 2
#: Rows given up in one go.
_EVICT_ROWS: Final = 500

# A stream is one vehicle's readings of one boot_epoch: a small number, in the row and in the index, for both.
# wall_s is the wall clock that nobody has set: see edge_agent/age.py.
_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS stream (
    number INTEGER PRIMARY KEY, vehicle_id TEXT NOT NULL, boot_epoch INTEGER NOT NULL, UNIQUE (vehicle_id, boot_epoch)
);
CREATE TABLE IF NOT EXISTS reading (
    id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, sequence INTEGER NOT NULL, wall_s INTEGER NOT NULL,
    packed BLOB NOT NULL, UNIQUE (stream, sequence)
);
"""
    + LOST_SCHEMA
    + AGE_SCHEMA
)


@dataclass(frozen=True, slots=True)
class NewReading:
    """A reading to be stored. `made_s`: CLOCK_BOOTTIME of its making, seconds, by which it ages."""

    vehicle_id: str
    stored: Stored
    made_s: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the outbox may hold. Bytes as `Outbox.bytes` counts them."""

    max_bytes: int
    max_age_s: float


class _Stream(NamedTuple):
    number: int
    packing: Packing


class _Going(NamedTuple):
    """A row that has to go."""

    row_id: int
    stream: int
    sequence: int
    reason: str


class Outbox:
    """Every method blocks on the disk and may raise sqlite3.Error.

    After one, `rollback` or `abandon` it: then nothing has changed. `clock`: of this process, where it has opened the
    file before.
    """

    def __init__(self, path: Path, bounds: Bounds, now: Moment, clock: AgeClock | None = None) -> None:
        self._bounds = bounds
        self._connection, _ = open_database(path, _SCHEMA, layout=LAYOUT)
        self._streams: dict[tuple[str, int], _Stream] = {}
        self.rows = self.bytes = 0
        try:
            self._read_in()
            mark = last_mark(self._connection)
            self.clock = clock or AgeClock(mark, now, bounds.max_age_s / 2)
        except sqlite3.Error:
            self._connection.close()
            raise
        self._before = (self.rows, self.bytes, dict(self._streams))

    def _read_in(self) -> None:
        for number, vehicle_id, boot_epoch in self._connection.execute("SELECT * FROM stream"):
            whole(number, boot_epoch)
            self._streams[str(vehicle_id), boot_epoch] = _Stream(number, Packing(str(vehicle_id), boot_epoch))
        self._losses = LostTable(self._connection)
        self.rows, content = self._connection.execute(
            "SELECT COUNT(*), COALESCE(SUM(LENGTH(packed)), 0) FROM reading"
        ).fetchone()
        self.bytes = content + self.rows * ROW_OVERHEAD_BYTES

    def close(self) -> None:
        self._connection.close()

    # One transaction around several changes

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._before = (self.rows, self.bytes, dict(self._streams))

    def commit(self) -> None:
        """What was put in is on disk when this returns."""
        self._connection.execute("COMMIT")

    def rollback(self) -> bool:
        """Back to before `begin`. False where that fails too: then it has to be abandoned."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        self.rows, self.bytes, self._streams = self._before
        return True

    def abandon(self) -> None:
        """Closes it without the open transaction, whatever the disk says. To be opened anew."""
        with suppress(sqlite3.Error):
            self._connection.close()

    # Changes

    def add(self, readings: Iterable[NewReading]) -> None:
        """A reading that is there already stays as it is."""
        for new in readings:
            stored = new.stored
            stream = self._stream(new.vehicle_id, stored.boot_epoch)
            packed = stream.packing.pack(stored.sequence, stored.content)
            added = self._connection.execute(
                "INSERT OR IGNORE INTO reading (stream, sequence, wall_s, packed) VALUES (?, ?, ?, ?)",
                (stream.number, stored.sequence, self.clock.at(new.made_s), packed),
            ).rowcount
            self.rows += added
            self.bytes += added * (len(packed) + ROW_OVERHEAD_BYTES)

    def remove(self, vehicle_id: str, boot_epoch: int, ranges: Iterable[SequenceRange]) -> None:
        """Acknowledged. A lost range that the gateway now knows of is forgotten too."""
        stream = self._streams.get((vehicle_id, boot_epoch))
        if stream is None:
            return
        for r in ranges:
            first, last = _signed(r.first), _signed(r.last)
            self._delete(stream.number, first, last)
            self._losses.known(stream.number, first, last)

    def lose(self, lost: Mapping[str, Sequence[Lost]], now_s: float) -> None:
        """Gives up what is still there of it, and writes down that it is lost: to be told after a restart too.

        `now_s`: CLOCK_BOOTTIME.
        """
        for vehicle_id, losses in lost.items():
            for one in losses:
                number = self._stream(vehicle_id, one.boot_epoch).number
                self._delete(number, one.range.first, one.range.last)
                self._losses.add(number, one, self.clock.at(now_s))

    def evict(self, now: Moment) -> dict[str, list[Lost]]:
        """Gives up the oldest while there is too much or it is too old. Returns what was lost, by vehicle."""
        lost: dict[str, list[Lost]] = {}
        keep_mark(self._connection, self.clock, now)
        now_s = self.clock.at(now.s)
        limit = now_s - self._bounds.max_age_s
        while self.rows and (going := self._oldest(limit)):
            for vehicle_id, losses in self._give_up(going, now_s).items():
                lost.setdefault(vehicle_id, []).extend(losses)
        self._losses.forget(limit)
        return lost

    def _oldest(self, limit: float) -> list[_Going]:
        """What has to go next."""
        if self.bytes <= self._bounds.max_bytes and not self._first_is_too_old(limit):
            return []
        rows = self._connection.execute(
            "SELECT id, stream, sequence, wall_s, LENGTH(packed) FROM reading ORDER BY id LIMIT ?", (_EVICT_ROWS,)
        ).fetchall()
        going, excess = [], self.bytes - self._bounds.max_bytes
        for row_id, stream, sequence, made_s, length in rows:
            whole(stream, made_s, length)
            whole(sequence, least=1)
            if excess > 0:
                reason = "OUTBOX_FULL"
            elif made_s < limit:
                reason = "TOO_OLD"
            else:
                break
            excess -= length + ROW_OVERHEAD_BYTES
            going.append(_Going(row_id, stream, sequence, reason))
        return going

    def _first_is_too_old(self, limit: float) -> bool:
        row = self._connection.execute("SELECT wall_s FROM reading ORDER BY id LIMIT 1").fetchone()
        if row is not None:
            whole(row[0])
        return row is not None and row[0] < limit

    def _give_up(self, going: Sequence[_Going], now_s: float) -> dict[str, list[Lost]]:
        ranges: dict[tuple[int, str], RangeSet] = {}
        for row in going:
            self._gone(
                self._connection.execute(
                    "DELETE FROM reading WHERE id = ? RETURNING LENGTH(packed)", (row.row_id,)
                ).fetchall()
            )
            ranges.setdefault((row.stream, row.reason), RangeSet()).add(row.sequence)
        whose = {stream.number: identity for identity, stream in self._streams.items()}
        lost: dict[str, list[Lost]] = {}
        for (number, reason), found in ranges.items():
            if number not in whose:
                raise Damaged(f"a reading is of stream {number}, which there is not")
            vehicle_id, boot_epoch = whose[number]
            for r in found.ranges():
                self._losses.add(number, one := Lost(boot_epoch, r, reason), now_s)
                lost.setdefault(vehicle_id, []).append(one)
        return lost

    # What is there

    def fetch(self, vehicle_id: str, wanted: Wanted) -> list[Stored]:
        """Ascending. What is damaged is left out."""
        stream = self._streams.get((vehicle_id, wanted.boot_epoch))
        if stream is None:
            return []
        rows = self._connection.execute(
            "SELECT sequence, packed FROM reading WHERE stream = ? AND sequence BETWEEN ? AND ? ORDER BY sequence",
            (stream.number, wanted.first, wanted.last),
        ).fetchall()
        unpacked = [(sequence, stream.packing.unpack(sequence, packed)) for sequence, packed in rows]
        found = [Stored(wanted.boot_epoch, sequence, content) for sequence, content in unpacked if content is not None]
        if len(found) < len(rows):
            _log.error("%s: %d readings on disk are damaged; they are lost", vehicle_id, len(rows) - len(found))
        return found

    def pending(self, vehicle_id: str) -> list[tuple[int, SequenceRange]]:
        """Everything unacknowledged, as ranges by boot_epoch."""
        rows = self._connection.execute(
            "SELECT boot_epoch, sequence FROM reading JOIN stream ON number = stream"
            " WHERE vehicle_id = ? ORDER BY boot_epoch, sequence",
            (vehicle_id,),
        )
        found: dict[int, RangeSet] = {}
        for boot_epoch, sequence in rows:
            whole(sequence, least=1)
            found.setdefault(boot_epoch, RangeSet()).add(sequence)
        return [(boot_epoch, r) for boot_epoch, ranges in found.items() for r in ranges.ranges()]

    def lost(self, vehicle_id: str) -> list[Lost]:
        """What was lost and is not known to have been told."""
        return self._losses.of(vehicle_id)

    def _stream(self, vehicle_id: str, boot_epoch: int) -> _Stream:
        found = self._streams.get((vehicle_id, boot_epoch))
        if found is None:
            self._drop_idle(vehicle_id)
            number = self._connection.execute(
                "INSERT INTO stream (vehicle_id, boot_epoch) VALUES (?, ?)", (vehicle_id, boot_epoch)
            ).lastrowid
            assert number is not None
            found = self._streams[vehicle_id, boot_epoch] = _Stream(number, Packing(vehicle_id, boot_epoch))
        return found

    def _drop_idle(self, vehicle_id: str) -> None:
        """Forgets earlier boots of which nothing is left: there is one more with every start."""
        rows = self._connection.execute(
            "DELETE FROM stream WHERE vehicle_id = ? AND NOT EXISTS (SELECT 1 FROM reading WHERE stream = number)"
            " AND NOT EXISTS (SELECT 1 FROM lost WHERE stream = number) RETURNING boot_epoch",
            (vehicle_id,),
        ).fetchall()
        for (boot_epoch,) in rows:
            self._streams.pop((vehicle_id, boot_epoch), None)

    def _delete(self, stream: int, first: int, last: int) -> None:
        self._gone(
            self._connection.execute(
                "DELETE FROM reading WHERE stream = ? AND sequence BETWEEN ? AND ? RETURNING LENGTH(packed)",
                (stream, first, last),
            ).fetchall()
        )

    def _gone(self, lengths: list[tuple[int]]) -> None:
        self.rows -= len(lengths)
        self.bytes -= sum(length + ROW_OVERHEAD_BYTES for (length,) in lengths)


def newest_epochs(path: Path) -> dict[str, int]:
    """The newest boot_epoch of each vehicle in the file, if there is one. What can't be read can't be sent either."""
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            rows = connection.execute("SELECT vehicle_id, MAX(boot_epoch) FROM stream GROUP BY vehicle_id").fetchall()
        whole(*(boot_epoch for _, boot_epoch in rows))
    except sqlite3.Error as error:
        _log.error("%s: %s; its boot epochs are unknown", path, error)
        return {}
    return {str(vehicle_id): boot_epoch for vehicle_id, boot_epoch in rows}


def _signed(number: int) -> int:
    """SQLite's integers end at 2**63 - 1. No sequence gets there, but an ack may name one."""
    return min(number, 2**63 - 1)
