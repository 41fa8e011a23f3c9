"""A line without agents: each test runs those that it breaks."""

from collections.abc import Iterator

import pytest

from deploy.local.options import Server
from tests.chaos.telemetry.yard import VEHICLES, Yard
from tests.integration.stacks import remove_stale_homes, running


@pytest.fixture(scope="package")
def yard() -> Iterator[Yard]:
    remove_stale_homes()
    kafka = frozenset({Server.KAFKA})
    with running("telemetry", vehicles=VEHICLES, command_services=1, servers=kafka, picture=False) as stack:
        stack.supervisor.stop("agents")
        yield Yard(stack)
