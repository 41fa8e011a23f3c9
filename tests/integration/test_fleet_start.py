"""How a fleet service starts: healthy for everybody to see, or with the reason why it can't."""

import signal

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from pitwall.rpc.channel import open_channel
from pitwall.rpc.errors import from_rpc_error
from pitwall.tls import operator_credentials
from tests.integration.fleet_rig import Caller, FleetProcess, Site, caller, eventually


async def test_health_is_for_everybody_and_the_rest_for_those_with_a_token(fleet: FleetProcess) -> None:
    async with caller(fleet) as operator:
        nobody = Caller(operator.stub, "none")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await nobody.vehicles()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    ca = fleet.site.stack.places.certs / "ca.pem"
    async with open_channel(fleet.address, operator_credentials(ca)) as channel:
        answer = await HealthStub(channel).Check(HealthCheckRequest(), timeout=5)
    assert answer.status == HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("wrong", "right", "code", "named"),
    [
        ("redis_adress", "redis_address", 78, 'did you mean "redis_address"'),
        ("/nowhere/jwks.json", None, 69, "/nowhere/jwks.json"),
        ("same port", None, 71, "fleet_service"),
    ],
)
async def test_a_start_that_can_not_be_says_why(
    fleet: FleetProcess, wrong: str, right: str | None, code: int, named: str
) -> None:
    other = FleetProcess(fleet.site, "fleet-2")
    text = other.settings()
    if right is not None:
        text = text.replace(right, wrong)
    elif wrong == "same port":
        text = text.replace(other.operator_address, fleet.operator_address)
    else:
        text = text.replace(str(fleet.site.stack.places.certs / "jwks.json"), wrong)
    other.start(text)
    assert other.process is not None
    assert other.process.wait(20) == code
    assert named in other.log.read_text(encoding="utf-8")


async def test_without_postgresql_from_the_start_it_says_so_and_waits(fleet_site: Site, fleet: FleetProcess) -> None:
    other = FleetProcess(fleet_site, "fleet-3")
    text, port = other.settings(), fleet_site.stack.options.ports["postgres"]
    other.start(text.replace(f"port = {port}", "port = 1"))
    try:
        async with caller(other) as operator:

            async def refusal() -> str:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await operator.vehicles()
                return from_rpc_error(refused.value).reason

            await eventually(refusal, lambda reason: reason == "NOT_READY", "not ready")
        assert other.health() == {}, "503"
    finally:
        assert other.end(signal.SIGTERM) == 0
