"""`pitwall stop`: asks one command service, a moment later all of them, with one stop_id, and follows whoever answers.

Repeating the request is harmless and a stop is worth trying for: where nobody answers, it is tried again until the wait
is over. It goes by the synchronous API of gRPC, which starts faster than an event loop, with a thread for each address.
"""

import queue
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
from haul.command.v1 import command_service_pb2

from console.client import Line, lines
from console.failures import EXIT_DONE, EXIT_PARTLY, ConsoleError
from console.rpc_failure import Failure, cause_of, explain, read_failure, unreachable, with_address
from console.scope import describe_scope
from console.site import Site
from console.stop_report import JsonReport, StopReport, TextReport
from console.stop_span import StopSpan, export
from console.stop_view import StopView
from pitwall.clock import monotonic_s
from pitwall.domain.stop_set import Scope
from pitwall.wire import scope_to_proto

#: Without an answer for so long, the operator is told, seconds.
SILENCE_S = 1.0
#: The screen is brought up to date at least so often, seconds.
TICK_S = 0.25
#: Between two tries at one address, seconds, drawn evenly.
RETRY_S = (0.2, 0.5)
#: So long the first command service has to itself, seconds: opening TLS to all of them at once delays its answer. A
#: break ends that.
ALONE_S = 0.05
#: When it has taken the stop by then, the others are asked to show it too so much later, seconds: one of them may hang.
JOIN_S = 0.5

#: A command service that says this will say it again.
_FINAL_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}

Response = command_service_pb2.EmergencyStopResponse | command_service_pb2.WatchStopResponse
Call = Iterator[Response]


@dataclass(frozen=True, slots=True)
class Answered:
    server: str
    response: Response


@dataclass(frozen=True, slots=True)
class Broke:
    """`final`: this command service won't be asked again. `cause` is one clause for people."""

    failure: Failure
    final: bool
    cause: str


News = Answered | Broke


@dataclass(frozen=True, slots=True)
class StopOrder:
    """What the operator wants."""

    stop_id: str
    scope: Scope
    reason: str
    wait_s: float


def run(site: Site, order: StopOrder) -> int:
    """Stops and reports. Returns the exit code; raises ConsoleError where no command service took the stop."""
    report: StopReport = JsonReport() if site.json else TextReport()
    request = command_service_pb2.EmergencyStopRequest(
        stop_id=order.stop_id, scope=scope_to_proto(order.scope), reason=order.reason
    )
    service_lines = lines(site)
    stopping = _Stopping(site, order, report, service_lines)
    traceparent, started_ns = dict(service_lines[0].metadata)["traceparent"], time.time_ns()
    try:
        return stopping.run(request)
    finally:
        stopping.close()
        export(StopSpan(traceparent, started_ns, time.time_ns(), order.stop_id, describe_scope(order.scope)))


@dataclass(slots=True)
class _Shared:
    """What the followers and the main thread share: news one way, what has become of the stop the other way."""

    news: "queue.SimpleQueue[News]" = field(default_factory=queue.SimpleQueue)
    #: The id of the stop that was taken.
    taken_as: str = ""
    #: Set once anybody's answers have broken off.
    broken: threading.Event = field(default_factory=threading.Event)
    #: Set once the stop is taken, or anybody's answers have broken off.
    heard: threading.Event = field(default_factory=threading.Event)


class _Stopping:
    """One stop under way."""

    def __init__(self, site: Site, order: StopOrder, report: StopReport, service_lines: list[Line]) -> None:
        self._site, self._order, self._report, self._lines = site, order, report, service_lines
        self._shared = _Shared()
        self._view = StopView(order.stop_id)
        self._broken: dict[str, Broke] = {}
        self._issued_s = 0.0

    def run(self, request: command_service_pb2.EmergencyStopRequest) -> int:
        self._issued_s = monotonic_s()
        first, *others = [_Follower(line, request, self._shared, self._site) for line in self._lines]
        call = first.ask()
        try:
            self._report.issued(self._order.stop_id, describe_scope(self._order.scope), self._issued_s)
            threading.Thread(target=first.run, args=(call,), daemon=True).start()
            for follower in others:
                threading.Thread(target=follower.run_after_the_first, daemon=True).start()
            self._follow()
        except KeyboardInterrupt:
            taken = "the stop stays" if self._view.answered else "nobody has said yet that the stop is taken"
            self._report.trouble(f"interrupted; {taken}")
        if not self._view.answered:
            raise self._failed()
        self._report.finished(self._view, self._elapsed_s())
        return EXIT_DONE if self._view.done(self._elapsed_s()) else EXIT_PARTLY

    def close(self) -> None:
        for line in self._lines:
            line.close()

    def _elapsed_s(self) -> float:
        return monotonic_s() - self._issued_s

    def _follow(self) -> None:
        """Until all stand, the wait is over, or every command service has refused for good."""
        silence_told = False
        while not self._view.done(self._elapsed_s()) and not self._refused():
            left_s = self._order.wait_s - self._elapsed_s()
            if left_s <= 0:
                return
            try:
                self._take(self._shared.news.get(timeout=min(left_s, TICK_S)))
            except queue.Empty:
                self._report.progress([], self._view, self._elapsed_s())
            if not silence_told and not self._view.answered and self._elapsed_s() >= SILENCE_S:
                silence_told = True
                self._tell_silence()

    def _take(self, news: News) -> None:
        match news:
            case Answered():
                self._take_answer(news.server, news.response)
            case Broke():
                self._take_break(news)

    def _take_answer(self, server: str, response: Response) -> None:
        first = not self._view.answered
        events = self._view.merge(server, response.stop, response.summary, response.vehicles)
        self._broken.pop(server, None)
        if first:
            self._shared.taken_as = self._view.stop_id
            self._shared.heard.set()
            as_new = isinstance(response, command_service_pb2.EmergencyStopResponse) and response.issued_as_new
            self._report.answered(server, self._view, as_new, self._elapsed_s())
        self._report.progress(events, self._view, self._elapsed_s())

    def _take_break(self, broke: Broke) -> None:
        server = broke.failure.server
        self._shared.broken.set()
        self._shared.heard.set()
        known = server in self._broken
        self._broken[server] = broke
        if self._view.answered and not known and len(self._broken) == len(self._lines):
            self._report.trouble(
                f"no connection to any command service now; asking on ({with_address(server, broke.cause)})"
            )
        self._report.progress(self._view.lost(server), self._view, self._elapsed_s())

    def _refused(self) -> bool:
        """Nobody has taken it, everybody has been heard, and somebody has refused for good."""
        everyone = len(self._broken) == len(self._lines)
        return not self._view.answered and everyone and any(broke.final for broke in self._broken.values())

    def _tell_silence(self) -> None:
        causes = "; ".join(with_address(line.server, self._cause(line.server)) for line in self._lines)
        self._report.trouble(
            "no command service has taken the stop so far; if in doubt, clear the area by radio. "
            f"Trying on until {self._order.wait_s:g} s are over ({causes})"
        )

    def _cause(self, server: str) -> str:
        broke = self._broken.get(server)
        return broke.cause if broke else "no answer yet"

    def _failed(self) -> ConsoleError:
        refusals = [broke.failure for broke in self._broken.values() if broke.final]
        if refusals:
            return explain(refusals[0], self._site)
        causes = [(line.server, self._cause(line.server)) for line in self._lines]
        # One that has not answered may have taken it.
        silent = len(self._broken) < len(self._lines)
        connected = silent or any(broke.failure.connected for broke in self._broken.values())
        error = unreachable(causes, self._site, may_have_happened=connected)
        error.repeatable = True
        error.fix = f"clear the area by radio; repeat it with --stop-id {self._order.stop_id}; {error.fix}"
        return error


class _Follower:
    """Reads one command service's answers, in a thread of its own, and asks again when the connection breaks."""

    def __init__(
        self, line: Line, request: command_service_pb2.EmergencyStopRequest, shared: _Shared, site: Site
    ) -> None:
        self._line, self._request, self._shared, self._site = line, request, shared, site
        self._without_stop = False

    def run(self, call: Call | None) -> None:
        """Ends when the command service refuses for good or the channel is closed."""
        while call is not None and self._read(call):
            time.sleep(random.uniform(*RETRY_S))  # noqa: S311  spreads retries, keeps no secret
            call = self._ask_again()

    def run_after_the_first(self) -> None:
        """The same, once the first command service has had its time, or has broken off."""
        self._shared.heard.wait(ALONE_S)
        if self._shared.taken_as:
            self._shared.broken.wait(JOIN_S)
        self.run(self._ask_again())

    def ask(self) -> Call:
        return self._line.stub.EmergencyStop(self._request, metadata=self._line.metadata)

    def _read(self, call: Call) -> bool:
        """Whether it is worth asking again."""
        try:
            for response in call:
                self._shared.news.put(Answered(self._line.server, response))
        except grpc.RpcError as error:
            failure = read_failure(error, self._line.server)
            self._without_stop = failure.details.code is grpc.StatusCode.NOT_FOUND
            # One that is full may have room in a moment.
            final = failure.details.code in _FINAL_CODES and not failure.full
            self._shared.news.put(Broke(failure, final, cause_of(failure, self._site)))
            return not final
        return True

    def _ask_again(self) -> Call | None:
        """Once some command service has it, watching is enough: a repeat after its release would be a new stop.

        None where the channel is closed: this stop is over.
        """
        taken_as = self._shared.taken_as
        try:
            if taken_as and not self._without_stop:
                watch = command_service_pb2.WatchStopRequest(stop_id=taken_as)
                return self._line.stub.WatchStop(watch, metadata=self._line.metadata)
            self._without_stop = False
            return self.ask()
        except ValueError:
            return None
