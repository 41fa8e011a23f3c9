"""The stop set: what applies to whom, and that merging in any order, any number of times, ends in the same set."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitwall.domain.geo import Position, Zone
from pitwall.domain.stop_set import (
    POSITION_MAX_AGE_S,
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
        assert not stops.merge([stop("s", one), stop("s", other)])


def test_a_stop_is_a_vehicles_own_only_while_all_say_so() -> None:
    own = replace(stop("s", named("A")), issuing_vehicle_id="A")
    for first, second in ((own, stop("s")), (stop("s"), own)):
        stops = StopSet()
        stops.merge([first, second])
        joined = stops.get("s")
        assert joined is not None
        assert (joined.scope, joined.issuing_vehicle_id) == (FleetScope(), None)


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
    old = NOW - timedelta(days=91)
    stops.merge(
        [stop("old", issued_time=old), stop("old-active", issued_time=old), stop("new")],
        [release("r1", "old"), release("r2", "new old")],
    )
    assert stops.compact(NOW - timedelta(days=90)) == 1
    assert "old" not in stops
    assert stops.active_stops() == (stop("old-active", issued_time=old),)
    # The release that also names a younger stop stays.
    assert stops.is_released("new", "A")
    # Brought back by a vehicle that was away, r2 still knows it; without such a release it would be active again.
    assert stops.snapshot().releases == (release("r2", "new old"),)


def test_a_forgotten_stop_that_a_vehicle_brings_back_is_active_again() -> None:
    stops = StopSet()
    old = NOW - timedelta(days=91)
    stops.merge([stop("s", issued_time=old)], [release("r", "s")])
    stops.compact(NOW)
    stops.merge([stop("s", issued_time=old)])
    assert stops.holds("A")


SCOPES = st.sampled_from([FleetScope(), ZoneScope(PIT), named("A"), named("B"), named("A", "B")])
STOPS = st.lists(st.builds(stop, st.sampled_from("123456"), SCOPES), max_size=6, unique_by=lambda s: s.stop_id)
RELEASES = st.lists(
    st.builds(
        lambda rid, sids, vids: Release(rid, sids, vids, "safe", "somebody", NOW),
        st.sampled_from("abcdef"),
        st.frozensets(st.sampled_from("123456"), min_size=1, max_size=3),
        st.frozensets(st.sampled_from("AB"), max_size=2),
    ),
    max_size=6,
    unique_by=lambda r: r.release_id,
)


def model(stops: list[Stop], releases: list[Release], vehicle_id: str) -> set[str]:
    """The definition, word by word."""
    in_scope = {s.stop_id for s in stops if not isinstance(s.scope, VehicleScope) or vehicle_id in s.scope.vehicle_ids}
    return {
        s
        for s in in_scope
        if not any(s in r.stop_ids and (not r.vehicle_ids or vehicle_id in r.vehicle_ids) for r in releases)
    }


@given(STOPS, RELEASES, st.randoms(use_true_random=False))
def test_whatever_the_order_and_the_repeats_the_set_is_the_definition(
    stops: list[Stop], releases: list[Release], random: Random
) -> None:
    frames = [SetDelta((s,), ()) for s in stops] + [SetDelta((), (r,)) for r in releases]
    frames += random.choices(frames, k=4) if frames else []
    random.shuffle(frames)
    merged = StopSet()
    for frame in frames:
        merged.merge(frame.stops, frame.releases)
    for vehicle_id in ("A", "B", "C"):
        expected = model(stops, releases, vehicle_id)
        assert applying(merged, vehicle_id) == expected
        assert merged.holds(vehicle_id) == any(
            not isinstance(s.scope, ZoneScope) for s in stops if s.stop_id in expected
        )


@given(STOPS, RELEASES, STOPS, RELEASES)
def test_two_parties_that_exchange_their_sets_hold_the_same(
    stops_a: list[Stop], releases_a: list[Release], stops_b: list[Stop], releases_b: list[Release]
) -> None:
    known_releases = {r.release_id: r for r in releases_a}
    releases_b = [known_releases.get(r.release_id, r) for r in releases_b]
    a, b = StopSet(), StopSet()
    a.merge(stops_a, releases_a)
    b.merge(stops_b, releases_b)
    before_a, before_b = a.snapshot(), b.snapshot()
    a.merge(before_b.stops, before_b.releases)
    b.merge(before_a.stops, before_a.releases)
    assert set(a.snapshot().stops) == set(b.snapshot().stops)
    assert set(a.snapshot().releases) == set(b.snapshot().releases)
    for vehicle_id in ("A", "B", "C"):
        assert applying(a, vehicle_id) == applying(b, vehicle_id)


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
        (OUTSIDE, POSITION_MAX_AGE_S, False),
        (OUTSIDE, POSITION_MAX_AGE_S + 0.001, True),
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


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("stop"), st.sampled_from(["a", "b", "z", "y"])),
        st.tuples(st.just("release"), st.sampled_from(["a", "b", "z", "y"])),
        st.tuples(st.just("release for A"), st.sampled_from(["a", "z"])),
        st.tuples(st.just("forget"), st.just("")),
        st.tuples(st.just("at"), st.sampled_from(["inside", "outside", "unknown"])),
    ),
    max_size=25,
)
OFFERED: dict[str, Scope] = {"a": named("A"), "b": named("B"), "z": ZoneScope(PIT), "y": ZoneScope(PIT)}
PLACES = {"inside": INSIDE, "outside": OUTSIDE, "unknown": None}


@given(OPERATIONS)
def test_what_is_remembered_of_a_set_is_what_the_set_says(operations: list[tuple[str, str]]) -> None:
    """Latches sort the set once for each version: judged anew from its beginning it must say the same."""
    stops, latches, place = StopSet(), Latches("A"), OUTSIDE
    for number, (operation, name) in enumerate(operations):
        match operation:
            case "stop":
                stops.merge([stop(name, OFFERED[name])])
            case "release":
                stops.merge(releases=[release(f"r{number}", name)])
            case "release for A":
                stops.merge(releases=[release(f"r{number}", name, "A")])
            case "forget":
                stops.compact(NOW + timedelta(days=1))
            case _:
                place = PLACES[name]  # type: ignore[assignment]
        before = latches.stop_ids
        change = latches.update(stops, place, 0.0)
        anew = Latches("A", before)
        assert anew.update(stops, place, 0.0) == change
        assert anew.stop_ids == latches.stop_ids


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
