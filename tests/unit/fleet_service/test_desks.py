"""Watchers, the statistics' cache and the settings, without any server."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from haul.fleet.v1 import vehicle_pb2

from fleet_service.cache import CacheAway
from fleet_service.changes import ChangeLog
from fleet_service.config import FleetSettings
from fleet_service.fleet import Fleet
from fleet_service.live import Sample
from fleet_service.statistics_desk import StatisticsDesk
from fleet_service.watch import MAX_ITEMS, MAX_WATCHERS, TooManyWatchers, Watchers
from pitwall.config import InvalidSettings

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


class MemoryCache:
    """Redis in memory, that can be away, and waits where it is told to."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.away = False
        self.reads = self.writes = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def statistics(self) -> bytes | None:
        self.reads += 1
        if self.away:
            raise CacheAway("away")
        return self.data

    async def keep_statistics(self, data: bytes) -> None:
        await self.gate.wait()
        if self.away:
            raise CacheAway("away")
        self.writes += 1
        self.data = data


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(lambda: NOON)


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache()


@pytest.fixture
def desk(fleet: Fleet, cache: MemoryCache) -> StatisticsDesk:
    return StatisticsDesk(fleet, cache, lambda: False)  # type: ignore[arg-type]


def seen(fleet: Fleet, vehicle_id: str) -> None:
    fleet.take_sample(Sample(vehicle_id, 1, 1, 9, 9, 4, 0, 1, {}))


async def test_statistics_are_made_once_and_then_read(fleet: Fleet, desk: StatisticsDesk) -> None:
    seen(fleet, "V-1")
    first = await desk.get()
    assert first.total == 1
    assert await desk.get() == first
    assert desk.refreshes == 1


async def test_a_change_makes_them_anew_at_once(fleet: Fleet, desk: StatisticsDesk) -> None:
    await desk.get()
    seen(fleet, "V-1")
    assert (await desk.get()).total == 1
    assert desk.refreshes == 2


async def test_an_expired_cache_is_filled_again(desk: StatisticsDesk, cache: MemoryCache) -> None:
    await desk.get()
    cache.data = None
    await desk.get()
    assert (desk.refreshes, cache.writes) == (2, 2)


async def test_many_callers_share_one_refresh_and_one_hanging_up_ends_it_for_nobody(
    fleet: Fleet, desk: StatisticsDesk, cache: MemoryCache
) -> None:
    seen(fleet, "V-1")
    cache.gate.clear()
    calls = [asyncio.ensure_future(desk.get()) for _ in range(20)]
    await asyncio.sleep(0)
    calls[0].cancel()
    await asyncio.sleep(0)
    cache.gate.set()
    answers = await asyncio.gather(*calls[1:])
    assert {answer.total for answer in answers} == {1}
    assert desk.refreshes == 1


async def test_without_redis_they_are_made_each_time(fleet: Fleet, desk: StatisticsDesk, cache: MemoryCache) -> None:
    cache.away = True
    assert (await desk.get()).total == 0
    seen(fleet, "V-1")
    assert (await desk.get()).total == 1


async def test_rubbish_in_the_cache_is_not_shown(desk: StatisticsDesk, cache: MemoryCache) -> None:
    await desk.get()
    cache.data = b"\xff\xff"
    assert isinstance(await desk.get(), vehicle_pb2.FleetStatistics)
    assert desk.refreshes == 2


@pytest.mark.parametrize(
    ("count", "parts"), [(0, [0]), (1, [1]), (MAX_ITEMS, [MAX_ITEMS]), (MAX_ITEMS + 1, [MAX_ITEMS, 1])]
)
async def test_a_snapshot_comes_in_parts_and_the_last_says_so(count: int, parts: list[int]) -> None:
    watchers = Watchers(ChangeLog(100))
    items = [(str(number), number) for number in range(count)]
    async with aclosing(watchers.watch(lambda: items, lambda key: int(key))) as news:
        found = [await anext(news) for _ in parts]
    assert [len(part.items) for part in found] == parts
    assert [part.snapshot_complete for part in found] == [False] * (len(parts) - 1) + [True]
    assert watchers.count == 0


async def test_a_slow_watcher_gets_each_key_once_as_it_is_then() -> None:
    log = ChangeLog(100)
    watchers, values = Watchers(log), {"a": 1, "b": 1}
    running = asyncio.ensure_future(watchers.run())
    async with aclosing(watchers.watch(lambda: list(values.items()), values.get)) as news:
        await anext(news)
        for value in range(2, 100):
            values["a"] = value
            log.touch("a")
        del values["b"]
        log.touch("b")
        log.touch("never shown")
        change = await asyncio.wait_for(anext(news), 5)
        assert (change.items, change.removed) == ([99], ["b"])
        values["b"] = 7
        log.touch("b")
        assert (await asyncio.wait_for(anext(news), 5)).items == [7]
    running.cancel()


async def test_a_watcher_that_has_missed_too_much_gets_everything_again() -> None:
    log = ChangeLog(2)
    watchers, values = Watchers(log), {"a": 1, "b": 1, "c": 1}
    async with aclosing(watchers.watch(lambda: list(values.items()), values.get)) as news:
        await anext(news)
        for key in values:
            values[key] = 2
            log.touch(key)
        again = await asyncio.wait_for(anext(news), 5)
        assert (again.items, again.snapshot_complete) == ([2, 2, 2], True)


async def test_one_watcher_too_many_is_told() -> None:
    watchers = Watchers(ChangeLog(100))
    empty: Callable[[], list[tuple[str, int]]] = list
    streams = [watchers.watch(empty, int) for _ in range(MAX_WATCHERS + 1)]
    for stream in streams[:-1]:
        await anext(stream)
    with pytest.raises(TooManyWatchers, match="200 are watching"):
        await anext(streams[-1])
    for stream in streams:
        await stream.aclose()
    assert watchers.count == 0


SETTINGS = """
name = "fleet-1"
operator_address = "127.0.0.1:50053"
metrics_address = "127.0.0.1:9471"
kafka_bootstrap = "127.0.0.1:9092"
redis_address = "127.0.0.1:16379"
jwks = "certs/jwks.json"
{more}
[postgres]
port = 15432
password_file = "data/password"
{postgres}
[tls]
ca = "ca.pem"
certificate = "fleet-1.pem"
key = "fleet-1.key"
"""


def settings(tmp_path: Path, more: str = "", postgres: str = "") -> FleetSettings:
    path = tmp_path / "fleet-1.toml"
    path.write_text(SETTINGS.format(more=more, postgres=postgres), encoding="utf-8")
    return FleetSettings.read(path)


def test_settings_as_the_stack_writes_them(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found.postgres.host, found.postgres.user, found.postgres.database) == ("127.0.0.1", "pitwall", "pitwall")


@pytest.mark.parametrize(
    ("more", "postgres", "named"),
    [
        ('redis_adress = "x"', "", 'did you mean "redis_address"'),
        ("", 'password = "secret"', 'did you mean "password_file"'),
        ("", "prot = 1", 'did you mean "port"'),
    ],
)
def test_an_unknown_key_is_refused(tmp_path: Path, more: str, postgres: str, named: str) -> None:
    with pytest.raises(InvalidSettings, match=named):
        settings(tmp_path, more, postgres)
