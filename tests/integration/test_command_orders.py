"""Orders at a real command service: at once or never, the vehicle's own outcome, the same answer again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import event_pb2, order_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from haul.link.v1 import vehicle_link_service_pb2 as vehicle_pb2
from haul.telemetry.v1 import telemetry_pb2

from pitwall.clock import boottime_s
from pitwall.ids import uuid7
from tests.integration.command_rig import Operator, RawGateway, Site, make_home, running, session

A, B, MAINTAINED, AWAY = "KOMATSU-930E-001", "KOMATSU-980E-002", "KOMATSU-930E-003", "KOMATSU-980E-004"
STOPPED = "KOMATSU-930E-005"
EXECUTED = order_pb2.ORDER_RESULT_EXECUTED
REJECTED = order_pb2.ORDER_RESULT_REJECTED
EXPIRED = order_pb2.ORDER_RESULT_EXPIRED
UNKNOWN = order_pb2.ORDER_RESULT_UNKNOWN
UNAVAILABLE = order_pb2.ORDER_RESULT_UNAVAILABLE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("site"))


@pytest.fixture
async def site(home: Path, tmp_path: Path) -> AsyncIterator[Site]:
    async with running(home, tmp_path) as site:
        yield site


@pytest.fixture
async def gateway(site: Site) -> RawGateway:
    gateway = await site.gateway()
    maintained = session(MAINTAINED, status=telemetry_pb2.VEHICLE_STATUS_MAINTENANCE)
    stopped = session(STOPPED, status=telemetry_pb2.VEHICLE_STATUS_EMERGENCY_STOP)
    await gateway.exchanged(session(A), session(B), maintained, stopped, session(AWAY))
    await gateway.send(session_closed=link_pb2.SessionClosed(vehicle_id=AWAY, boot_epoch=7, connect_count=1))
    assert (await gateway.lease(1)).ttl.seconds == 2
    return gateway


@pytest.fixture
async def operator(site: Site) -> Operator:
    return await site.operator()


def ordered(*vehicle_ids: str, **changes: Any) -> command_pb2.SendOrderRequest:
    fields: dict[str, Any] = {"request_id": uuid7(), "resume": order_pb2.Resume()}
    if changes.keys() & {"set_status", "stop_drill"}:
        del fields["resume"]
    targets = [command_pb2.OrderTarget(vehicle_id=vehicle_id, etag="7-1-1-5") for vehicle_id in vehicle_ids]
    return command_pb2.SendOrderRequest(order=order_pb2.Order(**(fields | changes)), targets=targets)


def to_idle(**changes: Any) -> Any:
    return changes | {"set_status": order_pb2.SetStatus(status=telemetry_pb2.VEHICLE_STATUS_IDLE)}


async def test_an_order_goes_out_with_the_etag_that_was_seen_and_its_outcome_comes_back(
    gateway: RawGateway, operator: Operator
) -> None:
    request = ordered(A, B)
    sending = asyncio.create_task(operator.call("SendOrder", request))
    push = await gateway.frame("order")
    assert push.order.issued_by == "operator"
    assert push.order.expire_after.seconds == 10
    assert push.targets[0].etag == order_pb2.MotionEtag(boot_epoch=7, connect_count=1, hold_count=1, heartbeat_number=5)
    await gateway.answer(push, EXECUTED)
    response = await sending
    assert response.request_id == request.order.request_id
    assert {outcome.vehicle_id: outcome.result for outcome in response.outcomes} == {A: EXECUTED, B: EXECUTED}


async def test_a_repeat_gets_the_same_answer_and_is_not_sent_again(gateway: RawGateway, operator: Operator) -> None:
    request = ordered(A)
    first, second = (asyncio.create_task(operator.call("SendOrder", request)) for _ in range(2))
    await gateway.answer(await gateway.frame("order"), EXECUTED)
    assert await first == await second == await operator.call("SendOrder", request)
    assert len(gateway.of("order")) == 1


async def audited(operator: Operator, events: int) -> list[event_pb2.CommandEvent]:
    """The journal, once it holds so many: they follow a moment later."""
    deadline_s = boottime_s() + 5
    while True:
        found = list((await operator.call("ListAuditEvents", command_pb2.ListAuditEventsRequest())).events)
        if len(found) >= events:
            return found
        assert boottime_s() < deadline_s, found
        await asyncio.sleep(0.02)


async def test_the_same_id_for_another_order_is_refused(gateway: RawGateway, operator: Operator) -> None:
    request = ordered(A)
    sending = asyncio.create_task(operator.call("SendOrder", request))
    await gateway.answer(await gateway.frame("order"), EXECUTED)
    await sending
    error = await operator.refused("SendOrder", ordered(B, request_id=request.order.request_id))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_of_a_drill_a_repeat_gets_what_was_measured_and_the_journal_keeps_it(
    gateway: RawGateway, operator: Operator
) -> None:
    """This vehicle promises 2 m/s²: from 36 km/h 5 s, after the 2.121 s until it brakes."""
    request = ordered(A, stop_drill=order_pb2.StopDrill(stop_id=uuid7(), reason="monthly"))
    sending = asyncio.create_task(operator.call("SendOrder", request))
    await gateway.answer(await gateway.frame("order"), EXECUTED)
    assert not (await sending).outcomes[0].HasField("reaction")
    reaction = order_pb2.DrillReaction(
        speed_kph=36, braking_after=Duration(seconds=1), standstill_after=Duration(seconds=5)
    )
    told = order_pb2.OrderOutcome(vehicle_id=A, result=EXECUTED, reaction=reaction)
    report = vehicle_pb2.OrderReport(request_id=request.order.request_id, outcome=told)
    await gateway.send(order_reports=link_pb2.OrderReports(reports=[report]))
    await gateway.lease(9)
    [outcome] = (await operator.call("SendOrder", request)).outcomes
    assert outcome.reaction.verdict == order_pb2.DRILL_VERDICT_PASSED
    assert outcome.reaction.standstill_bound == Duration(seconds=7, nanos=121_000_000)
    assert len(gateway.of("order")) == 1
    # The order, that it takes part, and what it measured.
    record = (await audited(operator, 3))[-1].order
    assert record.outcomes[0] == outcome
    assert record.order.stop_drill.reason == "monthly"


@pytest.mark.parametrize(
    ("result", "reason", "code"),
    [
        (REJECTED, "HELD_SINCE", grpc.StatusCode.ABORTED),
        (REJECTED, "REBOOTED", grpc.StatusCode.ABORTED),
        (REJECTED, "RECONNECTED", grpc.StatusCode.ABORTED),
        (REJECTED, "STOPPED", grpc.StatusCode.FAILED_PRECONDITION),
        (EXPIRED, "HEARTBEAT_TOO_OLD", grpc.StatusCode.DEADLINE_EXCEEDED),
        (UNAVAILABLE, "NO_LINK", grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_one_vehicles_bad_outcome_is_the_calls_error(
    gateway: RawGateway,
    operator: Operator,
    result: order_pb2.OrderResult.ValueType,
    reason: str,
    code: grpc.StatusCode,
) -> None:
    request = ordered(A)
    sending = asyncio.create_task(operator.refused("SendOrder", request))
    await gateway.answer(await gateway.frame("order"), result, reason)
    error = await sending
    assert (error.code, error.reason, error.may_have_happened) == (code, reason, False)
    assert A in error.message
    again = await operator.refused("SendOrder", request)
    assert (again.code, again.reason) == (code, reason)


async def test_of_several_the_outcomes_stand_side_by_side(gateway: RawGateway, operator: Operator) -> None:
    sending = asyncio.create_task(operator.call("SendOrder", ordered(A, AWAY, "NOBODY-1")))
    await gateway.answer(await gateway.frame("order"), REJECTED, "NO_HOLD")
    outcomes = {outcome.vehicle_id: outcome for outcome in (await sending).outcomes}
    assert (outcomes[A].result, outcomes[A].reason) == (REJECTED, "NO_HOLD")
    assert (outcomes[AWAY].result, outcomes[AWAY].reason) == (UNAVAILABLE, "NO_LINK")
    assert (outcomes["NOBODY-1"].result, outcomes["NOBODY-1"].reason) == (UNAVAILABLE, "VEHICLE_UNKNOWN")
    assert [target.vehicle_id for target in gateway.of("order")[0].targets] == [A]


@pytest.mark.parametrize(
    ("vehicle_id", "code", "reason"),
    [
        (AWAY, grpc.StatusCode.UNAVAILABLE, "NO_LINK"),
        ("NOBODY-1", grpc.StatusCode.NOT_FOUND, "VEHICLE_UNKNOWN"),
    ],
)
async def test_nothing_is_kept_for_a_vehicle_that_is_away(
    gateway: RawGateway, operator: Operator, vehicle_id: str, code: grpc.StatusCode, reason: str
) -> None:
    error = await operator.refused("SendOrder", ordered(vehicle_id))
    assert (error.code, error.reason, error.may_have_happened) == (code, reason, False)
    await gateway.send(session_opened=session(vehicle_id, 2))
    await gateway.lease(9)
    assert gateway.of("order") == []


async def test_a_link_that_breaks_after_sending_leaves_it_open_whether_it_happened(
    gateway: RawGateway, operator: Operator
) -> None:
    request = ordered(A)
    sending = asyncio.create_task(operator.refused("SendOrder", request))
    push = await gateway.frame("order")
    await gateway.send(session_closed=link_pb2.SessionClosed(vehicle_id=A, boot_epoch=7, connect_count=1))
    error = await sending
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "LINK_BROKE")
    assert error.may_have_happened
    # Its own word, later, takes the place of not knowing.
    await gateway.answer(push, EXECUTED)
    await gateway.lease(9)
    assert (await operator.call("SendOrder", request)).outcomes[0].result == EXECUTED


async def test_nobody_answers(gateway: RawGateway, operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.orders.ANSWER_MARGIN_S", 0.0)
    request = ordered(A)
    request.order.expire_after.FromSeconds(1)
    error = await operator.refused("SendOrder", request)
    assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "NO_ANSWER")
    assert error.may_have_happened


# Who may


@pytest.mark.parametrize(
    ("role", "vehicle_id", "changes", "may"),
    [
        ("viewer", A, {}, False),
        ("operator", A, {}, True),
        ("operator", A, to_idle(), True),
        ("operator", MAINTAINED, to_idle(), False),
        ("supervisor", MAINTAINED, to_idle(), True),
        ("supervisor", A, {}, True),
        ("maintainer", MAINTAINED, to_idle(), True),
        ("maintainer", MAINTAINED, {}, False),
        ("maintainer", A, to_idle(), False),
        # Its release may be on the way, ahead of the order: then it is in MAINTENANCE when the order comes.
        ("operator", STOPPED, to_idle(), False),
        ("supervisor", STOPPED, to_idle(), True),
    ],
)
async def test_who_may_order_what(
    site: Site, gateway: RawGateway, role: str, vehicle_id: str, changes: Any, may: bool
) -> None:
    person = await site.operator(role)
    if may:
        sending = asyncio.create_task(person.call("SendOrder", ordered(vehicle_id, **changes)))
        await gateway.answer(await gateway.frame("order"), EXECUTED)
        assert (await sending).outcomes[0].result == EXECUTED
    else:
        error = await person.refused("SendOrder", ordered(vehicle_id, **changes))
        assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")
        assert gateway.of("order") == []


# What is malformed


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ordered(), "targets"),
        (ordered("truck 5"), "targets[0].vehicle_id"),
        (ordered(A, A), "targets[1].vehicle_id"),
        (ordered(A, request_id="1"), "order.request_id"),
        (ordered(A, stop_drill=order_pb2.StopDrill(stop_id="1")), "order.stop_drill.stop_id"),
        (command_pb2.SendOrderRequest(targets=ordered(A).targets), "order.kind"),
        (
            command_pb2.SendOrderRequest(
                order=ordered().order, targets=[command_pb2.OrderTarget(vehicle_id=A, etag="soon")]
            ),
            "targets[0].etag",
        ),
        (
            command_pb2.SendOrderRequest(
                order=ordered().order, targets=[command_pb2.OrderTarget(vehicle_id=A, etag=f"{2**64}-1-1-1")]
            ),
            "targets[0].etag",
        ),
    ],
)
async def test_what_is_malformed_names_its_field(
    gateway: RawGateway, operator: Operator, request_: command_pb2.SendOrderRequest, field: str
) -> None:
    error = await operator.refused("SendOrder", request_)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(error.fields) == [field]
    assert not error.may_have_happened


@pytest.mark.parametrize("seconds", [0, 3600])
async def test_an_expiry_of_zero_or_an_hour_is_refused(gateway: RawGateway, operator: Operator, seconds: int) -> None:
    request = ordered(A)
    request.order.expire_after.FromSeconds(seconds)
    error = await operator.refused("SendOrder", request)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(error.fields) == ["order.expire_after"]
    assert "1 to 60 s" in error.fields["order.expire_after"]


async def test_orders_of_the_last_day_are_listed_newest_first(gateway: RawGateway, operator: Operator) -> None:
    requests = [ordered(A), ordered(AWAY, B)]
    for number, request in enumerate(requests, 1):
        sending = asyncio.create_task(operator.call("SendOrder", request))
        await gateway.answer(await gateway.frame("order", number), EXECUTED)
        await sending
    found = (await operator.call("ListOrders", command_pb2.ListOrdersRequest(page_size=1))).orders
    assert [record.order.request_id for record in found] == [requests[1].order.request_id]
    assert {outcome.vehicle_id: outcome.result for outcome in found[0].outcomes} == {AWAY: UNAVAILABLE, B: EXECUTED}
    assert found[0].order.issued_by == "operator"
    assert len((await operator.call("ListOrders", command_pb2.ListOrdersRequest())).orders) == 2
