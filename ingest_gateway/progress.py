"""What a vehicle says of its stops, checked, and kept for command services that come back."""

from collections import OrderedDict
from collections.abc import Iterable

from haul.command.v1.stop_pb2 import StopProgress, StopStage

from ingest_gateway.effects import illegal
from ingest_gateway.limits import MAX_KEPT_PROGRESS, MAX_PROGRESS_PER_FRAME

#: Stages that only a vehicle can vouch for.
VEHICLE_STAGES = frozenset(
    {
        StopStage.STOP_STAGE_RECEIVED,
        StopStage.STOP_STAGE_BRAKING,
        StopStage.STOP_STAGE_STANDSTILL,
        StopStage.STOP_STAGE_RELEASED,
    }
)


def checked_progress(progress: Iterable[StopProgress]) -> tuple[StopProgress, ...]:
    """Raises Illegal for a stage that is not the vehicle's to report."""
    checked = tuple(progress)
    if len(checked) > MAX_PROGRESS_PER_FRAME:
        text = f"has {len(checked)} entries, at most {MAX_PROGRESS_PER_FRAME:,} are taken"
        raise illegal("TOO_MANY", "stop_report.progress", text)
    for index, one in enumerate(checked):
        if one.stage not in VEHICLE_STAGES:
            text = f"{int(one.stage)} is not a vehicle's to report: RECEIVED, BRAKING, STANDSTILL, RELEASED are"
            raise illegal("NOT_ALLOWED", f"stop_report.progress[{index}].stage", text)
    return checked


class ProgressBook:
    """The latest word about each stage of each stop of one session. A stop that is released is forgotten last."""

    def __init__(self, capacity: int = MAX_KEPT_PROGRESS) -> None:
        self._capacity = capacity
        self._stops: OrderedDict[str, dict[int, StopProgress]] = OrderedDict()

    def keep(self, progress: Iterable[StopProgress]) -> None:
        for one in progress:
            stages = self._stops.setdefault(one.stop_id, {})
            known = stages.get(one.stage)
            if known is not None and known.latched_durably:
                one.latched_durably = True
            stages[one.stage] = one
            self._stops.move_to_end(one.stop_id)
        while len(self._stops) > self._capacity:
            self._stops.popitem(last=False)

    def all(self) -> list[StopProgress]:
        """For a command service that asks anew."""
        return [one for stages in self._stops.values() for one in stages.values()]
