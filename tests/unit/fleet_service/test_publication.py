"""What is sent to vehicle-registry, and what is not because the topic says it already."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from haul.command.v1.stop_pb2 import GeoPoint, Zone
from haul.fleet.v1.registry_pb2 import RegistryEntry
from haul.fleet.v1.vehicle_pb2 import SafetyEnvelope

from fleet_service.publication import RESEND_S, Publication, Record, record_of
from fleet_service.registry import Entry, first_seen

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
V, W = "KOMATSU-930E-001", "KOMATSU-980E-002"
ENTRY = first_seen(V, NOON)
RECORD = record_of(ENTRY)
ZONE = Zone(name="pit", corners=[GeoPoint(latitude_degrees=1, longitude_degrees=n) for n in range(3)])


def told(entry: Entry) -> RegistryEntry:
    data = record_of(entry)
    assert data is not None
    return RegistryEntry.FromString(data)


def test_a_record_has_what_the_jobs_ask_for() -> None:
    entry = replace(ENTRY, safety_envelope=SafetyEnvelope(zone=ZONE).SerializeToString())
    expected = RegistryEntry(
        vehicle_id=V, model="930E-5", rated_payload_tons=290.0, max_payload_tons=319.0, max_speed_kph=64.5, zone=ZONE
    )
    expected.update_time.FromDatetime(NOON)
    assert told(entry) == expected


def test_what_nobody_knows_is_absent() -> None:
    message = told(Entry(V, NOON, NOON))
    assert [field.name for field, _ in message.ListFields()] == ["vehicle_id", "update_time"]


@pytest.mark.parametrize(
    ("vehicles", "envelopes", "expected"),
    [(60.0, 40.0, 40.0), (40.0, 60.0, 40.0), (60.0, None, 60.0), (None, 40.0, 40.0), (None, None, None)],
)
def test_the_lower_limit_counts(vehicles: float | None, envelopes: float | None, expected: float | None) -> None:
    envelope = SafetyEnvelope(max_speed_kph=envelopes).SerializeToString()
    message = told(replace(ENTRY, max_speed_kph=vehicles, safety_envelope=envelope))
    assert (message.max_speed_kph if message.HasField("max_speed_kph") else None) == expected


@pytest.mark.parametrize(
    ("last", "row", "sent"),
    [
        (None, ENTRY, [Record(V, RECORD, 1)]),
        (RECORD, ENTRY, []),
        (b"\xff no message at all", ENTRY, [Record(V, RECORD, 1)]),
        (RECORD, replace(ENTRY, revision=7, destination="Dump 3"), []),
        (RECORD, replace(ENTRY, revision=7, delete_time=NOON), [Record(V, None, 7)]),
        (RECORD, None, [Record(V, None, 0)]),
        (None, replace(ENTRY, delete_time=NOON), []),
        (None, None, []),
    ],
)
def test_what_differs_is_sent(last: bytes | None, row: Entry | None, sent: list[Record]) -> None:
    one = Publication()
    one.heard(V.encode(), last, 0.0)
    assert one.take(0.0, 10) == [V]
    assert one.compare([V], {} if row is None else {V: row}, 0.0) == sent
    assert one.waiting == len(sent)


def test_a_vehicle_waits_until_its_record_has_been_read_back() -> None:
    one = Publication()
    one.doubt([V], 5.0)
    (record,) = one.compare(one.take(5.0, 10), {V: ENTRY}, 5.0)
    assert (one.waiting, one.oldest_since_s, one.take(6.0, 10)) == (1, 5.0, [])
    one.heard(V.encode(), record.value, 6.0)
    assert one.take(6.0, 10) == [V]
    assert one.compare([V], {V: ENTRY}, 6.0) == []
    assert (one.waiting, one.oldest_since_s) == (0, None)


@pytest.mark.parametrize("told_of", [True, False])
def test_one_that_is_not_delivered_or_not_read_back_is_sent_again(told_of: bool) -> None:
    one = Publication()
    one.doubt([V], 0.0)
    first = one.compare(one.take(0.0, 10), {V: ENTRY}, 0.0)
    if told_of:
        one.not_delivered([V])
    assert one.take(RESEND_S - 0.1, 10) == ([V] if told_of else [])
    assert one.compare(one.take(RESEND_S, 10), {V: ENTRY}, RESEND_S) == first


def test_the_oldest_are_taken_first_and_no_more_than_asked_for() -> None:
    one = Publication()
    one.doubt([W], 1.0)
    one.doubt([V, W], 2.0)
    assert (one.take(3.0, 1), one.take(3.0, 5)) == ([W], [W, V])


def test_a_topic_that_is_made_anew_gets_all_of_it_again() -> None:
    one = Publication()
    one.heard(V.encode(), RECORD, 0.0)
    assert one.compare([V], {V: ENTRY}, 0.0) == []
    one.made_anew(1.0)
    assert [record.value for record in one.compare(one.take(1.0, 10), {V: ENTRY}, 1.0)] == [RECORD]


def test_records_of_no_vehicle_are_counted_and_left_alone() -> None:
    one = Publication()
    for key in (b"", b"\xff\xfe", b"no vehicle", V.encode() + b"\x00"):
        one.heard(key, b"value", 0.0)
    assert (one.foreign, one.waiting) == (4, 0)


def test_no_more_keys_are_remembered_than_there_is_room_for() -> None:
    one = Publication(max_keys=1)
    one.heard(V.encode(), RECORD, 0.0)
    one.heard(W.encode(), RECORD, 0.0)
    assert (one.foreign, one.take(0.0, 10)) == (1, [V])
    one.heard(V.encode(), None, 1.0)
    one.heard(W.encode(), RECORD, 1.0)
    assert (one.foreign, one.take(1.0, 10)) == (1, [V, W])
