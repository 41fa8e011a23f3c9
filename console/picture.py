"""The picture of the fleet that `pitwall watch` draws: what came, put together. Pure: times are passed in.

A fleet service tells vehicles and alerts, a command service stops. Where the fleet service is away, or what it tells
is old, the command service is asked for motion states too, and whoever told the later thing of a vehicle is believed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from haul.command.v1 import order_pb2, stop_pb2
from haul.fleet.v1 import fleet_service_pb2, vehicle_pb2
from haul.telemetry.v1 import alert_pb2, telemetry_pb2

from console.failures import ConsoleError
from console.news import Began, Broke, Came, Feed, Motion, News, Stops
from console.vehicle_row import CONNECTED, OLD_S, Need, Row, of_motion_state, of_vehicle
from pitwall.wire import to_seconds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """What was said last, and when it came here."""

    message: T
    at_s: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """A feed that has broken, since when, and why."""

    since_s: float
    error: ConsoleError


@dataclass(frozen=True, slots=True)
class Gone:
    """A stop that is released for everybody, or a vehicle that isn't in the registry any more."""

    stop_id: str = ""
    vehicle_id: str = ""


@dataclass(frozen=True, slots=True)
class FeedChanged:
    """It broke, or goes on again where `error` is None."""

    feed: Feed
    error: ConsoleError | None


Change = vehicle_pb2.Vehicle | order_pb2.MotionState | vehicle_pb2.AlertRecord | stop_pb2.StopState | Gone | FeedChanged


@dataclass(slots=True)
class Picture:
    """`alerts` are the open ones, by id. A feed is live once it has told everything, and until it breaks."""

    vehicles: dict[str, Told[vehicle_pb2.Vehicle]] = field(default_factory=dict)
    motion: dict[str, Told[order_pb2.MotionState]] = field(default_factory=dict)
    alerts: dict[str, vehicle_pb2.AlertRecord] = field(default_factory=dict)
    stops: dict[str, stop_pb2.StopState] = field(default_factory=dict)
    live: set[Feed] = field(default_factory=set)
    troubles: dict[Feed, Trouble] = field(default_factory=dict)
    #: Keys that a new snapshot has not named so far.
    _unnamed: dict[Feed, set[str]] = field(default_factory=dict)

    def take(self, news: News) -> list[Change]:
        """What has changed by it."""
        match news:
            case Began(feed):
                self._unnamed[feed] = set(self.vehicles if feed is Feed.VEHICLES else self.alerts)
                return []
            case Broke(feed, error, at_s):
                return self._break(feed, error, at_s)
            case Came(feed, fleet_service_pb2.WatchFleetResponse() as told, at_s):
                return self._take_vehicles(told, at_s) + self._go_on(feed, told.snapshot_complete)
            case Came(feed, fleet_service_pb2.WatchAlertsResponse() as told):
                return self._take_alerts(told) + self._go_on(feed, told.snapshot_complete)
            case Came(feed, Stops(states)):
                return self._take_stops(states) + self._go_on(feed, True)
            case Came(_, Motion(states), at_s):
                return self._take_motion(states, at_s)
        raise AssertionError(f"no feed tells this: {news}")

    @property
    def spoken(self) -> bool:
        """Every feed has told everything, or that it can't."""
        return all(feed in self.live or feed in self.troubles for feed in Feed)

    def wants_motion(self, now_s: float) -> bool:
        """The fleet service can't tell how vehicles move: it is away, or what it tells is old."""
        if Feed.VEHICLES not in self.live:
            return Feed.VEHICLES in self.troubles
        known = [told for told in self.vehicles.values() if told.message.connectivity == CONNECTED]
        # Where all are lost nobody would be left to show that the fleet service itself is cut off.
        return not known or any(_is_old(told, now_s) for told in known)

    def rows(self, now_s: float) -> list[Row]:
        """Those that need somebody first, then by id."""
        open_alerts: dict[str, list[alert_pb2.Alert]] = {}
        for record in self.alerts.values():
            open_alerts.setdefault(record.alert.vehicle_id, []).append(record.alert)
        names = self.vehicles.keys() | self.motion.keys()
        rows = [self._row(name, open_alerts.get(name, []), now_s) for name in names]
        return sorted(rows, key=lambda row: (row.need, row.vehicle_id))

    def _row(self, name: str, alerts: Sequence[alert_pb2.Alert], now_s: float) -> Row:
        told, moved = self.vehicles.get(name), self.motion.get(name)
        motion = None if moved is None else of_motion_state(moved.message, now_s - moved.at_s)
        if told is None:
            assert motion is not None
            return motion
        known = alerts if Feed.ALERTS in self.live else None
        row = of_vehicle(told.message, known, now_s - told.at_s)
        later = moved is not None and moved.at_s > told.at_s
        doubtful = Feed.VEHICLES not in self.live or row.age_s is None or row.old
        return row.with_motion_of(motion) if motion is not None and later and doubtful else row

    def _take_vehicles(self, told: fleet_service_pb2.WatchFleetResponse, at_s: float) -> list[Change]:
        changes: list[Change] = list(told.vehicles)
        for vehicle in told.vehicles:
            self.vehicles[vehicle.vehicle_id] = Told(vehicle, at_s)
            self._unnamed.get(Feed.VEHICLES, set()).discard(vehicle.vehicle_id)
        gone = set(told.removed_vehicle_ids)
        if told.snapshot_complete:
            gone |= self._unnamed.pop(Feed.VEHICLES, set())
        for name in sorted(gone & self.vehicles.keys()):
            del self.vehicles[name]
            self.motion.pop(name, None)
            changes.append(Gone(vehicle_id=name))
        return changes

    def _take_alerts(self, told: fleet_service_pb2.WatchAlertsResponse) -> list[Change]:
        for record in told.alerts:
            alert = record.alert
            self._unnamed.get(Feed.ALERTS, set()).discard(alert.alert_id)
            if alert.state == alert_pb2.ALERT_STATE_CLEARED:
                self.alerts.pop(alert.alert_id, None)
            else:
                self.alerts[alert.alert_id] = record
        if told.snapshot_complete:
            for alert_id in self._unnamed.pop(Feed.ALERTS, set()):
                self.alerts.pop(alert_id, None)
        return list(told.alerts)

    def _take_stops(self, states: Iterable[stop_pb2.StopState]) -> list[Change]:
        active = {state.stop.stop_id: state for state in states}
        changes: list[Change] = [state for name, state in active.items() if state != self.stops.get(name)]
        changes += [Gone(stop_id=name) for name in self.stops if name not in active]
        self.stops = active
        return changes

    def _take_motion(self, states: Iterable[order_pb2.MotionState], at_s: float) -> list[Change]:
        before = self.motion
        self.motion = {state.vehicle_id: Told(state, at_s) for state in states}
        return [told.message for name, told in self.motion.items() if _moved(told, before.get(name))]

    def _go_on(self, feed: Feed, complete: bool) -> list[Change]:
        if not complete or feed in self.live:
            return []
        self.live.add(feed)
        return [FeedChanged(feed, None)] if self.troubles.pop(feed, None) else []

    def _break(self, feed: Feed, error: ConsoleError, at_s: float) -> list[Change]:
        self.live.discard(feed)
        before = self.troubles.get(feed)
        self.troubles[feed] = Trouble(at_s if before is None else before.since_s, error)
        return [FeedChanged(feed, error)] if before is None or before.error.message != error.message else []


def statuses(rows: Iterable[Row]) -> list[tuple[telemetry_pb2.VehicleStatus.ValueType, int]]:
    """How many have each status, the most frequent first."""
    return Counter(row.status for row in rows).most_common()


def in_need(rows: Iterable[Row]) -> int:
    return sum(row.need is not Need.NONE for row in rows)


def _is_old(told: Told[vehicle_pb2.Vehicle], now_s: float) -> bool:
    youngest_s = min(map(to_seconds, told.message.quantity_ages.values()), default=OLD_S)
    return youngest_s + now_s - told.at_s > OLD_S


def _moved(told: Told[order_pb2.MotionState], before: Told[order_pb2.MotionState] | None) -> bool:
    """Beside etag and age, which change all the time by themselves."""
    if before is None:
        return True
    now, then = order_pb2.MotionState(), order_pb2.MotionState()
    for copy, original in ((now, told), (then, before)):
        copy.CopyFrom(original.message)
        copy.ClearField("etag")
        copy.ClearField("age")
    return now != then
