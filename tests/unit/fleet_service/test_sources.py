"""What is counted of the records, and which alerts tell how fast alerts come."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from haul.telemetry.v1 import alert_pb2

from fleet_service import sources as sources_module
from fleet_service import tables
from fleet_service.alerts import CLEARED, Alert
from fleet_service.fleet import Fleet
from fleet_service.records import alert_from
from fleet_service.registry import first_seen
from fleet_service.sources import MAX_ALERT_AGE_S, Sources
from pitwall.clock import wall_time
from pitwall.kafka_topics import ALERTS, COMMANDS, METRICS, STATUS_CHANGE, TELEMETRY

TOPICS = {topic.name for topic in (TELEMETRY, STATUS_CHANGE, ALERTS, METRICS, COMMANDS)}


class Counted:
    """In the place of a Tally or a histogram."""

    made: dict[str, "Counted"]

    def __init__(self, meter: object, name: str, description: str, labels: dict[str, list[str]] | None = None) -> None:
        self.labels, self.seen = labels or {}, []  # type: tuple[dict[str, list[str]], list[Any]]
        self.made[name] = self

    def add(self, count: int, *values: str) -> None:
        self.seen += [values] * count

    def record(self, value: float) -> None:
        self.seen.append(value)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counted]:
    Counted.made = {}
    monkeypatch.setattr(sources_module, "Tally", Counted)
    monkeypatch.setattr(sources_module, "seconds_histogram", Counted)
    return Counted.made


def sources() -> Sources:
    return Sources(Fleet(wall_time), None, None, "127.0.0.1:1", "fleet-1")  # type: ignore[arg-type]  # none is asked


def alert(alert_id: str, age_s: float, **fields: Any) -> bytes:
    message = alert_pb2.Alert(alert_id=alert_id, vehicle_id="V-1", state=alert_pb2.ALERT_STATE_RAISED, **fields)
    for moment in (message.raised_time, message.event_time):
        moment.FromNanoseconds(int((wall_time().timestamp() - age_s) * 1e9))
    return message.SerializeToString()


async def test_every_topic_that_is_read_has_its_series_from_the_start(counted: dict[str, Counted]) -> None:
    """A series that is born at 1 never shows its increase."""
    sources()
    for name in ("pitwall.fleet.records", "pitwall.fleet.records.poison"):
        assert set(counted[name].labels["topic"]) == TOPICS


async def test_a_row_that_the_store_refuses_is_poison_of_its_topic(counted: dict[str, Counted]) -> None:
    one = sources()
    for backlog in (one._alerts, one._windows, one._facts):
        backlog.refused(ValueError("a key too long"))
    seen = counted["pitwall.fleet.records.poison"].seen
    assert seen == [(ALERTS.name,), (METRICS.name,), (COMMANDS.name,)]


async def test_only_alerts_of_now_tell_how_fast_alerts_come(counted: dict[str, Counted]) -> None:
    one = sources()
    sent = [alert("new", 5), alert("replayed", MAX_ALERT_AGE_S + 60), alert("history", 5, backfilled=True)]
    await one._take_alerts(sent, {(ALERTS.name, 0): 3})
    assert counted["pitwall.alert.latency"].seen == [pytest.approx(5, abs=2)]
    assert one._fleet.alerts.open_total == 2, "history is not open"


class AlertsTable:
    """In the place of the store: vehicles and alerts as far as reading them again goes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alerts: dict[str, Alert] = {}
        self.closings = 0
        monkeypatch.setattr(tables, "all_entries", self._entries)
        monkeypatch.setattr(tables, "close_of_deleted", self._close)
        monkeypatch.setattr(tables, "further", self._further)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["AlertsTable"]:
        yield self

    async def _entries(self, _: object) -> list[Any]:
        return [first_seen("V-1", wall_time())]

    async def _close(self, _: object) -> None:
        self.closings += 1

    async def _further(self, _: object, known: list[Alert]) -> list[Alert]:
        stored = (self.alerts[alert.alert_id] for alert in known)
        return [alert for alert, one in zip(stored, known, strict=True) if alert.step > one.step]


async def test_alerts_that_another_fleet_service_has_closed_are_closed_here_too(
    counted: dict[str, Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its vehicle was deleted and is back since the registry was read the last time: nothing here tells of that."""
    one, store = sources(), AlertsTable(monkeypatch)
    one._store = store  # type: ignore[assignment]
    await one._take_alerts([alert("a", 5), alert("b", 5)], {(ALERTS.name, 0): 2})
    known = {known.alert_id: known for known in one._fleet.alerts.open()}
    store.alerts = known | {"a": replace(known["a"], state=CLEARED)}
    await one._look_again()
    assert [alert.alert_id for alert in one._fleet.alerts.open()] == ["b"]
    assert one._fleet.get("V-1") is not None
    assert store.closings == 1, "also those that this one has not heard of"


async def test_what_is_closed_here_is_stored_closed(counted: dict[str, Counted]) -> None:
    one = sources()
    one._fleet.put_entry(replace(first_seen("V-1", wall_time()), delete_time=wall_time()))
    await one._take_alerts([alert("a", 5)], {(ALERTS.name, 0): 1})
    assert [stored.state for stored in one._alerts.waiting.values()] == [CLEARED]


async def test_what_turns_out_to_be_over_when_it_is_loaded_is_stored_so_at_once(counted: dict[str, Counted]) -> None:
    """As a version before has left it: two alerts of one rule, both open."""
    one, names = sources(), ("V-1.LOW_FUEL.1.100", "V-1.LOW_FUEL.1.120")
    older, newer = (alert_from(alert(name, 9 - n, rule="LOW_FUEL")) for n, name in enumerate(names))
    one._stored([older, newer])
    assert [alert.alert_id for alert in one._fleet.alerts.open()] == [newer.alert_id]
    assert {kept.alert_id: kept.state for kept in one._alerts.waiting.values()} == {older.alert_id: CLEARED}
    assert one._alerts.due.is_set(), "without waiting for the next record"
