"""One batch: what goes where, and what the records say."""

from collections.abc import Iterable

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading
from hypothesis import given
from hypothesis import strategies as st

from ingest_gateway.clock_offset import VehicleClockReading
from ingest_gateway.intake import ANOTHER, Intake, take_in
from ingest_gateway.layout import Layout
from ingest_gateway.limits import MAX_READING_BYTES
from ingest_gateway.record import VehicleRecord, VehicleRecords
from pitwall.domain.units import QUANTITIES
from pitwall.reading import content_crc32
from tests.unit.ingest_gateway.builders import EPOCH, NANOS, OTHER, VEHICLE, WALL_NS, at, batch, reading


def known_vehicle(off_s: float = 0.0) -> VehicleRecord:
    """Whose wall clock is off, and whose clocks were read at 0."""
    record = VehicleRecord(VEHICLE)
    record.clocks.sample(EPOCH, VehicleClockReading(WALL_NS + round(off_s * NANOS), 0), at(0.0))
    return record


def take(record: VehicleRecord, *readings: Reading, now_s: float = 10.0) -> Intake:
    return take_in(batch(*readings).reading_batch, record, at(now_s))


def records(intake: Intake) -> list[Reading]:
    return [Reading.FromString(data) for _, data in intake.taken]


def test_a_good_reading_gets_its_arrival_and_nothing_else() -> None:
    sent = reading(1, 9.0)
    (got,) = records(take(known_vehicle(), sent))
    assert got.received_time.ToNanoseconds() == at(10.0).wall_ns
    got.ClearField("received_time")
    assert got == reading(1, 9.0)


def usual(sequence: int, **fields: float) -> Reading:
    """With every quantity, as healthy vehicles send it: the quick look knows it."""
    return reading(
        sequence, 9.0, **{name: min(33.3, quantity.maximum) for name, quantity in QUANTITIES.items()} | fields
    )


def test_a_usual_reading_is_passed_on_as_it_came_with_its_arrival_behind() -> None:
    sent = usual(1)
    (taken,) = take(known_vehicle(), sent).taken
    original = sent.SerializeToString()
    assert taken[1].startswith(original)
    got = Reading.FromString(taken[1])
    assert got.received_time.ToNanoseconds() == at(10.0).wall_ns
    got.ClearField("received_time")
    assert got == sent


@pytest.mark.parametrize("quick", [False, True])
def test_quick_or_slow_the_records_say_the_same(monkeypatch: pytest.MonkeyPatch, quick: bool) -> None:
    if not quick:
        monkeypatch.setattr(Layout, "admits", lambda *_: False)
    sent = [usual(1), usual(2, latitude_degrees=200.0), usual(3, backfilled=True), usual(4), usual(5)]
    sent[3].event_time.nanos = NANOS
    sent[4].event_time.FromNanoseconds(WALL_NS + 3600 * NANOS)
    intake = take(known_vehicle(), *sent)
    assert [sequence for sequence, _ in intake.taken] == [1, 3, 5]
    assert [(letter.sequence, letter.fault.field) for letter in intake.refused] == [
        (2, "latitude_degrees"),
        (4, "event_time"),
    ]
    assert (intake.backfilled, intake.corrected) == (1, 1)
    assert intake.newest_live == intake.taken[-1][1]
    assert [got.event_time.ToNanoseconds() - WALL_NS for got in records(intake)] == [9 * NANOS] * 3
    assert [got.HasField("vehicle_time") for got in records(intake)] == [False, False, True]


def test_a_vehicle_without_some_sensors_is_known_from_its_second_reading_on() -> None:
    record = known_vehicle()
    assert not record.layout(EPOCH).admits(reading(1, 9.0).SerializeToString())
    take(record, reading(1, 9.0))
    assert record.layout(EPOCH).admits(reading(2, 9.0).SerializeToString())
    assert not record.layout(EPOCH - 1).admits(reading(2, 9.0).SerializeToString())


def test_an_event_an_hour_ahead_is_put_right_and_the_vehicles_word_is_kept() -> None:
    sent = reading(1, 9.0)
    said_ns = WALL_NS + (9 + 3600) * NANOS
    sent.event_time.FromNanoseconds(said_ns)
    crc = content_crc32(sent)
    intake = take(known_vehicle(3600), sent)
    (got,) = records(intake)
    assert got.event_time.ToNanoseconds() == WALL_NS + 9 * NANOS
    assert got.vehicle_time.ToNanoseconds() == said_ns
    assert got.event_time.ToNanoseconds() <= got.received_time.ToNanoseconds()
    assert intake.corrected == 1
    assert content_crc32(got) == crc


def test_times_that_only_the_gateway_sets_are_not_believed() -> None:
    sent = reading(1, 9.0)
    sent.vehicle_time.FromNanoseconds(5)
    sent.received_time.FromNanoseconds(5)
    (got,) = records(take(known_vehicle(), sent))
    assert not got.HasField("vehicle_time")
    assert got.received_time.ToNanoseconds() == at(10.0).wall_ns


def test_bad_ones_go_to_the_dead_letters_as_they_were_sent_and_good_ones_around_them_are_taken() -> None:
    bad = reading(2, 9.0, latitude_degrees=200.0)
    original = bad.SerializeToString()
    intake = take(known_vehicle(), reading(1, 9.0), bad, reading(3, 9.0))
    assert [sequence for sequence, _ in intake.taken] == [1, 3]
    assert [(letter.sequence, letter.record, letter.fault.field) for letter in intake.refused] == [
        (2, original, "latitude_degrees")
    ]


def test_an_oversize_reading_goes_there_as_it_was_sent() -> None:
    big = Reading.FromString(
        reading(1, 9.0).SerializeToString() + b"\xa2\x7d" + _varint(MAX_READING_BYTES) + bytes(2048)
    )
    big.event_time.FromNanoseconds(WALL_NS + 99 * 3600 * NANOS)
    original = big.SerializeToString(deterministic=True)
    (letter,) = take(known_vehicle(), big).refused
    assert letter.fault.reason == "TOO_LARGE"
    assert Reading.FromString(letter.record).SerializeToString(deterministic=True) == original


def _varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80, number >> 7])


def test_another_vehicles_reading_is_refused_under_this_vehicles_name() -> None:
    intake = take(known_vehicle(), reading(1, 9.0, vehicle_id=OTHER))
    assert not intake.taken
    assert intake.vehicle_id == VEHICLE
    assert intake.refused[0].fault.reason == "WRONG_VEHICLE"


def test_going_back_repeats_nothing_that_is_known() -> None:
    record = known_vehicle()
    take(record, reading(1, 9.0), reading(2, 9.0))
    record.acks.arrived(EPOCH, [1])
    intake = take(record, reading(1, 9.0), reading(2, 9.0), reading(3, 9.0))
    assert [sequence for sequence, _ in intake.taken] == [3]
    assert intake.repeated == 2


def test_another_reading_of_a_known_identity_is_a_dead_letter_and_the_first_one_stays() -> None:
    record = known_vehicle()
    take(record, reading(1, 9.0), reading(2, 9.1))
    record.acks.arrived(EPOCH, [1, 2])
    other = reading(2, 8000.0, speed_kph=12.0)
    sent = other.SerializeToString()
    intake = take(record, other, reading(3, 9.2))
    assert [sequence for sequence, _ in intake.taken] == [3]
    assert [(each.sequence, each.record, each.fault) for each in intake.refused] == [(2, sent, ANOTHER)]
    assert intake.repeated == 0
    record.acks.next_ack()
    record.acks.arrived(EPOCH, [2])
    ack = record.acks.next_ack()
    assert ack is not None
    assert [(each.sequence, each.fault.reason) for each in ack.refused] == [(2, "REPEATED_DIFFERENTLY")]


def test_another_reading_of_one_that_is_under_way_is_left_to_its_ack() -> None:
    record = known_vehicle()
    take(record, reading(1, 9.0))
    intake = take(record, reading(1, 8000.0))
    assert (intake.taken, intake.refused, intake.repeated) == ([], [], 1)


def test_a_repeat_of_a_durable_one_is_acknowledged_again() -> None:
    record = known_vehicle()
    take(record, reading(1, 9.0))
    record.acks.arrived(EPOCH, [1])
    record.acks.next_ack()
    take(record, reading(1, 9.0))
    ack = record.acks.next_ack()
    assert ack is not None
    assert ack.ranges[0].first == 1


def test_a_jump_is_taken_and_counted_once() -> None:
    record = known_vehicle()
    assert take(record, reading(5, 9.0)).jumped == 0
    assert take(record, reading(9, 9.0)).jumped == 3
    history = take(record, reading(6, 9.0, backfilled=True), reading(7, 9.0, backfilled=True))
    assert [sequence for sequence, _ in history.taken] == [6, 7]
    assert history.jumped == 0


def test_the_newest_live_reading_is_no_history_and_no_bad_one() -> None:
    intake = take(
        known_vehicle(),
        reading(1, 9.0, speed_kph=10.0),
        reading(2, 9.0, speed_kph=20.0, backfilled=True),
        reading(3, 9.0, speed_kph=-1.0),
    )
    assert intake.newest_live is not None
    assert Reading.FromString(intake.newest_live).speed_kph == 10.0


def test_an_empty_batch_is_nothing() -> None:
    assert take(known_vehicle()) == Intake(VEHICLE, EPOCH)


SEQUENCES = st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=8)


@given(SEQUENCES)
def test_no_identity_is_handed_over_twice_and_none_is_forgotten(batches: list[list[int]]) -> None:
    """In whatever order and however often they are offered; some are bad (multiples of 5)."""
    record = known_vehicle()
    handed = list[int]()
    for sequences in batches:
        intake = take(record, *(_maybe_bad(sequence) for sequence in sequences))
        new = [sequence for sequence, _ in intake.taken] + [letter.sequence for letter in intake.refused]
        handed += new
        assert len(new) + intake.repeated == len(sequences)
    real = [sequence for sequence in handed if sequence]
    assert sorted(real) == sorted({s for sequences in batches for s in sequences if s})
    assert record.acks.in_flight == len(handed)


def _maybe_bad(sequence: int) -> Reading:
    return reading(sequence, 9.0, speed_kph=-1.0 if sequence % 5 == 0 else 1.0)


def test_vehicles_in_flight_are_never_forgotten() -> None:
    known = VehicleRecords(capacity=3)
    busy = known.of("A-1")
    busy.acks.take(1, 1, 1)
    _ask(known, ["B-1", "C-1", "D-1", "E-1"])
    assert len(known) == 3
    assert known.of("A-1") is busy


def test_the_least_recently_heard_is_forgotten_first() -> None:
    known = VehicleRecords(capacity=2)
    first, second = known.of("A-1"), known.of("B-1")
    assert known.of("A-1") is first
    known.of("C-1")
    assert known.of("A-1") is first
    assert known.of("B-1") is not second


def _ask(known: VehicleRecords, vehicle_ids: Iterable[str]) -> None:
    for vehicle_id in vehicle_ids:
        known.of(vehicle_id)
