"""Who may open one more stream here."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ingest_gateway.allowance import Bucket
from ingest_gateway.limits import CONNECTS_AT_ONCE, CONNECTS_PER_S, MAX_KNOWN_VEHICLES, MAX_STREAMS_PER_VEHICLE
from pitwall.clock import boottime_s
from pitwall.rpc.errors import PitwallError, ResourceExhausted, Unavailable


class Connects:
    """How often vehicles open streams. The one that came longest ago is forgotten first."""

    def __init__(self, capacity: int = MAX_KNOWN_VEHICLES) -> None:
        self._capacity = capacity
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, vehicle_id: str, now_s: float) -> bool:
        """False where it comes too often. A try that was turned away does not count."""
        bucket = self._buckets.pop(vehicle_id, None) or Bucket(CONNECTS_PER_S)
        self._buckets[vehicle_id] = bucket
        if len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        if bucket.level_s(now_s) * CONNECTS_PER_S > CONNECTS_AT_ONCE - 1:
            return False
        bucket.spend(1, now_s)
        return True


class Admission:
    """Counts open streams. `max_sessions`: of all vehicles; one that reconnects may briefly have two.

    `turned_away` hears the reason whenever somebody is.
    """

    def __init__(
        self,
        max_sessions: int,
        turned_away: Callable[[str], None],
        now_s: Callable[[], float] = boottime_s,
    ) -> None:
        self._max_sessions, self._turned_away, self._now_s = max_sessions, turned_away, now_s
        self._streams: Counter[str] = Counter()
        self._connects = Connects()
        self._empty = asyncio.Event()
        self._empty.set()
        #: Set when the gateway stops: nobody comes in any more.
        self.draining = False

    @contextmanager
    def enter(self, vehicle_id: str) -> Iterator[None]:
        """For as long as the stream lasts. Raises ResourceExhausted or Unavailable."""
        refusal = self._refusal(vehicle_id)
        if refusal is not None:
            self._turned_away(refusal.reason)
            raise refusal
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

    def _refusal(self, vehicle_id: str) -> PitwallError | None:
        if self.draining:
            return Unavailable("DRAINING", "this gateway is stopping; move to another address")
        if self._streams[vehicle_id] >= MAX_STREAMS_PER_VEHICLE:
            text = f"{vehicle_id} has {MAX_STREAMS_PER_VEHICLE} streams open; close them, or wait until they time out"
            return ResourceExhausted("TOO_MANY_STREAMS", text)
        if vehicle_id not in self._streams and len(self._streams) >= self._max_sessions:
            text = f"{self._max_sessions} vehicles are connected, the most this gateway takes; move to another address"
            return ResourceExhausted("TOO_MANY_VEHICLES", text)
        if not self._connects.take(vehicle_id, self._now_s()):
            text = f"{vehicle_id} opens more than {CONNECTS_PER_S:g} streams a second; wait longer between two"
            return ResourceExhausted("TOO_MANY_CONNECTS", text)
        return None
