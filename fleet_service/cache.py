"""Redis: the live state mirrored, so that a restart answers at once; and the statistics. All of it can be made again,
nothing here is waited for longer than a moment, and while it is known to be away, by its probe alone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fleet_service.fleet import Fleet
from fleet_service.live import Live
from fleet_service.live_text import UnreadableState, from_text, to_text
from pitwall import logs
from pitwall.clock import monotonic_s
from pitwall.config import Address

#: One command, and the way to the server.
TIMEOUT_S: Final = 0.5
MAX_CONNECTIONS: Final = 10
MIRROR_EVERY_S: Final = 0.2
#: Redis may have been emptied without anybody noticing: all is written again this often.
WHOLE_EVERY_S: Final = 30.0
#: Vehicles in one command.
MAX_BATCH: Final = 200
STATISTICS_S: Final = 60

_LIVE: Final = "pitwall:fleet:live:1"
_STATISTICS: Final = "pitwall:fleet:statistics:1"

_log = logs.get(__name__)


class CacheAway(Exception):
    """Redis does not answer now."""


class Cache:
    """The commands that are used, bounded."""

    def __init__(self, address: Address) -> None:
        host, _, port = address.rpartition(":")
        self._address = address
        self._redis = Redis(
            host=host,
            port=int(port),
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            max_connections=MAX_CONNECTIONS,
            retry=Retry(NoBackoff(), 0),
        )
        #: In words; None while it answers.
        self.trouble: str | None = "not asked yet"

    async def close(self) -> None:
        await self._redis.aclose()

    async def probe(self) -> None:
        """Whether it answers now. Raises CacheAway."""
        await self._answer(self._redis.ping())

    async def live_texts(self) -> dict[str, bytes]:
        """Asked once, at the start."""
        found = await self._answer(self._redis.hgetall(_LIVE))
        return {vehicle_id.decode(): text for vehicle_id, text in found.items()}

    async def keep_live(self, texts: dict[str, str], gone: list[str]) -> None:
        if texts:
            await self._ask(lambda: self._redis.hset(_LIVE, mapping=texts))  # type: ignore[arg-type]  # a str is encodable
        if gone:
            await self._ask(lambda: self._redis.hdel(_LIVE, *gone))

    async def statistics(self) -> bytes | None:
        found: bytes | None = await self._ask(lambda: self._redis.get(_STATISTICS))
        return found

    async def keep_statistics(self, data: bytes) -> None:
        await self._ask(lambda: self._redis.set(_STATISTICS, data, ex=STATISTICS_S))

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        if self.trouble is not None:
            raise CacheAway(self.trouble)
        return await self._answer(command())

    async def _answer(self, command: Any) -> Any:
        try:
            # The client's own time-outs begin when a connection is had.
            async with asyncio.timeout(2 * TIMEOUT_S):
                answer = await command
        except (RedisError, OSError, TimeoutError) as error:
            if self.trouble is None:
                _log.warning("redis is away", error=repr(error))
            self.trouble = f"Redis at {self._address} does not answer: {error!r}"
            raise CacheAway(self.trouble) from error
        self.trouble = None
        return answer


def readable(texts: dict[str, Any]) -> dict[str, Live]:
    """Those that this version can read; the others are counted in the log and come again from Kafka."""
    found: dict[str, Live] = {}
    for vehicle_id, text in texts.items():
        try:
            found[vehicle_id] = from_text(text)
        except UnreadableState as error:
            _log.warning("state not read", vehicle_id=vehicle_id, error=str(error))
    return found


class Mirror:
    """The live state into Redis, whenever Redis is there."""

    def __init__(self, cache: Cache, fleet: Fleet) -> None:
        self._cache, self._fleet = cache, fleet
        self._written = 0
        self._whole_s = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(MIRROR_EVERY_S)
            if monotonic_s() - self._whole_s >= WHOLE_EVERY_S:
                self._whole_s, self._written = monotonic_s(), 0
            try:
                if self._cache.trouble is not None:
                    await self._cache.probe()
                await self.step()
            except CacheAway:
                self._written = 0

    async def step(self) -> None:
        """Everything that has changed since. Raises CacheAway."""
        version = self._fleet.vehicle_changes.version
        changed = self._fleet.vehicle_changes.since(self._written)
        for first in range(0, len(changed), MAX_BATCH):
            await self._write(changed[first : first + MAX_BATCH])
        self._written = version

    async def _write(self, vehicle_ids: list[str]) -> None:
        live = {vehicle_id: self._fleet.live(vehicle_id) for vehicle_id in vehicle_ids}
        texts = {vehicle_id: to_text(state) for vehicle_id, state in live.items() if state is not None}
        await self._cache.keep_live(texts, [vehicle_id for vehicle_id, state in live.items() if state is None])
