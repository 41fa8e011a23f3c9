"""Stops at a real command service: who is pushed what, when, and what the operator is told."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import stop_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb2

from command_service.store import Store
from pitwall.clock import boottime_s
from pitwall.ids import uuid7
from tests.integration.command_rig import (
    BRAKING,
    FLEET,
    RECEIVED,
    STANDSTILL,
    Operator,
    RawGateway,
    Site,
    make_home,
    running,
    session,
    vehicles,
)

A, B = "KOMATSU-930E-001", "KOMATSU-980E-002"
SENT = stop_pb2.STOP_STAGE_SENT
PIT = stop_pb2.Scope(
    zone=stop_pb2.Zone(
        name="pit",
        corners=[
            stop_pb2.GeoPoint(latitude_degrees=latitude, longitude_degrees=longitude)
            for latitude, longitude in ((0, 0), (0, 1), (1, 1))
        ],
    )
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("site"))


@pytest.fixture
async def site(home: Path, tmp_path: Path) -> AsyncIterator[Site]:
    async with running(home, tmp_path) as site:
        yield site


@pytest.fixture
async def gateway(site: Site) -> RawGateway:
    """A gateway with two vehicles, whose set is exchanged."""
    gateway = await site.gateway()
    await gateway.exchanged(session(A), session(B))
    assert (await gateway.lease(1)).ttl.seconds == 2
    return gateway


@pytest.fixture
async def operator(site: Site) -> Operator:
    return await site.operator()


async def test_a_stop_goes_out_and_its_stages_come_back(gateway: RawGateway, operator: Operator) -> None:
    stream = operator.stop(vehicles(A))
    first = await stream.next()
    assert first.stop.issued_by == "operator"
    assert [vehicle.vehicle_id for vehicle in first.vehicles] == [A]
    push = await gateway.frame("stop_set", 2)
    assert [stop.stop_id for stop in push.stop_set.stops] == [first.stop.stop_id]
    for stage in (SENT, RECEIVED, BRAKING, STANDSTILL):
        await gateway.say(A, first.stop.stop_id, stage, durably=stage is not SENT)
    last = await stream.last()
    assert last.summary.standstill == 1
    assert last.summary.confirmed
    (vehicle,) = last.vehicles
    assert vehicle.latched_durably
    assert [one.stage for one in vehicle.progress] == [1, 2, 3, 4, 5]
    assert vehicle.brakes_by_time.ToNanoseconds() > first.stop.issued_time.ToNanoseconds()


async def test_standstill_is_said_after_the_vehicle_has_said_it(gateway: RawGateway, operator: Operator) -> None:
    stream = operator.stop(FLEET)
    stop_id = (await stream.next()).stop.stop_id
    for vehicle_id in (A, B):
        await gateway.say(vehicle_id, stop_id, SENT, RECEIVED, BRAKING)
    await gateway.say(A, stop_id, STANDSTILL)
    answer = await stream.until(lambda answer: answer.summary.standstill == 1)
    assert (answer.summary.in_scope, answer.summary.pending, answer.summary.unreachable) == (2, 1, 0)
    await gateway.say(B, stop_id, STANDSTILL)
    assert (await stream.last()).summary.standstill == 2


async def test_whoever_is_named_is_stopped_known_or_not(gateway: RawGateway, operator: Operator) -> None:
    answer = await operator.stopped(vehicles(A, "TYPO-1"))
    assert answer.summary.unknown_vehicle_ids == ["TYPO-1"]
    assert (answer.summary.in_scope, answer.summary.pending, answer.summary.unreachable) == (2, 1, 1)
    pushed = (await gateway.frame("stop_set", 2)).stop_set.stops[0]
    assert set(pushed.scope.vehicles.vehicle_ids) == {A, "TYPO-1"}


async def test_a_vehicle_of_the_fleet_that_connects_later_is_in_scope(gateway: RawGateway, operator: Operator) -> None:
    stop_id = (await operator.stopped(FLEET)).stop.stop_id
    await gateway.send(session_opened=session("KOMATSU-930E-003"))
    state = await operator.until(stop_id, lambda state: state.summary.in_scope == 3)
    assert state.summary.pending == 3


async def test_a_zone_has_in_scope_who_says_so(gateway: RawGateway, operator: Operator) -> None:
    stream = operator.stop(PIT)
    first = await stream.next()
    assert first.summary.in_scope == 0
    stop_id = first.stop.stop_id
    await gateway.say(A, stop_id, SENT)
    await gateway.say(B, stop_id, SENT, RECEIVED, STANDSTILL)
    answer = await stream.until(lambda answer: answer.summary.standstill == 1)
    assert answer.summary.in_scope == 1, "sent to A as well, which is not in the zone"


async def test_a_vehicle_without_a_link_is_unreachable_and_comes_back(gateway: RawGateway, operator: Operator) -> None:
    stream = operator.stop(vehicles(A))
    stop_id = (await stream.next()).stop.stop_id
    closed = link_pb2.SessionClosed(vehicle_id=A, boot_epoch=7, connect_count=1)
    await gateway.send(session_closed=closed)
    answer = await stream.until(lambda answer: answer.summary.unreachable == 1)
    assert answer.vehicles[0].unreachable
    await gateway.send(session_opened=session(A, 2, stop_id))
    answer = await stream.until(lambda answer: answer.summary.pending == 1)
    assert answer.vehicles[0].stage == RECEIVED, "its own list of latches says so"


async def test_a_gateway_that_is_gone_takes_its_vehicles_links_with_it(gateway: RawGateway, operator: Operator) -> None:
    stop_id = (await operator.stopped(FLEET)).stop.stop_id
    gateway.call.cancel()
    state = await operator.until(stop_id, lambda state: state.summary.unreachable == 2)
    assert all(vehicle.unreachable for vehicle in state.vehicles)


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "maintainer"])
async def test_anybody_with_a_token_may_stop(site: Site, role: str) -> None:
    answer = await (await site.operator(role)).stopped(FLEET)
    assert answer.stop.issued_by == role


# Repeats


async def test_a_repeated_stop_is_answered_with_its_state(gateway: RawGateway, operator: Operator) -> None:
    stop_id = uuid7()
    first = await operator.stopped(vehicles(A), stop_id)
    again = await operator.stopped(vehicles(A), stop_id)
    assert not again.issued_as_new
    assert again.stop == first.stop


async def release(site: Site, operator: Operator, stop_id: str, *vehicle_ids: str) -> None:
    request = command_pb2.RequestReleaseRequest(stop_ids=[stop_id], vehicle_ids=vehicle_ids, reason="clear")
    record = await operator.call("RequestRelease", request)
    supervisor = await site.operator("supervisor")
    await supervisor.call("ApproveRelease", command_pb2.ApproveReleaseRequest(release_id=record.release.release_id))


@pytest.mark.parametrize("partly", [False, True])
async def test_a_repeat_of_what_was_released_stops_anew(
    site: Site, gateway: RawGateway, operator: Operator, partly: bool
) -> None:
    stop_id = uuid7()
    await operator.stopped(vehicles(A, B), stop_id)
    await release(site, operator, stop_id, *([B] if partly else []))
    first = await operator.stopped(vehicles(A, B), stop_id)
    assert first.issued_as_new
    assert first.stop.stop_id != stop_id
    assert first.summary.in_scope == 2
    again = await operator.stopped(vehicles(A, B), stop_id)
    assert again.issued_as_new
    assert again.stop.stop_id == first.stop.stop_id, "one new stop for the same click"


async def test_the_same_id_for_other_vehicles_stops_them_too(gateway: RawGateway, operator: Operator) -> None:
    stop_id = uuid7()
    await operator.stopped(vehicles(A), stop_id)
    other = await operator.stopped(vehicles(B), stop_id)
    assert other.issued_as_new
    assert [vehicle.vehicle_id for vehicle in other.vehicles] == [B]


# What is malformed


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (command_pb2.EmergencyStopRequest(), "scope"),
        (command_pb2.EmergencyStopRequest(scope=vehicles()), "scope.vehicles.vehicle_ids"),
        (command_pb2.EmergencyStopRequest(scope=vehicles(A, "truck 5")), "scope.vehicles.vehicle_ids[1]"),
        (
            command_pb2.EmergencyStopRequest(scope=stop_pb2.Scope(zone=stop_pb2.Zone(corners=PIT.zone.corners[:2]))),
            "scope.zone.corners",
        ),
        (command_pb2.EmergencyStopRequest(scope=FLEET, stop_id="1"), "stop_id"),
        (command_pb2.EmergencyStopRequest(scope=FLEET, reason="x" * 501), "reason"),
    ],
)
async def test_what_is_malformed_names_its_field(
    gateway: RawGateway, operator: Operator, request_: command_pb2.EmergencyStopRequest, field: str
) -> None:
    error = await operator.refused("EmergencyStop", request_)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(error.fields) == [field]
    assert not error.may_have_happened
    assert len(gateway.of("stop_set")) == 1


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetStop", command_pb2.GetStopRequest(stop_id="none")),
        ("WatchStop", command_pb2.WatchStopRequest(stop_id="none")),
    ],
)
async def test_an_unknown_stop_is_not_found(operator: Operator, method: str, request_: Any) -> None:
    error = await operator.refused(method, request_)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "STOP_NOT_FOUND")


# The disk


@pytest.mark.alone
async def test_a_hung_disk_delays_the_word_issued_and_never_the_push(
    site: Site, gateway: RawGateway, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    commit = Store.commit

    def hung(self: Store, *arguments: Any, **named: Any) -> None:
        let_go.wait()
        commit(self, *arguments, **named)

    monkeypatch.setattr(Store, "commit", hung)
    asked_s = boottime_s()
    stream = operator.stop(vehicles(A))
    first = await stream.next()
    push = await gateway.frame("stop_set", 2)
    assert boottime_s() - asked_s < 0.1
    assert push.stop_set.stops[0].stop_id == first.stop.stop_id
    assert not first.summary.confirmed
    assert not first.summary.HasField("brakes_by_time"), "no bound before it is on disk"
    await gateway.say(A, first.stop.stop_id, RECEIVED, BRAKING, STANDSTILL)
    standing = await stream.until(lambda answer: answer.summary.standstill == 1)
    assert not standing.summary.confirmed
    let_go.set()
    assert (await stream.last()).summary.confirmed
