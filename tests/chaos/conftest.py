"""One line for all of these tests: each breaks it, and leaves it whole."""

from collections.abc import Iterator

import pytest

from tests.chaos.breaking import sweep
from tests.chaos.line import Line, line
from tests.integration.stacks import remove_stale_homes


@pytest.fixture(scope="package")
def site() -> Iterator[Line]:
    sweep()
    remove_stale_homes()
    with line("chaos") as started:
        yield started


@pytest.fixture
def at_work(site: Line) -> Line:
    """The same, whole, with vehicles that drive at this moment."""
    site.stack.await_healthy()
    site.drive()
    return site
