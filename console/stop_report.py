"""How a stop in progress is shown: plain words for people, a line of JSON for each stage for programs.

No word here says that a vehicle stands before it has itself reported a measured speed of 0.
"""

import json
import sys
from collections.abc import Sequence
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from haul.command.v1 import stop_pb2

from console import words
from console.output import say_if_heard
from console.scope import names
from console.stop_view import LinkChanged, Overdue, StageReached, StopEvent, StopView, Summary, VehicleView

#: Up to so many vehicles are followed one by one on the screen; of more, the counts.
MOST_FOLLOWED = 8
#: Up to so many vehicles are listed at the end.
MOST_LISTED = 20
#: Counts are printed at most so often, seconds.
COUNTS_EVERY_S = 0.5


class StopReport(Protocol):
    """What the stop tells while it goes on. `elapsed_s` counts from the moment when it was issued."""

    def issued(self, stop_id: str, scope: str, issued_monotonic_s: float) -> None: ...

    def answered(self, server: str, view: StopView, as_new: bool, elapsed_s: float) -> None: ...

    def progress(self, events: Sequence[StopEvent], view: StopView, elapsed_s: float) -> None: ...

    def trouble(self, text: str) -> None: ...

    def finished(self, view: StopView, elapsed_s: float) -> None: ...


class JsonReport:
    """proto3 JSON field names, one object a line, the summary last. Trouble goes to the standard error."""

    def issued(self, stop_id: str, scope: str, issued_monotonic_s: float) -> None:
        _json_line({"issuedMonotonic": issued_monotonic_s, "stopId": stop_id})

    def answered(self, server: str, view: StopView, as_new: bool, elapsed_s: float) -> None:
        if as_new:
            _json_line({"stopId": view.stop_id, "issuedAsNew": True})

    def progress(self, events: Sequence[StopEvent], view: StopView, elapsed_s: float) -> None:
        for event in events:
            _json_line({"stopId": view.stop_id, "vehicleId": event.vehicle_id, **_event_fields(event)})

    def trouble(self, text: str) -> None:
        say_if_heard(f"pitwall: {text}", sys.stderr)

    def finished(self, view: StopView, elapsed_s: float) -> None:
        summary = view.summary()
        _json_line(
            {
                "summary": {
                    "stopId": summary.stop_id,
                    "inScope": summary.in_scope,
                    "standstill": summary.standstill,
                    "pending": summary.pending,
                    "unreachable": summary.unreachable,
                    "journaledBy": summary.journaled_by,
                    "brakesBy": _rfc3339(summary.brakes_by),
                    "durationMs": round(elapsed_s * 1000),
                }
            }
        )


class TextReport:
    """For people: counts while it goes on, names at the end."""

    def __init__(self) -> None:
        self._confirmed_shown = False
        self._counts_shown_s = -COUNTS_EVERY_S
        self._counts = ""

    def issued(self, stop_id: str, scope: str, issued_monotonic_s: float) -> None:
        _line(f"stop {stop_id} of {scope}")

    def answered(self, server: str, view: StopView, as_new: bool, elapsed_s: float) -> None:
        _line(f"{_plus(elapsed_s)}  taken by {server}")
        if as_new:
            _line(f"  the stop that you named had been released, so this is a new one: {view.stop_id}")
        if unknown := view.summary().unknown_vehicle_ids:
            _line(f"  not known to the site: {names(unknown, MOST_LISTED)}; held by this stop if they ever connect")

    def progress(self, events: Sequence[StopEvent], view: StopView, elapsed_s: float) -> None:
        summary = view.summary()
        if summary.confirmed and not self._confirmed_shown:
            self._confirmed_shown = True
            _line(f"{_plus(elapsed_s)}  {_confirmation(summary)}")
        if summary.in_scope <= MOST_FOLLOWED:
            for event in _furthest(events, view):
                _line(f"{_plus(elapsed_s)}  {event.vehicle_id}  {_event_words(event)}")
        elif elapsed_s >= self._counts_shown_s + COUNTS_EVERY_S and _counts(summary) != self._counts:
            self._counts_shown_s, self._counts = elapsed_s, _counts(summary)
            _line(f"{_plus(elapsed_s)}  {self._counts}")

    def trouble(self, text: str) -> None:
        _line(f"  {text}")

    def finished(self, view: StopView, elapsed_s: float) -> None:
        summary = view.summary()
        _line(f"{_plus(elapsed_s)}  {_counts(summary)}")
        vehicles = [vehicle for _, vehicle in sorted(view.vehicles.items())]
        _list("pending", [vehicle for vehicle in vehicles if vehicle.pending])
        _list("unreachable", [vehicle for vehicle in vehicles if vehicle.unreachable])
        if not summary.confirmed:
            _line(_confirmation(summary))
        if not summary.all_stand or not summary.confirmed:
            _line(f"The stop stays. See how it goes on: pitwall stop-status {summary.stop_id}")


def _furthest(events: Sequence[StopEvent], view: StopView) -> list[StopEvent]:
    """Of a vehicle's stages the one that it has come to. Those before are left out, also where another command
    service tells of them late.
    """
    return [
        event
        for event in events
        if not isinstance(event, StageReached) or event.stage == view.vehicles[event.vehicle_id].stage
    ]


def _list(title: str, vehicles: Sequence[VehicleView]) -> None:
    for vehicle in vehicles[:MOST_LISTED]:
        _line(f"  {title:11}  {vehicle.vehicle_id}  {_vehicle_words(vehicle)}")
    if len(vehicles) > MOST_LISTED:
        _line(f"  {title:11}  … and {len(vehicles) - MOST_LISTED} more")


def _vehicle_words(vehicle: VehicleView) -> str:
    if vehicle.unreachable:
        stood = "stood when last heard; " if vehicle.stage == stop_pb2.STOP_STAGE_STANDSTILL else ""
        return f"no link; {stood}{_bounds(vehicle.brakes_by, vehicle.stands_by)}"
    late = "; the next stage is overdue" if vehicle.overdue else ""
    return f"{words.STAGES[vehicle.stage]}{late}; {_bounds(vehicle.brakes_by, vehicle.stands_by)}"


def _bounds(brakes_by: Timestamp | None, stands_by: Timestamp | None) -> str:
    if brakes_by is None:
        return "no bound, clear the area by radio"
    stands = f", stands by {words.clock(stands_by)}" if stands_by is not None else ", speed unknown"
    return f"brakes by itself by {words.clock(brakes_by)}{stands}, whatever fails"


def _confirmation(summary: Summary) -> str:
    journaled = f"journaled by {summary.journaled_by} of {summary.command_services}"
    if not summary.confirmed:
        return f"{words.NOT_CONFIRMED} ({journaled})"
    if summary.brakes_by is None:
        return f"confirmed, {journaled}"
    return f"confirmed, {journaled}; everything in scope brakes by {words.clock(summary.brakes_by)}, whatever fails"


def _counts(summary: Summary) -> str:
    return (
        f"{summary.standstill} of {summary.in_scope} stand, "
        f"{summary.pending} pending, {summary.unreachable} unreachable"
    )


def _event_words(event: StopEvent) -> str:
    match event:
        case StageReached():
            kept = ", kept on its disk" if event.latched_durably else ""
            return words.STAGES[event.stage] + kept
        case LinkChanged(unreachable=True):
            return f"unreachable: no link; {_bounds(event.brakes_by, event.stands_by)}"
        case LinkChanged():
            return "has a link again"
        case Overdue():
            return f"overdue: {words.STAGES[event.stage]}, and then nothing"


def _event_fields(event: StopEvent) -> dict[str, object]:
    stage: dict[str, object] = {"stage": stop_pb2.StopStage.Name(event.stage)}
    match event:
        case StageReached():
            time = {} if event.event_time is None else {"eventTime": _rfc3339(event.event_time)}
            return stage | time | ({"latchedDurably": True} if event.latched_durably else {})
        case LinkChanged():
            bounds = {"brakesByTime": _rfc3339(event.brakes_by), "standsByTime": _rfc3339(event.stands_by)}
            return stage | {"unreachable": event.unreachable} | {key: by for key, by in bounds.items() if by}
        case Overdue():
            return stage | {"overdue": True}


def _rfc3339(time: Timestamp | None) -> str | None:
    return None if time is None else time.ToJsonString()


def _plus(elapsed_s: float) -> str:
    return f"+{elapsed_s:7.3f} s"


def _json_line(fields: dict[str, object]) -> None:
    _line(json.dumps(fields, ensure_ascii=False))


def _line(text: str) -> None:
    say_if_heard(text, sys.stdout)
