"""Of each rule at each vehicle one alert is open at most, whatever a stream job has told twice or under another id."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_service.alert_lanes import MAX_MOMENTS, Lane, Moment, Place, place_of
from fleet_service.alerts import TAKEN_OVER, Alert, Alerts

RAISED, ESCALATED, CLEARED = 1, 2, 3
V = "KOMATSU-930E-001"


def moment_ns(place: Place) -> int:
    """Clocks that are right: later places are later."""
    return 1_000_000 * place[0] + place[1]


def alert_id(raised: Place, rule: str = "LOW_FUEL") -> str:
    return f"{V}.{rule}.{raised[0]}.{raised[1]}"


def step(raised: Place, state: int = RAISED, at: Place | None = None, rule: str = "LOW_FUEL") -> Alert:
    at = at or raised
    times = moment_ns(raised), moment_ns(at)
    return Alert(alert_id(raised, rule), V, rule, 2, state, "it is low", 12.0, 15.0, *at, *times, backfilled=False)


def told(*steps: Alert) -> Alerts:
    alerts = Alerts()
    for one in steps:
        alerts.take(one)
    assert alerts.open_total == len(list(alerts.open())) == alerts.open_count(V)
    return alerts


def open_ids(*steps: Alert) -> set[str]:
    return {alert.alert_id for alert in told(*steps).open()}


def test_what_is_raised_again_later_takes_the_place_of_the_older_one() -> None:
    """As after an upgrade without state: of the older id nothing more comes."""
    older, newer = step((1, 100)), step((1, 120))
    alerts = told(older)
    over = replace(older, state=CLEARED, event_ns=newer.raised_ns, message=TAKEN_OVER)
    assert alerts.take(newer) == [newer, over], "both are to be kept"
    assert (alerts.get(older.alert_id), alerts.get(newer.alert_id)) == (over, newer)
    assert (alerts.take(newer), alerts.take(older)) == ([], []), "told again"


def test_one_that_comes_late_never_closes_a_newer_one() -> None:
    older, newer = step((1, 100)), step((1, 120))
    alerts = told(newer)
    [kept] = alerts.take(older)
    assert (kept.alert_id, kept.cleared) == (older.alert_id, True)
    assert list(alerts.open()) == [newer]


def test_what_clears_the_one_that_came_late_clears_the_newer_one_too() -> None:
    """A replay in which the registry's entry came earlier: the job knows only the older id, and clears that."""
    assert open_ids(step((1, 120)), step((1, 100)), step((1, 100), CLEARED, (1, 200))) == set()


@pytest.mark.parametrize(
    "told_before",
    [[step((1, 100)), step((1, 100), CLEARED, (1, 200))], [step((1, 300))], [step((2, 1))]],
    ids=["cleared since", "raised since", "raised since the next start"],
)
def test_a_late_one_of_what_is_over_by_now_is_not_open(told_before: list[Alert]) -> None:
    late = step((1, 150), ESCALATED, (1, 160))
    assert alert_id((1, 150)) not in open_ids(*told_before, late)


def test_a_real_end_that_comes_later_still_counts() -> None:
    cleared = step((1, 100), CLEARED, (1, 110))
    alerts = told(step((1, 100)), step((1, 120)), cleared)
    assert alerts.get(cleared.alert_id) == cleared
    assert [alert.alert_id for alert in alerts.open()] == [alert_id((1, 120))]


def test_what_is_over_is_no_news_of_others_when_it_is_read_from_the_store() -> None:
    """It had become worse at a later reading than the one that raised the alert that is open."""
    alerts = told(step((1, 100)), step((1, 100), ESCALATED, (1, 150)), step((1, 120)))
    over = alerts.get(alert_id((1, 100)))
    assert over is not None
    assert over.cleared
    restarted = Alerts()
    assert restarted.acknowledged(step((1, 120))) == restarted.acknowledged(over) == []
    assert [alert.alert_id for alert in restarted.open()] == [alert_id((1, 120))]


def test_links_are_ordered_as_readings_are() -> None:
    """LINK_LOST has connect_count times a million plus the number within the session for a sequence."""
    first, second = step((7, 3_000_002), rule="LINK_LOST"), step((7, 4_000_001), rule="LINK_LOST")
    assert open_ids(second, first) == open_ids(first, second) == {second.alert_id}


OLDER, NEWER = step((1, 100)), step((1, 120))


@pytest.mark.parametrize(
    "other",
    [
        step((1, 120), rule="OVERHEATING"),
        replace(NEWER, vehicle_id="KOMATSU-930E-002"),
        replace(NEWER, backfilled=True),
        replace(NEWER, alert_id="of another make"),
    ],
    ids=["another rule", "another vehicle", "history", "an id that says no place"],
)
def test_alerts_of_anything_else_close_nothing(other: Alert) -> None:
    alerts = Alerts()
    assert (alerts.take(OLDER), alerts.take(other)) == ([OLDER], [other])
    assert OLDER in alerts.open()


def test_a_new_computer_that_counts_its_starts_anew_is_not_taken_for_the_past() -> None:
    """An alert that is open too long is seen; one that is hidden is not."""
    before, now = step((57, 100)), replace(step((1, 5)), raised_ns=moment_ns((58, 0)), event_ns=moment_ns((58, 0)))
    assert open_ids(before, now) == {before.alert_id, now.alert_id}


def test_a_rule_that_was_out_of_use_for_a_while_is_raised_again() -> None:
    """Its alert was cleared at news of the link, whose numbers are far above those of readings."""
    gone = replace(step((1, 100), CLEARED, (1, 3_000_001)), event_ns=moment_ns((1, 110)))
    assert open_ids(step((1, 100)), gone, step((1, 500))) == {alert_id((1, 500))}


@dataclass(frozen=True)
class Life:
    """Of one alert: where it was raised, escalated and cleared."""

    raised: Place
    escalated: Place | None
    cleared: Place | None

    @property
    def steps(self) -> list[Alert]:
        later = ((ESCALATED, self.escalated), (CLEARED, self.cleared))
        return [step(self.raised), *(step(self.raised, state, at) for state, at in later if at is not None)]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    boot, first = draw(st.integers(1, 2)), draw(st.integers(1, 9))
    later = [draw(st.none() | st.integers(1, 9)) for _ in range(2)]
    ends = [None if n is None else (boot, first + n) for n in later]
    return Life((boot, first), *ends)


#: Of each id one: a repeat says the same.
LIVES = st.lists(lives(), max_size=5, unique_by=lambda life: life.raised)


def expected(known: Sequence[Life]) -> set[str]:
    """Which is open, said plainly: that which was raised last, unless something was cleared since."""
    newest = max(known, key=lambda life: life.raised, default=None)
    if newest is None or any(life.cleared is not None and life.cleared > newest.raised for life in known):
        return set()
    return {alert_id(newest.raised)}


def mixed(known: Sequence[Life], chance: random.Random) -> list[Alert]:
    steps = [one for life in known for one in life.steps]
    steps += chance.choices(steps, k=5) if steps else []
    chance.shuffle(steps)
    return steps


@given(LIVES, st.randoms(use_true_random=False))
def test_order_and_repeats_make_no_difference(known: list[Life], chance: random.Random) -> None:
    assert open_ids(*mixed(known, chance)) == expected(known)


@given(LIVES, st.randoms(use_true_random=False), st.integers(0, 20))
def test_a_restart_anywhere_makes_no_difference_and_what_is_stored_agrees(
    known: list[Life], chance: random.Random, restart_at: int
) -> None:
    stored: dict[str, Alert] = {}

    def keep(changed: list[Alert]) -> None:
        for one in changed:
            if one.alert_id not in stored or one.step > stored[one.alert_id].step:
                stored[one.alert_id] = one

    alerts = Alerts()
    for number, one in enumerate(mixed(known, chance)):
        if number == restart_at:
            alerts = Alerts()
            for record in sorted(stored.values(), key=lambda alert: alert.raised_ns):
                keep(alerts.acknowledged(record))
        keep(alerts.take(one))
    assert {alert.alert_id for alert in alerts.open()} == expected(known)
    assert {alert.alert_id for alert in stored.values() if alert.open} == expected(known)


def test_more_rules_than_are_remembered_cost_nothing_that_is_open() -> None:
    alerts = Alerts(capacity=2)
    for number, rule in enumerate(("A", "B", "C", "D"), 1):
        alerts.take(step((1, number), rule=rule))
        alerts.take(step((1, number), CLEARED, (1, number + 1), rule=rule))
    assert [rule for _, rule in alerts._lanes] == ["C", "D"]
    alerts.take(step((1, 10), rule="A"))
    alerts.take(step((1, 11), rule="A"))
    assert [alert.sequence for alert in alerts.open()] == [11]


def test_of_a_clock_that_is_set_back_again_and_again_the_last_moments_are_remembered() -> None:
    lane = Lane()
    for number in range(100):
        lane.told([Moment((1, number), 1_000 - number)])
    assert len(lane._latest) == MAX_MOMENTS
    lane.opened("a", Moment((1, 98), 900))
    assert lane.over() == [("a", Moment((1, 99), 901))]


def test_what_is_told_late_makes_no_later_moment_forgotten() -> None:
    lane, latest = Lane(), Moment((1, 99), 99)
    lane.told([latest, *(Moment((1, number), number) for number in range(2 * MAX_MOMENTS))])
    assert lane._latest == [latest]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("KOMATSU-930E-001.LOW_FUEL.12.345", (12, 345)),
        ("A.B.7.LOW_FUEL.12.345", (12, 345)),
        ("KOMATSU-930E-001.LOW_FUEL.12", None),
        ("KOMATSU-930E-001.LOW_FUEL.12.345.backfilled", None),
        ("1.2", None),
        ("x", None),
    ],
)
def test_an_id_says_where_its_alert_was_raised(text: str, place: Place | None) -> None:
    assert place_of(text) == place
