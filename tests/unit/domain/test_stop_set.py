"""The stop set: what applies to whom, and that merging in any order, any number of times, ends in the same set."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitwall.domain.geo import Position, Zone
from pitwall.domain.stop_set import (
    FleetScope,
    Latches,
    Release,
    Scope,
    SetDelta,
    Stop,
    StopSet,
    VehicleScope,
    ZoneScope,
    join,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PIT = Zone("pit", (Position(0, 0), Position(0, 1), Position(1, 1), Position(1, 0)))
INSIDE, OUTSIDE = Position(0.5, 0.5), Position(2, 2)


def named(*vehicle_ids: str) -> VehicleScope:
    return VehicleScope(frozenset(vehicle_ids))


def stop(stop_id: str, scope: Scope = FleetScope(), issued_time: datetime = NOW) -> Stop:  # noqa: B008
    return Stop(stop_id, scope, "because", "somebody", issued_time)


def release(release_id: str, stop_ids: str, *vehicle_ids: str) -> Release:
    return Release(release_id, frozenset(stop_ids.split()), frozenset(vehicle_ids), "safe", "somebody", NOW)


def applying(stops: StopSet, vehicle_id: str) -> set[str]:
    return {stop.stop_id for stop in stops.applies_to(vehicle_id)}


def test_an_empty_set_holds_nobody() -> None:
    assert not StopSet().holds("A")
    assert not StopSet().snapshot()


@pytest.mark.parametrize(
    ("scope", "applies", "holds"),
    [
        (named("A", "B"), True, True),
        (named("B"), False, False),
        (FleetScope(), True, True),
        # A zone goes to everybody, and each vehicle judges it.
        (ZoneScope(PIT), True, False),
    ],
)
def test_whom_a_stop_concerns(scope: Scope, applies: bool, holds: bool) -> None:
    stops = StopSet()
    stops.merge([stop("s", scope)])
    assert applying(stops, "A") == ({"s"} if applies else set())
    assert stops.holds("A") is holds


def test_merging_returns_what_was_new_and_only_that() -> None:
    stops = StopSet()
    first = stops.merge([stop("s1")], [release("r1", "s1")])
    assert first == SetDelta((stop("s1"),), (release("r1", "s1"),))
    assert stops.get("s1") == stop("s1")
    assert stops.merge([stop("s1"), stop("s2")], [release("r1", "s1")]) == SetDelta((stop("s2"),))
    assert not stops.merge([stop("s1")])


@pytest.mark.parametrize(
    ("one", "other", "held"),
    [
        (named("A"), named("B"), "AB"),
        (named("A"), FleetScope(), "ABC"),
        # A zone and a list have nothing in common that holds both but the fleet.
        (ZoneScope(PIT), named("A"), "ABC"),
        (ZoneScope(PIT), ZoneScope(Zone("hill", PIT.corners)), "ABC"),
        (ZoneScope(PIT), FleetScope(), "ABC"),
    ],
)
def test_two_stops_under_one_id_hold_whoever_either_holds(one: Scope, other: Scope, held: str) -> None:
    for first, second in ((one, other), (other, one)):
        stops = StopSet()
        stops.merge([stop("s", first)])
        assert bool(stops.merge([stop("s", second)])) is (first != FleetScope())
        assert {vehicle_id for vehicle_id in "ABC" if stops.holds(vehicle_id)} == set(held)
        assert [len(stops.applies_to(vehicle_id)) for vehicle_id in held] == [1] * len(held)
        assert not stops.merge([stop("s", one), stop("s", other)])


def test_a_stop_is_a_vehicles_own_only_while_all_say_so() -> None:
    own = replace(stop("s", named("A")), issuing_vehicle_id="A")
    for other, issuer in ((stop("s"), None), (replace(own, scope=FleetScope()), "A")):
        assert join(own, other) == join(other, own)
        assert join(own, other) == replace(own, scope=FleetScope(), issuing_vehicle_id=issuer)


def test_a_release_takes_away_just_the_pairs_that_it_names() -> None:
    stops = StopSet()
    stops.merge([stop("s1", named("A", "B")), stop("s2", FleetScope())], [release("r", "s1", "A")])
    assert applying(stops, "A") == {"s2"}
    assert applying(stops, "B") == {"s1", "s2"}
    assert stops.is_released("s1", "A")
    assert not stops.is_released("s1", "B")


def test_a_release_without_vehicles_is_for_all_in_scope() -> None:
    stops = StopSet()
    stops.merge([stop("s1"), stop("z", ZoneScope(PIT))], [release("r", "s1 z")])
    assert applying(stops, "A") == set()


def test_a_release_does_not_cancel_a_stop_that_it_did_not_see() -> None:
    stops = StopSet()
    stops.merge([stop("s1")])
    stops.merge([stop("s2")])  # issued while s1 is being released
    stops.merge(releases=[release("r", "s1")])
    assert applying(stops, "A") == {"s2"}


@pytest.mark.parametrize("scope", [FleetScope(), named("A"), ZoneScope(PIT)])
def test_a_release_that_overtakes_its_stop_still_counts(scope: Scope) -> None:
    stops = StopSet()
    stops.merge(releases=[release("r", "s")])
    stops.merge([stop("s", scope)])
    assert applying(stops, "A") == set()
    assert not stops.is_active("s")


def test_a_stop_is_active_until_the_last_named_vehicle_is_released() -> None:
    stops = StopSet()
    stops.merge([stop("s", named("A", "B"))], [release("r1", "s", "A")])
    assert stops.is_active("s")
    stops.merge(releases=[release("r2", "s", "B")])
    assert not stops.is_active("s")
    assert stops.active_count == 0
    assert stops.active_stops() == ()


@pytest.mark.parametrize("scope", [FleetScope(), ZoneScope(PIT)])
def test_a_wide_stop_stays_active_for_who_comes_later(scope: Scope) -> None:
    stops = StopSet()
    stops.merge([stop("s", scope)], [release("r", "s", "A")])
    assert applying(stops, "A") == set()
    assert applying(stops, "NEW") == {"s"}
    assert stops.active_stops() == (stop("s", scope),)


def test_an_unknown_stop_is_not_active() -> None:
    assert not StopSet().is_active("s")
    assert StopSet().get("s") is None
    assert "s" not in StopSet()


def test_a_vehicle_is_sent_what_concerns_it() -> None:
    stops = StopSet()
    releases = [release("r1", "mine"), release("r2", "other"), release("r3", "theirs", "B")]
    stops.merge([stop("mine", named("A")), stop("other", named("B")), stop("zone", ZoneScope(PIT))], releases)
    assert stops.for_vehicle("A") == SetDelta((stop("zone", ZoneScope(PIT)),), (releases[0],))


def test_a_vehicle_gets_the_release_of_what_it_brought_along() -> None:
    stops = StopSet()
    stops.merge([stop("fleet")], [release("r1", "fleet"), release("r2", "fleet", "B")])
    assert stops.for_vehicle("A").releases == ()
    assert stops.for_vehicle("A", latched=["fleet"]).releases == (release("r1", "fleet"),)
    assert stops.for_vehicle("B", latched=["fleet"]).releases == (release("r1", "fleet"), release("r2", "fleet", "B"))


def test_compaction_forgets_what_is_old_and_released_and_nothing_else() -> None:
    stops = StopSet()
    old, edge = NOW - timedelta(days=91), NOW - timedelta(days=90)
    stops.merge(
        [
            stop("old", issued_time=old),
            stop("old-active", issued_time=old),
            stop("new"),
            stop("edge", issued_time=edge),
        ],
        [release("r1", "old"), release("r2", "new old"), release("r3", "edge")],
    )
    assert stops.compact(edge) == 1
    assert "old" not in stops
    assert "edge" in stops
    assert stops.active_stops() == (stop("old-active", issued_time=old),)
    # The release that also names a younger stop stays.
    assert stops.is_released("new", "A")
    # Brought back by a vehicle that was away, r2 still knows it; without such a release it would be active again.
    assert stops.snapshot().releases == (release("r2", "new old"), release("r3", "edge"))


def test_a_forgotten_stop_that_a_vehicle_brings_back_is_active_again() -> None:
    stops = StopSet()
    old = NOW - timedelta(days=91)
    stops.merge([stop("s", issued_time=old)], [release("r", "s")])
    stops.compact(NOW)
    stops.merge([stop("s", issued_time=old)])
    assert stops.holds("A")


SCOPES = st.sampled_from([FleetScope(), ZoneScope(PIT), named("A"), named("B"), named("A", "B")])
JOINED = st.builds(
    Stop,
    st.just("s"),
    SCOPES,
    st.sampled_from(["why", "because"]),
    st.sampled_from(["one", "two"]),
    st.just(NOW),
    st.sampled_from([None, "A", "B"]),
)


@given(JOINED, JOINED, JOINED)
def test_joining_is_the_same_in_any_order(a: Stop, b: Stop, c: Stop) -> None:
    assert join(a, b) == join(b, a)
    assert join(join(a, b), c) == join(a, join(b, c))
    assert join(a, join(a, b)) == join(a, b)


# Latches


def zone_set(zone: Zone = PIT) -> StopSet:
    stops = StopSet()
    stops.merge([stop("z", ZoneScope(zone))])
    return stops


@pytest.mark.parametrize(
    ("position", "age", "latched"),
    [
        (INSIDE, 0.0, True),
        (OUTSIDE, 0.0, False),
        # Unknown, or too old to go by, counts as inside.
        (None, 0.0, True),
        (OUTSIDE, 5.0, False),
        (OUTSIDE, 5.001, True),
    ],
)
def test_a_zone_fails_wide(position: Position | None, age: float, latched: bool) -> None:
    latches = Latches("A")
    change = latches.update(zone_set(), position, age)
    assert (latches.stop_ids == {"z"}) is latched
    assert bool(change) is latched


def test_a_zone_takes_hold_at_its_edge_and_keeps_hold_behind_it() -> None:
    latches, stops = Latches("A"), zone_set()
    assert not latches.update(stops, OUTSIDE, 0)
    assert latches.update(stops, INSIDE, 0).latched == {"z"}
    assert not latches.update(stops, OUTSIDE, 0)
    assert latches.stop_ids == {"z"}


def test_only_the_release_of_this_pair_lets_go() -> None:
    latches, stops = Latches("A"), zone_set()
    latches.update(stops, INSIDE, 0)
    stops.merge(releases=[release("r1", "z", "B")])
    assert not latches.update(stops, INSIDE, 0)
    stops.merge(releases=[release("r2", "z", "A")])
    assert latches.update(stops, INSIDE, 0).released == {"z"}
    assert not latches.update(stops, INSIDE, 0)
    assert latches.stop_ids == frozenset()


def test_latches_from_before_a_reboot_hold_although_the_set_is_empty() -> None:
    latches = Latches("A", ["old"])
    assert not latches.update(StopSet(), OUTSIDE, 0)
    assert latches.stop_ids == {"old"}


class CountingSet(StopSet):
    asked = 0

    def applies_to(self, vehicle_id: str) -> tuple[Stop, ...]:
        self.asked += 1
        return super().applies_to(vehicle_id)


def test_what_applies_is_sorted_once_for_each_version() -> None:
    """A gate judges twenty times a second, and 500 zones must not cost it a core."""
    latches, stops = Latches("A"), CountingSet()
    for asked in (1, 2):
        stops.merge([stop(f"z{asked}", ZoneScope(PIT))])
        for position in (OUTSIDE, OUTSIDE, INSIDE):
            latches.update(stops, position, 0)
        assert stops.asked == asked


def test_another_set_is_judged_anew_though_its_version_is_the_same() -> None:
    latches, stops, other = Latches("A"), StopSet(), StopSet()
    stops.merge([stop("s", named("B"))])
    other.merge([stop("s", named("A"))])
    assert stops.version == other.version
    assert not latches.update(stops, OUTSIDE, 0)
    assert latches.update(other, OUTSIDE, 0).latched == {"s"}


def test_the_version_tells_every_change_and_nothing_else() -> None:
    stops = StopSet()
    seen = [stops.version]
    for change in (
        lambda: stops.merge([stop("s")]),
        lambda: stops.merge(releases=[release("r", "s")]),
        lambda: stops.compact(NOW + timedelta(days=1)),
    ):
        change()
        assert stops.version > seen[-1]
        seen.append(stops.version)
    stops.merge([stop("s")])
    before = stops.version
    stops.merge([stop("s")])
    stops.merge()
    assert stops.version == before


def test_zones_are_counted_until_they_are_released_for_all() -> None:
    stops = StopSet()
    stops.merge([stop("z", ZoneScope(PIT)), stop("y", ZoneScope(PIT)), stop("s"), stop("a", named("A"))])
    assert stops.active_zones == 2
    stops.merge(releases=[release("r1", "z", "A"), release("r2", "y")])
    assert stops.active_zones == 1


def test_a_delta_without_what_another_one_holds_just_so() -> None:
    same, other_words = stop("same"), replace(stop("changed"), reason="another one")
    delta = SetDelta((same, stop("changed"), stop("new")), (release("r-1", "same"), release("r-2", "same")))
    known = SetDelta((other_words, same), (release("r-1", "same"), release("r-2", "same", "A")))
    assert delta.without(known) == SetDelta((stop("changed"), stop("new")), (release("r-2", "same"),))
    assert delta.without(SetDelta()) == delta
    assert not delta.without(delta)
