"""A development authority made once for all tests of the shared library, and servers under it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pitwall import devca
from tests.unit.pitwall.rig import Site, opened


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PITWALL_HOME with certificates and tokens."""
    home = tmp_path_factory.mktemp("site")
    devca.ensure(
        home,
        vehicles=["KOMATSU-930E-001", "KOMATSU-980E-002"],
        gateways=["gateway-1"],
        commands=["command-1"],
    )
    return home


@pytest.fixture
async def rpc(site: Path) -> AsyncIterator[Site]:
    """Opens servers and channels that end with the test."""
    async with opened(site) as rig:
        yield rig
