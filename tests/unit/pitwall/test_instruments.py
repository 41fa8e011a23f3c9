"""Counts that are plain numbers, shown from 0 on."""

from pitwall.instruments import Tally, gauges, total
from tests.support.memory import Metrics


def test_every_known_combination_is_shown_before_anything_happened() -> None:
    metrics = Metrics()
    Tally(metrics.meter, "errors", "…", {"topic": ("a", "b"), "error": ("x", "y")})
    expected = {("errors", topic, error): 0 for topic in "ab" for error in "xy"}
    assert metrics.points() == expected


def test_a_count_without_labels_starts_at_0_and_adds_up() -> None:
    metrics = Metrics()
    tally = Tally(metrics.meter, "lost", "…")
    assert metrics.points() == {("lost",): 0}
    tally.add(2)
    tally.add(0)
    tally.add(3)
    assert metrics.points() == {("lost",): 5}


def test_a_label_without_known_values_begins_when_it_is_needed() -> None:
    metrics = Metrics()
    tally = Tally(metrics.meter, "refused", "…", {"reason": ()})
    assert metrics.points() == {}
    tally.add(1, "TOO_OLD")
    assert metrics.points() == {("refused", "TOO_OLD"): 1}


def test_a_gauge_of_several_and_a_count_that_something_keeps_are_read_anew() -> None:
    metrics, lags, sleeps = Metrics(), {"a": 1.0}, [0]
    gauges(metrics.meter, "lag", "…", "topic", lambda: lags)
    total(metrics.meter, "sleeps", "…", lambda: sleeps[0])
    lags, sleeps[0] = {"a": 2.0, "b": 3.0}, 4
    assert metrics.points() == {("lag", "a"): 2, ("lag", "b"): 3, ("sleeps",): 4}
