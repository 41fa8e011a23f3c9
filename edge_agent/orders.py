"""Orders at one vehicle: judged, written down, judged again, and only then done. At most once.

An order that may happen is first recorded on disk. While the disk works, a stop may come or a permit run out, so the
order is judged anew when the record is there. Whoever repeats a request gets the answer that was given before.
"""

from dataclasses import dataclass

from edge_agent.drill import Drill
from edge_agent.effects import Effect, RecordOrder, RememberAnswer, ReportOrder
from edge_agent.gate import Gate
from edge_agent.limits import MAX_PENDING_ORDERS
from edge_agent.vehicle import VehicleSample
from pitwall.domain.order import (
    MotionEtag,
    Order,
    OrderOutcome,
    OrderResult,
    OwnMotion,
    RequestMemory,
    Resume,
    SetAutonomousMode,
    SetStatus,
    StartRoute,
    judge,
)
from pitwall.domain.vehicle_state import VehicleStatus

EXECUTED = OrderOutcome(OrderResult.EXECUTED)
#: What is on disk while it is not yet known whether the order happened: all that a restart in between can say.
INTERRUPTED = OrderOutcome(
    OrderResult.UNKNOWN,
    "INTERRUPTED",
    "the vehicle restarted while it carried this out; look at its state and give a new order",
    may_have_happened=True,
)
NOT_RECORDED = OrderOutcome(
    OrderResult.REJECTED, "NOT_RECORDED", "the vehicle can't write to its disk, so it did nothing; mend its disk"
)
BUSY = OrderOutcome(OrderResult.REJECTED, "BUSY", "too many orders wait for the vehicle's disk; give it anew")


@dataclass(frozen=True, slots=True)
class _Pending:
    order: Order
    etag: MotionEtag


class OrderDesk:
    """Takes one vehicle's orders. `memory` holds the answers, also those from before a restart. `drills`: consent."""

    def __init__(self, gate: Gate, memory: RequestMemory, *, drills: bool = False) -> None:
        self._gate, self._memory, self._drills = gate, memory, drills
        self.drill = Drill(gate)
        self._pending: dict[str, _Pending] = {}

    def receive(self, order: Order, etag: MotionEtag, connect_count: int, now_s: float) -> list[Effect]:
        """An order from the stream."""
        if order.request_id in self._pending:
            return []
        known = self._memory.recall(order.request_id)
        if known is not None:
            return [ReportOrder(order.request_id, known)]
        refusal = self._judge(order, etag, connect_count, now_s)
        if refusal is not None:
            return self._answer(order.request_id, refusal, now_s)
        if len(self._pending) >= MAX_PENDING_ORDERS:
            return [ReportOrder(order.request_id, BUSY)]
        self._pending[order.request_id] = _Pending(order, etag)
        return [RecordOrder(order.request_id)]

    def recorded(self, request_id: str, connect_count: int, now_s: float, *, ok: bool) -> list[Effect]:
        """The record is on disk, or can't be made. Too late for an order that was given up meanwhile."""
        pending = self._pending.pop(request_id, None)
        if pending is None:
            return []
        if not ok:
            return [ReportOrder(request_id, NOT_RECORDED)]
        refusal = self._judge(pending.order, pending.etag, connect_count, now_s)
        if refusal is not None:
            return self._answer(request_id, refusal, now_s)
        effects = self._execute(pending.order, now_s)
        return effects + self._answer(request_id, EXECUTED, now_s)

    def expire(self, connect_count: int, now_s: float) -> list[Effect]:
        """Gives up what has waited for the disk until it is too late anyway."""
        effects: list[Effect] = []
        for request_id, pending in list(self._pending.items()):
            refusal = self._judge(pending.order, pending.etag, connect_count, now_s)
            if refusal is not None:
                del self._pending[request_id]
                effects += self._answer(request_id, refusal, now_s)
        return effects

    def look(self, now_s: float) -> list[Effect]:
        """After whatever may have changed the gate: the last outcome of a drill that is over by that."""
        return self._told(self.drill.look(now_s), now_s)

    def measured(self, sample: VehicleSample, now_s: float) -> list[Effect]:
        """The same for a sample that the gate has seen."""
        return self._told(self.drill.look(now_s) or self.drill.measured(sample), now_s)

    def _told(self, ended: tuple[str, OrderOutcome] | None, now_s: float) -> list[Effect]:
        """It is on disk already that the order was executed, and a restart has nothing to measure."""
        if ended is None:
            return []
        request_id, outcome = ended
        self._memory.remember(request_id, outcome, now_s)
        return [ReportOrder(request_id, outcome)]

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def _answer(self, request_id: str, outcome: OrderOutcome, now_s: float) -> list[Effect]:
        self._memory.remember(request_id, outcome, now_s)
        return [RememberAnswer(request_id, outcome), ReportOrder(request_id, outcome)]

    def _judge(self, order: Order, etag: MotionEtag, connect_count: int, now_s: float) -> OrderOutcome | None:
        gate, latest = self._gate, self._gate.sight.latest
        own = OwnMotion(
            boot_epoch=gate.boot_epoch,
            connect_count=connect_count,
            hold_count=gate.hold_count,
            status=gate.status,
            motion_hold=gate.hold,
            permit_valid=gate.permit_valid(now_s),
            latched=bool(gate.latched),
            sighted=not gate.sight.blind(now_s),
            speed_kph=None if latest is None else latest.speed_kph,
            drills=self._drills,
            drilling=self.drill.under_way,
        )
        return judge(order, etag, own, gate.heartbeats.age_s(etag.heartbeat_number, now_s))

    def _execute(self, order: Order, now_s: float) -> list[Effect]:
        gate, kind, cause = self._gate, order.kind, f"order {order.request_id}"
        match kind:
            case Resume():
                return gate.resume(now_s, cause)
            case StartRoute():
                return gate.set_status(VehicleStatus.ROUTING, now_s, cause)
            case SetStatus(status):
                return gate.set_status(status, now_s, cause)
            case SetAutonomousMode(enabled):
                return gate.set_autonomous(enabled, now_s, cause)
        self.drill.begin(order.request_id, kind, now_s)
        return []
