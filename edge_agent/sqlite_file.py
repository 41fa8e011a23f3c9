"""Opening our SQLite files: the same settings everywhere, and a damaged file set aside instead of a dead agent."""

import logging
import sqlite3
from pathlib import Path

_log = logging.getLogger(__name__)

#: A transaction is on disk when it is committed (WAL with a sync at each commit).
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=1000")


def open_database(path: Path, schema: str, *, check: bool = False, layout: int = 0) -> tuple[sqlite3.Connection, bool]:
    """Opens or makes it. A file that is no database, or a damaged one, is renamed and replaced; True says so.

    So is one of another `layout`, the number of its schema. `check` reads all of it, for small files. Raises
    sqlite3.Error where replacing doesn't help, on a read-only disk for example. The connection may pass from thread to
    thread, but only one at a time may use it.
    """
    try:
        return _opened(path, schema, check=check, layout=layout), False
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        set_aside(path, error)
        return _opened(path, schema, check=False, layout=layout), True


def set_aside(path: Path, error: sqlite3.Error) -> None:
    """Keeps a damaged file for people, under another name. Its connections must be closed."""
    aside = path.with_name(f"{path.name}.damaged")
    _log.error("%s: %s; kept as %s, a new one takes its place", path, error, aside.name)
    for suffix in ("", "-wal", "-shm"):
        found = path.with_name(path.name + suffix)
        if found.exists():
            found.replace(aside.with_name(aside.name + suffix))


def _opened(path: Path, schema: str, *, check: bool, layout: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        _lay_out(connection, schema, layout)
        found = connection.execute("PRAGMA quick_check(1)").fetchone() if check else ("ok",)
        if found != ("ok",):
            raise Damaged(f"quick_check says {found}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _lay_out(connection: sqlite3.Connection, schema: str, layout: int) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
    if tables and found != layout:
        raise Damaged(f"its layout is number {found}, and this program writes number {layout}")
    if found != layout:
        connection.execute(f"PRAGMA user_version = {layout}")
    connection.executescript(schema)


class Damaged(sqlite3.DatabaseError):
    """Found by our own check."""


def whole(*numbers: object, least: int = 0) -> None:
    """Raises Damaged where one is no integer from `least` up: in a damaged row SQLite may find anything."""
    for number in numbers:
        if not isinstance(number, int) or number < least:
            raise Damaged(f"a row says {number!r} where a number has to be")


def is_damage(error: sqlite3.Error) -> bool:
    """The file itself is bad: no wait and no free space mends that."""
    if isinstance(error, Damaged):
        return True
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
