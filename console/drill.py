"""`pitwall drill`: vehicles that consent brake for real, measure how, and the site keeps what they measured.

First an order asks each vehicle, and it is the vehicle that consents or refuses. A drill of the link's loss needs
nothing more; a drill of a stop is then a stop like any other, of those that take part, whose id the order has named.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from haul.command.v1 import order_pb2

from console import words
from console.client import Client
from console.failures import EXIT_DONE, EXIT_FAILED, EXIT_PARTLY, ConsoleError, UsageProblem
from console.orders import Targets, give, pick
from console.output import emit, emit_fields, say, table
from console.reaction import COLUMNS, cells
from console.scope import names, read_scope
from console.site import Site
from console.stop import StopOrder
from console.stop import run as run_stop
from pitwall.clock import monotonic_s
from pitwall.domain.order import LinkLossDrill, Order, StopDrill
from pitwall.domain.stop_set import Scope, VehicleScope
from pitwall.ids import uuid7
from pitwall.wire import MAX_REASON_CHARACTERS

#: The etag may be so old when the vehicle begins, seconds. Short: those that take part wait for those that are slow.
EXPIRE_AFTER_S = 5.0
#: From the last permit to standing nothing takes longer, seconds; a vehicle that does not stand by then says so.
LASTS_S = 35.0
#: Between two looks at what vehicles have told, seconds.
LOOK_S = 0.5
#: Of the stop, until all stand.
STOP_WAIT_S = 30.0


class Kind(StrEnum):
    STOP = "stop"
    LINK_LOSS = "link-loss"


def parse_kind(name: str) -> Kind:
    """Upper or lower case, _ or -."""
    try:
        return Kind(name.lower().replace("_", "-"))
    except ValueError:
        raise UsageProblem(f"--kind {name}: there is no such drill", fix=f"choose one of {', '.join(Kind)}") from None


def read_drilled(vehicle_ids: Sequence[str], zone: Path | None) -> Scope:
    """Some by name, or a zone. Nobody drills the whole fleet in one go."""
    if bool(vehicle_ids) == (zone is not None):
        raise UsageProblem("say which vehicles: some by name, or --zone FILE", fix="for example KOMATSU-930E-001")
    return read_scope(vehicle_ids, everyone=False, zone=zone)


def run(site: Site, kind: Kind, scope: Scope, reason: str) -> int:
    """Returns 0 where every vehicle has passed, 1 where one has failed or none has passed, 3 otherwise."""
    stop_id = uuid7() if kind is Kind.STOP else ""
    order = Order(uuid7(), StopDrill(stop_id, reason) if stop_id else LinkLossDrill(reason), EXPIRE_AFTER_S)
    with Client(site) as client:
        targets = pick(site, client, scope)
        outcomes = give(client, order, targets)
        taking_part = [outcome.vehicle_id for outcome in outcomes if _takes_part(outcome)]
        if taking_part and stop_id:
            why = f"drill: {reason}"[:MAX_REASON_CHARACTERS]
            run_stop(site, StopOrder(stop_id, VehicleScope(frozenset(taking_part)), why, STOP_WAIT_S))
        elif taking_part and not site.json:
            say(f"{names(taking_part, 20)}: no permits from now on; waiting until they stand")
        outcomes = _told(client, order, targets, outcomes)
    _show(site, order.request_id, stop_id, outcomes)
    if taking_part and not site.json:
        say(_go_on(stop_id, taking_part))
    return _exit_code(outcomes)


def _takes_part(outcome: order_pb2.OrderOutcome) -> bool:
    return outcome.result == order_pb2.ORDER_RESULT_EXECUTED


def _told(
    client: Client, order: Order, targets: Targets, outcomes: list[order_pb2.OrderOutcome]
) -> list[order_pb2.OrderOutcome]:
    """The outcomes when all who take part have told what they measured, or their time is over.

    The order is given again under its id: that does nothing anew, and any command service answers it.
    """
    end_s = monotonic_s() + LASTS_S
    while any(_takes_part(one) and not one.HasField("reaction") for one in outcomes) and monotonic_s() < end_s:
        time.sleep(LOOK_S)
        with suppress(ConsoleError):  # the drill goes on without us
            outcomes = give(client, order, targets)
    return outcomes


def _show(site: Site, request_id: str, stop_id: str, outcomes: Sequence[order_pb2.OrderOutcome]) -> None:
    if not site.json:
        table(("VEHICLE", *COLUMNS), [(one.vehicle_id, *cells(one)) for one in outcomes], "no outcome")
        return
    for outcome in outcomes:
        emit(outcome, requestId=request_id)
    verdicts = [words.drill_verdict(one.reaction.verdict) for one in outcomes if one.HasField("reaction")]
    counts = {
        "passed": verdicts.count("PASSED"),
        "failed": verdicts.count("FAILED"),
        "nothingMeasured": verdicts.count("NOTHING_MEASURED"),
        "notTold": len(outcomes) - len(verdicts),
    }
    emit_fields({"drill": {"requestId": request_id, **({"stopId": stop_id} if stop_id else {}), **counts}})


def _go_on(stop_id: str, vehicle_ids: Sequence[str]) -> str:
    if stop_id:
        return f"They are stopped until two people release them: pitwall release {stop_id} --reason …"
    return f"They hold LINK_LOST: see that the way is clear, then pitwall order RESUME {' '.join(vehicle_ids)}"


def _exit_code(outcomes: Sequence[order_pb2.OrderOutcome]) -> int:
    verdicts = [outcome.reaction.verdict for outcome in outcomes]
    passed = verdicts.count(order_pb2.DRILL_VERDICT_PASSED)
    if order_pb2.DRILL_VERDICT_FAILED in verdicts or not passed:
        return EXIT_FAILED
    return EXIT_DONE if passed == len(verdicts) else EXIT_PARTLY
