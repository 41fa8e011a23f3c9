"""The vehicle's own reasons to stop: issued by it, in everybody's set, withdrawn by it alone."""

from itertools import count

import pytest

from edge_agent.limits import OWN_STOP_CLEAR_S
from edge_agent.own_stops import OwnStops
from edge_agent.vehicle import LOCAL_STOP_BUTTON
from pitwall.domain.stop_set import SetDelta, StopSet, VehicleScope
from tests.unit.edge_agent.builders import OTHER, T0, URI, VEHICLE, WALL, stop

BUTTON = frozenset({LOCAL_STOP_BUTTON})
NONE: frozenset[str] = frozenset()


class Bench:
    def __init__(self) -> None:
        numbers = count(1)
        self.stops = StopSet()
        self.own = OwnStops(VEHICLE, URI, lambda: f"id-{next(numbers)}")

    def measure(self, faults: frozenset[str], at_s: float) -> SetDelta:
        delta = self.own.judge(faults, at_s, WALL)
        if delta:
            self.merge(delta)
        return delta

    def merge(self, delta: SetDelta) -> None:
        self.stops.merge(delta.stops, delta.releases)
        self.own.adopt(self.stops)


def test_a_reason_is_one_stop_for_this_vehicle_however_often_it_is_measured() -> None:
    bench = Bench()
    (made,) = bench.measure(BUTTON, T0).stops
    assert (made.scope, made.reason, made.issued_by, made.issuing_vehicle_id) == (
        VehicleScope(frozenset({VEHICLE})),
        LOCAL_STOP_BUTTON,
        URI,
        VEHICLE,
    )
    assert not bench.measure(BUTTON, T0 + 0.1)


def test_each_reason_has_its_own_stop() -> None:
    assert [s.reason for s in Bench().measure(BUTTON | {"BRAKE_FAULT"}, T0).stops] == ["BRAKE_FAULT", LOCAL_STOP_BUTTON]


@pytest.mark.parametrize(("after_s", "withdrawn"), [(OWN_STOP_CLEAR_S - 0.1, False), (OWN_STOP_CLEAR_S, True)])
def test_it_is_withdrawn_when_its_reason_has_been_gone_for_a_while(after_s: float, *, withdrawn: bool) -> None:
    bench = Bench()
    (made,) = bench.measure(BUTTON, T0).stops
    bench.measure(NONE, T0 + 1)
    delta = bench.measure(NONE, T0 + 1 + after_s)
    assert bool(delta.releases) == withdrawn
    if withdrawn:
        (release,) = delta.releases
        assert release.stop_ids == {made.stop_id}
        assert release.vehicle_ids == {VEHICLE}
        assert release.issuing_vehicle_id == VEHICLE


def test_a_reason_that_flickers_is_not_gone() -> None:
    bench = Bench()
    bench.measure(BUTTON, T0)
    bench.measure(NONE, T0 + 0.6)
    bench.measure(BUTTON, T0 + 1.2)
    bench.measure(NONE, T0 + 1.8)
    assert not bench.measure(NONE, T0 + 2.7)


def test_one_that_comes_back_from_the_site_without_a_reason_is_withdrawn() -> None:
    """After a restart, or from a command service that missed the withdrawal."""
    bench = Bench()
    bench.merge(SetDelta((stop("old", own=True, reason=LOCAL_STOP_BUTTON),)))
    bench.measure(NONE, T0)
    (release,) = bench.measure(NONE, T0 + OWN_STOP_CLEAR_S).releases
    assert release.stop_ids == {"old"}


def test_one_that_comes_back_with_its_reason_is_not_issued_anew() -> None:
    bench = Bench()
    bench.merge(SetDelta((stop("old", own=True, reason=LOCAL_STOP_BUTTON),)))
    assert not bench.measure(BUTTON, T0)


def test_a_reason_that_comes_again_is_a_new_stop() -> None:
    bench = Bench()
    bench.measure(BUTTON, T0)
    bench.measure(NONE, T0 + 1)
    bench.measure(NONE, T0 + 3)
    assert len(bench.measure(BUTTON, T0 + 4).stops) == 1


def test_the_time_without_a_reason_is_counted_anew_for_each_stop() -> None:
    """A button pressed again just before its withdrawal, and once more after it."""
    bench = Bench()
    bench.measure(BUTTON, T0)
    bench.measure(NONE, T0 + 1)
    bench.measure(NONE, T0 + 2)
    bench.measure(BUTTON, T0 + 3)
    assert not bench.measure(NONE, T0 + 4)
    assert not bench.measure(NONE, T0 + 4.9)
    assert bench.measure(NONE, T0 + 5).releases


def test_a_stop_adopted_while_its_reason_is_counted_out_waits_its_own_time() -> None:
    bench = Bench()
    bench.merge(SetDelta((stop("old", own=True, reason=LOCAL_STOP_BUTTON),)))
    bench.measure(NONE, T0)
    bench.measure(BUTTON, T0 + 0.5)
    assert not bench.measure(NONE, T0 + 1.1)


def test_stops_of_people_and_of_other_vehicles_are_not_its_own() -> None:
    bench = Bench()
    bench.merge(SetDelta((stop("theirs"), stop("other", VehicleScope(frozenset({OTHER}))))))
    bench.measure(NONE, T0)
    assert not bench.measure(NONE, T0 + 60)
