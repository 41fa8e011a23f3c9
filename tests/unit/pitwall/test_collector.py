"""The collector of cycles, once all is set up."""

import gc

import pytest

from pitwall import collector


@pytest.fixture(autouse=True)
def _as_before() -> object:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_what_is_there_is_looked_at_no_more_and_cycles_still_go() -> None:
    collector.settle()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] == collector.YOUNG_OBJECTS
    assert gc.isenabled()
