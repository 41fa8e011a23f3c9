"""Watching: woken by what concerns one, paced when there is much, bounded in number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_service.watch import BURST, COALESCE_S, Pacer, TooManyWatchers, Watchers


async def test_a_watcher_is_woken_by_its_own_stop_alone() -> None:
    watchers = Watchers()
    with watchers.watching("s") as bell, watchers.watching("s") as other, watchers.watching("t") as third:
        watchers.wake({"s", "nobody watches this"})
        assert (bell.is_set(), other.is_set(), third.is_set()) == (True, True, False)


async def test_there_are_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.watch.MAX_WATCHERS", 1)
    watchers = Watchers()
    with watchers.watching("s"):
        with pytest.raises(TooManyWatchers), watchers.watching("s"):
            raise AssertionError("one too many")
        assert watchers.count == 1
    with watchers.watching("s"):
        assert watchers.count == 1
    assert watchers.count == 0


async def test_places_are_kept_for_whoever_has_just_issued_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("command_service.watch.MAX_WATCHERS", 2)
    monkeypatch.setattr("command_service.watch.FOR_ISSUERS", 1)
    watchers = Watchers()
    with watchers.watching("s", issuer=False):
        with pytest.raises(TooManyWatchers), watchers.watching("s", issuer=False):
            raise AssertionError("that place is an issuer's")
        with watchers.watching("s"):
            assert watchers.count == 2


def test_the_first_few_answers_go_at_once_and_the_next_ones_keep_their_distance() -> None:
    pacer = Pacer(100.0)
    waits = [pacer.wait_s(100.0) for _ in range(BURST + 3)]
    assert waits[:BURST] == pytest.approx([0.0] * BURST)
    assert waits[BURST:] == pytest.approx([COALESCE_S, 2 * COALESCE_S, 3 * COALESCE_S])


def test_after_a_pause_they_go_at_once_again() -> None:
    pacer = Pacer(100.0)
    for _ in range(BURST):
        pacer.wait_s(100.0)
    assert pacer.wait_s(100.0 + COALESCE_S) == pytest.approx(0.0)
    assert pacer.wait_s(200.0) == 0.0


@given(st.lists(st.floats(0, 0.05), max_size=200))
def test_whoever_keeps_to_it_sends_no_more_than_the_burst_and_one_each_interval(pauses: list[float]) -> None:
    pacer, now_s, sent = Pacer(0.0), 0.0, []
    for pause in pauses:
        now_s += pause
        now_s += pacer.wait_s(now_s)
        sent.append(now_s)
    for index, first in enumerate(sent):
        within = sum(first <= moment < first + 0.1 for moment in sent[index:])
        assert within <= BURST + 0.1 / COALESCE_S + 1
