"""What is watched, as it comes: streams of a fleet service, and what a command service answers each time.

A thread each. One that breaks off says so and begins anew, after a wait that grows and with a connection of its own:
so a watch that outlives its token goes by the renewed one, and a server that hangs holds up nobody else.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import grpc
from haul.fleet.v1 import fleet_service_pb2

from console.client import Client, knock
from console.failures import ConsoleError
from console.fleet_client import FleetLine, fleet_lines
from console.motion import list_motion_states
from console.news import Began, Broke, Came, Feed, Message, Motion, News, Stops
from console.rpc_failure import Asked, Failure, RpcFailed, explain, explain_unreachable, read_failure
from console.site import Site
from console.stops import list_stops
from pitwall.clock import monotonic_s
from pitwall.rpc.channel import jitter_s

#: A command service is asked for motion states at most so often, seconds: 1,000 vehicles' take it some milliseconds.
MOTION_EVERY_S = 1.0

#: News that nobody has taken yet. Then feeds wait, streams with them, and the server tells only what is newest.
MAX_WAITING_NEWS = 64
#: How often a feed that waits looks whether it is to end, seconds.
LOOK_S = 0.2

Call = Callable[[FleetLine], Iterator[Message]]


def watch_vehicles(line: FleetLine) -> Iterator[Message]:
    call = line.stub.WatchFleet(fleet_service_pb2.WatchFleetRequest(), metadata=line.metadata)
    return cast("Iterator[Message]", call)


def watch_alerts(line: FleetLine, text: str = "") -> Iterator[Message]:
    """Those that a filter chooses."""
    call = line.stub.WatchAlerts(fleet_service_pb2.WatchAlertsRequest(filter=text), metadata=line.metadata)
    return cast("Iterator[Message]", call)


class Feeds:
    """Threads, and the one queue that they write to. Use as a context manager."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._news: queue.Queue[News] = queue.Queue(MAX_WAITING_NEWS)
        self._ended = threading.Event()
        self._motion_wanted = threading.Event()
        self._streams: list[_Stream] = []

    def __enter__(self) -> "Feeds":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for stream in self._streams:
            stream.close()

    def stream(self, feed: Feed, call: Call) -> None:
        stream = _Stream(feed, self._site, call, self._tell, self._ended)
        self._streams.append(stream)
        threading.Thread(target=stream.run, daemon=True).start()

    def poll(self, every_s: float) -> None:
        """Stops, and motion states while they are wanted."""
        threading.Thread(target=self._ask_on, args=(every_s,), daemon=True).start()

    def want_motion(self, wanted: bool) -> None:
        if wanted:
            self._motion_wanted.set()
        else:
            self._motion_wanted.clear()

    def next(self, within_s: float) -> News | None:
        """None where nothing has come."""
        try:
            return self._news.get(timeout=max(0.0, within_s))
        except queue.Empty:
            return None

    def _tell(self, news: News) -> None:
        """Returns when there is room, or nobody wants it any more."""
        while not self._ended.is_set():
            try:
                self._news.put(news, timeout=LOOK_S)
            except queue.Full:
                continue
            return

    def _ask_on(self, every_s: float) -> None:
        while not self._ended.is_set():
            try:
                with Client(self._site) as client:
                    self._ask(client, every_s)
            except ConsoleError as error:
                self._tell(Broke(Feed.STOPS, error, monotonic_s()))
            self._ended.wait(every_s)

    def _ask(self, client: Client, every_s: float) -> None:
        motion_due_s = monotonic_s()
        while not self._ended.is_set():
            self._tell(Came(Feed.STOPS, Stops(list_stops(client)), monotonic_s()))
            if self._motion_wanted.is_set() and monotonic_s() >= motion_due_s:
                self._tell(Came(Feed.STOPS, Motion(list_motion_states(client)), monotonic_s()))
                motion_due_s = monotonic_s() + MOTION_EVERY_S
            self._ended.wait(every_s)


class _Stream:
    """One call, made again whenever it has ended."""

    def __init__(
        self, feed: Feed, site: Site, call: Call, tell: Callable[[News], None], ended: threading.Event
    ) -> None:
        self._feed, self._site, self._call, self._tell, self._ended = feed, site, call, tell, ended
        self._line: FleetLine | None = None

    def run(self) -> None:
        tries = 0
        while not self._ended.is_set():
            try:
                for message in self._messages(tries):
                    tries = 0
                    self._tell(Came(self._feed, message, monotonic_s()))
                self._broke(_gone("the fleet service has ended the stream: it is going, or full of watchers"))
            except RpcFailed as error:
                self._failed(error.failure, first=tries == 0)
            except ConsoleError as error:
                self._broke(error)
            tries += 1
            self._ended.wait(jitter_s(tries))

    def close(self) -> None:
        """Ends what it waits for."""
        if self._line is not None:
            self._line.close()

    def _messages(self, tries: int) -> Iterator[Message]:
        """Raises RpcFailed, and ConsoleError where nothing can be asked at all."""
        with self._connected(tries) as line:
            knock(line)
            self._tell(Began(self._feed))
            try:
                yield from self._call(line)
            except grpc.RpcError as error:
                raise RpcFailed(read_failure(error, line.server, Asked.FLEET)) from error

    @contextmanager
    def _connected(self, tries: int) -> Iterator[FleetLine]:
        servers = self._site.fleet_servers
        [line] = fleet_lines(replace(self._site, fleet_servers=(servers[tries % len(servers)],)))
        self._line = line
        try:
            yield line
        finally:
            line.close()

    def _failed(self, failure: Failure, *, first: bool) -> None:
        if not failure.away:
            self._broke(explain(failure, self._site))
        elif first:
            self._broke(_gone(f"no fleet service answers at {failure.server}"))
            # May take seconds, and doesn't change from try to try.
            self._broke(explain_unreachable([failure], self._site, changes=False))

    def _broke(self, error: ConsoleError) -> None:
        if not self._ended.is_set():
            self._tell(Broke(self._feed, error, monotonic_s()))


def _gone(text: str) -> ConsoleError:
    return ConsoleError(text, reason="NO_FLEET_SERVICE", code="UNAVAILABLE")
