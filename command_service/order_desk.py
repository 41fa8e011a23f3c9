"""Where orders are given: who may, to whom, and what became of it."""

from collections.abc import Callable, Mapping
from typing import Final

from haul.command.v1 import command_service_pb2 as command_pb2

from command_service.core import CommandCore
from command_service.hub import Hub, moment
from command_service.orders import ANSWER_MARGIN_S, AWAY, MAX_OUTCOMES, NO_ANSWER, STRANGER, OrderEntry, TooManyOrders
from command_service.stop_desk import invalid
from pitwall import wire
from pitwall.domain.order import (
    MAX_EXPIRE_AFTER_S,
    STALE_REASONS,
    InvalidEtag,
    MotionEtag,
    Order,
    OrderOutcome,
    OrderResult,
    SetStatus,
)
from pitwall.domain.vehicle_state import GUARDED, VehicleStatus
from pitwall.ids import InvalidId, parse_uuid7, uuid7
from pitwall.rpc.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    PitwallError,
    ResourceExhausted,
    Unavailable,
)
from pitwall.rpc.outcomes import MAX_DEADLINE_S
from pitwall.tokens import Permission, Person
from pitwall.wire import MAX_SCOPE_VEHICLES

_MAX_UINT64: Final = 2**64 - 1
#: Until the tick that gives up on an order has come.
_WAIT_S: Final = MAX_EXPIRE_AFTER_S + ANSWER_MARGIN_S + 1.0

#: A stopped vehicle may be released to MAINTENANCE while the order is under way, and would then be taken out of that.
_GUARDED: Final = GUARDED | {VehicleStatus.EMERGENCY_STOP}

assert _WAIT_S < MAX_DEADLINE_S
assert MAX_SCOPE_VEHICLES <= MAX_OUTCOMES


class OrderDesk:
    """SendOrder."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @property
    def _core(self) -> CommandCore:
        return self._hub.core

    async def send(self, request: command_pb2.SendOrderRequest, person: Person) -> OrderEntry:
        """Waits for an outcome of every target. A repeated request_id waits for, or gets, the same ones."""
        order = _order(request, person)
        etags = _etags(request)
        entry = self._core.orders.get(order.request_id)
        if entry is None:
            self._check_person(order, etags, person)
            entry = self._send(order, etags)
        elif not entry.same_as(order, etags):
            raise AlreadyExists(
                "REQUEST_ID_REUSED", f"order {order.request_id} is another one; leave request_id out to make one"
            )
        sent = entry
        await self._hub.until(lambda: sent.done, _WAIT_S)
        if len(sent.outcomes) == 1:
            _raise_bad(sent)
        return sent

    def _send(self, order: Order, etags: Mapping[str, MotionEtag]) -> OrderEntry:
        ended: dict[str, OrderOutcome] = {}
        for vehicle_id in etags:
            vehicle = self._core.registry.get(vehicle_id)
            if vehicle is None:
                ended[vehicle_id] = STRANGER
            elif not vehicle.connected:
                ended[vehicle_id] = AWAY
        try:
            self._core.send(order, etags, ended, moment())
        except TooManyOrders as error:
            raise ResourceExhausted("TOO_MANY_ORDERS", str(error), metadata={"may_have_happened": "false"}) from error
        self._hub.carry_out()
        entry = self._core.orders.get(order.request_id)
        assert entry is not None
        return entry

    def _check_person(self, order: Order, etags: Mapping[str, MotionEtag], person: Person) -> None:
        """SET_STATUS out of MAINTENANCE and ERROR takes a supervisor or maintainer; the rest an operator."""
        guarded = [vehicle_id for vehicle_id in sorted(etags) if self._leaves_guarded(order, vehicle_id)]
        if guarded and not person.may(Permission.LEAVE_MAINTENANCE):
            raise _may_not(person, f"take {guarded[0]} out of its status; a supervisor or a maintainer may")
        if len(guarded) < len(etags) and not person.may(Permission.SEND_ORDER):
            raise _may_not(person, "order this; a maintainer may just SET_STATUS, out of MAINTENANCE or ERROR")

    def _leaves_guarded(self, order: Order, vehicle_id: str) -> bool:
        vehicle = self._core.registry.get(vehicle_id)
        if not isinstance(order.kind, SetStatus) or vehicle is None:
            return False
        return vehicle.status.status is None or vehicle.status.status in _GUARDED


def _may_not(person: Person, what: str) -> PermissionDenied:
    roles = ", ".join(sorted(person.roles)) or "none"
    return PermissionDenied(
        "ROLE_MISSING", f"{person.subject} (roles: {roles}) may not {what}", metadata={"may_have_happened": "false"}
    )


def _order(request: command_pb2.SendOrderRequest, person: Person) -> Order:
    message = request.order
    try:
        message.request_id = parse_uuid7(message.request_id) if message.request_id else uuid7()
        message.issued_by = person.subject
        if message.HasField("stop_drill"):
            message.stop_drill.stop_id = _stop_id(message.stop_drill.stop_id)
        return wire.order_from_proto(message)
    except InvalidId as error:
        raise invalid("order.request_id", "INVALID_REQUEST_ID", str(error)) from error
    except wire.InvalidMessage as error:
        raise invalid(f"order.{error.field}", "INVALID_ORDER", error.reason) from error


def _stop_id(text: str) -> str:
    """As the stop itself will be called."""
    try:
        return parse_uuid7(text)
    except InvalidId as error:
        raise invalid("order.stop_drill.stop_id", "INVALID_STOP_ID", str(error)) from error


def _etags(request: command_pb2.SendOrderRequest) -> dict[str, MotionEtag]:
    if not 1 <= len(request.targets) <= MAX_SCOPE_VEHICLES:
        reason = f"has {len(request.targets)} vehicles, 1 to {MAX_SCOPE_VEHICLES:,} are taken"
        raise invalid("targets", "INVALID_TARGETS", reason)
    etags: dict[str, MotionEtag] = {}
    for index, target in enumerate(request.targets):
        field = f"targets[{index}]"
        try:
            vehicle_id = wire.checked_vehicle_id(target.vehicle_id, f"{field}.vehicle_id")
        except wire.InvalidMessage as error:
            raise invalid(error.field, "INVALID_VEHICLE_ID", error.reason) from error
        if vehicle_id in etags:
            raise invalid(f"{field}.vehicle_id", "VEHICLE_NAMED_TWICE", f"{vehicle_id} is named twice")
        etags[vehicle_id] = _etag(target.etag, f"{field}.etag")
    return etags


def _etag(text: str, field: str) -> MotionEtag:
    try:
        etag = MotionEtag.parse(text)
    except InvalidEtag as error:
        raise invalid(field, "INVALID_ETAG", str(error)) from error
    if max(etag.boot_epoch, etag.connect_count, etag.hold_count, etag.heartbeat_number) > _MAX_UINT64:
        raise invalid(field, "INVALID_ETAG", f"{text!r} is not one of GetMotionState or ListMotionStates")
    return etag


def _raise_bad(entry: OrderEntry) -> None:
    """With one target a bad outcome is the call's error."""
    (one,) = entry.outcomes.values()
    outcome = one.outcome
    if outcome is None or outcome.result is OrderResult.EXECUTED:
        return
    metadata = {
        "may_have_happened": "true" if outcome.may_have_happened else "false",
        "vehicle_id": one.vehicle_id,
        "request_id": entry.order.request_id,
        "result": outcome.result.name,
    }
    raise _error_of(outcome)(outcome.reason, f"{one.vehicle_id}: {outcome.message}", metadata=metadata)


_BY_RESULT: Final = {
    OrderResult.REJECTED: FailedPrecondition,
    OrderResult.EXPIRED: DeadlineExceeded,
    OrderResult.UNKNOWN: Unavailable,
    OrderResult.UNAVAILABLE: Unavailable,
}
_BY_REASON: Final = {
    **dict.fromkeys(STALE_REASONS, Aborted),
    STRANGER.reason: NotFound,
    NO_ANSWER.reason: DeadlineExceeded,
}


def _error_of(outcome: OrderOutcome) -> Callable[..., PitwallError]:
    return _BY_REASON.get(outcome.reason) or _BY_RESULT[outcome.result]
