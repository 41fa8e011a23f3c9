"""The journal's file: SQLite in WAL mode, every commit synced, records chained by their hashes.

Blocking; the journal's writer thread alone uses a `Store`, and readers open a connection of their own.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from haul.command.v1 import event_pb2

from command_service.events import Record
from command_service.records import BrokenChain, Head, seal, unseal

#: Written into the file's header, so that another program's database is not taken for a journal: "PWJL".
APPLICATION_ID: Final = 0x50574A4C
SCHEMA_VERSION: Final = 1
#: How long a commit waits for a reader that holds the file up, milliseconds.
BUSY_MS: Final = 5_000

_SCHEMA: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE journal (sequence INTEGER PRIMARY KEY, event_ns INTEGER NOT NULL, event BLOB NOT NULL)",
    "CREATE INDEX journal_by_time ON journal (event_ns)",
    "CREATE TABLE vehicles (vehicle_id TEXT PRIMARY KEY, session BLOB NOT NULL, since_ns INTEGER NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

_BEGIN_ANEW: Final = (
    "Restore it from a copy; or, with every vehicle standing, move it and its .started file away and start once with "
    "first_start = true"
)
#: A copy is older than what was confirmed since, and would be taken for all of it.
_LEAVE_IT_TO_PEERS: Final = "Move it away and put no copy in its place: the peers tell what was in it"

#: vehicle id -> (serialized SessionOpened, connected or lost since, nanoseconds since 1970)
VehicleRows = Mapping[str, tuple[bytes, int]]


class JournalProblem(Exception):
    """The journal can't be used. Says which file, why, and the mend; nothing has been changed."""


class Store:
    """Opened by one process at a time: a lock file beside the journal says so."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int, name: str, *, has_peers: bool) -> None:
        self.path, self.name, self._has_peers = path, name, has_peers
        self._connection, self._lock = connection, lock
        self.head = self._read_head()

    @classmethod
    def open(cls, path: Path, name: str, *, first_start: bool, has_peers: bool = False) -> "Store":
        """Opens the journal of the command service `name`, or makes it where this is the site's first start.

        Raises JournalProblem where it is missing otherwise: a command service without its journal has forgotten what
        is stopped, and nobody but a person can say that there is nothing to forget. One that has peers can hear it from
        them: its journal is made, and is not `complete` until it has.
        """
        started = path.with_name(path.name + ".started")
        if not path.exists() and not has_peers:
            _check_may_start(path, started, first_start)
        lock = _locked(path)
        try:
            connection = _connect(path)
            if _is_empty(connection):
                if not has_peers:
                    _check_may_start(path, started, first_start)
                _make(connection, name, complete=first_start and not started.exists())
            _check(connection, path, name)
            store = cls(path, connection, lock, name, has_peers=has_peers)
        except sqlite3.Error as error:
            os.close(lock)
            mend = _LEAVE_IT_TO_PEERS if has_peers else "Restore it from a copy"
            raise JournalProblem(f"{path}: {error}. {mend}, or mend the disk") from error
        except JournalProblem:
            os.close(lock)
            raise
        started.touch()
        return store

    def commit(
        self, records: Iterable[Record], vehicles: VehicleRows, exported: int | None, *, complete: bool = False
    ) -> None:
        """Writes it all, or raises sqlite3.Error and leaves the journal as it was."""
        head, rows = self.head, []
        for record in records:
            raw, head = seal(record, self.name, head)
            rows.append((head.sequence, record.event_ns, raw))
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT INTO journal VALUES (?, ?, ?)", rows)
            self._put_vehicles(vehicles)
            self._put("head", f"{head.sequence} {head.record_hash.hex()}")
            if exported is not None:
                self._put("exported", exported)
            if complete:
                self._put("complete", 1)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._after_failure()
            raise
        self.head = head

    def _after_failure(self) -> None:
        """What failed may have been the answer and not the commit: the file says how far it got."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self.head = self._read_head()

    def _put_vehicles(self, vehicles: VehicleRows) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO vehicles VALUES (?, ?, ?)", [(key, *row) for key, row in vehicles.items()]
        )

    def _put(self, key: str, value: str | int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _read_head(self) -> Head:
        sequence, _, record_hash = str(_meta(self._connection, "head", "0 ")).partition(" ")
        return Head(int(sequence), bytes.fromhex(record_hash))

    @property
    def exported(self) -> int:
        """Up to which record the journal has been delivered to Kafka."""
        return int(_meta(self._connection, "exported", 0))

    @property
    def complete(self) -> bool:
        """Whether all that this command service has ever confirmed is in it, or was heard again from its peers."""
        return bool(_meta(self._connection, "complete", 1))  # before there were peers nobody wrote it down

    def replay(self) -> Iterator[event_pb2.CommandEvent]:
        """Every record from the first. Raises JournalProblem at the first one that isn't what was written."""
        head = Head()
        try:
            for (raw,) in self._connection.execute("SELECT event FROM journal ORDER BY sequence"):
                message, head = unseal(raw, head)
                yield message
            if head != self.head:
                raise BrokenChain(f"it ends at record {head.sequence}, but record {self.head.sequence} was written")
        except (BrokenChain, sqlite3.Error) as error:
            mend = _LEAVE_IT_TO_PEERS if self._has_peers else _BEGIN_ANEW
            raise JournalProblem(
                f"{self.path}: {error}. Somebody or the disk has changed the journal. {mend}"
            ) from error

    def vehicles(self) -> Iterator[tuple[str, bytes, int]]:
        """(vehicle id, serialized SessionOpened, since when connected or lost)."""
        yield from self._connection.execute("SELECT vehicle_id, session, since_ns FROM vehicles")

    def close(self) -> None:
        self._connection.close()
        os.close(self._lock)


class Reader:
    """Reads the journal while the writer writes. Each call opens and closes a connection: reads are rare."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, after: int, limit: int, since_ns: int | None = None) -> list[bytes]:
        """At most `limit` records with a sequence above `after`, and from `since_ns` on, in their order."""
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT event FROM journal WHERE sequence > ? AND event_ns >= ? ORDER BY sequence LIMIT ?",
                (after, since_ns if since_ns is not None else -(2**63), limit),
            )
            return [raw for (raw,) in rows]


def _check_may_start(path: Path, started: Path, first_start: bool) -> None:
    if started.exists():
        raise JournalProblem(
            f"{path} is gone, and {started.name} beside it says that it was there. Restore it from a copy; or, with "
            f"every vehicle standing, remove {started} and start once with first_start = true"
        )
    if not first_start:
        raise JournalProblem(
            f"{path} is missing or empty. Name the right file in `journal`, or restore it from a copy. If this site "
            "starts for the first time and nothing is stopped, start once with first_start = true"
        )


def _locked(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalProblem(f"{error.filename}: {error.strerror}; make the folder writable") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise JournalProblem(f"{path} is in use by another command service; stop it, or name another file") from error
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _is_empty(connection: sqlite3.Connection) -> bool:
    """A new file, or one that was cut off to nothing."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(tables == 0)


def _make(connection: sqlite3.Connection, name: str, *, complete: bool) -> None:
    for statement in ("BEGIN", *_SCHEMA):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('command_service', ?), ('complete', ?)", (name, int(complete)))
    connection.execute("COMMIT")


def _check(connection: sqlite3.Connection, path: Path, name: str) -> None:
    """That it is a journal, of this version, and this command service's."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise JournalProblem(f"{path} is no journal but another program's database; name another file")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        raise JournalProblem(f"{path} has version {version}, this program writes {SCHEMA_VERSION}; run the right one")
    owner = _meta(connection, "command_service", "")
    if owner != name:
        raise JournalProblem(f"{path} is the journal of {owner!r}, not of {name!r}; mend `journal` or `name`")


def _meta(connection: sqlite3.Connection, key: str, default: str | int) -> str | int:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return default if row is None else row[0]
