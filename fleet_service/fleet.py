"""The fleet as it is known now: entries, live states, alerts. Pure; whatever comes in is merged, whatever changed is
noted for the watchers, for the caches and for the stores.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fleet_service.alerts import MAX_ALERTS, TAKEN_OUT, Alert, Alerts
from fleet_service.changes import ChangeLog
from fleet_service.live import Change, Live, Sample
from fleet_service.registry import Entry, first_seen
from fleet_service.statistics import Statistics, count
from fleet_service.stops import Fact, Stops

#: Vehicles of which anything is kept. Beyond, a new one is not taken and counted.
MAX_VEHICLES: Final = 10_000

_NOTHING: Final = Live()


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One vehicle as it is shown."""

    entry: Entry
    live: Live
    open_alerts: int
    active_stop_ids: tuple[str, ...] = ()


class Fleet:
    """`wall_time`: now, for entries that are made here."""

    def __init__(self, wall_time: Callable[[], datetime], max_vehicles: int = MAX_VEHICLES) -> None:
        self._wall_time, self._max = wall_time, max_vehicles
        self._entries: dict[str, Entry] = {}
        self._live: dict[str, Live] = {}
        self.alerts = Alerts()
        self.stops = Stops()
        # Deleted ones count too, so none is forgotten.
        self.vehicle_changes = ChangeLog(max_vehicles)
        self.alert_changes = ChangeLog(MAX_ALERTS)
        #: Entries made here that the store doesn't have yet.
        self.unregistered: dict[str, Entry] = {}
        self._renewed: set[str] = set()
        #: Records of vehicles beyond MAX_VEHICLES.
        self.turned_away = 0
        #: Moves on when the counts may have changed.
        self.statistics_version = 0

    def __len__(self) -> int:
        return sum(entry.delete_time is None for entry in self._entries.values())

    @property
    def full(self) -> bool:
        """No vehicle more is taken."""
        return len(self._entries) >= self._max

    # What comes in

    def restore(self, vehicle_id: str, live: Live) -> None:
        """From a store."""
        self._set(vehicle_id, self._live.get(vehicle_id, _NOTHING).merge(live))

    def take_sample(self, sample: Sample) -> None:
        if not self._welcome(sample.vehicle_id, sample.received_ns):
            return
        live = self._live.get(sample.vehicle_id, _NOTHING)
        self._set(sample.vehicle_id, live.with_sample(sample))

    def take_change(self, change: Change) -> None:
        if not self._welcome(change.vehicle_id, change.event_ns):
            return
        live = self._live.get(change.vehicle_id, _NOTHING)
        self._set(change.vehicle_id, live.with_change(change))

    def take_alert(self, alert: Alert) -> list[Alert]:
        """A step. What is to be kept of it: nothing where it is known already."""
        changed = self.alerts.take(self._as_registered(alert))
        for one in changed:
            self._alert_changed(one)
        return changed

    def acknowledged(self, record: Alert) -> list[Alert]:
        """As the store has it now. What is over by it and to be kept so."""
        record = self._as_registered(record)
        if self.alerts.get(record.alert_id) == record:
            return []
        closed = self.alerts.acknowledged(record)
        for one in (record, *closed):
            self._alert_changed(one)
        return closed

    def take_fact(self, fact: Fact) -> Fact | None:
        """About a stop. What is to be kept of it; None where it is known already."""
        touched = self.stops.take(fact)
        if touched is None:
            return None
        for vehicle_id in self._entries if touched.everybody else touched.vehicle_ids & self._entries.keys():
            self.vehicle_changes.touch(vehicle_id)
        return touched.fact

    def put_entry(self, entry: Entry) -> None:
        """As the store has it. An older revision than the one at hand changes nothing."""
        before = self._entries.get(entry.vehicle_id)
        if before is not None and entry.vehicle_id not in self.unregistered and not entry.follows(before):
            return
        self.unregistered.pop(entry.vehicle_id, None)
        self._entries[entry.vehicle_id] = entry
        self._renewed.add(entry.vehicle_id)
        if entry.delete_time is not None:
            self._live.pop(entry.vehicle_id, None)
            for alert in self.alerts.close_of(entry.vehicle_id, _ns(entry.delete_time)):
                self._alert_changed(alert)
        self._changed(entry.vehicle_id)

    def take_renewed(self) -> set[str]:
        """Vehicles whose stored entry has come or changed since this was asked, for the one that publishes them."""
        renewed, self._renewed = self._renewed, set()
        return renewed

    def _welcome(self, vehicle_id: str, seen_ns: int) -> bool:
        """Whether its state is kept; one that is seen for the first time is entered."""
        entry = self._entries.get(vehicle_id)
        if entry is not None and entry.delete_time is None:
            return True
        if entry is not None and entry.delete_time is not None and seen_ns <= _ns(entry.delete_time):
            return False
        if entry is None and self.full:
            self.turned_away += 1
            return False
        entry = first_seen(vehicle_id, self._wall_time())
        self._entries[vehicle_id] = self.unregistered[vehicle_id] = entry
        self._changed(vehicle_id)
        return True

    def _set(self, vehicle_id: str, live: Live) -> None:
        before = self._live.get(vehicle_id, _NOTHING)
        if live is before:
            return
        self._live[vehicle_id] = live
        self.vehicle_changes.touch(vehicle_id)
        if (live.state, live.connectivity) != (before.state, before.connectivity):
            self.statistics_version += 1

    def _as_registered(self, alert: Alert) -> Alert:
        """Nothing tells any more that an alert of a deleted vehicle is over: it was when the vehicle was deleted."""
        entry = self._entries.get(alert.vehicle_id)
        if entry is None or entry.delete_time is None or not alert.open or alert.event_ns > _ns(entry.delete_time):
            return alert
        return alert.closed(_ns(entry.delete_time), TAKEN_OUT)

    def _alert_changed(self, alert: Alert) -> None:
        self.alert_changes.touch(alert.alert_id)
        self._changed(alert.vehicle_id)

    def _changed(self, vehicle_id: str) -> None:
        self.vehicle_changes.touch(vehicle_id)
        self.statistics_version += 1

    # What is asked

    def get(self, vehicle_id: str) -> Vehicle | None:
        entry = self._entries.get(vehicle_id)
        if entry is None or entry.delete_time is not None:
            return None
        return Vehicle(
            entry,
            self._live.get(vehicle_id, _NOTHING),
            self.alerts.open_count(vehicle_id),
            self.stops.active_ids(vehicle_id),
        )

    def deleted(self) -> dict[str, int]:
        """Vehicles that were taken out of the registry, and when, Unix ns."""
        times = ((vehicle_id, entry.delete_time) for vehicle_id, entry in self._entries.items())
        return {vehicle_id: _ns(time) for vehicle_id, time in times if time is not None}

    def live(self, vehicle_id: str) -> Live | None:
        return self._live.get(vehicle_id)

    def vehicles(self) -> Iterable[Vehicle]:
        """By id."""
        return (vehicle for vehicle_id in sorted(self._entries) if (vehicle := self.get(vehicle_id)) is not None)

    def statistics(self, now_ns: int, *, stale: bool) -> Statistics:
        states = ((v.live.state[0], v.live.connectivity) for v in self.vehicles())
        return count(states, self.alerts.open_total, now_ns, stale=stale)


def _ns(time: datetime) -> int:
    """Unix nanoseconds."""
    return int(time.timestamp() * 1e9)
