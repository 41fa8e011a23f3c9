"""Releases at a real command service: two persons, the disk, the vehicle's own word."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import stop_pb2

from pitwall.ids import uuid7
from tests.integration.command_rig import (
    FLEET,
    RECEIVED,
    RELEASED,
    STANDSTILL,
    Operator,
    RawGateway,
    Site,
    make_home,
    running,
    session,
    vehicles,
)
from tests.integration.test_command_links import stop_of

A, B = "KOMATSU-930E-001", "KOMATSU-980E-002"


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
    await gateway.exchanged(session(A), session(B))
    return gateway


@pytest.fixture
async def operator(site: Site) -> Operator:
    return await site.operator()


@pytest.fixture
async def supervisor(site: Site) -> Operator:
    return await site.operator("supervisor")


def asked(*stop_ids: str, **fields: Any) -> command_pb2.RequestReleaseRequest:
    return command_pb2.RequestReleaseRequest(**({"stop_ids": stop_ids, "reason": "area is clear"} | fields))


def agreed(record: stop_pb2.ReleaseRecord) -> command_pb2.ApproveReleaseRequest:
    return command_pb2.ApproveReleaseRequest(release_id=record.release.release_id)


async def test_one_asks_another_agrees_and_the_vehicle_says_it(
    gateway: RawGateway, operator: Operator, supervisor: Operator
) -> None:
    stop_id = (await operator.stopped(FLEET)).stop.stop_id
    for vehicle_id in (A, B):
        await gateway.say(vehicle_id, stop_id, RECEIVED, STANDSTILL)
    requested = await operator.call("RequestRelease", asked(stop_id))
    assert requested.state == stop_pb2.RELEASE_STATE_REQUESTED
    assert len(gateway.of("stop_set")) == 2, "asking alone releases nothing"
    approved = await supervisor.call("ApproveRelease", agreed(requested))
    assert approved.state == stop_pb2.RELEASE_STATE_APPROVED
    assert (approved.release.requested_by, approved.release.approved_by) == ("operator", "supervisor")
    pushed = await gateway.frame("stop_set", 3)
    assert [release.release_id for release in pushed.stop_set.releases] == [approved.release.release_id]
    # In force is not released: that is the vehicle's to say.
    state = await operator.state(stop_id)
    assert (state.active, state.summary.standstill) == (True, 2)
    await gateway.say(A, stop_id, RELEASED)
    await operator.until(stop_id, lambda state: state.summary.in_scope == 1)
    (record,) = (await operator.call("ListReleases", command_pb2.ListReleasesRequest())).releases
    assert list(record.released_vehicle_ids) == [A]
    await gateway.say(B, stop_id, RELEASED)
    state = await operator.until(stop_id, lambda state: not state.active)
    assert state.summary.in_scope == 0
    assert (await operator.call("ListStops", command_pb2.ListStopsRequest())).stops == []


async def test_nobody_approves_their_own(operator: Operator, supervisor: Operator) -> None:
    stop_id = (await operator.stopped(vehicles(A))).stop.stop_id
    record = await supervisor.call("RequestRelease", asked(stop_id))
    error = await supervisor.refused("ApproveRelease", agreed(record))
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SAME_PERSON")


@pytest.mark.parametrize("role", ["viewer", "operator", "maintainer"])
async def test_only_a_supervisor_approves(site: Site, operator: Operator, role: str) -> None:
    stop_id = (await operator.stopped(vehicles(A))).stop.stop_id
    record = await operator.call("RequestRelease", asked(stop_id))
    error = await (await site.operator(role)).refused("ApproveRelease", agreed(record))
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")


async def test_one_person_is_enough_where_the_site_says_so(home: Path, tmp_path: Path) -> None:
    async with running(home, tmp_path, approvals=1) as site:
        operator = await site.operator()
        stop_id = (await operator.stopped(vehicles(A))).stop.stop_id
        record = await operator.call("RequestRelease", asked(stop_id))
        assert record.state == stop_pb2.RELEASE_STATE_APPROVED
        assert record.release.approved_by == "operator"


async def test_both_may_be_repeated(gateway: RawGateway, operator: Operator, supervisor: Operator) -> None:
    stop_id = (await operator.stopped(vehicles(A))).stop.stop_id
    request = asked(stop_id, release_id=uuid7())
    first = await operator.call("RequestRelease", request)
    assert await operator.call("RequestRelease", request) == first
    approved = await supervisor.call("ApproveRelease", agreed(first))
    assert await supervisor.call("ApproveRelease", agreed(first)) == approved
    assert await operator.call("RequestRelease", request) == approved
    await gateway.frame("stop_set", 3)
    await operator.stopped(vehicles(B))
    assert len(gateway.of("stop_set")) <= 4, "a repeat is not pushed again"


async def test_the_same_id_for_another_release_is_refused(operator: Operator) -> None:
    one, two = [(await operator.stopped(vehicles(v))).stop.stop_id for v in (A, B)]
    release_id = uuid7()
    await operator.call("RequestRelease", asked(one, release_id=release_id))
    error = await operator.refused("RequestRelease", asked(two, release_id=release_id))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RELEASE_ID_REUSED")


async def test_a_stop_issued_meanwhile_stays(gateway: RawGateway, operator: Operator, supervisor: Operator) -> None:
    first = (await operator.stopped(vehicles(A))).stop.stop_id
    record = await operator.call("RequestRelease", asked(first))
    second = (await operator.stopped(vehicles(A))).stop.stop_id
    await supervisor.call("ApproveRelease", agreed(record))
    assert (await operator.state(second)).active


async def test_a_vehicles_own_stop_is_for_the_vehicle(gateway: RawGateway, operator: Operator) -> None:
    own = stop_of(A, own=True)
    await gateway.send(stop_set=stop_pb2.StopSet(stops=[own]))
    await gateway.lease(2)
    error = await operator.refused("RequestRelease", asked(own.stop_id))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STOP_IS_VEHICLES_OWN")
    assert A in error.message


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"reason": ""}, grpc.StatusCode.INVALID_ARGUMENT, "reason"),
        ({"reason": "x" * 501}, grpc.StatusCode.INVALID_ARGUMENT, "reason"),
        ({"release_id": "1"}, grpc.StatusCode.INVALID_ARGUMENT, "release_id"),
        ({"stop_ids": []}, grpc.StatusCode.INVALID_ARGUMENT, "stop_ids"),
        ({"vehicle_ids": ["truck 5"]}, grpc.StatusCode.INVALID_ARGUMENT, "vehicle_ids[0]"),
        ({"vehicle_ids": [B]}, grpc.StatusCode.INVALID_ARGUMENT, "vehicle_ids"),
        ({"stop_ids": ["01928c5e-7b6a-7c3d-8e4f-a1b2c3d4e5f6"]}, grpc.StatusCode.NOT_FOUND, ""),
    ],
)
async def test_what_is_wrong_is_named(
    operator: Operator, fields: dict[str, Any], code: grpc.StatusCode, field: str
) -> None:
    stop_id = (await operator.stopped(vehicles(A))).stop.stop_id
    error = await operator.refused("RequestRelease", asked(stop_id, **fields))
    assert error.code is code
    assert list(error.fields) == ([field] if field else [])
    assert not error.may_have_happened


async def test_an_unknown_release_cannot_be_approved(supervisor: Operator) -> None:
    error = await supervisor.refused("ApproveRelease", command_pb2.ApproveReleaseRequest(release_id=uuid7()))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "RELEASE_NOT_FOUND")
