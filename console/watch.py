"""`pitwall watch`: the fleet, its alerts and its stops, live: a table, plain lines, or JSON."""

import sys
import time
from pathlib import Path

from console.failures import EXIT_DONE, EXIT_PARTLY
from console.feeds import Feeds, watch_alerts, watch_vehicles
from console.news import Feed
from console.picture import Picture
from console.site import Site
from console.watch_lines import JsonLines, Nothing, PlainLines, Screen
from pitwall.clock import monotonic_s

#: How long the feeds may take to say their first words: as long as it takes to find out why a server hangs, seconds.
FIRST_WORDS_S = 12.0
#: How long a picture waits for motion states, seconds.
MOTION_WITHIN_S = 3.0
#: News are drawn within this, seconds; a frame of 1,000 vehicles takes some 40 ms.
NEWS_DRAWN_S = 0.2
#: Of the processor's time, drawing takes at most one part in so many.
DRAWN_SHARE = 5


def run(site: Site, every_s: float, for_s: float | None) -> int:
    """Until interrupted, or for `for_s` seconds. Whoever goes away later is waited for."""
    try:
        with Feeds(site) as feeds:
            _start(feeds, every_s)
            if site.json or not sys.stdout.isatty():
                _watch(feeds, JsonLines() if site.json else PlainLines(), every_s, for_s)
            else:
                _watch_live(feeds, every_s, for_s)
    except KeyboardInterrupt:
        pass  # the way to end it
    return EXIT_DONE


def run_once(site: Site, every_s: float, svg: Path | None) -> int:
    """One picture. Exit code 3 where some of it could not be had."""
    picture = Picture()
    screen: Screen = JsonLines() if site.json and svg is None else Nothing()
    with Feeds(site) as feeds:
        _start(feeds, every_s)
        _hear_first_words(feeds, picture, screen)
        end_s = monotonic_s() + MOTION_WITHIN_S
        while picture.wants_motion(monotonic_s()) and not picture.motion and monotonic_s() < end_s:
            _take(feeds, picture, screen, NEWS_DRAWN_S)
    if svg is not None:
        from console.picture_file import save

        save(picture, svg)
    elif not site.json:
        from console.picture_file import show

        show(picture)
    return EXIT_PARTLY if picture.troubles else EXIT_DONE


def _start(feeds: Feeds, every_s: float) -> None:
    feeds.stream(Feed.VEHICLES, watch_vehicles)
    feeds.stream(Feed.ALERTS, watch_alerts)
    feeds.poll(every_s)


def _watch(feeds: Feeds, screen: Screen, every_s: float, for_s: float | None) -> None:
    picture = Picture()
    _hear_first_words(feeds, picture, screen)
    end_s = None if for_s is None else monotonic_s() + for_s
    soon_s, due_s = 0.0, 0.0
    while end_s is None or monotonic_s() < end_s:
        if monotonic_s() >= due_s:
            worked_s = time.thread_time()
            feeds.want_motion(picture.wants_motion(monotonic_s()))
            screen.draw(picture)
            soon_s = monotonic_s() + max(NEWS_DRAWN_S, DRAWN_SHARE * (time.thread_time() - worked_s))
            due_s = max(soon_s, monotonic_s() + every_s)
        if _take(feeds, picture, screen, due_s - monotonic_s()):
            due_s = min(due_s, soon_s)


def _hear_first_words(feeds: Feeds, picture: Picture, screen: Screen) -> None:
    """Raises ConsoleError where nobody answers at all."""
    end_s = monotonic_s() + FIRST_WORDS_S
    while not picture.spoken and monotonic_s() < end_s:
        _take(feeds, picture, screen, NEWS_DRAWN_S)
    if not picture.live and Feed.STOPS in picture.troubles:
        raise picture.troubles[Feed.STOPS].error
    feeds.want_motion(picture.wants_motion(monotonic_s()))


def _take(feeds: Feeds, picture: Picture, screen: Screen, within_s: float) -> bool:
    """Whether anything came."""
    news = feeds.next(within_s)
    if news is None:
        return False
    screen.told(picture.take(news))
    return True


def _watch_live(feeds: Feeds, every_s: float, for_s: float | None) -> None:
    from rich.live import Live

    from console.picture_file import draw

    with Live(screen=True, auto_refresh=False) as live:

        class _Table(Nothing):
            def draw(self, picture: Picture) -> None:
                live.update(draw(picture, live.console), refresh=True)

        _watch(feeds, _Table(), every_s, for_s)
