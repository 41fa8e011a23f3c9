"""Status changes on their way to Kafka: one in flight for each vehicle, so that they arrive in their order.

While Kafka is away they wait, so many for each vehicle; beyond that the newest takes the place of the one before it.
That loses a step between, never the state: each record holds all of it. How many were merged is counted.
"""

from collections import deque

from haul.telemetry.v1.telemetry_pb2 import StatusChange

from ingest_gateway.limits import MAX_WAITING_CHANGES


class StatusOutbox:
    """All vehicles'. Bounded by the vehicles that are known."""

    def __init__(self, capacity: int = MAX_WAITING_CHANGES) -> None:
        self._capacity = capacity
        self._waiting: dict[str, deque[StatusChange]] = {}
        self._in_flight: dict[str, StatusChange] = {}
        #: Changes whose place a newer one has taken.
        self.merged = 0

    def put(self, change: StatusChange) -> None:
        waiting = self._waiting.setdefault(change.vehicle_id, deque())
        if len(waiting) >= self._capacity:
            waiting.pop()
            self.merged += 1
        waiting.append(change)

    def take(self, room: int) -> list[StatusChange]:
        """What may go now, at most `room` of it. Each has to come back by `settled`."""
        ready = [v for v in self._waiting if v not in self._in_flight][: max(0, room)]
        for vehicle_id in ready:
            waiting = self._waiting[vehicle_id]
            self._in_flight[vehicle_id] = waiting.popleft()
            if not waiting:
                del self._waiting[vehicle_id]
        return [self._in_flight[vehicle_id] for vehicle_id in ready]

    def settled(self, vehicle_id: str, *, delivered: bool) -> None:
        """The delivery report is in. What was not delivered goes again, before what came after it."""
        change = self._in_flight.pop(vehicle_id)
        if not delivered:
            self._waiting.setdefault(vehicle_id, deque()).appendleft(change)

    @property
    def waiting(self) -> int:
        """Changes that are not in Kafka."""
        return sum(map(len, self._waiting.values())) + len(self._in_flight)
