"""Who gets in where: certificates by kind, tokens by role, over the wire."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from haul.command.v1 import command_service_pb2 as command
from haul.command.v1 import command_service_pb2_grpc as command_grpc
from haul.fleet.v1 import fleet_service_pb2
from haul.link.v1 import vehicle_link_service_pb2 as link
from haul.link.v1 import vehicle_link_service_pb2_grpc as link_grpc

from pitwall import devca
from pitwall.rpc.errors import ErrorDetails, from_rpc_error
from pitwall.rpc.interceptors import current_identity, current_person
from pitwall.rpc.methods import PERMISSIONS
from pitwall.tls import Identity
from pitwall.tokens import MAY, Permission, Person, Role
from tests.unit.pitwall.rig import Site

Metadata = tuple[tuple[str, str], ...]


async def _get_stop(rpc: Site, metadata: Metadata) -> None:
    stub = command_grpc.CommandServiceStub(rpc.operator_channel((await rpc.operator_port()).port))
    await stub.GetStop(command.GetStopRequest(), metadata=metadata)


async def _refusal(rpc: Site, metadata: Metadata) -> ErrorDetails:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _get_stop(rpc, metadata)
    return from_rpc_error(raised.value)


async def _connect(rpc: Site, name: str, *, silent: bool = False) -> None:
    """`silent`: for who is refused before a word; a write that meets the refusal would end the call as INTERNAL."""
    stub = link_grpc.VehicleLinkServiceStub(rpc.channel((await rpc.vehicle_port()).port, name))
    call = stub.Connect()
    if not silent:
        await call.write(link.ConnectRequest(heartbeat_number=1))
        await call.done_writing()
    async for _ in call:
        pass


def _signing_key(home: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key((home / "certs" / "tokens.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


async def test_the_servicer_knows_the_vehicle_by_its_certificate(rpc: Site) -> None:
    seen = []

    async def act() -> None:
        seen.append(current_identity())

    rpc.script.act = act
    await _connect(rpc, "KOMATSU-980E-002")
    assert seen == [Identity("vehicle", "KOMATSU-980E-002")]


@pytest.mark.parametrize("name", ["gateway-1", "command-1"])
async def test_another_kind_of_certificate_is_refused_with_its_uri(rpc: Site, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _connect(rpc, name, silent=True)
    details = from_rpc_error(raised.value)
    assert (details.code, details.reason) == (grpc.StatusCode.PERMISSION_DENIED, "WRONG_KIND")
    assert f"/{name}" in details.message
    assert "vehicle" in details.message


async def test_without_a_certificate_the_handshake_fails(rpc: Site) -> None:
    server = await rpc.vehicle_port()
    stub = link_grpc.VehicleLinkServiceStub(rpc.operator_channel(server.port))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Connect().read()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_servicer_knows_the_person_by_the_token(rpc: Site) -> None:
    seen = []

    async def act() -> None:
        seen.append(current_person())

    rpc.script.act = act
    await _get_stop(rpc, rpc.token("operator"))
    assert seen == [Person("operator", frozenset({Role.OPERATOR}))]


@pytest.mark.parametrize(
    ("metadata", "reason", "names"),
    [
        pytest.param((), "TOKEN_MISSING", "authorization", id="no token"),
        pytest.param((("authorization", "Basic abc"),), "TOKEN_MALFORMED", "Bearer", id="another scheme"),
        pytest.param((("authorization", "Bearer "),), "TOKEN_MALFORMED", "Bearer", id="an empty token"),
        pytest.param(_bearer("abc"), "TOKEN_INVALID", "JWT", id="no JWT"),
        pytest.param(_bearer("x" * 9_000), "TOKEN_TOO_LONG", "8192", id="a very long token"),
    ],
)
async def test_whoever_is_not_known_is_told_why(rpc: Site, metadata: Metadata, reason: str, names: str) -> None:
    details = await _refusal(rpc, metadata)
    assert (details.code, details.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)
    assert names in details.message
    assert [(person, reason) for _, person, reason, _ in rpc.script.refused] == [(None, reason)]


async def test_an_expired_token_is_refused(rpc: Site) -> None:
    past = datetime.now(UTC) - timedelta(hours=13)
    token = devca.make_token(_signing_key(rpc.home), "late", [Role.OPERATOR], now=past)
    assert (await _refusal(rpc, _bearer(token))).reason == "TOKEN_EXPIRED"


async def test_a_foreign_token_is_refused(rpc: Site) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    token = devca.make_token(key, "stranger", [Role.SUPERVISOR], now=datetime.now(UTC))
    assert (await _refusal(rpc, _bearer(token))).reason == "TOKEN_FOREIGN"


async def test_a_token_that_lives_too_long_is_refused(rpc: Site) -> None:
    lifetime = timedelta(hours=13)
    token = devca.make_token(_signing_key(rpc.home), "eternal", [Role.VIEWER], now=datetime.now(UTC), lifetime=lifetime)
    assert (await _refusal(rpc, _bearer(token))).reason == "TOKEN_LIVES_TOO_LONG"


async def test_an_under_privileged_token_is_refused_by_name_and_the_audit_hears_of_it(rpc: Site) -> None:
    stub = command_grpc.CommandServiceStub(rpc.operator_channel((await rpc.operator_port()).port))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.ApproveRelease(command.ApproveReleaseRequest(), metadata=rpc.token("operator"))
    details = from_rpc_error(raised.value)
    assert (details.code, details.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")
    assert "operator" in details.message
    assert "APPROVE_RELEASE" in details.message
    ((method, person, reason, _),) = rpc.script.refused
    assert method == "/haul.command.v1.CommandService/ApproveRelease"
    assert person is not None
    assert (person.subject, reason) == ("operator", "ROLE_MISSING")


async def test_health_needs_no_token(rpc: Site) -> None:
    stub = health_pb2_grpc.HealthStub(rpc.operator_channel((await rpc.operator_port()).port))
    answer = await stub.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_call_that_may_last_needs_a_token(rpc: Site) -> None:
    """Calls at one time are counted: whoever has no token must not be able to take every place."""
    server = await rpc.operator_port(reflection=("haul.command.v1.CommandService",))
    channel = rpc.operator_channel(server.port)
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    look = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked)
    for call in (watch, look):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_every_method_of_an_operators_service_asks_for_something() -> None:
    assert fleet_service_pb2.DESCRIPTOR.name
    methods = {
        f"/{service}/{method.name}"
        for service in ("haul.command.v1.CommandService", "haul.fleet.v1.FleetService")
        for method in descriptor_pool.Default().FindServiceByName(service).methods
    }
    assert {method for method in PERMISSIONS if method.startswith("/haul.")} == methods


#: CONTRACT.md's table, told once more and by method.
VIEWER, OPERATOR, SUPERVISOR, MAINTAINER = Role.VIEWER, Role.OPERATOR, Role.SUPERVISOR, Role.MAINTAINER
WHO_MAY: Mapping[str, set[Role]] = {
    "/haul.command.v1.CommandService/EmergencyStop": {VIEWER, OPERATOR, SUPERVISOR, MAINTAINER},
    "/haul.command.v1.CommandService/ListStops": {VIEWER, OPERATOR, SUPERVISOR, MAINTAINER},
    "/haul.command.v1.CommandService/ListAuditEvents": {VIEWER, OPERATOR, SUPERVISOR, MAINTAINER},
    "/haul.command.v1.CommandService/RequestRelease": {OPERATOR, SUPERVISOR},
    "/haul.command.v1.CommandService/ApproveRelease": {SUPERVISOR},
    "/haul.command.v1.CommandService/SendOrder": {OPERATOR, SUPERVISOR, MAINTAINER},
    "/haul.fleet.v1.FleetService/ListVehicles": {VIEWER, OPERATOR, SUPERVISOR, MAINTAINER},
    "/haul.fleet.v1.FleetService/AcknowledgeAlert": {OPERATOR, SUPERVISOR},
    "/haul.fleet.v1.FleetService/UpdateVehicle": {SUPERVISOR, MAINTAINER},
    "/haul.fleet.v1.FleetService/DeleteVehicle": {SUPERVISOR, MAINTAINER},
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("method", WHO_MAY)
def test_roles_open_exactly_their_methods(method: str, role: Role) -> None:
    person = Person("somebody", frozenset({role}))
    assert any(person.may(permission) for permission in PERMISSIONS[method]) is (role in WHO_MAY[method])


def test_a_valid_token_without_any_role_may_stop_and_nothing_else() -> None:
    person = Person("somebody", frozenset())
    assert [permission for permission in Permission if person.may(permission)] == [Permission.STOP]


def test_every_permission_is_in_the_table() -> None:
    assert set(MAY) == set(Permission)
