"""Alerts and what operators did about them. Pure.

A step is known by alert_id and state. States go one way, RAISED, ESCALATED, CLEARED, so the step that comes later is
the greater (state, sequence), and one that is delivered again changes nothing. Of each rule at each vehicle one alert
is open at most: see ``alert_lanes``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from fleet_service.alert_lanes import Lane, Moment, place_of

CLEARED: Final = 3
#: What is said of an alert that was open when its vehicle was deleted.
TAKEN_OUT: Final = "The vehicle was taken out of the registry"
#: And of one of which nothing more comes.
TAKEN_OVER: Final = "Later news of the same rule took its place"
#: Alerts kept in memory, open ones and those that have just been cleared.
MAX_ALERTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Alert:
    """The latest step. Severity and state are the contract's numbers, times nanoseconds since 1970."""

    alert_id: str
    vehicle_id: str
    rule: str
    severity: int
    state: int
    message: str
    value: float | None
    threshold: float | None
    boot_epoch: int
    sequence: int
    raised_ns: int
    event_ns: int
    backfilled: bool
    acknowledged_by: str = ""
    acknowledged_time: datetime | None = None
    note: str = ""

    @property
    def step(self) -> tuple[int, int]:
        return self.state, self.sequence

    @property
    def cleared(self) -> bool:
        return self.state == CLEARED

    @property
    def open(self) -> bool:
        """One of history never is: it tells what has been, and the live readings since then how the vehicle is."""
        return not (self.cleared or self.backfilled)

    @property
    def acknowledged(self) -> bool:
        return self.acknowledged_time is not None

    def closed(self, at_ns: int, why: str) -> "Alert":
        """As it is when it is over without a step that says so. One that comes later still counts.

        No reading has cleared it, so its place is the one that raised it: it says nothing of any other alert.
        """
        boot_epoch, sequence = place_of(self.alert_id) or (self.boot_epoch, self.sequence)
        return replace(
            self,
            state=CLEARED,
            boot_epoch=boot_epoch,
            sequence=sequence,
            event_ns=max(self.event_ns, at_ns),
            message=why,
        )


class Alerts:
    """The open alerts, and lately cleared ones, for whoever watches. The table of all alerts is PostgreSQL's."""

    def __init__(self, capacity: int = MAX_ALERTS) -> None:
        self._capacity = capacity
        self._alerts: dict[str, Alert] = {}  # oldest step first
        self._open_of: dict[str, int] = {}
        self._lanes: dict[tuple[str, str], Lane] = {}

    def take(self, alert: Alert) -> list[Alert]:
        """A step. What it has changed, each alert once: nothing where all of it is known already."""
        before = self._alerts.get(alert.alert_id)
        changed: dict[str, Alert] = {}
        if before is None or alert.step > before.step:
            changed[alert.alert_id] = alert if before is None else _acknowledged_as(alert, before)
            self._put(changed[alert.alert_id])
        changed |= {closed.alert_id: closed for closed in self._settled(alert)}
        return list(changed.values())

    def acknowledged(self, record: Alert) -> list[Alert]:
        """As the store has it; a later step that is known here stays. Returns what is over by it."""
        before = self._alerts.get(record.alert_id)
        if before is not None and before.step > record.step:
            record = _acknowledged_as(before, record)
        self._put(record)
        return self._settled(record)

    def close_of(self, vehicle_id: str, deleted_ns: int) -> list[Alert]:
        """The vehicle was taken out of the registry then. Returns what that has closed."""
        known = [alert for alert in self.open() if alert.vehicle_id == vehicle_id and alert.event_ns <= deleted_ns]
        closed = [alert.closed(deleted_ns, TAKEN_OUT) for alert in known]
        for alert in closed:
            self._put(alert)
        return closed

    def get(self, alert_id: str) -> Alert | None:
        return self._alerts.get(alert_id)

    def open(self) -> Iterable[Alert]:
        return [alert for alert in self._alerts.values() if alert.open]

    def open_count(self, vehicle_id: str) -> int:
        return self._open_of.get(vehicle_id, 0)

    @property
    def open_total(self) -> int:
        return sum(self._open_of.values())

    def _settled(self, told: Alert) -> list[Alert]:
        """Closes what is over by this one, which may be itself. Returns that."""
        lane = self._lane(told)
        if lane is None:
            return []
        cleared = [Moment((told.boot_epoch, told.sequence), told.event_ns)] if told.cleared else []
        lane.told([_raised(told), *cleared])
        closed = [self._alerts[alert_id].closed(ended.event_ns, TAKEN_OVER) for alert_id, ended in lane.over()]
        for alert in closed:
            self._put(alert)
        return closed

    def _lane(self, alert: Alert) -> Lane | None:
        """None where it has none: in history nothing is open, and of some it is not known where they were raised."""
        if alert.backfilled or place_of(alert.alert_id) is None:
            return None
        key = alert.vehicle_id, alert.rule
        if key not in self._lanes:
            self._lanes[key] = Lane()
            if len(self._lanes) > self._capacity:
                del self._lanes[next((key for key, lane in self._lanes.items() if lane.idle), next(iter(self._lanes)))]
        return self._lanes.get(key)

    def _put(self, alert: Alert) -> None:
        lane = self._lane(alert)
        if lane is not None and alert.open:
            lane.opened(alert.alert_id, _raised(alert))
        elif lane is not None:
            lane.closed(alert.alert_id)
        before = self._alerts.pop(alert.alert_id, None)
        self._count(alert.vehicle_id, alert.open - (before is not None and before.open))
        self._alerts[alert.alert_id] = alert
        if len(self._alerts) > self._capacity:
            self._forget()

    def _forget(self) -> None:
        """A cleared one, the oldest; where all are open, the oldest of those."""
        gone = next((a for a in self._alerts.values() if not a.open), next(iter(self._alerts.values())))
        del self._alerts[gone.alert_id]
        if (lane := self._lanes.get((gone.vehicle_id, gone.rule))) is not None:
            lane.closed(gone.alert_id)
        self._count(gone.vehicle_id, -gone.open)

    def _count(self, vehicle_id: str, change: int) -> None:
        count = self._open_of.pop(vehicle_id, 0) + change
        if count:
            self._open_of[vehicle_id] = count


def _raised(alert: Alert) -> Moment:
    place = place_of(alert.alert_id)
    assert place is not None, "it has a lane"
    return Moment(place, alert.raised_ns)


def _acknowledged_as(alert: Alert, other: Alert) -> Alert:
    if alert.acknowledged:
        return alert
    return replace(
        alert,
        acknowledged_by=other.acknowledged_by,
        acknowledged_time=other.acknowledged_time,
        note=other.note,
    )
