"""What goes to the stores and how far it was read: nothing said to be read that is not written."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from fleet_service import tables
from fleet_service import writer as writer_module
from fleet_service.filters import Comparison, Filter, Operator
from fleet_service.intake import Start
from fleet_service.migrations import Migration, WrongMigrations, missing, read
from fleet_service.store import DatabaseAway
from fleet_service.tables import where
from fleet_service.writer import MAX_BATCH, MAX_WAITING, Backlog, Writer

AT = ("vehicle-alerts", 0)


async def nothing(connection: object, rows: Iterable[int]) -> None:
    """Takes any rows."""


def backlog(write: Any = nothing, refused: Any = pytest.fail) -> Backlog[int]:
    return Backlog("alerts", write, refused)


async def test_offsets_go_with_the_last_of_the_rows_they_cover() -> None:
    waiting = backlog()
    for number in range(MAX_BATCH + 1):
        waiting.put(number, number)
    waiting.read({AT: 501})
    first, second = waiting.take(), waiting.take()
    assert (first.rows, first.offsets) == (list(range(MAX_BATCH)), {})
    assert waiting.due.is_set() is False
    assert (second.rows, second.offsets) == ([MAX_BATCH], {AT: 501})


async def test_a_later_row_of_the_same_key_takes_the_earlier_ones_place() -> None:
    waiting = backlog()
    waiting.put("a", 1)
    waiting.put("b", 2)
    waiting.put("a", 3)
    waiting.read({AT: 3})
    assert waiting.take().rows == [2, 3]


async def test_a_full_backlog_holds_its_reader_until_something_is_written() -> None:
    waiting = backlog()
    for number in range(MAX_WAITING):
        waiting.put(number, number)
    reader = asyncio.ensure_future(waiting.has_room())
    await asyncio.sleep(0)
    assert not reader.done()
    waiting.take()
    await asyncio.wait_for(reader, 1)


class FaultyStore:
    """Away for the first transactions; then keeps what is committed."""

    def __init__(self, faults: int) -> None:
        self.faults, self.tries = faults, 0
        self.done = asyncio.Event()
        self.committed: list[tuple[list[int], dict[Any, int]]] = []
        self.now: tuple[list[int], dict[Any, int]] = ([], {})

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["FaultyStore"]:
        self.tries += 1
        self.now = ([], {})
        yield self
        if self.tries <= self.faults:
            raise DatabaseAway("the commit's answer was lost")
        self.committed.append(self.now)
        self.done.set()


async def test_a_lost_commit_is_written_again_and_then_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FaultyStore(faults=2)

    async def keep_offsets(connection: FaultyStore, reader: str, offsets: dict[Any, int]) -> None:
        connection.now[1].update(offsets)

    async def write(connection: FaultyStore, rows: list[int]) -> None:
        connection.now[0].extend(rows)

    monkeypatch.setattr(tables, "keep_offsets", keep_offsets)
    monkeypatch.setattr(writer_module, "jitter_s", lambda attempt: 0.0)
    writer, waiting = Writer(store, "fleet-1"), backlog(write)  # type: ignore[arg-type]
    task = asyncio.ensure_future(writer.keep(waiting))
    waiting.put(1, 1)
    waiting.read({AT: 1})
    await asyncio.wait_for(store.done.wait(), 5)
    task.cancel()
    assert (store.tries, store.committed) == (3, [([1], {AT: 1})])
    assert writer.troubles == {}


@pytest.mark.parametrize("error", [asyncpg.CharacterNotInRepertoireError, asyncpg.ProgramLimitExceededError])
async def test_a_row_that_is_refused_holds_up_no_other(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    store, read = FaultyStore(faults=0), asyncio.Event()
    refused: list[Exception] = []

    async def keep_offsets(connection: FaultyStore, reader: str, offsets: dict[Any, int]) -> None:
        connection.now[1].update(offsets)
        if offsets:
            read.set()

    async def write(connection: FaultyStore, rows: list[int]) -> None:
        if 2 in rows:
            raise error("not this one")
        connection.now[0].extend(rows)

    monkeypatch.setattr(tables, "keep_offsets", keep_offsets)
    waiting = backlog(write, refused.append)
    writer = Writer(store, "fleet-1")  # type: ignore[arg-type]
    task = asyncio.ensure_future(writer.keep(waiting))
    for number in (1, 2, 3):
        waiting.put(number, number)
    waiting.read({AT: 3})
    await asyncio.wait_for(read.wait(), 5)
    await asyncio.sleep(0)
    task.cancel()
    assert store.committed == [([1], {}), ([3], {}), ([], {AT: 3})]
    assert [type(one) for one in refused] == [error]
    assert writer.troubles == {}


class LiveTable:
    """vehicle_live, as far as who overwrites whom: by the statement's own conflict key."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, ...], dict[str, str]] = {}

    async def execute(self, query: str, *values: Any) -> None:
        assert "ON CONFLICT (vehicle_id, reader) DO UPDATE" in query
        reader, vehicle_ids, states = values
        for vehicle_id, state in zip(vehicle_ids, states, strict=True):
            row = {"reader": reader, "vehicle_id": vehicle_id, "state": state}
            self.rows[vehicle_id, reader] = row

    async def fetch(self, query: str) -> list[dict[str, str]]:
        return list(self.rows.values())


async def test_a_fleet_service_that_is_behind_overwrites_nothing_of_another() -> None:
    table: Any = LiveTable()
    await tables.keep_live(table, "fleet-1", {"V-1": "newer"})
    await tables.keep_live(table, "fleet-2", {"V-1": "older"})
    assert await tables.live_texts(table) == {"fleet-1": {"V-1": "newer"}, "fleet-2": {"V-1": "older"}}


@pytest.mark.parametrize(
    ("known", "tail", "low", "high", "begins"),
    [
        ({}, None, 0, 10, 0),
        ({}, None, 4, 10, 4),
        ({0: 7}, None, 4, 10, 7),
        ({0: 2}, None, 4, 10, 4),
        ({0: 99}, None, 0, 10, 0),
        ({0: 10}, None, 0, 10, 10),
        ({}, 3, 0, 10, 7),
        ({0: 2}, 3, 0, 10, 7),
        ({0: 9}, 3, 0, 10, 9),
        ({}, 30, 4, 10, 4),
        ({1: 5}, None, 0, 10, 0),
    ],
)
def test_where_reading_begins(known: dict[int, int], tail: int | None, low: int, high: int, begins: int) -> None:
    assert Start(known, tail).offset(0, low, high) == begins


def migration(number: int, text: str = "SELECT 1") -> Migration:
    return Migration(number, f"{number:04d}_x", text)


def test_our_own_migrations_are_numbered_without_a_gap() -> None:
    assert [one.number for one in read()] == list(range(1, len(read()) + 1))
    assert read()


def test_only_what_is_missing_is_applied() -> None:
    known = [migration(1), migration(2)]
    assert missing(known, {}) == known
    assert missing(known, {1: known[0].digest}) == known[1:]
    assert missing(known, {one.number: one.digest for one in known}) == []


@pytest.mark.parametrize(
    ("applied", "named"), [({1: "another"}, "0001_x was changed"), ({3: "x"}, "of a later version")]
)
def test_a_database_that_does_not_fit_is_refused(applied: dict[int, str], named: str) -> None:
    with pytest.raises(WrongMigrations, match=named):
        missing([migration(1), migration(2)], applied)


COLUMNS = {"rule": "rule", "acknowledged": "(acknowledged_time IS NOT NULL)"}


def test_a_filter_becomes_a_condition_whose_values_stand_apart() -> None:
    rule = Comparison("rule", Operator.EQUAL, "'; DROP TABLE alerts")
    other = Comparison("acknowledged", Operator.NOT_EQUAL, True)
    text, values = where(Filter(((rule, other), (other,))), COLUMNS, ("raised_ns", "alert_id"), (5, "a"), ("V-1",))
    assert text == (
        "WHERE (rule = $2 OR (acknowledged_time IS NOT NULL) != $3) AND ((acknowledged_time IS NOT NULL) != $4)"
        " AND (raised_ns, alert_id) < ($5, $6)"
    )
    assert values == ["V-1", "'; DROP TABLE alerts", True, True, 5, "a"]


def test_no_filter_is_no_condition() -> None:
    assert where(Filter(), COLUMNS, ("raised_ns",), None) == ("", [])
