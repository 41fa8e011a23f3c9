"""What became of a stop in this process, told afterwards: a line in the log with the stop's trace id, and a span.

The path of a stop hands over a few plain values and goes on (about a microsecond); a thread makes lines and spans of
them half a second later, when vehicles brake already. Of each stop the first vehicles are told, and of those each step
once: that shows where the time went, and costs a stop of the whole fleet no more than one of a few. All of them are in
the journal and in the metrics.
"""

import threading
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from opentelemetry import metrics, propagate, trace

from pitwall import logs
from pitwall.instruments import total

#: Vehicles of one stop whose steps are told.
MAX_TOLD_VEHICLES: Final = 20
#: Stops whose steps are still being told; of more the oldest is forgotten, and its later steps are told no more.
MAX_TOLD_STOPS: Final = 100
#: Steps that may wait for the thread. More are dropped and counted.
MAX_WAITING_STEPS: Final = 2_000
#: How long steps wait, so that the thread doesn't take turns with the path of the stop.
DELAY_S: Final = 0.5

_log = logs.get(__name__)


def trace_id(traceparent: str) -> str | None:
    """For a line of the log about a stop; None where it has no trace."""
    context = trace.get_current_span(propagate.extract({"traceparent": traceparent})).get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


class Step(NamedTuple):
    """One thing that was done for a stop: nanoseconds since 1970, and what else there is to say of it."""

    name: str
    stop_id: str
    traceparent: str
    started_ns: int
    ended_ns: int
    details: dict[str, str]


@dataclass(slots=True)
class _Told:
    traceparent: str
    begun_ns: int
    vehicles: set[str] = field(default_factory=set)
    steps: set[tuple[str, ...]] = field(default_factory=set)


class StopTrace:
    """One process's. Use it from one thread; the thread that tells starts with the first step."""

    def __init__(self, tracer: trace.Tracer | None = None, meter: metrics.Meter | None = None) -> None:
        self._tracer = tracer or trace.get_tracer("pitwall.stop")
        self._stops: OrderedDict[str, _Told] = OrderedDict()
        self._waiting: deque[Step] = deque()
        self._due = threading.Event()
        self._thread: threading.Thread | None = None
        #: Steps that found no room.
        self.dropped = 0
        text = "Steps of stops that were not told, because too many waited"
        total(meter or metrics.get_meter("pitwall.stop"), "pitwall.stop.steps.dropped", text, lambda: self.dropped)

    def begin(self, stop_id: str, traceparent: str, now_ns: int) -> None:
        """The stop is new in this process. Only of such stops anything is told, not of what a reconnect repeats."""
        if stop_id not in self._stops:
            self._stops[stop_id] = _Told(traceparent, now_ns)
            if len(self._stops) > MAX_TOLD_STOPS:
                self._stops.popitem(last=False)

    def step(self, name: str, stop_id: str, now_ns: int, vehicle_id: str = "", since_ns: int = 0, **more: str) -> None:
        """Tells that this was done, from `since_ns` (else: since the stop began here) to `now_ns`."""
        told = self._stops.get(stop_id)
        details = {"vehicle": vehicle_id, **more} if vehicle_id else more
        if told is None or not _is_news(told, vehicle_id, (name, *details.values())):
            return
        if len(self._waiting) >= MAX_WAITING_STEPS:
            self.dropped += 1
            return
        started_ns = min(since_ns or told.begun_ns, now_ns)
        self._waiting.append(Step(name, stop_id, told.traceparent, started_ns, now_ns, details))
        self._ring()

    # The thread

    def _ring(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="stop-trace", daemon=True)
            with suppress(RuntimeError):  # no more threads: a stop comes first, and the next step tries again
                thread.start()
                self._thread = thread
        if not self._due.is_set():
            self._due.set()

    def _run(self) -> None:
        pause = threading.Event()
        while self._due.wait():
            pause.wait(DELAY_S)
            self._due.clear()
            while self._waiting:
                try:
                    self._tell(self._waiting.popleft())
                except Exception:  # noqa: BLE001  # a step that can't be told must not end the telling
                    _log.exception("a step of a stop can't be told")

    def _tell(self, step: Step) -> None:
        ended = datetime.fromtimestamp(step.ended_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        with trace.use_span(self._span(step)):
            took_ms = (step.ended_ns - step.started_ns) / 1e6
            _log.info(f"stop {step.name}", stop=step.stop_id, at=ended, ms=took_ms, **step.details)

    def _span(self, step: Step) -> trace.Span:
        if not step.traceparent:  # a vehicle's own stop: nobody asked for it, so there is nothing to be a part of
            return trace.INVALID_SPAN
        parent = propagate.extract({"traceparent": step.traceparent})
        attributes = {"pitwall.stop_id": step.stop_id}
        attributes |= {f"pitwall.{key}": value for key, value in step.details.items()}
        span = self._tracer.start_span(f"stop {step.name}", parent, attributes=attributes, start_time=step.started_ns)
        span.end(step.ended_ns)
        return span


def _is_news(told: _Told, vehicle_id: str, step: tuple[str, ...]) -> bool:
    """Whether this vehicle is among those that are told, and the step has not been told of it."""
    if step in told.steps:
        return False
    if vehicle_id and vehicle_id not in told.vehicles:
        if len(told.vehicles) >= MAX_TOLD_VEHICLES:
            return False
        told.vehicles.add(vehicle_id)
    told.steps.add(step)
    return True
