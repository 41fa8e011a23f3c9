"""The steps of a stop at the vehicles of this process, for its trace: received, on disk, braking, standing."""

import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from edge_agent.moment import Moment
from edge_agent.stages import Progress, Stage
from pitwall.domain.stop_set import StopSet
from pitwall.stop_trace import StopTrace

#: (stop, vehicle) pairs whose beginning is remembered.
MAX_BEGUN: Final = 2_000


class StopSteps:
    """One process's. To be told after the deed."""

    def __init__(self, trace: StopTrace | None = None) -> None:
        self._trace = trace or StopTrace()
        self._begun_ns: OrderedDict[tuple[str, str], int] = OrderedDict()

    def reported(self, vehicle_id: str, progress: Iterable[Progress], stops: StopSet, now: Moment) -> None:
        now_ns = time.time_ns()
        for one in progress:
            at_ns = now_ns - int((now.s - one.at_s) * 1e9)
            if one.stage is not Stage.RECEIVED:
                self._step(one.stage.name.lower(), one.stop_id, vehicle_id, at_ns)
            elif one.latched_durably:
                self._step("latched", one.stop_id, vehicle_id, now_ns)
            else:
                stop = stops.get(one.stop_id)
                self._begin(one.stop_id, stop.traceparent if stop else "", vehicle_id, at_ns)

    def _begin(self, stop_id: str, traceparent: str, vehicle_id: str, at_ns: int) -> None:
        self._begun_ns[stop_id, vehicle_id] = at_ns
        if len(self._begun_ns) > MAX_BEGUN:
            self._begun_ns.popitem(last=False)
        self._trace.begin(stop_id, traceparent, at_ns)
        self._step("received", stop_id, vehicle_id, at_ns)

    def _step(self, name: str, stop_id: str, vehicle_id: str, at_ns: int) -> None:
        self._trace.step(name, stop_id, at_ns, vehicle_id, self._begun_ns.get((stop_id, vehicle_id), at_ns))
