"""What has been read goes to PostgreSQL in the background, together with how far it was read.

Rows and offsets are written in one transaction, so a process that is killed anywhere goes on right behind what is
stored: nothing is lost, and what is read twice before it is stored is the same row. While the store is away rows wait
here, bounded; a reader whose backlog is full waits, and Kafka keeps the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, TypeVar

import asyncpg

from fleet_service import tables
from fleet_service.store import FAILED, Connection, Store
from pitwall import logs
from pitwall.rpc.channel import jitter_s

#: Rows of one kind that may wait for the store.
MAX_WAITING: Final = 10_000
#: Rows in one transaction: well within a statement's time-out.
MAX_BATCH: Final = 500
#: What PostgreSQL refuses for what is in a row: a value that it can't hold, a key that is too long. No retry mends it.
REFUSED: Final = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)

_Row = TypeVar("_Row")
#: (topic, partition) -> the next offset to read.
Offsets = Mapping[tuple[str, int], int]

_log = logs.get(__name__)


@dataclass(slots=True)
class Batch(Generic[_Row]):
    rows: list[_Row]
    offsets: Offsets


@dataclass(slots=True)
class Backlog(Generic[_Row]):
    """Rows by key; a later row takes the place of one that waits.

    `write(connection, rows=…)` stores them; `refused` hears of each row that PostgreSQL will never take.
    """

    name: str
    write: Callable[..., Awaitable[None]]
    refused: Callable[[Exception], None]
    waiting: dict[Hashable, _Row] = field(default_factory=dict)
    #: The next to read, of everything that has been taken in.
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    #: Something is to be written.
    due: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, key: Hashable, row: _Row) -> None:
        self.waiting.pop(key, None)
        self.waiting[key] = row

    def read(self, offsets: Offsets) -> None:
        """Everything up to here has been put."""
        self.offsets.update(offsets)
        self.due.set()

    async def has_room(self) -> None:
        """Returns when so much has been written that more can be taken."""
        while len(self.waiting) >= MAX_WAITING:
            self.room.clear()
            await self.room.wait()

    def take(self) -> Batch[_Row]:
        """The oldest rows. The offsets go with the last of them alone: before that, not all they cover is stored."""
        keys = list(self.waiting)[:MAX_BATCH]
        rows = [self.waiting.pop(key) for key in keys]
        self.room.set()
        if self.waiting:
            return Batch(rows, {})
        self.due.clear()
        return Batch(rows, dict(self.offsets))


class Writer:
    """`keep` runs for each backlog, until cancelled."""

    def __init__(self, store: Store, reader: str) -> None:
        self._store, self._reader = store, reader
        #: In words, by backlog; empty while everything gets through.
        self.troubles: dict[str, str] = {}

    async def keep(self, backlog: Backlog[Any]) -> None:
        while True:
            await backlog.due.wait()
            await self._keep(backlog, backlog.take())

    async def _keep(self, backlog: Backlog[_Row], batch: Batch[_Row]) -> None:
        try:
            await self.insist(backlog.name, batch.offsets, partial(backlog.write, rows=batch.rows), REFUSED)
        except REFUSED:
            for row in batch.rows:
                await self._keep_row(backlog, row)
            await self.insist(backlog.name, batch.offsets, _nothing)

    async def _keep_row(self, backlog: Backlog[_Row], row: _Row) -> None:
        """One that is refused must not hold up all that come behind it."""
        try:
            await self.insist(backlog.name, {}, partial(backlog.write, rows=[row]), REFUSED)
        except REFUSED as error:
            backlog.refused(error)

    async def insist(
        self,
        name: str,
        read: Offsets,
        write: Callable[[Connection], Awaitable[None]],
        final: tuple[type[Exception], ...] = (),
    ) -> None:
        """Writes it, however long that takes. Raises what is `final`; nothing is written then."""
        attempt = 0
        while True:
            try:
                async with self._store.transaction() as connection:
                    await write(connection)
                    await tables.keep_offsets(connection, self._reader, read)
            except final:
                self.troubles.pop(name, None)
                raise
            except FAILED as error:
                attempt += 1
                if name not in self.troubles:
                    _log.warning("not stored, trying again", what=name, error=repr(error))
                self.troubles[name] = str(error)
                await asyncio.sleep(jitter_s(attempt))
            else:
                self.troubles.pop(name, None)
                return


async def _nothing(connection: Connection) -> None:
    """The offsets alone are to be written."""
