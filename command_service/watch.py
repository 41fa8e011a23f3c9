"""Who watches which stop: a watcher is woken when something has changed and asks for it when it is ready to.

So a slow one costs a wake-up and a version number, whatever happens meanwhile, and holds nobody up.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

#: Answers to one watcher come no closer together than this on the average, seconds.
COALESCE_S: Final = 0.01
#: Answers that may go at once before that, so that a stop of one vehicle is seen as it happens.
BURST: Final = 6
#: People and programs that may watch at one time.
MAX_WATCHERS: Final = 1_000
#: Of these, for whoever has just issued a stop and wants to see it through.
FOR_ISSUERS: Final = 250


class TooManyWatchers(Exception):
    """MAX_WATCHERS are watching."""


class Watchers:
    """By stop."""

    def __init__(self) -> None:
        self._bells: dict[str, set[asyncio.Event]] = {}
        self.count = 0

    def room(self, *, issuer: bool) -> bool:
        """Whether one more may watch."""
        return self.count < MAX_WATCHERS - (0 if issuer else FOR_ISSUERS)

    @contextmanager
    def watching(self, stop_id: str, *, issuer: bool = True) -> Iterator[asyncio.Event]:
        """An event that is set whenever the stop has changed. Raises TooManyWatchers."""
        if not self.room(issuer=issuer):
            raise TooManyWatchers(f"{self.count:,} are watching; ask again with GetStop")
        bell = asyncio.Event()
        self._bells.setdefault(stop_id, set()).add(bell)
        self.count += 1
        try:
            yield bell
        finally:
            self.count -= 1
            self._bells[stop_id].discard(bell)
            if not self._bells[stop_id]:
                del self._bells[stop_id]

    def wake(self, stop_ids: Iterable[str]) -> None:
        for stop_id in stop_ids:
            for bell in self._bells.get(stop_id, ()):
                bell.set()
