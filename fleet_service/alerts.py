"""Alerts and what operators did about them. Pure.

A step is known by alert_id and state. States go one way, RAISED, ESCALATED, CLEARED, so the step that comes later is
the greater (state, sequence), and one that is delivered again changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

CLEARED: Final = 3
#: What is said of an alert that was open when its vehicle was deleted.
TAKEN_OUT: Final = "The vehicle was taken out of the registry"
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
        """As it is when it is over without a step that says so. One that comes later still counts."""
        return replace(self, state=CLEARED, event_ns=max(self.event_ns, at_ns), message=why)


class Alerts:
    """The open alerts, and lately cleared ones, for whoever watches. The table of all alerts is PostgreSQL's."""

    def __init__(self, capacity: int = MAX_ALERTS) -> None:
        self._capacity = capacity
        self._alerts: dict[str, Alert] = {}  # oldest step first
        self._open_of: dict[str, int] = {}

    def take(self, alert: Alert) -> bool:
        """A step. False where it is known already."""
        before = self._alerts.get(alert.alert_id)
        if before is not None:
            if alert.step <= before.step:
                return False
            alert = _acknowledged_as(alert, before)
        self._put(alert)
        return True

    def acknowledged(self, record: Alert) -> None:
        """As the store has it; a later step that is known here stays."""
        before = self._alerts.get(record.alert_id)
        if before is not None and before.step > record.step:
            record = _acknowledged_as(before, record)
        self._put(record)

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

    def _put(self, alert: Alert) -> None:
        before = self._alerts.pop(alert.alert_id, None)
        self._count(alert.vehicle_id, alert.open - (before is not None and before.open))
        self._alerts[alert.alert_id] = alert
        if len(self._alerts) > self._capacity:
            self._forget()

    def _forget(self) -> None:
        """A cleared one, the oldest; where all are open, the oldest of those."""
        gone = next((a for a in self._alerts.values() if not a.open), next(iter(self._alerts.values())))
        del self._alerts[gone.alert_id]
        self._count(gone.vehicle_id, -gone.open)

    def _count(self, vehicle_id: str, change: int) -> None:
        count = self._open_of.pop(vehicle_id, 0) + change
        if count:
            self._open_of[vehicle_id] = count


def _acknowledged_as(alert: Alert, other: Alert) -> Alert:
    if alert.acknowledged:
        return alert
    return replace(
        alert,
        acknowledged_by=other.acknowledged_by,
        acknowledged_time=other.acknowledged_time,
        note=other.note,
    )
