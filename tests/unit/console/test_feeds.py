"""Feeds wait while nobody takes their news, and end when they are no longer wanted."""

import threading
from pathlib import Path

import pytest

from console import feeds
from console.feeds import Feeds
from console.news import Began, Feed
from console.site import Site

TIMEOUT_S = 20.0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Nobody is asked."""
    return Site(tmp_path, (), (), tmp_path / "ca.pem", tmp_path / "token")


def fed(some: Feeds, count: int) -> threading.Thread:
    def tell() -> None:
        for _ in range(count):
            some._tell(Began(Feed.VEHICLES))

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    return thread


def test_what_nobody_takes_is_bounded_and_whoever_tells_it_is_let_go_at_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "MAX_WAITING_NEWS", 3)
    with Feeds(site) as some:
        teller = fed(some, 5)
        teller.join(2 * feeds.LOOK_S)
        assert teller.is_alive()
        assert some._news.qsize() == 3
    teller.join(TIMEOUT_S)
    assert not teller.is_alive()


def test_news_that_waited_come_once_there_is_room(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_WAITING_NEWS", 1)
    with Feeds(site) as some:
        teller = fed(some, 4)
        assert [some.next(TIMEOUT_S) for _ in range(4)] == [Began(Feed.VEHICLES)] * 4
        teller.join(TIMEOUT_S)
        assert some.next(0.0) is None
