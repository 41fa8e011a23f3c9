"""Which stops a vehicle is under: as the table of its fate says, in whatever order and however often it is told."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_service.fleet import Fleet
from fleet_service.registry import first_seen
from fleet_service.stops import MAX_SHOWN, Fact, Stops, StopWord, Word
from pitwall.domain.geo import Position, Zone
from pitwall.domain.stop_set import FleetScope, Release, Scope, Stop, VehicleScope, ZoneScope

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
FIRST, SECOND = "KOMATSU-930E-001", "KOMATSU-980E-002"
NAMED = VehicleScope(frozenset({FIRST}))
WHOLE = FleetScope()
ZONE = ZoneScope(Zone("pit", (Position(0, 0), Position(0, 1), Position(1, 1))))


def stop(scope: Scope, stop_id: str = "s") -> Stop:
    return Stop(stop_id, scope, "because", "ann", NOON)


def release(*vehicle_ids: str, stop_id: str = "s") -> Release:
    return Release(
        "-".join(("r", stop_id, *vehicle_ids)),
        frozenset({stop_id}),
        frozenset(vehicle_ids),
        "over",
        "ann",
        NOON,
        "bob",
        NOON,
    )


def said(word: Word, vehicle_id: str = FIRST, stop_id: str = "s") -> StopWord:
    return StopWord(stop_id, vehicle_id, word)


def told(facts: Iterable[Fact]) -> Stops:
    stops = Stops()
    for fact in facts:
        stops.take(fact)
    return stops


@pytest.mark.parametrize(
    ("facts", "first", "second"),
    [
        ([stop(NAMED)], True, False),
        ([stop(WHOLE)], True, True),
        ([stop(ZONE)], False, False),
        ([stop(ZONE), said(Word.SENT)], False, False),
        ([stop(ZONE), said(Word.HELD)], True, False),
        ([stop(NAMED), release()], False, False),
        ([stop(NAMED), release(FIRST)], False, False),
        ([stop(NAMED), release(SECOND)], True, False),
        ([stop(NAMED), said(Word.SENT), release()], True, False),
        ([stop(NAMED), said(Word.HELD), release()], True, False),
        ([stop(NAMED), said(Word.HELD), release(), said(Word.LET_GO)], False, False),
        ([stop(NAMED), said(Word.LET_GO)], True, False),
        ([stop(WHOLE), said(Word.HELD), release()], True, False),
        ([stop(WHOLE), said(Word.HELD), release(FIRST)], True, True),
        ([stop(WHOLE), said(Word.HELD), release(FIRST), said(Word.LET_GO)], False, True),
        ([stop(ZONE), said(Word.HELD), release()], True, False),
        ([stop(ZONE), said(Word.HELD), release(), said(Word.LET_GO)], False, False),
        ([stop(ZONE), said(Word.SENT), release()], False, False),
        ([release(), stop(WHOLE)], False, False),
        ([said(Word.HELD), stop(ZONE)], False, False),
        ([stop(NAMED), stop(VehicleScope(frozenset({SECOND})))], True, True),
    ],
)
def test_whom_a_stop_holds(facts: list[Fact], first: bool, second: bool) -> None:
    stops = told(facts)
    assert (stops.active_ids(FIRST), stops.active_ids(SECOND)) == (("s",) * first, ("s",) * second)


STOPS = st.builds(stop, st.sampled_from([NAMED, WHOLE, ZONE]), st.sampled_from("ab"))
RELEASES = st.builds(release, st.sampled_from([FIRST, SECOND]), stop_id=st.sampled_from("ab"))
WORDS = st.builds(said, st.sampled_from(Word), st.sampled_from([FIRST, SECOND]), st.sampled_from("ab"))


@given(st.lists(STOPS, max_size=3), st.lists(RELEASES | WORDS, max_size=8), st.randoms())
def test_order_and_repetition_change_nothing(stops: list[Fact], facts: list[Fact], chance: Random) -> None:
    """Of what is said; the stop itself comes first in every journal."""
    again = facts + chance.sample(facts, len(facts))
    chance.shuffle(again)
    one, other = told([*stops, *facts]), told([*stops, *again, *stops])
    assert [one.active_ids(v) for v in (FIRST, SECOND)] == [other.active_ids(v) for v in (FIRST, SECOND)]


@given(st.lists(STOPS | RELEASES | WORDS, max_size=10))
def test_what_is_kept_of_each_fact_makes_the_same_state_again(facts: list[Fact]) -> None:
    """As after a restart: stops first, then what was said of them."""
    stops = Stops()
    kept = [touched.fact for touched in map(stops.take, facts) if touched is not None]
    again = told(sorted(kept, key=lambda fact: not isinstance(fact, Stop)))
    assert [again.active_ids(v) for v in (FIRST, SECOND)] == [stops.active_ids(v) for v in (FIRST, SECOND)]


def test_the_newest_are_shown_where_there_are_too_many() -> None:
    ids = [f"s-{number:04d}" for number in range(MAX_SHOWN + 1)]
    assert told(stop(NAMED, stop_id) for stop_id in ids).active_ids(FIRST) == tuple(ids[1:])


def test_what_is_over_for_long_is_forgotten_with_all_that_was_said_of_it() -> None:
    later = replace(stop(NAMED, "later"), issued_time=NOON + timedelta(days=1))
    stops = told([stop(NAMED), said(Word.HELD), release(), later, stop(WHOLE, "active")])
    assert stops.compact(NOON + timedelta(hours=1)) == (["s"], ["r-s"])
    assert stops.active_ids(FIRST) == ("active", "later")
    assert stops.take(said(Word.HELD)) is None


def test_beyond_the_most_what_is_over_is_dropped_and_what_holds_stays() -> None:
    stops = Stops(max_pairs=4)
    held = [f"held-{number}" for number in range(3)]
    for stop_id in held:
        for fact in (stop(NAMED, stop_id), said(Word.HELD, stop_id=stop_id), release(stop_id=stop_id)):
            stops.take(fact)
    for number in range(10):
        stop_id = f"over-{number}"
        for fact in (stop(ZONE, stop_id), said(Word.HELD, stop_id=stop_id), release(stop_id=stop_id)):
            stops.take(fact)
        assert stops.active_ids(FIRST) == (*held, stop_id), "it has not let go yet"
        stops.take(said(Word.LET_GO, stop_id=stop_id))
        assert stops.active_ids(FIRST) == tuple(held)
    assert len(stops._words) < 10


@pytest.mark.parametrize(
    ("facts", "news"),
    [
        ([stop(NAMED)], {FIRST}),
        ([stop(WHOLE)], {FIRST, SECOND}),
        ([stop(NAMED), stop(NAMED)], set()),
        ([stop(VehicleScope(frozenset({"GHOST-1"})))], set()),
        ([stop(WHOLE), release(SECOND)], {FIRST, SECOND}),
        ([stop(ZONE), said(Word.HELD)], {FIRST}),
        ([stop(ZONE), said(Word.HELD), said(Word.SENT)], set()),
        ([stop(ZONE), said(Word.HELD, SECOND), release()], {SECOND}),
    ],
)
def test_watchers_learn_of_whom_the_last_fact_concerns(facts: list[Fact], news: set[str]) -> None:
    fleet = Fleet(lambda: NOON)
    for vehicle_id in (FIRST, SECOND):
        fleet.put_entry(first_seen(vehicle_id, NOON))
    for fact in facts[:-1]:
        fleet.take_fact(fact)
    seen = fleet.vehicle_changes.version
    fleet.take_fact(facts[-1])
    assert set(fleet.vehicle_changes.since(seen)) == news
