"""One person's calls of the fleet service of a running stack, in this event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from haul.fleet.v1.fleet_service_pb2_grpc import FleetServiceStub

from pitwall.rpc.channel import open_channel
from pitwall.tls import operator_credentials
from tests.integration.stacks import RunningStack

#: Beyond what any answer should take, so that a slow one is a figure and not an error, seconds.
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class FleetCaller:
    stub: Any
    metadata: tuple[tuple[str, str], ...]

    async def ask(self, method: str, request: object) -> Any:
        return await getattr(self.stub, method)(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def watch(self, method: str, request: object) -> Any:
        """The stream."""
        return getattr(self.stub, method)(request, metadata=self.metadata)


@asynccontextmanager
async def fleet_caller(stack: RunningStack) -> AsyncIterator[FleetCaller]:
    """An operator."""
    places = stack.places
    token = (places.tokens / "operator").read_text(encoding="utf-8").strip()
    address = f"localhost:{stack.options.ports['fleet-1']}"
    async with open_channel(address, operator_credentials(places.certs / "ca.pem")) as channel:
        yield FleetCaller(FleetServiceStub(channel), (("authorization", f"Bearer {token}"),))
