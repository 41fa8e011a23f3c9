"""The steps of a stop through a gateway, for its trace: the set sent to a vehicle, a vehicle's report received."""

from collections.abc import Iterable

from haul.command.v1.stop_pb2 import StopProgress, StopStage

from ingest_gateway.moment import Moment
from pitwall.domain.stop_set import Stop
from pitwall.stop_trace import StopTrace


class StopSteps:
    """One gateway's. To be told after the deed."""

    def __init__(self, trace: StopTrace | None = None) -> None:
        self._trace = trace or StopTrace()

    def began(self, stops: Iterable[Stop], now: Moment) -> None:
        """They are in the set, and in the lanes of those whom they concern."""
        for stop in stops:
            self._trace.begin(stop.stop_id, stop.traceparent, now.wall_ns)

    def sent(self, vehicle_id: str, stop_ids: Iterable[str], now: Moment) -> None:
        for stop_id in stop_ids:
            self._trace.step("set sent", stop_id, now.wall_ns, vehicle_id)

    def reported(self, vehicle_id: str, progress: Iterable[StopProgress], now: Moment) -> None:
        for one in progress:
            stage = StopStage.Name(one.stage).removeprefix("STOP_STAGE_")
            self._trace.step("report received", one.stop_id, now.wall_ns, vehicle_id, now.wall_ns, stage=stage)
