"""The stop ledger: who is in scope, that the sums add up, that stages only advance, and that words decide."""

from datetime import UTC, datetime

import pytest

from command_service.ledger import Ledger, Overdue
from command_service.progress import ALLOWANCE_S, Reach, Stage, VehicleNow
from pitwall.domain.geo import Position, Zone
from pitwall.domain.permit import PermitTerms
from pitwall.domain.stop_set import FleetScope, Scope, Stop, VehicleScope, ZoneScope

NOW_NS = 1_700_000_000_000_000_000
TERMS = PermitTerms()
PIT = ZoneScope(Zone("pit", (Position(0, 0), Position(0, 1), Position(1, 1))))
FLEET = FleetScope()
STAGES = (Stage.SENT, Stage.RECEIVED, Stage.BRAKING, Stage.STANDSTILL)


def named(*vehicle_ids: str) -> VehicleScope:
    return VehicleScope(frozenset(vehicle_ids))


def stop(scope: Scope, stop_id: str = "s") -> Stop:
    return Stop(stop_id, scope, "because", "somebody", datetime(2026, 11, 21, tzinfo=UTC))


def there(vehicle_id: str, speed_kph: float | None = 36.0) -> VehicleNow:
    return VehicleNow(vehicle_id, True, speed_kph=speed_kph, deceleration_mps2=2.0)


def away(vehicle_id: str) -> VehicleNow:
    return VehicleNow(vehicle_id, False)


def opened(scope: Scope, *vehicles: VehicleNow, members: tuple[str, ...] = ("c1",)) -> Ledger:
    ledger = Ledger(members, TERMS)
    assert ledger.open(stop(scope), vehicles, 0.0)
    return ledger


def sums(ledger: Ledger, stop_id: str = "s") -> tuple[int, int, int, int]:
    summary = ledger.summary(stop_id)
    return summary.in_scope, summary.standstill, summary.pending, summary.unreachable


def say(ledger: Ledger, vehicle_id: str, *stages: Stage, now_s: float = 1.0, durably: bool = False) -> list[bool]:
    return [ledger.report(there(vehicle_id), "s", stage, NOW_NS + stage, durably, now_s) for stage in stages]


def test_named_vehicles_are_in_scope_with_a_link_or_without() -> None:
    ledger = opened(named("A", "B"), there("A"), away("B"))
    assert sums(ledger) == (2, 0, 1, 1)


def test_a_vehicle_that_the_site_does_not_know_is_in_scope_and_named() -> None:
    ledger = opened(named("A", "Z"), there("A"), VehicleNow("Z", False, known=False))
    assert sums(ledger) == (2, 0, 1, 1)
    assert ledger.summary("s").unknown_vehicle_ids == ("Z",)


def test_opening_twice_changes_nothing() -> None:
    ledger = opened(named("A"), there("A"))
    assert not ledger.open(stop(FLEET), [there("B")], 0.0)
    assert sums(ledger) == (1, 0, 1, 0)


def test_a_vehicle_that_connects_later_is_in_scope_of_a_stop_for_the_fleet() -> None:
    ledger = opened(FLEET, there("A"))
    ledger.link(there("B"), 5.0)
    assert sums(ledger) == (2, 0, 2, 0)


def test_it_is_not_once_that_stop_is_released_for_all() -> None:
    ledger = opened(FLEET, there("A"))
    say(ledger, "A", Stage.SENT)
    ledger.released(["s"], [], 4.0)
    ledger.link(there("B"), 5.0)
    assert list(ledger["s"].vehicles) == ["A"]
    assert sums(ledger) == (1, 0, 1, 0)


def test_a_zone_has_in_scope_who_says_that_it_has_hold_of_it() -> None:
    ledger = opened(PIT)
    assert not ledger.report(there("A"), "s", Stage.SENT, NOW_NS, False, 1.0), "sent to everybody, judged by each"
    assert sums(ledger) == (0, 0, 0, 0)
    assert ledger.report(there("A"), "s", Stage.RECEIVED, NOW_NS, False, 1.0)
    assert sums(ledger) == (1, 0, 1, 0)


@pytest.mark.parametrize("whom", [[], ["A"]], ids=["for all", "for this one"])
def test_a_zone_that_was_released_before_a_vehicle_said_that_it_is_in_it(whom: list[str]) -> None:
    ledger = opened(PIT)
    ledger.released(["s"], whom, 1.0)
    assert say(ledger, "A", Stage.RECEIVED, Stage.RELEASED) == [True, True]
    assert sums(ledger) == (0, 0, 0, 0)


def test_a_word_from_a_vehicle_that_the_stop_does_not_name_is_nothing() -> None:
    ledger = opened(named("A"), there("A"))
    assert not ledger.report(there("B"), "s", Stage.STANDSTILL, NOW_NS, False, 1.0)
    assert sums(ledger) == (1, 0, 1, 0)


@pytest.mark.parametrize(
    ("scope", "vehicle_id", "can_be"),
    [
        (named("A"), "A", True),
        (named("A"), "B", False),
        (FLEET, "B", True),
        (ZoneScope(Zone("pit", (Position(0, 0), Position(0, 1), Position(1, 0)))), "B", True),
    ],
)
def test_who_can_be_in_scope(scope: Scope, vehicle_id: str, *, can_be: bool) -> None:
    ledger = opened(scope)
    assert ledger.is_for("s", vehicle_id) is can_be
    assert ledger.is_for("nobody knows it", vehicle_id)


def test_a_word_about_an_unknown_stop_is_nothing() -> None:
    assert not Ledger(["c1"], TERMS).report(there("A"), "s", Stage.RECEIVED, NOW_NS, False, 1.0)


@pytest.mark.parametrize("stage", [Stage.NONE, Stage.ISSUED])
def test_issued_is_not_for_a_vehicle_to_say(stage: Stage) -> None:
    assert say(opened(named("A"), there("A")), "A", stage) == [False]


@pytest.mark.parametrize("reached", STAGES)
def test_only_standstill_counts_as_standing(reached: Stage) -> None:
    ledger = opened(named("A"), there("A"))
    say(ledger, "A", *[stage for stage in STAGES if stage <= reached])
    assert sums(ledger) == ((1, 1, 0, 0) if reached is Stage.STANDSTILL else (1, 0, 1, 0))
    assert ledger["s"].settled is (reached is Stage.STANDSTILL)


@pytest.mark.parametrize("later", STAGES)
@pytest.mark.parametrize("earlier", STAGES)
def test_a_stage_never_goes_back(earlier: Stage, later: Stage) -> None:
    ledger = opened(named("A"), there("A"))
    say(ledger, "A", later)
    assert say(ledger, "A", earlier) == [earlier is not later]
    assert ledger["s"].vehicles["A"].stage is max(earlier, later)


def test_a_word_said_twice_is_news_once_and_keeps_its_first_time() -> None:
    ledger = opened(named("A"), there("A"))
    assert ledger.report(there("A"), "s", Stage.BRAKING, NOW_NS, False, 1.0)
    assert not ledger.report(there("A"), "s", Stage.BRAKING, NOW_NS + 5, False, 2.0)
    assert ledger["s"].vehicles["A"].event_ns == {Stage.BRAKING: NOW_NS}


def test_a_durable_latch_is_news_of_its_own() -> None:
    ledger = opened(named("A"), there("A"))
    assert say(ledger, "A", Stage.RECEIVED) == [True]
    assert say(ledger, "A", Stage.RECEIVED, durably=True) == [True]
    assert say(ledger, "A", Stage.RECEIVED, durably=True) == [False]
    assert ledger["s"].vehicles["A"].latched_durably


def test_a_vehicle_whose_link_is_gone_is_unreachable_and_goes_on_when_it_is_back() -> None:
    ledger = opened(named("A"), there("A"))
    say(ledger, "A", Stage.SENT, Stage.RECEIVED)
    ledger.link(away("A"), 2.0)
    assert sums(ledger) == (1, 0, 0, 1)
    ledger.link(there("A"), 9.0)
    say(ledger, "A", Stage.STANDSTILL)
    assert sums(ledger) == (1, 1, 0, 0)


def test_one_that_stood_and_is_gone_counts_as_unreachable_yet_is_settled() -> None:
    ledger = opened(named("A"), there("A"))
    say(ledger, "A", Stage.STANDSTILL)
    ledger.link(away("A"), 2.0)
    assert sums(ledger) == (1, 0, 0, 1)
    assert ledger["s"].settled


# Journaled by a majority


@pytest.mark.parametrize(("members", "needed"), [(("c1",), 1), (("c1", "c2", "c3"), 2), (tuple("abcde"), 3)])
def test_a_stop_is_issued_when_a_majority_has_it_on_disk(members: tuple[str, ...], needed: int) -> None:
    ledger = opened(named("A"), there("A"), members=members)
    for count, member in enumerate(members, 1):
        assert ledger.journaled("s", member, NOW_NS + count) is (count == needed)
        summary = ledger.summary("s")
        assert (summary.journaled_by, summary.command_services) == (count, len(members))
        assert summary.confirmed is (count >= needed)
    assert ledger["s"].issued_ns == NOW_NS + needed


def test_a_member_counts_once_and_a_stranger_never() -> None:
    ledger = opened(named("A"), there("A"), members=("c1", "c2", "c3"))
    for member in ("c1", "c1", "c9"):
        assert not ledger.journaled("s", member, NOW_NS)
    assert ledger.summary("s").journaled_by == 1
    assert not ledger.journaled("unknown", "c1", NOW_NS)


def test_there_is_no_bound_before_that() -> None:
    ledger = opened(named("A"), there("A"))
    progress = ledger["s"].vehicles["A"]
    assert ledger.summary("s").brakes_by_ns is None
    ledger.journaled("s", "c1", NOW_NS)
    # 2 s lease, 0.1 s control period, 1 %; then 36 km/h = 10 m/s at 2 m/s²
    assert ledger.summary("s").brakes_by_ns == NOW_NS + 2_121_000_000
    assert progress.braking_s == 5.0


@pytest.mark.parametrize(
    "vehicle", [there("A", speed_kph=None), VehicleNow("A", True, speed_kph=30.0), VehicleNow("A", True, True, 30.0, 0)]
)
def test_there_is_no_bound_for_standing_without_speed_and_deceleration(vehicle: VehicleNow) -> None:
    ledger = opened(named("A"), vehicle)
    ledger.journaled("s", "c1", NOW_NS)
    assert ledger["s"].vehicles["A"].braking_s is None


# Released


def test_released_takes_the_release_and_then_the_vehicles_word() -> None:
    ledger = opened(named("A"), there("A"))
    say(ledger, "A", *STAGES)
    assert ledger.released(["s"], ["A"], 2.0) == []
    assert ledger["s"].vehicles["A"].reach is Reach.STANDSTILL
    assert say(ledger, "A", Stage.RELEASED) == [True]
    assert sums(ledger) == (0, 0, 0, 0)
    assert ledger["s"].all_released


def test_the_word_may_come_before_the_release_is_known_here() -> None:
    ledger = opened(named("A"), there("A"))
    assert say(ledger, "A", Stage.STANDSTILL, Stage.RELEASED) == [True, False]
    assert sums(ledger) == (1, 1, 0, 0)
    assert ledger.released(["s"], [], 2.0) == [("s", "A", NOW_NS + Stage.RELEASED)]
    assert ledger["s"].vehicles["A"].event_ns[Stage.RELEASED] == NOW_NS + Stage.RELEASED


def test_a_vehicle_that_latches_after_its_word_holds_it_after_all() -> None:
    ledger = opened(named("A"), there("A"))
    say(ledger, "A", Stage.RELEASED, Stage.RECEIVED)
    assert ledger.released(["s"], [], 2.0) == []


def test_what_was_released_before_anybody_heard_of_it_is_out_of_scope_without_a_word() -> None:
    ledger = opened(named("A", "B"), away("A"), there("B"))
    ledger.released(["s"], [], 1.0)
    assert sums(ledger) == (0, 0, 0, 0)
    assert ledger["s"].all_released
    assert not ledger["s"].vehicles["A"].unreachable
    assert ledger.says_released(["s"], []) == [], "nobody has said so"
    # It had reached one of them all the same.
    say(ledger, "B", Stage.SENT)
    assert sums(ledger) == (1, 0, 1, 0)
    say(ledger, "B", Stage.RELEASED)
    assert sums(ledger) == (0, 0, 0, 0)


def test_a_release_of_one_vehicle_leaves_the_others() -> None:
    ledger = opened(FLEET, there("A"), there("B"))
    say(ledger, "A", Stage.STANDSTILL)
    ledger.released(["s", "unknown"], ["A", "C"], 2.0)
    say(ledger, "A", Stage.RELEASED)
    assert say(ledger, "B", Stage.RELEASED) == [False]
    assert sums(ledger) == (1, 0, 1, 0)
    ledger.link(there("C"), 3.0)
    assert say(ledger, "C", Stage.RELEASED) == [True], "released before it connected"
    assert ledger.says_released(["s"], []) == ["A", "C"]
    assert ledger.says_released(["s"], ["B", "C"]) == ["C"]


def test_a_vehicles_own_list_says_what_it_holds_and_what_it_does_not() -> None:
    ledger = opened(named("A"), there("A"))
    assert ledger.latched(there("A"), ["s", "other"], NOW_NS, 1.0, hello=False) == [("s", Stage.RECEIVED)]
    assert ledger.latched(there("A"), ["s"], NOW_NS, 1.0, hello=False) == []
    assert ledger.latched(there("A"), [], NOW_NS, 1.0, hello=True) == [], "nobody has released it"
    ledger.released(["s"], [], 2.0)
    assert ledger.latched(there("A"), [], NOW_NS, 3.0, hello=False) == [("s", Stage.RELEASED)]


def test_an_empty_list_that_may_be_older_than_the_latch_is_no_word() -> None:
    ledger = opened(named("A"), there("A"))
    ledger.released(["s"], [], 1.0)
    assert ledger.latched(there("A"), [], NOW_NS, 1.0, hello=False) == []
    assert ledger.latched(there("A"), [], NOW_NS, 1.0, hello=True) == [("s", Stage.RELEASED)]


def test_a_forgotten_stop_is_gone_from_every_view() -> None:
    ledger = opened(FLEET, there("A"))
    ledger.forget("s")
    ledger.forget("s")
    ledger.link(away("A"), 1.0)
    ledger.link(there("B"), 1.0)
    assert ledger.get("s") is None
    assert ledger.tick(99.0) == []


# Overdue


@pytest.mark.parametrize("awaited", list(ALLOWANCE_S))
def test_each_stage_is_overdue_at_its_allowance_and_not_before(awaited: Stage) -> None:
    ledger = opened(named("A"), there("A"))
    say(ledger, "A", *[stage for stage in STAGES if stage < awaited], now_s=10.0)
    since_s = 0.0 if awaited is Stage.SENT else 10.0
    braking_s = 5.0 if awaited is Stage.STANDSTILL else 0.0
    due_s = since_s + ALLOWANCE_S[awaited] + braking_s
    assert ledger.tick(due_s - 0.001) == []
    last = max([stage for stage in STAGES if stage < awaited], default=Stage.NONE)
    assert ledger.tick(due_s) == [Overdue("s", "A", last)]
    assert ledger.tick(due_s + 1) == [], "said once"
    assert ledger["s"].vehicles["A"].overdue
    assert ledger.overdue == 1
    say(ledger, "A", awaited)
    assert not ledger["s"].vehicles["A"].overdue


def test_an_unknown_speed_is_reckoned_as_the_fastest() -> None:
    ledger = opened(named("A"), VehicleNow("A", True))
    say(ledger, "A", Stage.BRAKING, now_s=0.0)
    slowest_s = 64.5 / 3.6 / 0.5 + 3.0
    assert ledger.tick(slowest_s - 0.001) == []
    assert len(ledger.tick(slowest_s + 0.001)) == 1


@pytest.mark.parametrize("why", ["away", "standing", "released"])
def test_nothing_is_overdue_where_nothing_is_awaited(why: str) -> None:
    ledger = opened(named("A"), away("A") if why == "away" else there("A"))
    if why == "standing":
        say(ledger, "A", Stage.STANDSTILL)
    if why == "released":
        ledger.released(["s"], [], 0.0)
    assert ledger.tick(1000.0) == []


def test_a_vehicle_that_is_back_gets_its_time_anew() -> None:
    ledger = opened(named("A"), away("A"))
    ledger.link(there("A"), 100.0)
    assert ledger.tick(100.4) == []
    assert len(ledger.tick(100.5)) == 1


# What changed


def test_a_watcher_sees_all_first_and_then_what_changed() -> None:
    ledger = opened(named("A", "B", "C"), there("A"), there("B"), there("C"))
    entry = ledger["s"]
    assert {p.vehicle_id for p in entry.changed()} == {"A", "B", "C"}
    seen = entry.version
    assert entry.changed(seen) == []
    say(ledger, "B", Stage.SENT)
    say(ledger, "A", Stage.SENT)
    say(ledger, "B", Stage.RECEIVED)
    assert [p.vehicle_id for p in entry.changed(seen)] == ["B", "A"]
    seen = entry.version
    say(ledger, "A", Stage.SENT)
    assert entry.changed(seen) == []


def test_a_majority_changes_the_view_of_every_vehicle() -> None:
    ledger = opened(named("A", "B"), there("A"), there("B"))
    seen = ledger["s"].version
    ledger.journaled("s", "c1", NOW_NS)
    assert len(ledger["s"].changed(seen)) == 2


def test_touched_names_the_stops_that_changed_since_it_was_asked() -> None:
    ledger = opened(named("A"), there("A"))
    ledger.open(stop(FLEET, "f"), [], 0.0)
    assert ledger.take_touched() == {"s", "f"}
    say(ledger, "A", Stage.SENT)
    say(ledger, "A", Stage.SENT)
    assert ledger.take_touched() == {"s"}
    ledger.tick(9.0)
    assert ledger.take_touched() == {"s"}
    assert ledger.take_touched() == set()


# What is dropped where there is no room


@pytest.mark.parametrize(
    ("scope", "released", "dropped"),
    [
        (PIT, None, False),
        (PIT, ["A"], False),
        (PIT, [], True),
        (FLEET, None, False),
        (FLEET, ["A"], False),
        (FLEET, [], True),
        (named("A"), None, False),
        (named("A"), ["A"], True),
    ],
    ids=[
        "a zone that nobody is in may stop whoever drives in",
        "so may one that is released for some",
        "a zone released for all",
        "a fleet of which nobody is known may grow",
        "also where it is released for some",
        "the fleet released for all",
        "a named vehicle",
        "a named vehicle that is released",
    ],
)
def test_only_what_can_hold_nobody_any_more_makes_room(scope: Scope, released: list[str] | None, dropped: bool) -> None:
    ledger = opened(scope, *([there("A")] if isinstance(scope, VehicleScope) else []))
    if released is not None:
        say(ledger, "A", Stage.RELEASED)
        ledger.released(["s"], released, 2.0)
    ledger.open(stop(named("B"), "t"), [there("B")], 3.0)
    ledger.thin(ledger.pairs)
    assert ledger.get("s") is not None, "there is room"
    ledger.thin(0)
    assert (ledger.get("s") is None) is dropped
    assert ledger.get("t") is not None
