"""The statements on each table, and rows as objects. Texts of SQL are composed from the names in this file alone."""
# ruff: noqa: S608

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final

from fleet_service.alerts import TAKEN_OUT, Alert
from fleet_service.filters import Filter
from fleet_service.records import FIGURES, WindowFigures
from fleet_service.registry import MUTABLE, Entry
from fleet_service.store import Connection, Row
from pitwall.kafka_topics import STATUS_CHANGE, TELEMETRY
from pitwall.paging import Key

#: Window figures and alerts that are not open: as long as a stop is remembered.
KEEP_RECORDS: Final = timedelta(days=90)
#: Deleted entries: longer than Kafka keeps readings and status changes that could enter them again.
KEEP_DELETED: Final = timedelta(days=60)

assert timedelta(days=max(TELEMETRY.retention_days, STATUS_CHANGE.retention_days)) < KEEP_DELETED


def _names(columns: Sequence[str]) -> str:
    return ", ".join(columns)


def _places(columns: Sequence[str]) -> str:
    return ", ".join(f"${i}" for i in range(1, len(columns) + 1))


# vehicles

_ENTRY: Final = tuple(field.name for field in fields(Entry))
_RENEWED: Final = ", ".join(
    f"{name} = excluded.{name}" for name in _ENTRY if name not in ("vehicle_id", "revision", "delete_time")
)
_ENTER: Final = f"""
INSERT INTO vehicles ({_names(_ENTRY)}) VALUES ({_places(_ENTRY)})
ON CONFLICT (vehicle_id) DO UPDATE SET {_RENEWED}, revision = vehicles.revision + 1, delete_time = NULL
WHERE vehicles.delete_time < excluded.create_time"""


def _values(entry: Entry) -> tuple[Any, ...]:
    return tuple(getattr(entry, name) for name in _ENTRY)


def _entry(row: Row) -> Entry:
    return Entry(**{name: row[name] for name in _ENTRY})


async def all_entries(connection: Connection) -> list[Entry]:
    """Deleted ones too."""
    return [_entry(row) for row in await connection.fetch(f"SELECT {_names(_ENTRY)} FROM vehicles")]


async def enter(connection: Connection, new: Sequence[Entry]) -> list[Entry]:
    """Those that aren't there yet, or were deleted before. All of them as they are then."""
    await connection.executemany(_ENTER, [_values(entry) for entry in new])
    return await entries(connection, [entry.vehicle_id for entry in new])


async def entries(connection: Connection, vehicle_ids: Sequence[str]) -> list[Entry]:
    """Of these vehicles, also deleted ones."""
    query = f"SELECT {_names(_ENTRY)} FROM vehicles WHERE vehicle_id = ANY($1)"
    return [_entry(row) for row in await connection.fetch(query, vehicle_ids)]


async def entry(connection: Connection, vehicle_id: str) -> Entry | None:
    """Also a deleted one."""
    row = await connection.fetchrow(f"SELECT {_names(_ENTRY)} FROM vehicles WHERE vehicle_id = $1", vehicle_id)
    return None if row is None else _entry(row)


async def create(connection: Connection, new: Entry) -> Entry | None:
    """None where there is such an entry."""
    row = await connection.fetchrow(f"{_ENTER} RETURNING {_names(_ENTRY)}", *_values(new))
    return None if row is None else _entry(row)


async def update(connection: Connection, changed: Entry, names: Iterable[str], revision: int | None) -> Entry | None:
    """Writes these fields of `changed`; None where there is no such entry, or it is not of that revision."""
    chosen = [name for name in MUTABLE if name in set(names)]
    sets = ", ".join(f"{name} = ${i}" for i, name in enumerate(chosen, 5))
    query = f"""
UPDATE vehicles SET revision = revision + 1, update_time = $3, request_id = $4{"," if sets else ""} {sets}
WHERE vehicle_id = $1 AND delete_time IS NULL AND ($2::bigint IS NULL OR revision = $2)
RETURNING {_names(_ENTRY)}"""
    values = [getattr(changed, name) for name in chosen]
    key = (changed.vehicle_id, revision, changed.update_time, changed.request_id)
    row = await connection.fetchrow(query, *key, *values)
    return None if row is None else _entry(row)


async def delete(
    connection: Connection, vehicle_id: str, revision: int | None, now: datetime, request_id: str
) -> Entry | None:
    """None where there is no such entry, or it is not of that revision."""
    row = await connection.fetchrow(
        f"""
UPDATE vehicles SET revision = revision + 1, update_time = $3, delete_time = $3, request_id = $4
WHERE vehicle_id = $1 AND delete_time IS NULL AND ($2::bigint IS NULL OR revision = $2)
RETURNING {_names(_ENTRY)}""",
        vehicle_id,
        revision,
        now,
        request_id,
    )
    if row is None:
        return None
    await connection.execute("DELETE FROM vehicle_live WHERE vehicle_id = $1", vehicle_id)
    await close_of_deleted(connection)
    return _entry(row)


# vehicle_live


async def live_texts(connection: Connection) -> dict[str, dict[str, str]]:
    """By reader, of each vehicle what it knew: to be merged."""
    found: dict[str, dict[str, str]] = {}
    for row in await connection.fetch("SELECT reader, vehicle_id, state FROM vehicle_live"):
        found.setdefault(row["reader"], {})[row["vehicle_id"]] = row["state"]
    return found


async def keep_live(connection: Connection, reader: str, texts: Mapping[str, str]) -> None:
    """A reader's rows are its own: one that is behind takes nothing from another whose offset is past it."""
    await connection.execute(
        """
INSERT INTO vehicle_live (reader, vehicle_id, state) SELECT $1::text, * FROM unnest($2::text[], $3::text[])
ON CONFLICT (vehicle_id, reader) DO UPDATE SET state = excluded.state""",
        reader,
        list(texts),
        list(texts.values()),
    )


# alerts

_ALERT: Final = tuple(field.name for field in fields(Alert))
_STEP: Final = tuple(name for name in _ALERT if name not in ("acknowledged_by", "acknowledged_time", "note"))
_KEEP_STEP: Final = f"""
INSERT INTO alerts ({_names(_STEP)}) VALUES ({_places(_STEP)})
ON CONFLICT (alert_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _STEP[1:])}
WHERE (excluded.state, excluded.sequence) > (alerts.state, alerts.sequence)"""
_FURTHER: Final = f"""
SELECT {", ".join(f"alerts.{name}" for name in _ALERT)} FROM alerts
JOIN unnest($1::text[], $2::integer[], $3::bigint[]) AS told (alert_id, state, sequence) USING (alert_id)
WHERE (alerts.state, alerts.sequence) > (told.state, told.sequence)"""
_OPEN: Final = "state <> 3 AND NOT backfilled"
# Waits for nobody: a row that is being written just now is closed when the registry is read again.
_CLOSE_OF_DELETED: Final = f"""
UPDATE alerts SET state = 3, event_ns = gone.deleted_ns, message = $1
FROM (
  SELECT alert_id, (extract(epoch FROM delete_time) * 1000000000)::bigint AS deleted_ns
  FROM alerts JOIN vehicles USING (vehicle_id)
  WHERE {_OPEN} AND event_ns <= extract(epoch FROM delete_time) * 1000000000
  FOR UPDATE OF alerts SKIP LOCKED
) AS gone
WHERE alerts.alert_id = gone.alert_id"""
_ALERT_FIELDS: Final = {
    "vehicle_id": "vehicle_id",
    "rule": "rule",
    "severity": "severity",
    "state": "state",
    "open": f"({_OPEN})",
    "acknowledged": "(acknowledged_time IS NOT NULL)",
}


def _alert(row: Row) -> Alert:
    return Alert(**{name: row[name] for name in _ALERT})


async def keep_alerts(connection: Connection, rows: Sequence[Alert]) -> list[Alert]:
    """Steps that are new; what operators did stays. Of an alert that is further than told, what is stored."""
    await connection.executemany(_KEEP_STEP, [tuple(getattr(a, name) for name in _STEP) for a in rows])
    return await further(connection, rows)


async def further(connection: Connection, rows: Sequence[Alert]) -> list[Alert]:
    """Of these alerts, what is stored of those that are further there."""
    told = [[getattr(a, name) for a in rows] for name in ("alert_id", "state", "sequence")]
    return [_alert(row) for row in await connection.fetch(_FURTHER, *told)]


async def close_of_deleted(connection: Connection) -> None:
    """Whatever is open of vehicles that are not in the registry any more, but for what came after that."""
    await connection.execute(_CLOSE_OF_DELETED, TAKEN_OUT)


async def open_alerts(connection: Connection, most: int) -> list[Alert]:
    """The newest, oldest first."""
    query = f"SELECT {_names(_ALERT)} FROM alerts WHERE {_OPEN} ORDER BY raised_ns DESC LIMIT $1"
    return [_alert(row) for row in reversed(await connection.fetch(query, most))]


async def newest_alerts(connection: Connection, most: int) -> list[Alert]:
    """Live ones, open or not, the oldest first."""
    query = f"SELECT {_names(_ALERT)} FROM alerts WHERE NOT backfilled ORDER BY raised_ns DESC LIMIT $1"
    return [_alert(row) for row in reversed(await connection.fetch(query, most))]


async def list_alerts(connection: Connection, chosen: Filter, after: Key | None, most: int) -> list[Alert]:
    """The newest first, behind `after`."""
    condition, values = where(chosen, _ALERT_FIELDS, ("raised_ns", "alert_id"), after)
    query = f"SELECT {_names(_ALERT)} FROM alerts {condition} ORDER BY raised_ns DESC, alert_id DESC LIMIT {most:d}"
    return [_alert(row) for row in await connection.fetch(query, *values)]


async def acknowledge(connection: Connection, alert_id: str, person: str, now: datetime, note: str) -> Alert | None:
    """None where there is none. The first acknowledgement stays."""
    await connection.execute(
        """
UPDATE alerts SET acknowledged_by = $2, acknowledged_time = $3, note = $4
WHERE alert_id = $1 AND acknowledged_time IS NULL""",
        alert_id,
        person,
        now,
        note,
    )
    row = await connection.fetchrow(f"SELECT {_names(_ALERT)} FROM alerts WHERE alert_id = $1", alert_id)
    return None if row is None else _alert(row)


# vehicle_metrics

_WINDOW: Final = ("vehicle_id", "window_start_ns", "window_length_ms", "revision", "reading_count", "missing_count")
_METRICS: Final = (*_WINDOW, *FIGURES)
_KEEP_WINDOW: Final = f"""
INSERT INTO vehicle_metrics ({_names(_METRICS)}) VALUES ({_places(_METRICS)})
ON CONFLICT (vehicle_id, window_start_ns, window_length_ms, revision)
DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _METRICS[4:])}"""
_METRICS_FIELDS: Final = {"window_length": "window_length_ms", "window_start_time": "window_start_ns"}


async def keep_windows(connection: Connection, rows: Iterable[WindowFigures]) -> None:
    values = [(*w.key, w.reading_count, w.missing_count, *w.figures) for w in rows]
    await connection.executemany(_KEEP_WINDOW, values)


async def list_windows(
    connection: Connection, vehicle_id: str, chosen: Filter, after: Key | None, most: int
) -> list[WindowFigures]:
    """The newest window first, the longer one of two that start together; of each the highest revision."""
    condition, values = where(chosen, _METRICS_FIELDS, ("window_start_ns", "window_length_ms"), after, (vehicle_id,))
    query = f"""
SELECT DISTINCT ON (window_start_ns, window_length_ms) {_names(_METRICS)} FROM vehicle_metrics
{condition} {"AND" if condition else "WHERE"} vehicle_id = $1
ORDER BY window_start_ns DESC, window_length_ms DESC, revision DESC LIMIT {most:d}"""
    rows = await connection.fetch(query, *values)
    return [
        WindowFigures(*(row[name] for name in _WINDOW), tuple(row[name] for name in FIGURES))  # type: ignore[call-arg]
        for row in rows
    ]


# read_offsets


async def offsets(connection: Connection, reader: str) -> dict[tuple[str, int], int]:
    """(topic, partition) -> the next offset to read."""
    rows = await connection.fetch("SELECT * FROM read_offsets WHERE reader = $1", reader)
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def keep_offsets(connection: Connection, reader: str, read: Mapping[tuple[str, int], int]) -> None:
    await connection.executemany(
        """
INSERT INTO read_offsets (reader, topic, partition, next_offset) VALUES ($1, $2, $3, $4)
ON CONFLICT (reader, topic, partition) DO UPDATE SET next_offset = excluded.next_offset""",
        [(reader, topic, partition, offset) for (topic, partition), offset in read.items()],
    )


# what is old


async def forget(connection: Connection, now: datetime) -> dict[str, int]:
    """Deletes what nobody asks for any more. Table -> rows."""
    old_ns = int((now - KEEP_RECORDS).timestamp()) * 1_000_000_000
    tags = {
        "vehicle_metrics": await connection.execute("DELETE FROM vehicle_metrics WHERE window_start_ns < $1", old_ns),
        "alerts": await connection.execute(f"DELETE FROM alerts WHERE NOT ({_OPEN}) AND event_ns < $1", old_ns),
        "vehicles": await connection.execute("DELETE FROM vehicles WHERE delete_time < $1", now - KEEP_DELETED),
    }
    return {table: int(tag.rpartition(" ")[2]) for table, tag in tags.items()}


def where(
    chosen: Filter, columns: Mapping[str, str], key: Sequence[str], after: Key | None, values: Sequence[Any] = ()
) -> tuple[str, list[Any]]:
    """A WHERE with what the filter says and, for lists that go down, behind the key `after`; and its values.

    `values`: those of the places before.
    """
    given: list[Any] = list(values)

    def place(value: Any) -> str:
        given.append(value)
        return f"${len(given)}"

    conditions = [
        "(" + " OR ".join(f"{columns[c.field]} {c.operator.value} {place(c.value)}" for c in clause) + ")"
        for clause in chosen.clauses
    ]
    if after is not None:
        conditions.append(f"({_names(key)}) < ({', '.join(map(place, after))})")
    return ("WHERE " + " AND ".join(conditions) if conditions else ""), given
