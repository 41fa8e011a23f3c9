"""Kafka's records: what is taken as it is, unknown as unknown; and what is poison, with the field named."""

import pytest
from google.protobuf.message import Message
from haul.command.v1 import event_pb2, order_pb2, stop_pb2
from haul.telemetry.v1 import alert_pb2, metrics_pb2, telemetry_pb2

from fleet_service import views
from fleet_service.live import Live
from fleet_service.records import Poison, alert_from, change_from, fact_from, figures_from, sample_from
from fleet_service.registry_desk import MAX_ALERT_ID_CHARACTERS
from fleet_service.stops import StopWord, Word
from pitwall.domain.units import QUANTITIES
from pitwall.paging import MAX_TOKEN_CHARACTERS, PageRequest
from pitwall.wire import MAX_NUMBER

ID = "KOMATSU-930E-001"
FLEET = stop_pb2.Scope(fleet=stop_pb2.WholeFleet())
#: No key for PostgreSQL, or none that a page token can hold.
BAD_IDS = ("", "a\x00b", "a\n", "é", "a" * 201)


def reading(**fields: object) -> telemetry_pb2.Reading:
    message = telemetry_pb2.Reading(
        vehicle_id=ID, boot_epoch=1, sequence=2, status=telemetry_pb2.VEHICLE_STATUS_HAULING
    )
    message.event_time.FromMilliseconds(1_800_000_000_123)
    message.received_time.FromMilliseconds(1_800_000_000_200)
    message.MergeFrom(telemetry_pb2.Reading(**fields))  # type: ignore[arg-type]
    return message


def change(**fields: object) -> telemetry_pb2.StatusChange:
    message = telemetry_pb2.StatusChange(vehicle_id=ID, boot_epoch=1, connect_count=3, change_id=f"{ID}:1:3:17")
    message.event_time.FromSeconds(1_800_000_000)
    message.MergeFrom(telemetry_pb2.StatusChange(**fields))  # type: ignore[arg-type]
    return message


def alert(**fields: object) -> alert_pb2.Alert:
    message = alert_pb2.Alert(alert_id="a", vehicle_id=ID, rule="R", state=alert_pb2.ALERT_STATE_RAISED, sequence=7)
    message.raised_time.FromSeconds(1_800_000_000)
    message.event_time.FromSeconds(1_800_000_001)
    message.MergeFrom(alert_pb2.Alert(**fields))  # type: ignore[arg-type]
    return message


def alert_named(alert_id: str) -> alert_pb2.Alert:
    message = alert()
    message.alert_id = alert_id
    return message


def metrics(**fields: object) -> metrics_pb2.VehicleMetrics:
    message = metrics_pb2.VehicleMetrics(vehicle_id=ID, revision=1, reading_count=60)
    message.window_start_time.FromSeconds(1_800_000_000)
    message.window_length.FromSeconds(60)
    message.MergeFrom(metrics_pb2.VehicleMetrics(**fields))  # type: ignore[arg-type]
    return message


def word(stage: int, vehicle_id: str = ID, stop_id: str = "s") -> event_pb2.CommandEvent:
    progress = stop_pb2.StopProgress(stop_id=stop_id, stage=stage)  # type: ignore[arg-type]  # one of the enum's numbers
    return event_pb2.CommandEvent(vehicle_id=vehicle_id, stop_progress=progress)


@pytest.mark.parametrize(
    ("event", "fact"),
    [
        (word(stop_pb2.STOP_STAGE_ISSUED, ""), None),
        (word(stop_pb2.STOP_STAGE_SENT), StopWord("s", ID, Word.SENT)),
        (word(stop_pb2.STOP_STAGE_RECEIVED), StopWord("s", ID, Word.HELD)),
        (word(stop_pb2.STOP_STAGE_BRAKING), StopWord("s", ID, Word.HELD)),
        (word(stop_pb2.STOP_STAGE_STANDSTILL), StopWord("s", ID, Word.HELD)),
        (word(stop_pb2.STOP_STAGE_RELEASED), StopWord("s", ID, Word.LET_GO)),
        (word(99), None),
        (event_pb2.CommandEvent(order=order_pb2.OrderRecord()), None),
        (event_pb2.CommandEvent(release_requested=stop_pb2.Release(release_id="r", stop_ids=["s"])), None),
        (event_pb2.CommandEvent(), None),
    ],
)
def test_of_the_journal_what_tells_of_stops_is_taken(event: event_pb2.CommandEvent, fact: object) -> None:
    assert fact_from(event.SerializeToString()) == fact


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (word(stop_pb2.STOP_STAGE_SENT, "truck 1"), "vehicle_id"),
        (event_pb2.CommandEvent(stop_issued=stop_pb2.Stop(stop_id="s")), "scope"),
        (event_pb2.CommandEvent(release_in_force=stop_pb2.Release(release_id="r")), "stop_ids"),
        *((word(stop_pb2.STOP_STAGE_SENT, stop_id=bad), "stop_id") for bad in BAD_IDS),
        *((event_pb2.CommandEvent(stop_issued=stop_pb2.Stop(stop_id=bad, scope=FLEET)), "stop_id") for bad in BAD_IDS),
        *(
            (event_pb2.CommandEvent(release_in_force=stop_pb2.Release(release_id=bad, stop_ids=["s"])), "release_id")
            for bad in BAD_IDS
        ),
    ],
)
def test_what_of_the_journal_is_poison(event: event_pb2.CommandEvent, named: str) -> None:
    with pytest.raises(Poison, match=named):
        fact_from(event.SerializeToString())


def test_a_reading_is_shown_as_it_was_sent() -> None:
    sent = reading(**dict.fromkeys(QUANTITIES, 1.5))
    assert views.reading(Live().with_sample(sample_from(sent.SerializeToString()))) == sent


def test_zero_is_a_value_and_absent_is_none() -> None:
    sent = reading(speed_kph=0.0)
    shown = views.reading(Live().with_sample(sample_from(sent.SerializeToString())))
    assert shown == sent
    assert shown is not None
    assert shown.HasField("speed_kph")
    assert not shown.HasField("payload_tons")


def test_a_value_that_is_no_number_is_unknown() -> None:
    sample = sample_from(reading(speed_kph=float("nan"), payload_tons=float("inf")).SerializeToString())
    assert sample.quantities == {}


@pytest.mark.parametrize("sent", [alert(), alert(value=0.0, threshold=60.0, severity=2, backfilled=True)])
def test_an_alert_is_shown_as_it_was_sent(sent: alert_pb2.Alert) -> None:
    shown = views.alert(alert_from(sent.SerializeToString()))
    assert shown.alert == sent
    assert not shown.HasField("cleared_time")


def test_a_cleared_alert_says_when() -> None:
    shown = views.alert(alert_from(alert(state=alert_pb2.ALERT_STATE_CLEARED).SerializeToString()))
    assert shown.cleared_time == shown.alert.event_time


@pytest.mark.parametrize("sent", [metrics(), metrics(missing_count=0, speed_kph_min=0.0, payload_tons_max=400.0)])
def test_a_window_is_shown_as_it_was_sent(sent: metrics_pb2.VehicleMetrics) -> None:
    known = figures_from(sent.SerializeToString())
    assert views.window(known, known.missing_count) == sent


def test_a_change_is_ordered_by_its_number_in_the_session() -> None:
    assert change_from(change().SerializeToString()).number == (1, 3, 17)


POISON: list[tuple[str, object, Message | bytes, str]] = [
    ("bytes that are no reading", sample_from, b"\xff\xff", "no Reading"),
    ("nothing at all", sample_from, b"", "vehicle_id"),
    ("a reading of nobody", sample_from, reading(vehicle_id="small letters"), "vehicle_id"),
    ("a reading without its time", sample_from, telemetry_pb2.Reading(vehicle_id=ID), "event_time"),
    ("a number beyond the table's", sample_from, reading(boot_epoch=2**63), "boot_epoch"),
    ("a sequence beyond the table's", sample_from, reading(sequence=2**63), "sequence"),
    ("a change without a number", change_from, change(change_id="x"), "change_id"),
    ("a change with a strange number", change_from, change(change_id="x:²"), "change_id"),
    ("an alert without an id", alert_from, alert_pb2.Alert(vehicle_id=ID), "alert_id"),
    *((f"an alert whose id is {bad[:9]!r}", alert_from, alert_named(bad), "alert_id") for bad in BAD_IDS),
    ("an alert without a state", alert_from, alert_pb2.Alert(vehicle_id=ID, alert_id="a"), "state"),
    ("text that PostgreSQL refuses", alert_from, alert(message="a\x00b"), "message"),
    ("text without an end", alert_from, alert(rule="a" * 1_001), "rule"),
    ("a window of nobody", figures_from, metrics(vehicle_id="?"), "vehicle_id"),
    ("a window without a length", figures_from, metrics_pb2.VehicleMetrics(vehicle_id=ID), "window_start_time"),
    ("a count beyond the table's", figures_from, metrics(reading_count=2**63), "reading_count"),
]


def test_every_alert_that_is_taken_can_be_acknowledged_and_stand_in_a_page_token() -> None:
    longest = alert_from(alert(alert_id="~" * MAX_ALERT_ID_CHARACTERS).SerializeToString())
    token = PageRequest(1, None, "ListAlerts").token((MAX_NUMBER, longest.alert_id))
    assert len(token) <= MAX_TOKEN_CHARACTERS
    with pytest.raises(Poison):
        alert_from(alert(alert_id="~" * (MAX_ALERT_ID_CHARACTERS + 1)).SerializeToString())


@pytest.mark.parametrize(("parse", "record", "named"), [row[1:] for row in POISON], ids=[row[0] for row in POISON])
def test_poison_is_told_by_its_field(parse: object, record: Message | bytes, named: str) -> None:
    data = record if isinstance(record, bytes) else record.SerializeToString()
    with pytest.raises(Poison, match=named):
        parse(data)  # type: ignore[operator]
