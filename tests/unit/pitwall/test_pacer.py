"""Pacing: a few at once, then at a rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitwall.pacer import Pacer

EVERY_S, BURST = 0.01, 6


def waits(pacer: Pacer, count: int, now_s: float) -> list[float]:
    """Of so many that all want to go at this moment."""
    found = []
    for _ in range(count):
        found.append(pacer.wait_s(now_s))
        pacer.take(now_s)
    return found


def test_the_first_few_go_at_once_and_the_next_ones_keep_their_distance() -> None:
    found = waits(Pacer(EVERY_S, BURST), BURST + 3, 100.0)
    assert found[:BURST] == pytest.approx([0.0] * BURST)
    assert found[BURST:] == pytest.approx([EVERY_S, 2 * EVERY_S, 3 * EVERY_S])


def test_after_a_pause_they_go_at_once_again() -> None:
    pacer = Pacer(EVERY_S, BURST)
    waits(pacer, BURST, 100.0)
    assert pacer.wait_s(100.0) == pytest.approx(EVERY_S)
    assert pacer.wait_s(100.0 + EVERY_S) == pytest.approx(0.0)
    assert pacer.wait_s(200.0) == 0.0


def test_asking_takes_nothing() -> None:
    pacer = Pacer(EVERY_S, 1)
    assert [pacer.wait_s(100.0) for _ in range(3)] == [0.0] * 3


@given(st.lists(st.floats(0, 0.05), max_size=200))
def test_whoever_keeps_to_it_sends_no_more_than_the_burst_and_one_each_interval(pauses: list[float]) -> None:
    pacer, now_s, sent = Pacer(EVERY_S, BURST), 0.0, []
    for pause in pauses:
        now_s += pause
        now_s += pacer.wait_s(now_s)
        pacer.take(now_s)
        sent.append(now_s)
    for index, first in enumerate(sent):
        within = sum(first <= moment < first + 0.1 for moment in sent[index:])
        assert within <= BURST + 0.1 / EVERY_S + 1
