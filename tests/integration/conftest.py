"""Servers and stacks for the tests here, all of them real.

A missing server is an error that says how to get it, never a skipped test.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from deploy.local.options import Server
from tests.integration.fleet_rig import FleetProcess, Site, fleet_process
from tests.integration.stacks import RunningStack, remove_stale_homes, running

StartStack = Callable[..., RunningStack]


@pytest.fixture(scope="session", autouse=True)
def _no_stale_stacks() -> None:
    remove_stale_homes()


@pytest.fixture(scope="session")
def kafka() -> Iterator[RunningStack]:
    """A real Kafka node and nothing else; ``kafka_bootstrap`` is where."""
    nothing: dict[str, object] = {"vehicles": 0, "gateways": 0, "command_services": 0, "picture": False}
    with running("kafka", servers=frozenset({Server.KAFKA}), **nothing) as stack:
        yield stack


@pytest.fixture
def start_stack(request: pytest.FixtureRequest) -> Iterator[StartStack]:
    """Starts stacks for one test alone: ``start_stack(vehicles=2, servers=frozenset({Server.KAFKA}))``."""
    with ExitStack() as stacks:

        def start(**options: object) -> RunningStack:
            name = f"{request.node.name[:20]}-{id(options):x}"
            return stacks.enter_context(running(name, **options))

        yield start


@pytest.fixture(scope="session")
def fleet_site() -> Iterator[Site]:
    """PostgreSQL, Redis and Kafka, without anybody who writes. Shared: each file has vehicles of its own."""
    servers = frozenset({Server.POSTGRES, Server.REDIS, Server.KAFKA})
    with running("fleet", vehicles=0, gateways=0, command_services=0, servers=servers, picture=False) as stack:
        yield Site(stack)


@pytest.fixture(scope="session")
def fleet(fleet_site: Site) -> Iterator[FleetProcess]:
    """The one fleet service of that site, healthy. Leave it so."""
    with fleet_process(fleet_site) as running_fleet:
        yield running_fleet


@pytest.fixture
def restarted_fleet(fleet: FleetProcess) -> Iterator[FleetProcess]:
    """The same. A test may end it; the next one finds it running."""
    yield fleet
    if fleet.process is None or fleet.process.poll() is not None:
        fleet.start()
    fleet.await_healthy()
