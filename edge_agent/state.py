"""What a vehicle remembers over a restart besides its latches: boot_epoch, status, and which orders it has answered.

One SQLite file for all vehicles of the process. An order is recorded here, synced, before it has any effect.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edge_agent.limits import REMEMBERED_ANSWERS
from edge_agent.orders import INTERRUPTED
from edge_agent.sqlite_file import open_database
from pitwall.domain.order import REQUEST_MEMORY_S, OrderOutcome, OrderResult, RequestMemory
from pitwall.domain.vehicle_state import VehicleStatus

_log = logging.getLogger(__name__)

#: Milliseconds within which the clock sets starts apart that could not be written down: 25 days.
_APART_MS: Final = 2**31

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vehicle (
    vehicle_id TEXT PRIMARY KEY, boot_epoch INTEGER NOT NULL, status INTEGER NOT NULL, autonomous INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer (
    vehicle_id TEXT NOT NULL, request_id TEXT NOT NULL, wall_s REAL NOT NULL, result INTEGER NOT NULL,
    reason TEXT NOT NULL, message TEXT NOT NULL, may_have_happened INTEGER NOT NULL,
    PRIMARY KEY (vehicle_id, request_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answer_by_age ON answer (wall_s);
"""


@dataclass(frozen=True, slots=True)
class Remembered:
    """`seen_before`: the vehicle has started from this disk at least once."""

    boot_epoch: int
    status: VehicleStatus
    autonomous: bool
    answers: RequestMemory
    seen_before: bool


@dataclass(frozen=True, slots=True)
class SaveState:
    vehicle_id: str
    status: VehicleStatus
    autonomous: bool


@dataclass(frozen=True, slots=True)
class SaveAnswer:
    """`wall_s`: Unix seconds."""

    vehicle_id: str
    request_id: str
    outcome: OrderOutcome
    wall_s: float

    @classmethod
    def begun(cls, vehicle_id: str, request_id: str, wall_s: float) -> "SaveAnswer":
        """The record without which an order must not happen."""
        return cls(vehicle_id, request_id, INTERRUPTED, wall_s)


Change = SaveState | SaveAnswer
#: Of the table `vehicle`.
_Row = tuple[str, int, int, bool]


class StateStore:
    """Every method blocks on the disk."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error where no file can be made."""
        self._connection, self._lost = open_database(path, _SCHEMA, check=True)
        # Of a start that the disk refused to count.
        self._uncounted: list[_Row] = []
        #: Why it did; empty where the start was counted at once.
        self.problem = ""

    def remembered(
        self, vehicle_ids: Sequence[str], in_outbox: Mapping[str, int], now_s: float, wall_s: float
    ) -> dict[str, Remembered]:
        """What there is of each vehicle, and the epoch of this start. Writes nothing: see `began`.

        `in_outbox`: the newest epoch there, by vehicle. This start's is beyond it and beyond the last one, so it is new
        and the newest as long as either file is there; and at least Unix milliseconds, so that a new disk doesn't begin
        at 1. A status that is lost is MAINTENANCE: people look first.
        """
        known = {
            row[0]: row[1:]
            for row in self._connection.execute("SELECT vehicle_id, boot_epoch, status, autonomous FROM vehicle")
        }
        unknown = VehicleStatus.MAINTENANCE if self._lost else VehicleStatus.IDLE
        booted = {}
        for vehicle_id in vehicle_ids:
            epoch, status, autonomous = known.get(vehicle_id, (0, unknown, True))
            booted[vehicle_id] = Remembered(
                max(epoch + 1, in_outbox.get(vehicle_id, 0) + 1, _milliseconds(wall_s)),
                VehicleStatus(status),
                bool(autonomous),
                self._answers(vehicle_id, now_s, wall_s),
                seen_before=vehicle_id in known or self._lost,
            )
        return booted

    def _answers(self, vehicle_id: str, now_s: float, wall_s: float) -> RequestMemory:
        memory = RequestMemory(REMEMBERED_ANSWERS)
        rows = self._connection.execute(
            "SELECT request_id, wall_s, result, reason, message, may_have_happened FROM answer"
            " WHERE vehicle_id = ? ORDER BY wall_s",
            (vehicle_id,),
        )
        for request_id, at_wall_s, result, reason, message, may_have_happened in rows:
            outcome = OrderOutcome(OrderResult(result), reason, message, bool(may_have_happened))
            memory.remember(request_id, outcome, now_s - max(0.0, wall_s - at_wall_s))
        return memory

    def began(self, booted: Mapping[str, Remembered], wall_s: float) -> dict[str, Remembered]:
        """Counts the start. To be called once the latch files stand: from then on a missing one is damage, and until
        then it is a start that did not come so far.

        Returns them with the epochs that are used. Where the disk refuses, that is logged, the vehicle starts all the
        same, in an epoch that the next start is unlikely to take again, and it is counted with the next `apply`.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._count(_rows(booted))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            _log.error("boot epochs can't be written: %s; they are tried again with what comes next", error)
            uncounted = {v: replace(r, boot_epoch=_apart(r.boot_epoch, wall_s)) for v, r in booted.items()}
            self._uncounted, self.problem = _rows(uncounted), str(error)
            return uncounted
        return dict(booted)

    def _count(self, rows: Sequence[_Row]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO vehicle VALUES (?, ?, ?, ?)", rows)

    def apply(self, changes: Iterable[Change], wall_s: float) -> None:
        """All of them in one synced transaction. Raises sqlite3.Error; none is written then."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._count(self._uncounted)
            for change in changes:
                self._change(change)
            self._connection.execute("DELETE FROM answer WHERE wall_s < ?", (wall_s - REQUEST_MEMORY_S,))
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            raise
        self._uncounted = []

    def _change(self, change: Change) -> None:
        if isinstance(change, SaveState):
            self._connection.execute(
                "UPDATE vehicle SET status = ?, autonomous = ? WHERE vehicle_id = ?",
                (int(change.status), change.autonomous, change.vehicle_id),
            )
            return
        outcome = change.outcome
        self._connection.execute(
            "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                change.vehicle_id,
                change.request_id,
                change.wall_s,
                int(outcome.result),
                outcome.reason,
                outcome.message,
                outcome.may_have_happened,
            ),
        )

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


def _rows(booted: Mapping[str, Remembered]) -> list[_Row]:
    return [(v, r.boot_epoch, int(r.status), r.autonomous) for v, r in booted.items()]


def _milliseconds(wall_s: float) -> int:
    return round(wall_s * 1000)


def _apart(boot_epoch: int, wall_s: float) -> int:
    """An epoch that is the time of day is another one at the next start. Where the clock is behind, so that epochs are
    counted on from the last one that was written, it still puts starts apart, and in order while it goes forward.
    """
    now = _milliseconds(wall_s)
    return boot_epoch if boot_epoch <= now else boot_epoch + now % _APART_MS
