"""The fleet's counts."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_service.statistics import count
from pitwall.domain.vehicle_state import VehicleStatus

CONNECTED, LOST = 1, 2
ACTIVE = ("ROUTING", "LOADING", "HAULING", "DUMPING", "RETURNING")
STATES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)))


@given(STATES)
def test_the_parts_sum_up(states: Sequence[tuple[int, int]]) -> None:
    found = count(states, 3, 7, stale=False)
    assert found.total == len(states) == sum(found.by_status.values())
    assert found.active + found.idle <= found.connected <= found.total
    assert all(found.by_status.values()), "no status is shown with nobody in it"


@pytest.mark.parametrize("status", list(VehicleStatus))
def test_each_status_counts_where_it_belongs(status: VehicleStatus) -> None:
    found = count([(status, CONNECTED), (status, LOST), (status, 0)], 0, 7, stale=True)
    assert (found.total, found.connected, found.by_status) == (3, 1, {status.name: 3})
    assert found.active == (status.name in ACTIVE)
    assert found.idle == (status is VehicleStatus.IDLE)


def test_an_empty_fleet_is_no_error() -> None:
    found = count([], 2, 7, stale=True)
    assert (found.total, found.by_status, found.open_alerts, found.computed_ns, found.stale) == (0, {}, 2, 7, True)


def test_a_status_of_a_later_version_is_unknown() -> None:
    assert count([(99, CONNECTED), (0, CONNECTED)], 0, 7, stale=False).by_status == {"UNSPECIFIED": 2}
