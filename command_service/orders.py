"""Orders on their way, and what became of the ones before: at most once, never queued, never forgotten too early.

Pure. An order goes out at once to the vehicles that have a link, and to nobody later. Each target ends with one
outcome: the vehicle's own, UNAVAILABLE where it had no link (nothing was sent), UNKNOWN where the link broke or nobody
answered in time (it may have happened). A vehicle that answers after all puts its own word in the place of UNKNOWN, and
of a drill what it has measured in the place of EXECUTED.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from command_service.events import OrderRecorded, Outcome
from pitwall.domain.order import MAX_EXPIRE_AFTER_S, REQUEST_MEMORY_S, MotionEtag, Order, OrderOutcome, OrderResult

#: On top of expire_after, until a vehicle that has not answered counts as UNKNOWN, seconds.
ANSWER_MARGIN_S = 1.0
#: Orders remembered, and outcomes of all of them together; the oldest go first, never one that is on its way.
MAX_ORDERS = 10_000
MAX_OUTCOMES = 200_000
#: Orders on their way at one time. The next one is refused.
MAX_UNDER_WAY = 1_000

_NANOS = 1_000_000_000

assert MAX_UNDER_WAY <= MAX_ORDERS
assert MAX_EXPIRE_AFTER_S + ANSWER_MARGIN_S < REQUEST_MEMORY_S

#: What a vehicle itself says of an order; the rest is said for it.
VEHICLES_OWN = frozenset({OrderResult.EXECUTED, OrderResult.REJECTED, OrderResult.EXPIRED})
AWAY = OrderOutcome(OrderResult.UNAVAILABLE, "NO_LINK", "the vehicle has no link now; nothing was sent")
STRANGER = OrderOutcome(OrderResult.UNAVAILABLE, "VEHICLE_UNKNOWN", "no vehicle of this name is known to the site")
LINK_BROKE = OrderOutcome(
    OrderResult.UNKNOWN, "LINK_BROKE", "the link broke after sending; look at the vehicle, don't retry", True
)
NO_ANSWER = OrderOutcome(
    OrderResult.UNKNOWN, "NO_ANSWER", "the vehicle has not answered in time; look at it, don't retry", True
)


class TooManyOrders(Exception):
    """MAX_UNDER_WAY orders are on their way."""


@dataclass(slots=True)
class OrderEntry:
    """One order. `outcomes` has None for a target that is on its way; of those `retold`, a peer has said what it is."""

    order: Order
    etags: Mapping[str, MotionEtag]
    issued_ns: int
    gives_up_s: float
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    retold: set[str] = field(default_factory=set)

    @property
    def done(self) -> bool:
        return not self.waiting

    def same_as(self, order: Order, etags: Mapping[str, MotionEtag]) -> bool:
        """Whether a repeat asks for the same; restored ones have forgotten their etags."""
        return self.order.kind == order.kind and self.outcomes.keys() == etags.keys()


class OrderBook:
    """Every order of the last day. Methods that end something return what is to be recorded."""

    def __init__(self) -> None:
        self._entries: dict[str, OrderEntry] = {}
        self._under_way: dict[str, OrderEntry] = {}
        self._outcomes = 0

    def get(self, request_id: str) -> OrderEntry | None:
        return self._entries.get(request_id)

    def entries(self) -> Iterable[OrderEntry]:
        """Oldest first."""
        return self._entries.values()

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    def send(
        self,
        order: Order,
        etags: Mapping[str, MotionEtag],
        ended: Mapping[str, OrderOutcome],
        now_s: float,
        now_ns: int,
    ) -> OrderRecorded:
        """A new order. `ended`: the targets that can't be reached, with why. Raises TooManyOrders."""
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise TooManyOrders(f"{MAX_UNDER_WAY:,} orders are on their way; wait for some of them")
        entry = OrderEntry(order, etags, now_ns, now_s + order.expire_after_s + ANSWER_MARGIN_S)
        entry.waiting = {vehicle_id for vehicle_id in etags if vehicle_id not in ended}
        for vehicle_id in etags:
            entry.outcomes[vehicle_id] = Outcome(
                vehicle_id, ended.get(vehicle_id), now_ns if vehicle_id in ended else 0
            )
        self._keep(entry, now_ns)
        if entry.waiting:
            self._under_way[order.request_id] = entry
        return OrderRecorded(order, now_ns, tuple(entry.outcomes.values()))

    def answered(self, request_id: str, vehicle_id: str, outcome: OrderOutcome, event_ns: int) -> OrderRecorded | None:
        """A vehicle's word, or its gateway's. None where it is no news.

        What a vehicle has measured is recorded by all who hear it from there, also where a peer was faster to tell.
        """
        entry = self._entries.get(request_id)
        if entry is None or vehicle_id not in entry.outcomes:
            return None
        known = entry.outcomes[vehicle_id].outcome
        is_evidence = vehicle_id in entry.retold and outcome.reaction is not None
        if not _better(outcome, known) and not is_evidence:
            return None
        entry.retold.discard(vehicle_id)
        return self._end(entry, [vehicle_id], outcome, event_ns)

    def broke(self, vehicle_id: str, now_ns: int) -> list[OrderRecorded]:
        """The vehicle's session has ended: nobody can say any more whether its orders arrived."""
        entries = [entry for entry in self._under_way.values() if vehicle_id in entry.waiting]
        return [self._end(entry, [vehicle_id], LINK_BROKE, now_ns) for entry in entries]

    def tick(self, now_s: float, now_ns: int) -> list[OrderRecorded]:
        """Gives up waiting for those that had their time."""
        late = [entry for entry in self._under_way.values() if now_s >= entry.gives_up_s]
        return [self._end(entry, sorted(entry.waiting), NO_ANSWER, now_ns) for entry in late]

    def restore(self, record: OrderRecorded, now_ns: int) -> None:
        """Takes a record from the journal. What was on its way when the process ended is UNKNOWN until told better."""
        entry = self._entries.get(record.order.request_id)
        if entry is None:
            entry = OrderEntry(record.order, {}, record.issued_ns, 0.0)
            self._keep(entry, now_ns)
        self._outcomes -= len(entry.outcomes)
        for outcome in record.outcomes:
            known = outcome if outcome.outcome else Outcome(outcome.vehicle_id, LINK_BROKE, record.issued_ns)
            entry.outcomes[outcome.vehicle_id] = known
        self._outcomes += len(entry.outcomes)

    def learn(self, record: OrderRecorded, now_ns: int) -> None:
        """Takes a peer's word of an order that it was given, so that a repeat of the request is answered alike here.

        Of one that is known here, only what vehicles have said: that the peer could not reach one, or does not know
        what became of it, is no answer to what may have been sent from here.
        """
        entry = self._entries.get(record.order.request_id)
        if entry is None:
            self.restore(record, now_ns)
            entry = self._entries[record.order.request_id]
            entry.retold |= entry.outcomes.keys()
        for one in record.outcomes:
            if one.outcome is None or one.outcome.result not in VEHICLES_OWN or one.vehicle_id not in entry.outcomes:
                continue
            if _better(one.outcome, entry.outcomes[one.vehicle_id].outcome):
                self._end(entry, [one.vehicle_id], one.outcome, one.event_ns)
                entry.retold.add(one.vehicle_id)

    def _end(
        self, entry: OrderEntry, vehicle_ids: Iterable[str], outcome: OrderOutcome, event_ns: int
    ) -> OrderRecorded:
        ended = tuple(Outcome(vehicle_id, outcome, event_ns) for vehicle_id in vehicle_ids)
        for one in ended:
            entry.outcomes[one.vehicle_id] = one
            entry.waiting.discard(one.vehicle_id)
        if entry.done:
            self._under_way.pop(entry.order.request_id, None)
        return OrderRecorded(entry.order, entry.issued_ns, ended)

    def _keep(self, entry: OrderEntry, now_ns: int) -> None:
        self._entries[entry.order.request_id] = entry
        self._outcomes += len(entry.outcomes)
        oldest_ns = now_ns - round(REQUEST_MEMORY_S * _NANOS)
        while oldest := next((e for e in self._entries.values() if e.done and e is not entry), None):
            full = len(self._entries) > MAX_ORDERS or self._outcomes > MAX_OUTCOMES
            if not full and oldest.issued_ns >= oldest_ns:
                return
            del self._entries[oldest.order.request_id]
            self._outcomes -= len(oldest.outcomes)


def _better(outcome: OrderOutcome, known: OrderOutcome | None) -> bool:
    if known is None:
        return True
    if known.result is OrderResult.UNKNOWN:
        return outcome.result is not OrderResult.UNKNOWN
    return known.result is OrderResult.EXECUTED and known.reaction is None and outcome.reaction is not None
