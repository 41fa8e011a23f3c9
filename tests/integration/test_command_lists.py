"""What a command service tells: lists in pages, the audit, health and metrics; and that watchers hold nobody up."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from haul.command.v1 import command_service_pb2 as command_pb2

from pitwall.clock import boottime_s
from tests.integration.command_rig import (
    FLEET,
    RECEIVED,
    STANDSTILL,
    Operator,
    Site,
    make_home,
    running,
    session,
    vehicles,
)

A = "KOMATSU-930E-001"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("site"))


@pytest.fixture
async def site(home: Path, tmp_path: Path) -> AsyncIterator[Site]:
    async with running(home, tmp_path) as site:
        yield site


@pytest.fixture
async def operator(site: Site) -> Operator:
    return await site.operator()


async def all_pages(operator: Operator, method: str, request: Any, field: str) -> list[Any]:
    """Every item, two a page."""
    request.page_size = 2
    items: list[Any] = []
    while True:
        answer = await operator.call(method, request)
        assert len(getattr(answer, field)) <= 2
        items += getattr(answer, field)
        request.page_token = answer.next_page_token
        if not request.page_token:
            return items


async def test_stops_are_listed_newest_first_in_pages(operator: Operator) -> None:
    issued = [(await operator.stopped(vehicles(A))).stop.stop_id for _ in range(5)]
    stops = await all_pages(operator, "ListStops", command_pb2.ListStopsRequest(), "stops")
    assert [state.stop.stop_id for state in stops] == issued[::-1]
    assert all(state.active and not state.vehicles for state in stops)


async def test_released_stops_are_listed_when_asked_for(home: Path, tmp_path: Path) -> None:
    async with running(home, tmp_path, approvals=1) as site:
        operator = await site.operator()
        one, two = [(await operator.stopped(vehicles(A))).stop.stop_id for _ in range(2)]
        asked = command_pb2.RequestReleaseRequest(stop_ids=[one], reason="clear")
        await operator.call("RequestRelease", asked)
        for include, expected in ((False, [two]), (True, [two, one])):
            request = command_pb2.ListStopsRequest(include_released=include)
            found = await operator.call("ListStops", request)
            assert [state.stop.stop_id for state in found.stops] == expected


async def test_motion_states_are_listed_by_name_in_pages(site: Site, operator: Operator) -> None:
    gateway = await site.gateway()
    names = [f"TRUCK-{number}" for number in range(5)]
    await gateway.exchanged(*map(session, reversed(names)))
    await gateway.lease(1)
    states = await all_pages(operator, "ListMotionStates", command_pb2.ListMotionStatesRequest(), "motion_states")
    assert [state.vehicle_id for state in states] == names


@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("ListStops", command_pb2.ListStopsRequest),
        ("ListReleases", command_pb2.ListReleasesRequest),
        ("ListMotionStates", command_pb2.ListMotionStatesRequest),
        ("ListOrders", command_pb2.ListOrdersRequest),
        ("ListAuditEvents", command_pb2.ListAuditEventsRequest),
    ],
)
async def test_a_bad_page_is_refused_by_name(operator: Operator, method: str, request_type: Any) -> None:
    for field, value in (("page_size", -1), ("page_token", "x")):
        error = await operator.refused(method, request_type(**{field: value}))
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(error.fields) == [field]


async def test_a_token_is_good_for_its_own_query_alone(operator: Operator) -> None:
    for _ in range(3):
        await operator.stopped(FLEET)
    found = await operator.call("ListStops", command_pb2.ListStopsRequest(page_size=1))
    request = command_pb2.ListStopsRequest(page_token=found.next_page_token, include_released=True)
    assert list((await operator.refused("ListStops", request)).fields) == ["page_token"]


# The audit


async def audited(operator: Operator, events: int) -> list[Any]:
    """The journal, once it holds so many events: notes follow a moment later."""
    deadline_s = boottime_s() + 5
    while True:
        found = await all_pages(operator, "ListAuditEvents", command_pb2.ListAuditEventsRequest(), "events")
        if len(found) >= events:
            return found
        assert boottime_s() < deadline_s, found
        await asyncio.sleep(0.02)


async def test_the_audit_says_who_asked_for_what_refusals_too(site: Site, operator: Operator) -> None:
    gateway = await site.gateway()
    await gateway.exchanged(session(A))
    viewer = await site.operator("viewer")
    stop_id = (await viewer.stopped(vehicles(A))).stop.stop_id
    await gateway.say(A, stop_id, RECEIVED, STANDSTILL)
    asked = command_pb2.RequestReleaseRequest(stop_ids=[stop_id], reason="clear")
    await viewer.refused("RequestRelease", asked)
    await operator.call("RequestRelease", asked)
    await (await site.operator("")).refused("EmergencyStop", command_pb2.EmergencyStopRequest())
    events = await audited(operator, 7)
    assert [event.journal_sequence for event in events] == list(range(1, len(events) + 1))
    said = {(event.WhichOneof("event"), event.actor, event.vehicle_id, event.refusal.reason) for event in events}
    assert said == {
        ("stop_issued", "viewer", A, ""),
        ("stop_progress", "command-1", "", ""),
        ("stop_progress", f"spiffe://pitwall.local/vehicle/{A}", A, ""),
        ("refusal", "viewer", "", "ROLE_MISSING"),
        ("release_requested", "operator", "", ""),
        ("refusal", "", "", "TOKEN_MISSING"),
    }


async def test_the_audit_can_be_asked_for_from_a_time_on(operator: Operator) -> None:
    await operator.stopped(FLEET)
    await audited(operator, 2)
    now, hour = Timestamp(), Duration(seconds=3600)
    now.GetCurrentTime()
    now.seconds += 60
    later = command_pb2.ListAuditEventsRequest(since_time=now)
    assert list((await operator.call("ListAuditEvents", later)).events) == []
    recent = command_pb2.ListAuditEventsRequest(within=hour)
    assert len((await operator.call("ListAuditEvents", recent)).events) >= 2
    both = command_pb2.ListAuditEventsRequest(since_time=now, within=hour)
    assert list((await operator.refused("ListAuditEvents", both)).fields) == ["within"]


# Watchers


async def test_watching_ends_when_every_vehicle_is_released(home: Path, tmp_path: Path) -> None:
    async with running(home, tmp_path, approvals=1) as site:
        gateway, operator = await site.gateway(), await site.operator()
        await gateway.exchanged(session(A))
        stop_id = (await operator.stopped(vehicles(A))).stop.stop_id
        watching = operator.watch(stop_id)
        assert (await watching.next()).summary.in_scope == 1
        await gateway.say(A, stop_id, RECEIVED, STANDSTILL)
        asked = command_pb2.RequestReleaseRequest(stop_ids=[stop_id], reason="clear")
        await operator.call("RequestRelease", asked)
        await gateway.send(session_opened=session(A, 2))
        assert (await watching.last()).summary.in_scope == 0


async def test_watchers_that_do_not_read_hold_nobody_up(site: Site, operator: Operator) -> None:
    """Each has asked for a stop of 1,000 vehicles and reads nothing of it."""
    gateway = await site.gateway()
    names = [f"TRUCK-{number:04}" for number in range(1000)]
    await gateway.exchanged(*map(session, names))
    stop_id = (await operator.stopped(vehicles(*names))).stop.stop_id
    deaf = [operator.watch(stop_id) for _ in range(20)]
    await site.until(lambda: site.service.hub.watchers.count == 20)
    for stage in (RECEIVED, STANDSTILL):
        for name in names:
            await gateway.say(name, stop_id, stage)
    state = await operator.until(stop_id, lambda state: state.summary.standstill == 1000)
    assert state.summary.pending == 0
    for stream in deaf:
        stream.call.cancel()


async def test_one_watcher_too_many_is_refused_and_its_stop_is_in_force(
    site: Site, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("command_service.watch.MAX_WATCHERS", 0)
    error = await operator.refused("EmergencyStop", command_pb2.EmergencyStopRequest(scope=FLEET))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHERS")
    assert error.may_have_happened
    assert len((await operator.call("ListStops", command_pb2.ListStopsRequest())).stops) == 1


async def test_one_stop_too_many_is_refused_with_the_advice_to_stop_the_fleet(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("command_service.stop_desk.MAX_ACTIVE_STOPS", 2)
    for _ in range(2):
        await operator.stopped(vehicles(A))
    error = await operator.refused("EmergencyStop", command_pb2.EmergencyStopRequest(scope=vehicles(A)))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_ACTIVE_STOPS")
    assert "stop the fleet" in error.message
    assert not error.may_have_happened
    assert (await operator.stopped(FLEET)).summary.confirmed, "the advice can be taken"


# Status


async def test_health_and_metrics_are_there(site: Site) -> None:
    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{site.service.ports[2]}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    assert '"healthy": true' in await asyncio.to_thread(get, "/healthz")
    assert "python_info" in await asyncio.to_thread(get, "/metrics")
