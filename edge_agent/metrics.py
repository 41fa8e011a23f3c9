"""What the agents' process counts and shows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from opentelemetry import metrics

from edge_agent.stop_steps import StopSteps
from pitwall.domain.order import OrderResult
from pitwall.instruments import Tally, seconds_histogram

#: What becomes of a reading.
OUTCOMES: Final = ("generated", "acked", "rejected", "lost")


@dataclass(frozen=True, slots=True)
class Counters:
    """Recorded as things happen; gauges are read by whoever holds the thing."""

    #: By outcome: generated, acked, rejected, lost.
    readings: Tally
    #: By result.
    orders: metrics.Counter
    #: What was left of a permit when its answer arrived.
    permit_margin: metrics.Histogram
    #: How long a slice of the control loop took.
    slice: metrics.Histogram
    #: How late a slice of the control loop began.
    loop_late: metrics.Histogram
    #: Streams that ended, by kind.
    streams_ended: metrics.Counter
    #: Ticks that a fault in the program ended.
    faults: metrics.Counter
    #: For the trace of a stop.
    stops: StopSteps

    @classmethod
    def make(cls) -> "Counters":
        meter = metrics.get_meter("edge_agent")
        return cls(
            Tally(meter, "pitwall.agent.readings", "Readings by outcome", {"outcome": OUTCOMES}),
            _counter(meter, "orders", "Answers to orders by result", "result", [result.name for result in OrderResult]),
            seconds_histogram(meter, "pitwall.agent.permit.margin", "What was left of a permit when it arrived"),
            seconds_histogram(meter, "pitwall.agent.tick", "One slice of the control loop"),
            seconds_histogram(meter, "pitwall.agent.tick.late", "How late the control loop began"),
            _counter(meter, "streams.ended", "Streams that ended, by kind", "kind", ("broken", "moved")),
            _counter(meter, "faults", "Ticks that a fault in the program ended"),
            StopSteps(),
        )


def _counter(
    meter: metrics.Meter, name: str, description: str, label: str = "", values: Iterable[str] = ("",)
) -> metrics.Counter:
    """Shown from 0 on: one that is born at 1 would hide its first increase."""
    counter = meter.create_counter(f"pitwall.agent.{name}", description=description)
    for value in values:
        counter.add(0, {label: value} if label else None)
    return counter
