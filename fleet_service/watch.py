"""Who watches: a watcher is woken when something has changed and asks what, whenever it is ready to.

So a slow one costs a version number, whatever happens meanwhile; it gets each vehicle once, as it is then.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from fleet_service.alerts import MAX_ALERTS
from fleet_service.changes import ChangeLog
from fleet_service.fleet import MAX_VEHICLES

#: Between two answers to one watcher, seconds: changes are gathered meanwhile.
COALESCE_S: Final = 0.05
#: How often the log is looked at for all watchers together.
LOOK_S: Final = 0.02
#: People and programs that may watch at one time.
MAX_WATCHERS: Final = 200
#: Items in one answer: a vehicle takes some 70 µs of the event loop and 800 bytes.
MAX_ITEMS: Final = 100

#: Keys remembered for one watcher, of which it may have to be told that they are gone.
MAX_SHOWN: Final = 20_000

# A snapshot of everything must not be followed by another one at once.
assert max(MAX_ALERTS, MAX_VEHICLES) < MAX_SHOWN

_T = TypeVar("_T")


class TooManyWatchers(Exception):
    """MAX_WATCHERS are watching."""


@dataclass(frozen=True, slots=True)
class News(Generic[_T]):
    """What has changed, and the keys of what doesn't belong to the watched any more."""

    items: Sequence[_T]
    removed: Sequence[str]
    snapshot_complete: bool


class Watchers:
    """Of one log. `run` it beside everything else."""

    def __init__(self, changes: ChangeLog) -> None:
        self._changes = changes
        self._bells: set[asyncio.Event] = set()

    @property
    def count(self) -> int:
        return len(self._bells)

    async def run(self) -> None:
        """Rings whenever the log has moved on; until cancelled."""
        rung = self._changes.version
        while True:
            await asyncio.sleep(LOOK_S)
            if self._changes.version != rung:
                rung = self._changes.version
                for bell in self._bells:
                    bell.set()

    async def watch(
        self, snapshot: Callable[[], Sequence[tuple[str, _T]]], find: Callable[[str], _T | None]
    ) -> AsyncGenerator[News[_T], None]:
        """The snapshot, then changes; the snapshot again where more has changed than is remembered.

        `find` gives what is to be shown of a key, None where it isn't any more. Raises TooManyWatchers. Takes as long
        over each answer as the consumer does.
        """
        with self._watching() as bell:
            seen, shown = -1, set[str]()
            while True:
                if seen < self._changes.forgotten or len(shown) > MAX_SHOWN:
                    seen = self._changes.version
                    for news in _whole(snapshot(), shown):
                        yield news
                while self._changes.version == seen:
                    bell.clear()
                    await bell.wait()
                if seen < self._changes.forgotten:
                    continue
                changed, seen = self._changes.since(seen), self._changes.version
                for first in range(0, len(changed), MAX_ITEMS):
                    news = _judged(changed[first : first + MAX_ITEMS], find, shown)
                    if news.items or news.removed:
                        yield news
                await asyncio.sleep(COALESCE_S)

    @contextmanager
    def _watching(self) -> Iterator[asyncio.Event]:
        if self.count >= MAX_WATCHERS:
            raise TooManyWatchers(f"{MAX_WATCHERS:,} are watching; ask again with the list")
        bell = asyncio.Event()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)


def _whole(found: Sequence[tuple[str, _T]], shown: set[str]) -> Iterator[News[_T]]:
    """Everything in parts, at least one, the last one complete; the first says what is gone. Sets `shown`."""
    gone = sorted(shown - {key for key, _ in found})
    shown.clear()
    shown.update(key for key, _ in found)
    items = [item for _, item in found]
    for first in range(0, max(1, len(items)), MAX_ITEMS):
        complete = first + MAX_ITEMS >= len(items)
        yield News(items[first : first + MAX_ITEMS], () if first else gone, complete)


def _judged(keys: Sequence[str], find: Callable[[str], _T | None], shown: set[str]) -> News[_T]:
    """As they are now: shown, gone, or never of interest. Keeps `shown` in step."""
    items: list[_T] = []
    removed: list[str] = []
    for key in keys:
        item = find(key)
        if item is not None:
            items.append(item)
            shown.add(key)
        elif key in shown:
            removed.append(key)
            shown.discard(key)
    return News(items, removed, snapshot_complete=False)
