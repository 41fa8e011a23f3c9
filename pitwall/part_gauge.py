"""Health as a metric: what /healthz says of each part of a process, for whoever has only Prometheus to look at."""

from collections.abc import Iterable

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from pitwall.status_http import Parts


class PartGauge:
    """`take` in the event loop what Prometheus is to be told; health is judged there and not in the scrape's thread."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._newest: Parts = {}
        meter.create_observable_gauge(
            "pitwall.part.up", [self._observe], description="1 while a part or dependency of the process is well"
        )

    def take(self, parts: Parts) -> None:
        self._newest = dict(parts)

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        for name, part in self._newest.items():
            yield Observation(int(part.ok), {"part": name, "required": str(part.required).lower()})
