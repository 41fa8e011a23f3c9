"""How many readings of one vehicle may be on their way to Kafka at a time.

Reading from the stream never stops, because heartbeats and reports come the same way. So what is too much is not
taken: the vehicle keeps it, is asked to wait by Throttle, and offers again what has no ack. One that goes on sending
without a pause is closed. Nothing that was not taken is held here, so memory stays flat however long Kafka is away.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ingest_gateway.acks import AckTracker
from ingest_gateway.effects import Close, Code
from ingest_gateway.limits import MAX_LOSSES_IN_FLIGHT, THROTTLE_S


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a batch. `throttle_s` above 0: ask the vehicle to wait. `close`: it did not listen."""

    take: bool
    throttle_s: float = 0.0
    reason: str = ""
    close: Close | None = None


_TAKE = Verdict(take=True)
_LEAVE = Verdict(take=False)


class ReadingWindow:
    """One session's window. `share`: its vehicle's own; `has_room`: whether Kafka's backlog takes so many more."""

    __slots__ = ("_acks", "_declined", "_has_room", "_largest", "_share", "_throttled_until_s", "lent")

    def __init__(self, share: int, acks: AckTracker, has_room: Callable[[int], bool]) -> None:
        self._share, self._acks, self._has_room = share, acks, has_room
        #: On top of the share.
        self.lent = 0
        self._largest = share
        self._throttled_until_s = float("-inf")
        self._declined = 0

    def lend(self, readings: int) -> None:
        """So many on top of the share, from now on."""
        self.lent = readings
        self._largest = max(self._largest, self.size)

    @property
    def size(self) -> int:
        """As the vehicle is told."""
        return self._share + self.lent

    def ask(self, boot_epoch: int, count: int, now_s: float, repeated: int = 0) -> Verdict:
        """For a batch of so many. `repeated`: those of them that are on their way already, and take no room."""
        if now_s < self._throttled_until_s:
            return self._decline_again(count)
        more = count - repeated
        if not self._remembers(boot_epoch) or self._acks.in_flight + more > self.size:
            return self._throttle(count, "UNACKED_READINGS", now_s)
        if not self._has_room(more):
            return self._throttle(count, "KAFKA_BACKLOG", now_s)
        return _TAKE

    def _remembers(self, boot_epoch: int) -> bool:
        """Whether something new of this epoch can be acknowledged later. Of one that reads its acks and obeys no more
        than a window of them waits: ranges and rejections are of readings that it has under way.
        """
        return self._acks.unsent <= self.size and self._acks.has_place(boot_epoch)

    def takes_loss(self, boot_epoch: int) -> bool:
        """Whether one more declared loss is taken. It goes before readings, and so not into their window."""
        few = self._acks.losses_in_flight < MAX_LOSSES_IN_FLIGHT
        return few and self._has_room(1) and self._remembers(boot_epoch)

    def pause(self, now_s: float) -> float:
        """Kafka did not take what it was given. Returns how long to ask the vehicle to wait; 0: it waits already."""
        if now_s < self._throttled_until_s:
            return 0.0
        return self._throttle(0, "", now_s).throttle_s

    def _throttle(self, count: int, reason: str, now_s: float) -> Verdict:
        self._throttled_until_s = now_s + THROTTLE_S
        self._declined = count
        return Verdict(take=False, throttle_s=THROTTLE_S, reason=reason)

    def _decline_again(self, count: int) -> Verdict:
        """What was under way when Throttle was sent is forgiven: that can't be more than the largest window of this
        session. That it has become smaller the vehicle hears with an ack, and may not have had one."""
        self._declined += count
        if self._declined <= self._largest:
            return _LEAVE
        text = f"{self._declined} readings since Throttle, more than the {self._largest} that could be under way"
        return Verdict(take=False, close=Close(Code.RESOURCE_EXHAUSTED, "THROTTLE_IGNORED", f"{text}; wait as asked"))
