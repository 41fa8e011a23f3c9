"""`pitwall order`: an order to vehicles, bound to the motion state that they are in now."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from haul.command.v1 import command_service_pb2, order_pb2

from console import words
from console.client import Client
from console.failures import EXIT_DONE, EXIT_FAILED, EXIT_PARTLY, ConsoleError, UsageProblem
from console.motion import list_motion_states
from console.output import emit, say, table
from console.scope import names
from console.site import Site
from pitwall.domain.geo import Position, Zone
from pitwall.domain.order import Order, OrderKind, Resume, SetAutonomousMode, SetStatus, StartRoute
from pitwall.domain.stop_set import POSITION_MAX_AGE_S, Scope, VehicleScope, ZoneScope
from pitwall.domain.vehicle_state import VehicleStatus
from pitwall.ids import uuid7
from pitwall.wire import order_to_proto, to_seconds

#: The command service waits for outcomes as long as the order lasts; its answer may take so much longer, seconds.
ANSWER_MARGIN_S = 5.0


class Kind(StrEnum):
    RESUME = "RESUME"
    START_ROUTE = "START_ROUTE"
    SET_STATUS = "SET_STATUS"
    SET_AUTONOMOUS_MODE = "SET_AUTONOMOUS_MODE"


@dataclass(frozen=True, slots=True)
class Details:
    """What the command line says beside the kind; None where it says nothing."""

    route: str | None = None
    status: str | None = None
    enabled: bool | None = None


def parse_kind(name: str) -> Kind:
    """Upper or lower case, _ or -."""
    try:
        return Kind(name.upper().replace("-", "_"))
    except ValueError:
        raise UsageProblem(f"{name}: there is no such order", fix=f"choose one of {', '.join(Kind)}") from None


def make_kind(kind: Kind, details: Details) -> OrderKind:
    """Raises UsageProblem for a detail that is missing, or that this kind doesn't take."""
    _check_details(kind, details)
    match kind:
        case Kind.RESUME:
            return Resume()
        case Kind.START_ROUTE:
            return StartRoute(details.route or "")
        case Kind.SET_STATUS:
            return SetStatus(_status(details.status or ""))
        case Kind.SET_AUTONOMOUS_MODE:
            return SetAutonomousMode(bool(details.enabled))


def _check_details(kind: Kind, details: Details) -> None:
    flags = (
        ("--route", Kind.START_ROUTE, details.route is not None, False),
        ("--status", Kind.SET_STATUS, details.status is not None, True),
        ("--enabled or --disabled", Kind.SET_AUTONOMOUS_MODE, details.enabled is not None, True),
    )
    for flag, its_kind, given, required in flags:
        if given and kind is not its_kind:
            raise UsageProblem(f"{kind} takes no {flag}", fix=f"leave it out, or order {its_kind}")
        if required and not given and kind is its_kind:
            raise UsageProblem(f"{kind} needs {flag}", fix=f"for example: pitwall order {_EXAMPLES[kind]}")


_EXAMPLES = {
    Kind.SET_STATUS: "SET_STATUS KOMATSU-930E-001 --status IDLE",
    Kind.SET_AUTONOMOUS_MODE: "SET_AUTONOMOUS_MODE KOMATSU-930E-001 --enabled",
}


def _status(name: str) -> VehicleStatus:
    try:
        return VehicleStatus[name.upper()]
    except KeyError:
        known = ", ".join(status.name for status in VehicleStatus)
        raise UsageProblem(f"--status {name}: there is no such status", fix=f"choose one of {known}") from None


def run(site: Site, kind: OrderKind, scope: Scope, expire_after_s: float) -> int:
    """Returns 0 where every vehicle executed it, 3 where some did, 1 where none did."""
    order = Order(uuid7(), kind, expire_after_s)
    with Client(site) as client:
        outcomes = give(client, order, pick(site, client, scope))
    _show(site, order.request_id, outcomes)
    executed = sum(outcome.result == order_pb2.ORDER_RESULT_EXECUTED for outcome in outcomes)
    if executed == len(outcomes):
        return EXIT_DONE
    return EXIT_PARTLY if executed else EXIT_FAILED


@dataclass(frozen=True, slots=True)
class Targets:
    """`unknown`: named, but never seen by the site. `unsure`: not named, perhaps in the zone."""

    states: Sequence[order_pb2.MotionState]
    unknown: Sequence[str] = ()
    unsure: Sequence[str] = ()


def pick(site: Site, client: Client, scope: Scope) -> Targets:
    """Each with the motion state that it is in now. Says who of a zone is left out."""
    targets = _pick(list_motion_states(client), scope)
    if targets.unsure and not site.json:
        say(f"left out, for nobody knows where they are: {names(targets.unsure, 20)}")
    return targets


def give(client: Client, order: Order, targets: Targets) -> list[order_pb2.OrderOutcome]:
    """What each one says. Raises ConsoleError where there is none, or the only one that was asked refuses."""
    try:
        answer = _send(client, order, targets.states) if targets.states else None
    except ConsoleError as error:  # the only vehicle that was asked says why not; the others are named all the same
        if targets.unknown:
            error.message += f"; never seen by the site: {names(targets.unknown, 20)}"
        raise
    outcomes = [*(answer.outcomes if answer else ()), *map(_never_seen, targets.unknown)]
    if not outcomes:
        raise ConsoleError("no vehicle to order: none is known there", reason="NO_VEHICLE")
    return outcomes


def _pick(states: Sequence[order_pb2.MotionState], scope: Scope) -> Targets:
    match scope:
        case VehicleScope(vehicle_ids):
            known = [state for state in states if state.vehicle_id in vehicle_ids]
            return Targets(known, unknown=sorted(vehicle_ids - {state.vehicle_id for state in known}))
        case ZoneScope(zone):
            return _pick_in_zone(states, zone)
        case _:
            return Targets(states)


def _pick_in_zone(states: Sequence[order_pb2.MotionState], zone: Zone) -> Targets:
    """A stop takes whoever may be inside; an order to move only who is."""
    inside, unsure = [], []
    for state in states:
        if not state.HasField("location") or to_seconds(state.age) > POSITION_MAX_AGE_S:
            unsure.append(state.vehicle_id)
        elif zone.contains(Position(state.location.latitude_degrees, state.location.longitude_degrees)):
            inside.append(state)
    return Targets(inside, unsure=unsure)


def _send(
    client: Client, order: Order, states: Sequence[order_pb2.MotionState]
) -> command_service_pb2.SendOrderResponse:
    targets = [command_service_pb2.OrderTarget(vehicle_id=state.vehicle_id, etag=state.etag) for state in states]
    request = command_service_pb2.SendOrderRequest(order=order_to_proto(order), targets=targets)
    return client.ask(
        lambda line, timeout_s: line.stub.SendOrder(request, timeout=timeout_s, metadata=line.metadata),
        changes=True,
        timeout_s=order.expire_after_s + ANSWER_MARGIN_S,
    )


def _never_seen(vehicle_id: str) -> order_pb2.OrderOutcome:
    return order_pb2.OrderOutcome(
        vehicle_id=vehicle_id,
        result=order_pb2.ORDER_RESULT_UNAVAILABLE,
        reason="UNKNOWN_VEHICLE",
        message="the site has never seen this vehicle; `pitwall motion` lists those that it has",
    )


def _show(site: Site, request_id: str, outcomes: Sequence[order_pb2.OrderOutcome]) -> None:
    if site.json:
        for outcome in outcomes:
            emit(outcome, requestId=request_id)
        return
    columns = ("VEHICLE", "OUTCOME", "REASON", "")
    table(columns, [_row(outcome) for outcome in outcomes], "no outcome")


def _row(outcome: order_pb2.OrderOutcome) -> tuple[str, ...]:
    advice = "it may have happened: look, don't retry" if outcome.may_have_happened else ""
    said = "; ".join(part for part in (outcome.message, advice) if part)
    return outcome.vehicle_id, words.order_result(outcome.result), outcome.reason, said
