"""Instruments of OpenTelemetry as our processes use them. Prometheus shows "pitwall.gateway.readings" as
pitwall_gateway_readings_total.

A counter of OpenTelemetry costs about 5 microseconds a call, and a series that is born at 1 never shows that first
increase to whoever watches its rate. So counts are plain numbers that start at 0 with every label value known before,
and OpenTelemetry reads them when somebody asks. Everything that is read here is read from another thread: one value, or
a dictionary that is replaced and never changed.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

#: Upper bounds in seconds, from half a millisecond up: a stop takes about one.
SECONDS_BUCKETS: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip


def seconds_histogram(meter: metrics.Meter, name: str, description: str) -> metrics.Histogram:
    """A histogram of seconds with SECONDS_BUCKETS."""
    return meter.create_histogram(
        name, unit="s", description=description, explicit_bucket_boundaries_advisory=SECONDS_BUCKETS
    )


def gauge(meter: metrics.Meter, name: str, description: str, read: Callable[[], float], unit: str = "1") -> None:
    """A gauge that is read when somebody asks, from another thread: `read` takes one value and nothing more."""

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(read())]

    meter.create_observable_gauge(name, [observe], unit=unit, description=description)


def gauges(
    meter: metrics.Meter,
    name: str,
    description: str,
    label: str,
    read: Callable[[], Mapping[str, float]],
    unit: str = "1",
) -> None:
    """A gauge with one label: `read` gives a value for each of its few values."""

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, {label: key}) for key, value in read().items()]

    meter.create_observable_gauge(name, [observe], unit=unit, description=description)


def total(meter: metrics.Meter, name: str, description: str, read: Callable[[], float]) -> None:
    """A counter that something keeps already: `read` gives how often so far."""

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(read())]

    meter.create_observable_counter(name, [observe], description=description)


def totals(
    meter: metrics.Meter, name: str, description: str, label: str, read: Callable[[], Mapping[str, float]]
) -> None:
    """Such a counter with one label: `read` gives how often so far for each of its few values."""

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, {label: key}) for key, value in read().items()]

    meter.create_observable_counter(name, [observe], description=description)


class Tally:
    """A counter with labels. Added to by one thread, read by any."""

    def __init__(
        self, meter: metrics.Meter, name: str, description: str, labels: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        """`labels`: name -> the values known before. Where a label has none, its series begin when they are needed."""
        known = labels or {}
        self._labels = tuple(known)
        self._counts: dict[tuple[str, ...], int] = dict.fromkeys(product(*known.values()), 0)
        meter.create_observable_counter(name, [self._observe], description=description)

    def add(self, count: int, *values: str) -> None:
        """`values`: of the labels, in their order; from a small set, because each combination is kept for ever."""
        if count:
            self._counts[values] = self._counts.get(values, 0) + count

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        # One step for the interpreter: the loop may add a combination meanwhile.
        counts = list(self._counts.items())
        return [Observation(count, dict(zip(self._labels, values, strict=True))) for values, count in counts]
