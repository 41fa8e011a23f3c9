"""What an operator may be told about a stop, from what the command services say. Pure: no clock, no connection.

Several command services may answer at once. A stage that a vehicle reported to any of them happened, so the furthest
one counts; a vehicle is unreachable only while none of them has a link to it. Counts are made here, from the vehicles,
so that in scope = standstill + pending + unreachable whichever answers arrive.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp
from haul.command.v1 import stop_pb2

ISSUED = stop_pb2.STOP_STAGE_ISSUED
SENT = stop_pb2.STOP_STAGE_SENT
RECEIVED = stop_pb2.STOP_STAGE_RECEIVED
BRAKING = stop_pb2.STOP_STAGE_BRAKING
STANDSTILL = stop_pb2.STOP_STAGE_STANDSTILL
RELEASED = stop_pb2.STOP_STAGE_RELEASED


@dataclass(frozen=True, slots=True)
class StageReached:
    """A vehicle came this far with the stop, at that time by the clock of whoever reported it."""

    vehicle_id: str
    stage: stop_pb2.StopStage.ValueType
    event_time: Timestamp | None
    latched_durably: bool


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """A vehicle can't be reached, or can again. The bounds are absent while the stop is not confirmed."""

    vehicle_id: str
    stage: stop_pb2.StopStage.ValueType
    unreachable: bool
    brakes_by: Timestamp | None
    stands_by: Timestamp | None


@dataclass(frozen=True, slots=True)
class Overdue:
    """The stage after this one is late."""

    vehicle_id: str
    stage: stop_pb2.StopStage.ValueType


StopEvent = StageReached | LinkChanged | Overdue


@dataclass(slots=True)
class VehicleView:
    """One vehicle, as the answers so far add up."""

    vehicle_id: str
    stage: stop_pb2.StopStage.ValueType = stop_pb2.STOP_STAGE_UNSPECIFIED
    reached: set[stop_pb2.StopStage.ValueType] = field(default_factory=set)
    overdue_at: set[stop_pb2.StopStage.ValueType] = field(default_factory=set)
    latched_durably: bool = False
    overdue: bool = False
    unknown: bool = False
    brakes_by: Timestamp | None = None
    stands_by: Timestamp | None = None
    #: Command service -> it has no link to the vehicle.
    away: dict[str, bool] = field(default_factory=dict)

    @property
    def in_scope(self) -> bool:
        """Until it is released."""
        return self.stage != RELEASED

    @property
    def unreachable(self) -> bool:
        """No command service has a link to it. It counts as such even after it stood: nobody hears it now."""
        return self.in_scope and bool(self.away) and all(self.away.values())

    @property
    def stands(self) -> bool:
        """It has itself reported a measured speed of 0 under this stop, and can still be heard."""
        return self.stage == STANDSTILL and not self.unreachable

    @property
    def pending(self) -> bool:
        return self.in_scope and not self.stands and not self.unreachable


@dataclass(frozen=True, slots=True)
class Summary:
    """in_scope = standstill + pending + unreachable. `brakes_by` is absent while nothing is confirmed."""

    stop_id: str
    in_scope: int
    standstill: int
    pending: int
    unreachable: int
    journaled_by: int
    command_services: int
    confirmed: bool
    brakes_by: Timestamp | None
    unknown_vehicle_ids: tuple[str, ...]

    @property
    def all_stand(self) -> bool:
        return self.standstill == self.in_scope


class StopView:
    """Adds up answers; each event is given out once."""

    def __init__(self, stop_id: str) -> None:
        self.stop_id = stop_id
        self.vehicles: dict[str, VehicleView] = {}
        self._summaries: dict[str, stop_pb2.StopSummary] = {}
        self._stop: stop_pb2.Stop | None = None

    @property
    def answered(self) -> bool:
        """Some command service has taken the stop."""
        return self._stop is not None

    @property
    def stop(self) -> stop_pb2.Stop | None:
        return self._stop

    def merge(
        self,
        server: str,
        stop: stop_pb2.Stop,
        summary: stop_pb2.StopSummary,
        vehicles: Iterable[stop_pb2.VehicleStop],
    ) -> list[StopEvent]:
        """Takes one answer and says what it adds."""
        if self._stop is None:
            self._stop, self.stop_id = stop, stop.stop_id or self.stop_id
        self._summaries[server] = summary
        return [event for vehicle in vehicles for event in self._merge_vehicle(server, vehicle)]

    def lost(self, server: str) -> list[StopEvent]:
        """A command service is away: its word about links no longer counts where another one has a word."""
        events: list[StopEvent] = []
        for view in self.vehicles.values():
            if len(view.away) > 1 and server in view.away:
                before = view.unreachable
                del view.away[server]
                events += _link_events(view, before)
        return events

    def summary(self) -> Summary:
        in_scope = [view for view in self.vehicles.values() if view.in_scope]
        standstill = sum(view.stands for view in in_scope)
        unreachable = sum(view.unreachable for view in in_scope)
        confirmed = [summary for summary in self._summaries.values() if summary.confirmed]
        bounds = [summary.brakes_by_time for summary in confirmed if summary.HasField("brakes_by_time")]
        return Summary(
            stop_id=self.stop_id,
            in_scope=len(in_scope),
            standstill=standstill,
            pending=len(in_scope) - standstill - unreachable,
            unreachable=unreachable,
            journaled_by=max((summary.journaled_by for summary in self._summaries.values()), default=0),
            command_services=max((summary.command_services for summary in self._summaries.values()), default=0),
            confirmed=bool(confirmed),
            brakes_by=min(bounds, key=_nanos, default=None),
            unknown_vehicle_ids=tuple(sorted(view.vehicle_id for view in in_scope if view.unknown)),
        )

    def done(self, elapsed_s: float) -> bool:
        """Nothing is left to wait for: the stop is confirmed and every vehicle in scope has reported standstill.

        Who is in a zone only the vehicles can say, and who is in the fleet a command service that has just started
        may not know yet. So those stops are not done before their bound has passed. `elapsed_s`: since the request.
        """
        summary = self.summary()
        if self._stop is None or not summary.confirmed or not summary.all_stand:
            return False
        return self._stop.scope.WhichOneof("target") == "vehicles" or elapsed_s >= self._bound_s(summary)

    def _bound_s(self, summary: Summary) -> float:
        """From the issue to the last moment when a vehicle in scope brakes. Both times are by one clock, not ours."""
        if self._stop is None or summary.brakes_by is None:
            return 0.0
        return (_nanos(summary.brakes_by) - _nanos(self._stop.issued_time)) / 1e9

    def _merge_vehicle(self, server: str, vehicle: stop_pb2.VehicleStop) -> list[StopEvent]:
        view = self.vehicles.setdefault(vehicle.vehicle_id, VehicleView(vehicle.vehicle_id))
        before = view.unreachable
        view.away[server] = vehicle.unreachable
        view.unknown = view.unknown or vehicle.unknown_vehicle
        view.latched_durably = view.latched_durably or vehicle.latched_durably
        view.brakes_by = vehicle.brakes_by_time if vehicle.HasField("brakes_by_time") else view.brakes_by
        view.stands_by = vehicle.stands_by_time if vehicle.HasField("stands_by_time") else view.stands_by
        return [*_stage_events(view, vehicle), *_link_events(view, before), *_overdue_events(view, vehicle)]


def _stage_events(view: VehicleView, vehicle: stop_pb2.VehicleStop) -> list[StopEvent]:
    events: list[StopEvent] = []
    times = {progress.stage: progress for progress in vehicle.progress}
    for stage in sorted({*times, vehicle.stage} - view.reached - {stop_pb2.STOP_STAGE_UNSPECIFIED}):
        view.reached.add(stage)
        progress = times.get(stage)
        time = progress.event_time if progress and progress.HasField("event_time") else None
        durably = vehicle.latched_durably or bool(progress and progress.latched_durably)
        events.append(StageReached(view.vehicle_id, stage, time, durably))
    view.stage = max(view.stage, vehicle.stage, *times) if times else max(view.stage, vehicle.stage)
    return events


def _link_events(view: VehicleView, before: bool) -> list[StopEvent]:
    if view.unreachable == before:
        return []
    return [LinkChanged(view.vehicle_id, view.stage, view.unreachable, view.brakes_by, view.stands_by)]


def _overdue_events(view: VehicleView, vehicle: stop_pb2.VehicleStop) -> list[StopEvent]:
    # An answer from behind the furthest one may still call an earlier stage late.
    if vehicle.stage == view.stage:
        view.overdue = vehicle.overdue
    if not view.overdue or view.stage in view.overdue_at:
        return []
    view.overdue_at.add(view.stage)
    return [Overdue(view.vehicle_id, view.stage)]


def _nanos(time: Timestamp) -> int:
    return time.seconds * 1_000_000_000 + time.nanos
