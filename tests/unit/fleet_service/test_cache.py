"""Redis that is known to be away is asked by the probe alone: nobody who calls waits for it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fleet_service.cache import Cache, CacheAway


class Listener:
    """Takes connections and says what it was told to say."""

    def __init__(self) -> None:
        self.connections = 0
        self.answer = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self.answer and await reader.readline():
            writer.write(self.answer)
        writer.close()


@pytest.fixture
async def listener() -> Listener:
    return Listener()


@pytest.fixture
async def cache(listener: Listener) -> AsyncIterator[Cache]:
    async with await asyncio.start_server(listener.serve, "127.0.0.1", 0) as server:
        cache = Cache(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield cache
        await cache.close()


async def test_while_it_is_away_only_the_probe_asks(cache: Cache, listener: Listener) -> None:
    with pytest.raises(CacheAway):
        await cache.probe()
    tried = listener.connections
    assert tried > 0
    for _ in range(3):
        with pytest.raises(CacheAway):
            await cache.keep_statistics(b"counts")
    assert listener.connections == tried
    assert cache.trouble is not None


async def test_when_it_is_back_the_probe_finds_out(cache: Cache, listener: Listener) -> None:
    with pytest.raises(CacheAway):
        await cache.probe()
    listener.answer = b"+OK\r\n"
    await cache.probe()
    assert cache.trouble is None
    await cache.keep_statistics(b"counts")
