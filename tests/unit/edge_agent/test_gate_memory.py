"""What a vehicle keeps of the set, and that it does not grow for ever."""

from dataclasses import replace

from edge_agent.limits import REMEMBERED_RELEASES, SET_TRIM_AT
from edge_agent.memory import carried, trimmed
from pitwall.domain.stop_set import SetDelta, StopSet, VehicleScope
from tests.unit.edge_agent.builders import OTHER, PIT, T0, VEHICLE, driving, release, stop

RUN = 500


def cycle(numbers: range) -> tuple[SetDelta, SetDelta]:
    """So many stops, and the releases of each."""
    stops = tuple(stop(f"s{n:06d}") for n in numbers)
    releases = tuple(release(s.stop_id, vehicles=frozenset({VEHICLE})) for s in stops)
    return SetDelta(stops), SetDelta(releases=releases)


def test_years_of_stops_and_releases_stay_within_bounds() -> None:
    gate = driving()
    for first in range(0, 3 * SET_TRIM_AT, RUN):
        for delta in cycle(range(first, first + RUN)):
            gate.merge(delta, T0)
    kept = gate.stops.snapshot()
    assert len(kept.stops) + len(kept.releases) <= SET_TRIM_AT + 2 * RUN
    assert not gate.latched


def test_what_was_released_lately_does_not_latch_anew_and_what_is_forgotten_does() -> None:
    gate = driving()
    for first in range(0, SET_TRIM_AT, RUN):
        for delta in cycle(range(first, first + RUN)):
            gate.merge(delta, T0)
    gate.merge(SetDelta((stop(f"s{SET_TRIM_AT - 1:06d}"),)), T0)
    assert not gate.latched
    gate.merge(SetDelta((stop("s000000"),)), T0)
    assert gate.latched == {"s000000"}, "forgetting is safe: it holds again"


def test_trimming_keeps_what_holds_what_is_watched_and_the_newest_releases() -> None:
    stops = StopSet()
    old, released = cycle(range(3 * REMEMBERED_RELEASES))
    stops.merge(old.stops, released.releases)
    stops.merge([stop("held"), stop("z", PIT), stop("theirs", VehicleScope(frozenset({OTHER})))])
    kept = trimmed(stops, VEHICLE, frozenset({"held"}))
    ids = {s.stop_id for s in kept.snapshot().stops}
    assert {"held", "z"} <= ids
    assert "theirs" not in ids
    assert len(kept.snapshot().releases) == REMEMBERED_RELEASES
    newest = old.stops[-1].stop_id
    assert kept.is_released(newest, VEHICLE)


def test_its_own_withdrawals_are_carried_and_those_of_people_are_not() -> None:
    stops = StopSet()
    own = replace(release("mine"), issuing_vehicle_id=VEHICLE)
    stops.merge(releases=[own, release("theirs"), replace(release("others"), issuing_vehicle_id=OTHER)])
    assert carried(stops, VEHICLE, frozenset())[0].releases == (own,)


def test_a_latched_stop_is_carried_even_when_it_no_longer_applies() -> None:
    stops = StopSet()
    stops.merge([stop("a")])
    delta, watches = carried(stops, VEHICLE, frozenset({"a"}))
    assert ([s.stop_id for s in delta.stops], watches) == (["a"], False)


def test_zones_are_watched_until_they_hold() -> None:
    stops = StopSet()
    stops.merge([stop("z", PIT)])
    assert carried(stops, VEHICLE, frozenset())[1]
    assert not carried(stops, VEHICLE, frozenset({"z"}))[1]
