"""What records say of readings: as the gateway writes them, and what can't be read."""

from typing import Any

import pytest
from haul.link.v1.vehicle_link_service_pb2 import LostRange, SequenceRange
from haul.telemetry.v1.telemetry_pb2 import Reading, StatusChange

from fleet_service.gap_records import Missed, Told, missed_from, runs_of, told_from
from fleet_service.gaps import Run
from fleet_service.records import Letter, Poison
from ingest_gateway.dead_letters import Headers, lost_headers, reading_headers
from ingest_gateway.effects import Lost
from ingest_gateway.intake import DeadLetter
from ingest_gateway.validation import Fault
from tests.unit.fleet_service.test_gaps import BEGIN, LATER, SECOND, sampled

V, W = "KOMATSU-930E-001", "KOMATSU-980E-002"


def reading(sequence: int, vehicle_id: str = V, **fields: Any) -> bytes:
    message = Reading(vehicle_id=vehicle_id, sequence=sequence, **{"boot_epoch": 3, "speed_kph": 12.0} | fields)
    made_ns = sampled(min(sequence, 1_000))
    message.event_time.FromNanoseconds(made_ns)
    message.received_time.FromNanoseconds(made_ns + SECOND)
    return message.SerializeToString()


def run(first: int, last: int) -> Run:
    return Run(first, last, sampled(first), sampled(last), sampled(first) + SECOND, sampled(last) + SECOND)


def refused_nothing(error: Exception) -> None:
    raise error


def test_readings_that_follow_each_other_are_one_run() -> None:
    values = [reading(1), reading(7, W), reading(2), reading(8, W), reading(3), reading(5), reading(6)]
    runs = runs_of(values, refused_nothing)
    assert [r for key, r in runs if key == (V, 3)] == [run(1, 3), run(5, 6)]
    assert [r for key, r in runs if key == (W, 3)] == [run(7, 8)]


def test_history_between_live_readings_stays_in_its_order() -> None:
    runs = runs_of([reading(100), reading(1), reading(2), reading(101)], refused_nothing)
    assert [r for _, r in runs] == [run(100, 100), run(1, 2), run(101, 101)]


def test_what_is_no_reading_is_refused_and_ends_nothing() -> None:
    refused: list[Exception] = []
    values = [
        reading(1),
        b"\xff\xff",
        reading(2),
        reading(1, "no vehicle"),
        reading(0, W),
        reading(1, W, boot_epoch=2**63),
        reading(2**63, "KOMATSU-930E-003"),
    ]
    assert runs_of(values, refused.append) == [((V, 3), run(1, 2))]
    assert len(refused) == 5


def test_a_reading_with_a_time_of_no_sense_is_there_all_the_same() -> None:
    message = Reading(vehicle_id=V, boot_epoch=3, sequence=4)
    message.event_time.seconds = -5
    assert runs_of([message.SerializeToString()], refused_nothing) == [((V, 3), Run(4, 4, 0, 0, 0, 0))]


def letter(headers: Headers, value: bytes = b"", key: str = V) -> Letter:
    return Letter(key, value, {name: text.decode() for name, text in headers}, LATER)


LOST_RANGE = LostRange(boot_epoch=3, range=SequenceRange(first_sequence=5, last_sequence=9), reason="OUTBOX_FULL")
LOST_HEADERS = lost_headers("ingest_gateway/g-1", V, Lost(3, 5, 9, "OUTBOX_FULL", LOST_RANGE.SerializeToString()))
FAULT = Fault("speed_kph", "OUT_OF_RANGE", "speed_kph: 900 km/h is too fast")


def rejected(sequence: int, fault: Fault = FAULT) -> Letter:
    return letter(reading_headers("ingest_gateway/g-1", V, 3, DeadLetter(sequence, b"\xff", fault)), b"\xff")


def test_a_declared_loss_as_the_gateway_writes_it() -> None:
    missed = missed_from(letter(LOST_HEADERS, LOST_RANGE.SerializeToString()))
    assert missed == Missed((V, 3), 5, 9, "OUTBOX_FULL", LATER, rejected=False)


def test_a_rejected_reading_as_the_gateway_writes_it_whatever_it_says_itself() -> None:
    assert missed_from(rejected(7)) == Missed((V, 3), 7, 7, "OUT_OF_RANGE speed_kph", LATER, rejected=True)


@pytest.mark.parametrize("field", ["sequence", "vehicle_id", "boot_epoch"])
@pytest.mark.parametrize("sequence", [0, 7, 2**63, 2**64 - 1])
def test_a_reading_that_may_be_any_other_has_no_place(field: str, sequence: int) -> None:
    """Else one of another vehicle would make a gap of this one, up to its sequence."""
    assert missed_from(rejected(sequence, Fault(field, "WRONG", "…"))) is None


@pytest.mark.parametrize(
    "other",
    [
        letter([]),
        letter([("dl_where", b"flink_jobs"), ("ce_type", b"haul.telemetry.v1.Reading"), ("ce_id", b"V:1:1")]),
        letter([("dl_where", b"ingest_gateway/g-1"), ("ce_type", b"of a later version")]),
    ],
)
def test_letters_of_others_say_nothing(other: Letter) -> None:
    assert missed_from(other) is None


def lost(first: int, last: int, boot_epoch: int = 3) -> bytes:
    text = LostRange(boot_epoch=boot_epoch, range=SequenceRange(first_sequence=first, last_sequence=last))
    return text.SerializeToString()


POISON = [
    ("no LostRange", letter(LOST_HEADERS, b"\xff")),
    ("a range backwards", letter(LOST_HEADERS, lost(9, 5))),
    ("a range from 0", letter(LOST_HEADERS, lost(0, 5))),
    ("more than a database holds", letter(LOST_HEADERS, lost(1, 2**63))),
    ("an epoch beyond", letter(LOST_HEADERS, lost(1, 2, 2**63))),
    ("no vehicle", letter(LOST_HEADERS, lost(1, 2), key="poison")),
    ("a reading without a sequence that is no fault of it", rejected(0)),
    ("no identity", letter([*LOST_HEADERS, ("ce_type", b"haul.telemetry.v1.Reading"), ("ce_id", b"none")])),
]


@pytest.mark.parametrize(("sentence", "bad"), POISON)
def test_letters_that_are_poison(sentence: str, bad: Letter) -> None:
    with pytest.raises(Poison):
        missed_from(bad)


def test_a_status_change_says_what_its_vehicle_had_made() -> None:
    change = StatusChange(vehicle_id=V, boot_epoch=3, last_sequence=40)
    change.received_time.FromNanoseconds(BEGIN)
    assert told_from(change.SerializeToString()) == Told((V, 3), 40, BEGIN)
    change.last_sequence = 0
    assert told_from(change.SerializeToString()) is None
    change.last_sequence = 2**63
    for bad in (change.SerializeToString(), b"\xff"):
        with pytest.raises(Poison):
            told_from(bad)
