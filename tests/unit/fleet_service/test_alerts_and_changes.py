"""Alerts go one way, and each watcher learns of each change, at its own pace."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_service.alerts import Alert, Alerts
from fleet_service.changes import ChangeLog

RAISED, ESCALATED, CLEARED = 1, 2, 3
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def step(alert_id: str = "a", state: int = RAISED, sequence: int = 1, vehicle_id: str = "V-1") -> Alert:
    return Alert(alert_id, vehicle_id, "HIGH_SPEED", 2, state, "", 61.0, 60.0, 1, sequence, 100, 100 + sequence, False)


STEPS = st.lists(st.builds(step, st.sampled_from("abc"), st.integers(1, 3), st.integers(1, 3)), max_size=20)


@given(STEPS, st.randoms())
def test_order_and_repeats_make_no_difference(steps: list[Alert], random: object) -> None:
    mixed = steps + steps[:5]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    one, two = Alerts(), Alerts()
    for alert in steps:
        one.take(alert)
    for alert in mixed:
        two.take(alert)
    assert {alert.alert_id: alert for alert in one.open()} == {alert.alert_id: alert for alert in two.open()}
    assert one.open_total == two.open_total == len(list(one.open())) == one.open_count("V-1")


def test_a_step_that_is_known_is_no_news() -> None:
    alerts = Alerts()
    assert alerts.take(step()) == [step()]
    assert alerts.take(step()) == []
    assert alerts.take(step(state=CLEARED, sequence=5)) == [step(state=CLEARED, sequence=5)]
    assert not alerts.take(step(state=ESCALATED, sequence=4)), "it would open a cleared alert"
    assert alerts.open_total == 0


@pytest.mark.parametrize("told", permutations([RAISED, ESCALATED, CLEARED], 2), ids=str)
def test_of_two_steps_the_further_one_stands_whichever_comes_first(told: tuple[int, int]) -> None:
    """Two tasks of one job may both write for a moment; raised and escalated can be of one reading."""
    alerts = Alerts()
    for state in (*told, *told):
        alerts.take(step(state=state))
    known = alerts.get("a")
    assert known is not None
    assert known.state == max(told)
    assert alerts.open_total == (max(told) != CLEARED)


@pytest.mark.parametrize("state", [RAISED, ESCALATED, CLEARED])
def test_an_alert_of_history_is_known_and_never_open(state: int) -> None:
    """History that ends past a limit raises; the recovery came live and clears nothing of it."""
    alerts, backfilled = Alerts(), replace(step("old", state), backfilled=True)
    assert alerts.take(step("live"))
    assert alerts.take(backfilled)
    assert alerts.get("old") == backfilled
    assert [alert.alert_id for alert in alerts.open()] == ["live"]
    assert (alerts.open_count("V-1"), alerts.open_total) == (1, 1)


def test_an_acknowledgement_outlives_the_next_step_and_never_turns_one_back() -> None:
    alerts = Alerts()
    alerts.take(step())
    alerts.take(step(state=CLEARED, sequence=5))
    alerts.acknowledged(replace(step(), acknowledged_by="ann", acknowledged_time=NOON, note="seen"))
    known = alerts.get("a")
    assert known is not None
    assert (known.state, known.acknowledged_by, known.acknowledged_time, known.note) == (CLEARED, "ann", NOON, "seen")
    alerts.take(step(state=CLEARED, sequence=6))
    assert alerts.get("a") == replace(known, sequence=6, event_ns=106)


def test_beyond_the_most_a_cleared_one_is_forgotten_first() -> None:
    alerts = Alerts(capacity=2)
    alerts.take(step("a"))
    alerts.take(step("b", CLEARED))
    alerts.take(step("c"))
    assert [alert.alert_id for alert in alerts.open()] == ["a", "c"]
    alerts.take(step("d"))
    assert [alert.alert_id for alert in alerts.open()] == ["c", "d"]
    assert alerts.open_total == 2


@given(st.lists(st.lists(st.sampled_from("abcde"), max_size=6), max_size=6))
def test_a_watcher_that_asks_now_and_then_misses_no_key(rounds: list[list[str]]) -> None:
    log, seen = ChangeLog(100), 0
    for touched in rounds:
        for key in touched:
            log.touch(key)
        found = log.since(seen)
        assert sorted(found) == sorted(set(touched)), "each changed key once"
        seen = log.version
    assert log.since(seen) == []
    assert sorted(log.since(0)) == sorted({key for touched in rounds for key in touched})


def test_beyond_the_most_a_watcher_that_is_too_late_is_told_to_ask_for_everything() -> None:
    log = ChangeLog(2)
    for key in "abca":
        log.touch(key)
    assert (log.version, log.forgotten) == (4, 2)
    assert log.since(2) == ["c", "a"]
