"""Watching: woken by what concerns one, bounded in number."""

import pytest

from command_service.watch import TooManyWatchers, Watchers


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
