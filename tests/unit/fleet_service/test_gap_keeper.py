"""The ledger between Kafka and callers, without either: what is taken in, and what is answered meanwhile."""

import pytest
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2
from haul.telemetry.v1.telemetry_pb2 import StatusChange
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from fleet_service.gap_desk import GapDesk
from fleet_service.gap_keeper import GapKeeper
from fleet_service.records import WindowFigures
from pitwall.kafka_topics import DEAD_LETTER, STATUS_CHANGE, TELEMETRY
from pitwall.rpc.errors import InvalidArgument, Unavailable
from tests.unit.fleet_service.test_gap_records import LOST_HEADERS, LOST_RANGE, V, letter, reading, rejected
from tests.unit.fleet_service.test_gaps import BEGIN, LATER, sampled

BEHIND = {(TELEMETRY.name, 0): 7}


def keeper(*, ready: bool = True) -> GapKeeper:
    made = GapKeeper(None, "127.0.0.1:1", "fleet-1", dict)  # type: ignore[arg-type]  # nothing is stored
    made.ready = ready
    return made


def asked(desk: GapDesk, **fields: object) -> list[tuple[int, int, str]]:
    answer = desk.list(fleet_pb2.ListGapsRequest(**fields))  # type: ignore[arg-type]
    names = (vehicle_pb2.GapState.Name(gap.state).removeprefix("GAP_STATE_") for gap in answer.gaps)
    return [(g.first_sequence, g.last_sequence, name) for g, name in zip(answer.gaps, names, strict=True)]


async def test_three_topics_are_one_ledger_and_their_offsets_are_kept() -> None:
    one = keeper()
    change = StatusChange(vehicle_id=V, boot_epoch=3, last_sequence=14)
    change.received_time.FromNanoseconds(sampled(15))
    await one._take_readings([reading(n) for n in (1, 2, 3, 12)], BEHIND)
    await one._take_letters(
        [letter(LOST_HEADERS, LOST_RANGE.SerializeToString()), rejected(11)], {(DEAD_LETTER.name, 0): 2}
    )
    await one._take_changes([change.SerializeToString()], {(STATUS_CHANGE.name, 0): 1})
    expected = [(4, 4, "OPEN"), (5, 9, "LOST"), (10, 10, "OPEN"), (11, 11, "REJECTED"), (13, 14, "OPEN")]
    assert asked(GapDesk(one)) == expected
    assert one._offsets == {**BEHIND, (DEAD_LETTER.name, 0): 2, (STATUS_CHANGE.name, 0): 1}


async def test_what_can_t_be_read_is_counted_and_holds_nothing_up() -> None:
    one, reader = keeper(), InMemoryMetricReader()
    one.measure(MeterProvider([reader]).get_meter("test"))
    await one._take_readings([b"\xff", reading(2)], BEHIND)
    await one._take_letters([letter(LOST_HEADERS, b"\xff"), rejected(1)], {})
    await one._take_changes([b"\xff"], {})
    assert asked(GapDesk(one)) == [(1, 1, "REJECTED")]
    data = reader.get_metrics_data()
    assert data is not None
    values = {
        metric.name: {tuple((point.attributes or {}).values()): point.value for point in metric.data.data_points}  # type: ignore[union-attr]
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }
    assert values["pitwall.fleet.gaps.poison.records"] == {(): 3}
    assert values["pitwall.fleet.gaps.oldest"] == {(): 0}
    assert set(values["pitwall.fleet.gap.readings"]) == {("open",), ("lost",), ("rejected",)}
    assert set(values["pitwall.fleet.gaps.forgotten.readings"]) == {("limit",), ("age",), ("registry",)}


async def test_begun_where_kafka_had_deleted_records_the_past_is_unknown_until_all_is_read() -> None:
    one = keeper()
    one.readings.began_late = True
    await one._take_readings([reading(900)], BEHIND)
    assert one.ledger.truncated
    assert asked(GapDesk(one)) == []
    one.readings.caught_up.set()
    await one._know_all()
    await one._take_readings([reading(3, "KOMATSU-980E-002")], BEHIND)
    assert asked(GapDesk(one)) == [(1, 2, "OPEN")]


def test_until_what_was_stored_is_read_there_is_no_answer() -> None:
    with pytest.raises(Unavailable) as refused:
        GapDesk(keeper(ready=False)).list(fleet_pb2.ListGapsRequest())
    assert refused.value.reason == "NOT_READY"


def test_a_wrong_request_is_told_before_that() -> None:
    with pytest.raises(InvalidArgument):
        GapDesk(keeper(ready=False)).list(fleet_pb2.ListGapsRequest(filter="state = GONE"))


def test_what_is_listed_may_be_old_until_all_of_kafka_is_read() -> None:
    one = keeper()
    assert GapDesk(one).list(fleet_pb2.ListGapsRequest()).stale
    for intake in one._intakes:
        intake.caught_up.set()
        intake._watch.on_answer()
    assert not GapDesk(one).list(fleet_pb2.ListGapsRequest()).stale


async def test_a_window_has_the_ledger_s_count_where_it_has_one() -> None:
    one = keeper()
    desk = GapDesk(one)
    window = WindowFigures(V, BEGIN, 60_000, 1, 50, 7, ())
    assert desk.missing_in(window) == 7
    await one._take_readings([reading(1), reading(5)], BEHIND)
    assert desk.missing_in(window) == 3
    assert desk.missing_in(WindowFigures(V, LATER, 60_000, 1, 50, None, ())) == 0
    assert desk.missing_in(WindowFigures("", BEGIN, 60_000, 1, 50, None, ())) is None
