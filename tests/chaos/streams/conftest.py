"""Each test has a Kafka and a Flink of its own."""

import pytest

from tests.integration.stacks import remove_stale_homes


@pytest.fixture(scope="package", autouse=True)
def _swept() -> None:
    remove_stale_homes()
