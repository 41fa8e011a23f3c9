"""The outbox: readings on disk until they are acknowledged. One SQLite file for all vehicles of the process.

Bounded by bytes and by age; the oldest go first, whoever's they are, and what goes unacknowledged is written down as
lost in the same transaction. Nothing here is on the stop path.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.reports import Lost
from edge_agent.shipment import Stored, Wanted
from edge_agent.sqlite_file import open_database
from pitwall.domain.sequence import RangeSet, SequenceRange

#: What a row takes beside its content, bytes: keys, index, page overhead. Measured at 1 Hz over a day.
ROW_OVERHEAD_BYTES: Final = 64
#: A wall clock that says earlier, Unix seconds, was never set: what was made then has no age to judge it by.
EARLIEST_WALL_S: Final = 1_700_000_000.0
#: Rows given up in one go.
_EVICT_ROWS: Final = 500

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vehicle (number INTEGER PRIMARY KEY, vehicle_id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS reading (
    id INTEGER PRIMARY KEY, vehicle INTEGER NOT NULL, boot_epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
    wall_s REAL NOT NULL, content BLOB NOT NULL, UNIQUE (vehicle, boot_epoch, sequence)
);
CREATE TABLE IF NOT EXISTS lost (
    vehicle INTEGER NOT NULL, boot_epoch INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    reason TEXT NOT NULL, wall_s REAL NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class NewReading:
    """A reading to be stored. `wall_s`: Unix seconds of its making, by which it ages."""

    vehicle_id: str
    stored: Stored
    wall_s: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the outbox may hold. Bytes as `Outbox.bytes` counts them."""

    max_bytes: int
    max_age_s: float


class Outbox:
    """Every method blocks on the disk and may raise sqlite3.Error. After one, `abandon` it: it has changed nothing."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        self._bounds = bounds
        self._connection, _ = open_database(path, _SCHEMA)
        self._numbers: dict[str, int] = {
            vehicle_id: number for number, vehicle_id in self._connection.execute("SELECT * FROM vehicle")
        }
        self.rows, content = self._connection.execute(
            "SELECT COUNT(*), COALESCE(SUM(LENGTH(content)), 0) FROM reading"
        ).fetchone()
        self.bytes: int = content + self.rows * ROW_OVERHEAD_BYTES

    def close(self) -> None:
        self._connection.close()

    # One transaction around several changes

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """What was put in is on disk when this returns."""
        self._connection.execute("COMMIT")

    def abandon(self) -> None:
        """After an error: closes it without the open transaction. To be opened anew."""
        with suppress(sqlite3.Error):
            self._connection.close()

    # Changes

    def add(self, readings: Iterable[NewReading]) -> None:
        """A reading that is there already stays as it is."""
        for new in readings:
            stored = new.stored
            row = (self._number(new.vehicle_id), stored.boot_epoch, stored.sequence, new.wall_s, stored.content)
            added = self._connection.execute(
                "INSERT OR IGNORE INTO reading (vehicle, boot_epoch, sequence, wall_s, content) VALUES (?, ?, ?, ?, ?)",
                row,
            ).rowcount
            self.rows += added
            self.bytes += added * (len(stored.content) + ROW_OVERHEAD_BYTES)

    def remove(self, vehicle_id: str, boot_epoch: int, ranges: Iterable[SequenceRange]) -> None:
        """Acknowledged. A lost range that the gateway now knows of is forgotten too."""
        number = self._number(vehicle_id)
        for r in ranges:
            span = (number, _signed(boot_epoch), _signed(r.first), _signed(r.last))
            self._gone(
                self._connection.execute(
                    "DELETE FROM reading WHERE vehicle = ? AND boot_epoch = ? AND sequence BETWEEN ? AND ?"
                    " RETURNING LENGTH(content)",
                    span,
                ).fetchall()
            )
            self._connection.execute(
                "DELETE FROM lost WHERE vehicle = ? AND boot_epoch = ? AND first >= ? AND last <= ?", span
            )

    def evict(self, wall_s: float) -> dict[str, list[Lost]]:
        """Gives up the oldest while there is too much or it is too old. Returns what was lost, by vehicle."""
        lost: dict[str, list[Lost]] = {}
        limit = wall_s - self._bounds.max_age_s
        while self.rows and (rows := self._oldest(limit)):
            for vehicle_id, losses in self._give_up(rows, wall_s).items():
                lost.setdefault(vehicle_id, []).extend(losses)
        self._connection.execute("DELETE FROM lost WHERE wall_s < ?", (limit,))
        return lost

    def _oldest(self, limit: float) -> list[tuple[int, str, int, int, str]]:
        """(id, vehicle_id, boot_epoch, sequence, reason) of what has to go next."""
        rows = self._connection.execute(
            "SELECT id, vehicle_id, boot_epoch, sequence, wall_s, LENGTH(content) FROM reading"
            " JOIN vehicle ON number = vehicle ORDER BY id LIMIT ?",
            (_EVICT_ROWS,),
        ).fetchall()
        going, excess = [], self.bytes - self._bounds.max_bytes
        for row_id, vehicle_id, boot_epoch, sequence, made_s, length in rows:
            if excess > 0:
                reason = "OUTBOX_FULL"
            elif EARLIEST_WALL_S <= made_s < limit:
                reason = "TOO_OLD"
            else:
                break
            excess -= length + ROW_OVERHEAD_BYTES
            going.append((row_id, vehicle_id, boot_epoch, sequence, reason))
        return going

    def _give_up(self, rows: list[tuple[int, str, int, int, str]], wall_s: float) -> dict[str, list[Lost]]:
        ranges: dict[tuple[str, int, str], RangeSet] = {}
        for row_id, vehicle_id, boot_epoch, sequence, reason in rows:
            self._gone(
                self._connection.execute(
                    "DELETE FROM reading WHERE id = ? RETURNING LENGTH(content)", (row_id,)
                ).fetchall()
            )
            ranges.setdefault((vehicle_id, boot_epoch, reason), RangeSet()).add(sequence)
        lost: dict[str, list[Lost]] = {}
        for (vehicle_id, boot_epoch, reason), found in ranges.items():
            lost.setdefault(vehicle_id, []).extend(Lost(boot_epoch, r, reason) for r in found.ranges())
        self.lose(lost, wall_s)
        return lost

    def lose(self, lost: dict[str, list[Lost]], wall_s: float) -> None:
        """Writes down what is lost, so that it is told after a restart too."""
        self._connection.executemany(
            "INSERT INTO lost VALUES (?, ?, ?, ?, ?, ?)",
            [
                (self._number(vehicle_id), one.boot_epoch, one.range.first, one.range.last, one.reason, wall_s)
                for vehicle_id, losses in lost.items()
                for one in losses
            ],
        )

    # What is there

    def fetch(self, vehicle_id: str, wanted: Wanted) -> list[Stored]:
        """Ascending."""
        rows = self._connection.execute(
            "SELECT boot_epoch, sequence, content FROM reading"
            " WHERE vehicle = ? AND boot_epoch = ? AND sequence BETWEEN ? AND ? ORDER BY sequence",
            (self._numbers.get(vehicle_id), wanted.boot_epoch, wanted.first, wanted.last),
        )
        return [Stored(*row) for row in rows]

    def pending(self, vehicle_id: str) -> list[tuple[int, SequenceRange]]:
        """Everything unacknowledged, as ranges by boot_epoch."""
        rows = self._connection.execute(
            "SELECT boot_epoch, sequence FROM reading WHERE vehicle = ? ORDER BY boot_epoch, sequence",
            (self._numbers.get(vehicle_id),),
        )
        found: dict[int, RangeSet] = {}
        for boot_epoch, sequence in rows:
            found.setdefault(boot_epoch, RangeSet()).add(sequence)
        return [(boot_epoch, r) for boot_epoch, ranges in found.items() for r in ranges.ranges()]

    def lost(self, vehicle_id: str) -> list[Lost]:
        """What was lost and is not known to have been told."""
        rows = self._connection.execute(
            "SELECT boot_epoch, first, last, reason FROM lost WHERE vehicle = ? ORDER BY rowid",
            (self._numbers.get(vehicle_id),),
        )
        return [Lost(epoch, SequenceRange(first, last), reason) for epoch, first, last, reason in rows]

    def _number(self, vehicle_id: str) -> int:
        if vehicle_id not in self._numbers:
            self._connection.execute("INSERT OR IGNORE INTO vehicle (vehicle_id) VALUES (?)", (vehicle_id,))
            row = self._connection.execute("SELECT number FROM vehicle WHERE vehicle_id = ?", (vehicle_id,)).fetchone()
            self._numbers[vehicle_id] = row[0]
        return self._numbers[vehicle_id]

    def _gone(self, lengths: list[tuple[int]]) -> None:
        self.rows -= len(lengths)
        self.bytes -= sum(length + ROW_OVERHEAD_BYTES for (length,) in lengths)


def _signed(number: int) -> int:
    """SQLite's integers end at 2**63 - 1. No sequence gets there, but an ack may name one."""
    return min(number, 2**63 - 1)
