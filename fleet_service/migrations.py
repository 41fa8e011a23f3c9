"""The tables, step by step: numbered files in sql/, each applied once, by one process at a time."""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Connection = Any

DIRECTORY: Final = Path(__file__).parent / "sql"
#: Of the advisory lock: "pitwall" as a number.
LOCK: Final = 0x70697477616C6C

_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  number integer PRIMARY KEY,
  name text NOT NULL,
  sha256 text NOT NULL,
  applied_time timestamptz NOT NULL DEFAULT now()
)"""


class WrongMigrations(RuntimeError):
    """The files and what the database says was applied don't go together."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        return sha256(self.text.encode()).hexdigest()


def read(directory: Path = DIRECTORY) -> list[Migration]:
    """In their order. Raises WrongMigrations where a number is missing or is there twice."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise WrongMigrations(f"{path.name}: call it as 0002_what_it_does.sql")
        found.append(Migration(int(match[1]), path.stem, path.read_text(encoding="utf-8")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise WrongMigrations(f"numbers must run from 1 without a gap: {[m.name for m in found]}")
    return found


def missing(known: list[Migration], applied: dict[int, str]) -> list[Migration]:
    """What is to be applied; `applied`: number -> digest. Raises WrongMigrations."""
    for migration in known:
        if applied.get(migration.number, migration.digest) != migration.digest:
            raise WrongMigrations(f"{migration.name} was changed after it was applied; write a new one instead")
    newer = sorted(applied.keys() - {migration.number for migration in known})
    if newer:
        raise WrongMigrations(f"the database has migrations {newer} of a later version; run that one")
    return [migration for migration in known if migration.number not in applied]


async def migrate(connection: Connection, timeout_s: float) -> None:
    """Waits for whoever is at it. Each file is a transaction of its own."""
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK, timeout=timeout_s)
    try:
        await connection.execute(_TABLE)
        rows = await connection.fetch("SELECT number, sha256 FROM schema_migrations")
        for migration in missing(read(), {row["number"]: row["sha256"] for row in rows}):
            async with connection.transaction():
                await connection.execute(migration.text, timeout=timeout_s)
                await connection.execute(
                    "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)",
                    migration.number,
                    migration.name,
                    migration.digest,
                )
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
