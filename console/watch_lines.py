"""What has changed, a line each: for a program, for a log, for nobody."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from haul.command.v1 import order_pb2, stop_pb2
from haul.fleet.v1 import vehicle_pb2

from console import words
from console.news import Feed
from console.output import emit_fields, json_fields, say
from console.picture import Change, FeedChanged, Gone, Picture
from console.stops import progress_words, scope_words
from console.vehicle_row import Row, of_motion_state, of_vehicle


class Screen(Protocol):
    """Where a watch is shown: each change as it comes, or the picture from time to time."""

    def told(self, changes: Sequence[Change]) -> None: ...

    def draw(self, picture: Picture) -> None: ...


class Nothing:
    """For who only wants the picture that it ends with."""

    def told(self, changes: Sequence[Change]) -> None:
        """Not shown."""

    def draw(self, picture: Picture) -> None:
        """Not shown."""


class JsonLines(Nothing):
    """One object a change; its one key says of what kind."""

    def told(self, changes: Sequence[Change]) -> None:
        for change in changes:
            emit_fields(_fields(change))


def _fields(change: Change) -> dict[str, object]:
    match change:
        case vehicle_pb2.Vehicle():
            return {"vehicle": json_fields(change)}
        case order_pb2.MotionState():
            return {"motionState": json_fields(change)}
        case vehicle_pb2.AlertRecord():
            return {"alert": json_fields(change)}
        case stop_pb2.StopState():
            return {"stopState": json_fields(change)}
        case Gone(stop_id, vehicle_id):
            stop = {"stopState": {"stop": {"stopId": stop_id}, "active": False}}
            return dict(stop) if stop_id else {"removedVehicleId": vehicle_id}
        case FeedChanged(feed, error):
            trouble = {"trouble": error.message, "fix": error.fix} if error else {}
            return {"feed": {"name": feed.name, "live": error is None} | trouble}


class PlainLines(Nothing):
    """For a log or a pipe. Readings that only bring new values are no change here."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def told(self, changes: Sequence[Change]) -> None:
        at = f"{datetime.now(UTC).astimezone():%H:%M:%S}"
        for change in changes:
            if text := self._words(change):
                say(f"{at} {text}")

    def _words(self, change: Change) -> str:
        match change:
            case vehicle_pb2.Vehicle():
                return self._if_new(of_vehicle(change, None))
            case order_pb2.MotionState():
                return self._if_new(of_motion_state(change))
            case vehicle_pb2.AlertRecord(alert=alert):
                severity, state = words.severity(alert.severity), words.alert_state(alert.state)
                return f"{alert.vehicle_id} {severity} {alert.rule} {state}: {alert.message}"
            case stop_pb2.StopState():
                return f"stop {change.stop.stop_id} of {scope_words(change.stop)}: stands {progress_words(change)}"
            case Gone(stop_id, vehicle_id):
                return (
                    f"stop {stop_id}: released for every vehicle" if stop_id else f"{vehicle_id} is out of the registry"
                )
            case FeedChanged(feed, error):
                return _feed_words(feed, error.text() if error else "")

    def _if_new(self, row: Row) -> str:
        said = (
            f"{row.vehicle_id} {words.status(row.status)}/{words.sub_status(row.sub_status)}, "
            f"hold {words.hold(row.hold)}, {words.connectivity(row.connectivity)}"
        )
        if self._said.get(row.vehicle_id) == said:
            return ""
        self._said[row.vehicle_id] = said
        speed = words.UNKNOWN if row.speed_kph is None else f"{row.speed_kph.value:.1f}"
        return f"{said}, {speed} km/h"


def _feed_words(feed: Feed, trouble: str) -> str:
    return f"the {feed.value}: {trouble}" if trouble else f"the {feed.value} are there again"
