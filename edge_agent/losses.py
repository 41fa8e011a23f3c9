"""The outbox's table of what was given up: kept until the gateway has acknowledged that it knows.

A loss next to the one before is one with it, so an outbox that stays full for days takes one row and not one for each
reading. What is acknowledged is taken out, wherever the ends of ranges lie.
"""

import sqlite3
from typing import Final

from edge_agent.reports import Lost
from edge_agent.sqlite_file import Damaged
from pitwall.domain.sequence import SequenceRange

LOST_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS lost (
    stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    reason TEXT NOT NULL, wall_s INTEGER NOT NULL
);
"""


class LostTable:
    """Used within the outbox's transactions. `stream`: its number for a vehicle and boot_epoch."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        #: Whether there is anything; most of the time there is not, and nobody need look.
        self._any = bool(connection.execute("SELECT EXISTS (SELECT 1 FROM lost)").fetchone()[0])

    def add(self, stream: int, lost: Lost, wall_s: float) -> None:
        """`wall_s`: as the outbox's clock has it; see edge_agent/age.py."""
        self._any = True
        first, last = lost.range.first, lost.range.last
        grown = self._connection.execute(
            "UPDATE lost SET last = ?, wall_s = ? WHERE stream = ? AND reason = ? AND last = ?",
            (last, int(wall_s), stream, lost.reason, first - 1),
        ).rowcount
        if not grown:
            row = (stream, first, last, lost.reason, int(wall_s))
            self._connection.execute("INSERT INTO lost VALUES (?, ?, ?, ?, ?)", row)

    def known(self, stream: int, first: int, last: int) -> None:
        """The gateway knows of these."""
        if not self._any:
            return
        rows = self._connection.execute(
            "SELECT rowid, * FROM lost WHERE stream = ? AND first <= ? AND last >= ?", (stream, last, first)
        ).fetchall()
        for rowid, _, lost_first, lost_last, reason, wall_s in rows:
            self._connection.execute("DELETE FROM lost WHERE rowid = ?", (rowid,))
            for rest in ((lost_first, first - 1), (last + 1, lost_last)):
                if rest[0] <= rest[1]:
                    self._connection.execute("INSERT INTO lost VALUES (?, ?, ?, ?, ?)", (stream, *rest, reason, wall_s))

    def forget(self, before_wall_s: float) -> None:
        """What is older than any reading that might be kept."""
        if self._any:
            self._connection.execute("DELETE FROM lost WHERE wall_s < ?", (int(before_wall_s),))

    def of(self, vehicle_id: str) -> list[Lost]:
        """In the order in which they were lost."""
        rows = self._connection.execute(
            "SELECT boot_epoch, first, last, reason FROM lost JOIN stream ON number = lost.stream"
            " WHERE vehicle_id = ? ORDER BY lost.rowid",
            (vehicle_id,),
        )
        return [Lost(epoch, _range(first, last), str(reason)) for epoch, first, last, reason in rows]


def _range(first: object, last: object) -> SequenceRange:
    if not (isinstance(first, int) and isinstance(last, int) and 1 <= first <= last):
        raise Damaged(f"a row says that {first!r} to {last!r} is lost, which is no range")
    return SequenceRange(first, last)
