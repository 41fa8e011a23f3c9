"""What is counted of the records, and which alerts tell how fast alerts come."""

from typing import Any

import pytest
from haul.telemetry.v1 import alert_pb2

from fleet_service import sources as sources_module
from fleet_service.fleet import Fleet
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
