"""What one gateway is owed, in the order in which it is written: the stop set, leases, orders, sessions to close.

Pure. A stream has one writer, which takes the next frame whenever the last one is out. Each lane is bounded: the set by
the number of stops, leases by answering the newest beat alone, orders by a limit, sessions by the number of vehicles.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from command_service.registry import Session
from pitwall.domain.order import MotionEtag, Order
from pitwall.domain.stop_set import Release, SetDelta, Stop, VehicleScope

#: Of the stops and releases in one frame, reckoned. Half of what a gateway takes (1 MiB), for the reckoning is rough.
MAX_SET_BYTES = 512 * 1024
#: Orders that may wait for the writer. The next one's vehicles are UNAVAILABLE.
MAX_WAITING_ORDERS = 1_000
#: A stop or release without its ids, and an id, reckoned.
_FIXED_BYTES, _ID_BYTES = 400, 40


@dataclass(frozen=True, slots=True)
class SetFrame:
    delta: SetDelta
    exchange_id: int


@dataclass(frozen=True, slots=True)
class LeaseFrame:
    """Answers this beat. Whether with consent is decided when it is written."""

    beat_number: int


@dataclass(frozen=True, slots=True)
class OrderFrame:
    order: Order
    etags: Mapping[str, MotionEtag]


@dataclass(frozen=True, slots=True)
class CloseFrame:
    vehicle_id: str
    session: Session


Frame = SetFrame | LeaseFrame | OrderFrame | CloseFrame


class Lanes:
    """Of one stream. The whole set goes first; `exchanged` once the gateway says that it is in force there."""

    def __init__(self, whole: SetDelta) -> None:
        self._whole = deque(in_chunks(whole) if whole else [whole])
        self._opening = len(self._whole)
        self._news: deque[SetDelta] = deque()
        self._exchange_id = 0
        self._merged = 0
        self._beat = 0
        self._orders: deque[OrderFrame] = deque()
        self._closes: dict[str, Session] = {}

    @property
    def exchanged(self) -> bool:
        return self._merged >= self._opening

    def merged(self, exchange_id: int) -> None:
        """The gateway has in force what that frame held. One that was never sent says nothing."""
        if exchange_id <= self._exchange_id:
            self._merged = max(self._merged, exchange_id)

    def push(self, delta: SetDelta) -> None:
        self._news.extend(in_chunks(delta))

    def knows(self, delta: SetDelta) -> None:
        """The gateway has told of these itself: what of it still waits need not go."""
        self._news = deque(filter(None, (news.without(delta) for news in self._news)))

    def beat(self, number: int) -> None:
        self._beat = max(self._beat, number)

    def order(self, order: Order, etags: Mapping[str, MotionEtag]) -> bool:
        """False where too many wait: the gateway doesn't read."""
        if len(self._orders) >= MAX_WAITING_ORDERS:
            return False
        self._orders.append(OrderFrame(order, etags))
        return True

    def close(self, vehicle_id: str, session: Session) -> None:
        self._closes[vehicle_id] = max(session, self._closes.get(vehicle_id, session))

    def next(self) -> Frame | None:
        """The frame to write now, taken out of its lane."""
        sets = self._whole or self._news
        if sets:
            self._exchange_id += 1
            return SetFrame(sets.popleft(), self._exchange_id)
        if self._beat:
            beat, self._beat = self._beat, 0
            return LeaseFrame(beat)
        if self._orders:
            return self._orders.popleft()
        if self._closes:
            vehicle_id, session = self._closes.popitem()
            return CloseFrame(vehicle_id, session)
        return None


def in_chunks(delta: SetDelta) -> Iterator[SetDelta]:
    """The same stops and releases in frames of MAX_SET_BYTES; one that is larger by itself goes alone.

    Releases go first: a stop that came a frame ahead of its release would take hold of whoever had not known it.
    """
    stops: list[Stop] = []
    releases: list[Release] = []
    size = 0
    items: tuple[Stop | Release, ...] = (*delta.releases, *delta.stops)
    for item in items:
        if (stops or releases) and size + _bytes(item) > MAX_SET_BYTES:
            yield SetDelta(tuple(stops), tuple(releases))
            stops, releases, size = [], [], 0
        if isinstance(item, Stop):
            stops.append(item)
        else:
            releases.append(item)
        size += _bytes(item)
    if stops or releases:
        yield SetDelta(tuple(stops), tuple(releases))


def _bytes(item: Stop | Release) -> int:
    """Reason and names are at most some hundred characters of up to 4 bytes."""
    fixed = _FIXED_BYTES + 4 * len(item.reason)
    if isinstance(item, Release):
        return fixed + _ID_BYTES * len(item.stop_ids) + _ID_BYTES * len(item.vehicle_ids)
    if isinstance(item.scope, VehicleScope):
        return fixed + sum(map(len, item.scope.vehicle_ids)) + 2 * len(item.scope.vehicle_ids)
    return fixed + 20 * 100
