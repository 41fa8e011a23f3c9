"""PostgreSQL: a pool of connections that is made again for as long as it takes, and every wait on it bounded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg

from fleet_service.config import PostgresSettings
from fleet_service.migrations import migrate
from pitwall import logs
from pitwall.rpc.channel import jitter_s

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Row: TypeAlias = asyncpg.Record
else:
    Pool, Connection, Row = asyncpg.Pool, Any, Any

MIN_CONNECTIONS: Final = 5
MAX_CONNECTIONS: Final = 20
CONNECT_TIMEOUT_S: Final = 2.0
#: One statement, and the wait for a connection. Both and the way back fit into what a caller waits by default (10 s).
QUERY_TIMEOUT_S: Final = 2.0
#: Migrations may rewrite tables.
MIGRATE_TIMEOUT_S: Final = 60.0
#: How often it is asked whether it is there, and how often while it is not. Nobody else asks then.
PROBE_EVERY_S: Final = 2.0
PROBE_AWAY_S: Final = 0.5

#: What asyncpg raises when the server is away, ends, starts, is full, or takes too long.
AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that the server has ended while it waited in the pool
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.ReadOnlySQLTransactionError,
)

_log = logs.get(__name__)


class DatabaseAway(Exception):
    """PostgreSQL does not answer now; its text says why."""


#: What whoever works in the background tries again after.
FAILED: Final = (DatabaseAway, asyncpg.PostgresError, *AWAY)


class Store:
    """`run` it beside everything else; `connected` is set when there is a pool and the tables are current."""

    def __init__(self, settings: PostgresSettings, name: str) -> None:
        self._settings, self._name = settings, name
        self._pool: Pool | None = None
        self.connected = asyncio.Event()
        #: In words; None while it answers.
        self.trouble: str | None = "not connected yet"

    async def run(self) -> None:
        """Until cancelled."""
        attempt = 0
        while self._pool is None:
            try:
                self._pool = await self._open()
            except (*AWAY, asyncpg.PostgresError) as error:
                attempt += 1
                self._note(error)
                await asyncio.sleep(jitter_s(attempt))
        self.trouble = None
        self.connected.set()
        while True:
            await asyncio.sleep(PROBE_EVERY_S if self.trouble is None else PROBE_AWAY_S)
            await self._probe()

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Raises DatabaseAway: at once while it is known to be away, else within some seconds whatever it does."""
        if self.trouble is not None:
            raise DatabaseAway(self.trouble)
        async with self._acquired() as connection:
            yield connection

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Connection]:
        assert self._pool is not None, "run() makes it"
        try:
            async with self._pool.acquire(timeout=QUERY_TIMEOUT_S) as connection:
                yield connection
        except AWAY as error:
            self._note(error)
            raise DatabaseAway(str(self.trouble)) from error
        self._answered()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Written when this is left without an error."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def _open(self) -> Pool:
        settings = self._settings
        pool = asyncpg.create_pool(
            host=settings.host,
            port=settings.port,
            user=settings.user,
            database=settings.database,
            password=_password(settings.password_file),
            min_size=MIN_CONNECTIONS,
            max_size=MAX_CONNECTIONS,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=QUERY_TIMEOUT_S,
            server_settings={"application_name": f"fleet_service {self._name}"},
        )
        try:
            await pool
            async with pool.acquire() as connection:
                await migrate(connection, MIGRATE_TIMEOUT_S)
        except BaseException:
            pool.terminate()
            raise
        return pool

    async def _probe(self) -> None:
        try:
            async with self._acquired() as connection:
                await connection.execute("SELECT 1")
        except DatabaseAway:
            pass  # noted, and asked again

    def _note(self, error: BaseException) -> None:
        if self.trouble is None:
            _log.warning("postgresql is away", error=repr(error))
        self.trouble = f"PostgreSQL at {self._settings.host}:{self._settings.port} does not answer: {error!r}"

    def _answered(self) -> None:
        if self.trouble is not None:
            _log.info("postgresql answers again")
        self.trouble = None


def _password(path: Path) -> Callable[[], str]:
    """Read when a connection is made: a changed one counts at once."""
    return lambda: path.read_text(encoding="utf-8").strip()
