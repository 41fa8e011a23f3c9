"""How far stops are and how long each step took, as this command service sees it: metrics, and steps for the trace.

Fed with what the core has written down anyway. In the event loop a step costs a look-up; histograms are filled once a
second, because OpenTelemetry takes longer for a number than everything else here.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final

from opentelemetry import metrics

from command_service.events import Event, Record, StageReached, StopIssued
from command_service.progress import Stage
from pitwall.clock import boottime_s
from pitwall.instruments import Tally, seconds_histogram
from pitwall.stop_trace import StopTrace

#: Stops whose steps are timed; of more the oldest is forgotten.
MAX_TIMED_STOPS: Final = 1_000
#: Steps that may wait for the next second. More are not timed.
MAX_WAITING: Final = 100_000
#: A vehicle that was out of reach when the stop came says nothing about how fast stops are, seconds.
LONGEST_TIMED_S: Final = 60.0

_TIMED: Final = (Stage.ISSUED, Stage.SENT, Stage.RECEIVED, Stage.BRAKING, Stage.STANDSTILL)


class StopSignals:
    """One command service's. `now` is CLOCK_BOOTTIME, seconds."""

    def __init__(
        self,
        meter: metrics.Meter | None = None,
        trace: StopTrace | None = None,
        now: Callable[[], float] = boottime_s,
    ) -> None:
        meter = meter or metrics.get_meter("command_service")
        self._trace, self._now = trace or StopTrace(), now
        self._begun: OrderedDict[str, float] = OrderedDict()
        self._waiting: deque[tuple[str, float]] = deque(maxlen=MAX_WAITING)
        text = "From the stop's coming here to the word that a stage was reached; ISSUED once a stop, others by vehicle"
        self._seconds = seconds_histogram(meter, "pitwall.stop.stage", text)
        stages = {"after": [stage.name for stage in Stage if stage < Stage.STANDSTILL]}
        self._overdue = Tally(meter, "pitwall.stop.stages.overdue", "Stages that did not come in time", stages)

    def recorded(self, record: Record) -> None:
        """The core has written this down; the deed itself is done."""
        event: Event = record.event
        if isinstance(event, StopIssued):
            self._begin(event, record)
        elif isinstance(event, StageReached) and event.stage in _TIMED and not _said_before(event):
            begun_s = self._begun.get(event.stop_id)
            if begun_s is not None and (took_s := self._now() - begun_s) <= LONGEST_TIMED_S:
                self._waiting.append((event.stage.name, took_s))

    def _begin(self, event: StopIssued, record: Record) -> None:
        stop = event.stop
        if stop.issuing_vehicle_id is None and stop.stop_id not in self._begun:
            self._begun[stop.stop_id] = self._now()
            self._trace.begin(stop.stop_id, stop.traceparent, record.event_ns)
            self._trace.step("taken", stop.stop_id, record.event_ns, by=record.actor)
            if len(self._begun) > MAX_TIMED_STOPS:
                self._begun.popitem(last=False)

    def journaled(self, stop_id: str) -> None:
        """It is on this disk."""
        self._trace.step("journaled", stop_id, time.time_ns())

    def pushed(self, gateway: str, stop_ids: Iterable[str]) -> None:
        """The frame has gone to the gateway."""
        for stop_id in stop_ids:
            self._trace.step("pushed", stop_id, time.time_ns(), gateway=gateway)

    def overdue(self, after: Stage) -> None:
        self._overdue.add(1, after.name)

    def settle(self) -> None:
        """Once a second."""
        while self._waiting:
            stage, seconds = self._waiting.popleft()
            self._seconds.record(seconds, {"stage": stage})


def _said_before(event: StageReached) -> bool:
    """RECEIVED comes again when the latch is on the vehicle's disk."""
    return event.stage is Stage.RECEIVED and event.latched_durably
