"""Who may open one more stream here."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ingest_gateway.limits import MAX_STREAMS_PER_VEHICLE
from pitwall.rpc.errors import ResourceExhausted, Unavailable


class Admission:
    """Counts open streams. `max_sessions`: of all vehicles; one that reconnects may briefly have two."""

    def __init__(self, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._streams: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()
        #: Set when the gateway stops: nobody comes in any more.
        self.draining = False

    @contextmanager
    def enter(self, vehicle_id: str) -> Iterator[None]:
        """For as long as the stream lasts. Raises ResourceExhausted or Unavailable."""
        self._check(vehicle_id)
        self._streams[vehicle_id] += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._streams[vehicle_id] -= 1
            if not self._streams[vehicle_id]:
                del self._streams[vehicle_id]
            if not self._streams:
                self._empty.set()

    async def wait_empty(self, within_s: float) -> bool:
        """Until the last stream has ended; False where the time was over before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        return self._empty.is_set()

    def _check(self, vehicle_id: str) -> None:
        if self.draining:
            raise Unavailable("DRAINING", "this gateway is stopping; move to another address")
        if self._streams[vehicle_id] >= MAX_STREAMS_PER_VEHICLE:
            text = f"{vehicle_id} has {MAX_STREAMS_PER_VEHICLE} streams open; close them, or wait until they time out"
            raise ResourceExhausted("TOO_MANY_STREAMS", text)
        if vehicle_id not in self._streams and len(self._streams) >= self._max_sessions:
            text = f"{self._max_sessions} vehicles are connected, the most this gateway takes; move to another address"
            raise ResourceExhausted("TOO_MANY_VEHICLES", text)
