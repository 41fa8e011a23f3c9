"""The gap ledger in PostgreSQL. Each fleet service has rows of its own, which go with its own offsets."""
# ruff: noqa: S608 - texts of SQL are composed from the names in this file alone

from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any, Final

from fleet_service.gap_ledger import Changes, EpochKey, EpochRow
from fleet_service.gaps import Gap, GapState
from fleet_service.store import Connection

#: Rows in one statement: well within its time-out.
MAX_ROWS: Final = 2_000

_KEY: Final = {"vehicle_id": "text", "boot_epoch": "bigint"}
_EPOCH: Final = _KEY | dict.fromkeys(("floor", "last", "first_ns", "last_ns", "heard_ns"), "bigint")
_TYPES: Final = {"state": "integer", "reason": "text", "approximate": "boolean"}
_GAP: Final = tuple(field.name for field in fields(Gap))
_GAPS: Final = _KEY | {name: _TYPES.get(name, "bigint") for name in _GAP}


def _columns(types: dict[str, str]) -> str:
    """Arrays of values, one for each column, as rows; $1 is the reader."""
    return ", ".join(f"${i}::{kind}[]" for i, kind in enumerate(types.values(), 2))


_KEEP_EPOCHS: Final = f"""
INSERT INTO reading_epochs (reader, {", ".join(_EPOCH)}) SELECT $1::text, * FROM unnest({_columns(_EPOCH)})
ON CONFLICT (reader, vehicle_id, boot_epoch)
DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _EPOCH if name not in _KEY)}"""
_KEEP_GAPS: Final = f"""
INSERT INTO reading_gaps (reader, {", ".join(_GAPS)}) SELECT $1::text, * FROM unnest({_columns(_GAPS)})"""
_DELETE: Final = """
DELETE FROM {table} WHERE reader = $1
AND (vehicle_id, boot_epoch) IN (SELECT * FROM unnest($2::text[], $3::bigint[]))"""


async def load(connection: Connection, reader: str) -> tuple[list[EpochRow], bool]:
    """All that was stored, and whether the reader is one of `truncated_readers`."""
    gaps: dict[EpochKey, list[Gap]] = {}
    for row in await connection.fetch("SELECT * FROM reading_gaps WHERE reader = $1 ORDER BY first", reader):
        values = {name: row[name] for name in _GAP} | {"state": GapState(row["state"])}
        gaps.setdefault((row["vehicle_id"], row["boot_epoch"]), []).append(Gap(**values))
    rows = []
    for row in await connection.fetch("SELECT * FROM reading_epochs WHERE reader = $1", reader):
        key, (_, _, *numbers) = (row["vehicle_id"], row["boot_epoch"]), _EPOCH
        values = {name: row[name] for name in numbers}
        rows.append(EpochRow(key, **values, gaps=tuple(gaps.get(key, ()))))
    truncated = await connection.fetchval("SELECT count(*) FROM truncated_readers WHERE reader = $1", reader)
    return rows, bool(truncated)


async def keep(connection: Connection, reader: str, changes: Changes, *, truncated: bool) -> None:
    """`gone` goes first: an epoch may have begun anew since."""
    changed = [row for row in changes.rows if row.gaps is not None]
    await _delete(connection, "reading_gaps", reader, [*changes.gone, *(row.key for row in changed)])
    await _delete(connection, "reading_epochs", reader, changes.gone)
    epochs = [(*r.key, r.floor, r.last, r.first_ns, r.last_ns, r.heard_ns) for r in changes.rows]
    await _insert(connection, _KEEP_EPOCHS, reader, epochs)
    gaps = ((*row.key, *(getattr(gap, name) for name in _GAP)) for row in changed for gap in row.gaps or ())
    await _insert(connection, _KEEP_GAPS, reader, gaps)
    if truncated:
        await connection.execute("INSERT INTO truncated_readers VALUES ($1) ON CONFLICT DO NOTHING", reader)
    else:
        await connection.execute("DELETE FROM truncated_readers WHERE reader = $1", reader)


async def _delete(connection: Connection, table: str, reader: str, keys: Sequence[EpochKey]) -> None:
    if keys:
        await connection.execute(_DELETE.format(table=table), reader, [k[0] for k in keys], [k[1] for k in keys])


async def _insert(connection: Connection, query: str, reader: str, rows: Iterable[tuple[Any, ...]]) -> None:
    left = iter(rows)
    while part := list(islice(left, MAX_ROWS)):
        await connection.execute(query, reader, *map(list, zip(*part, strict=True)))


async def forget_readers(connection: Connection, before_ns: int) -> None:
    """Rows of fleet services that are no more: of none of their epochs anything was heard since then."""
    query = "SELECT reader FROM reading_epochs GROUP BY reader HAVING max(heard_ns) < $1"
    gone = [row["reader"] for row in await connection.fetch(query, before_ns)]
    for table in ("reading_gaps", "reading_epochs", "read_offsets", "truncated_readers"):
        await connection.execute(f"DELETE FROM {table} WHERE reader = ANY($1)", gone)
