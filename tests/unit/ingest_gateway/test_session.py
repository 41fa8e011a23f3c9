"""One vehicle's stream: frames in, effects and frames out."""

from dataclasses import replace
from typing import TypeVar

import pytest
from haul.command.v1.order_pb2 import OrderResult
from haul.command.v1.stop_pb2 import StopStage
from haul.link.v1 import vehicle_link_service_pb2 as pb
from haul.telemetry.v1.telemetry_pb2 import Connectivity, MotionHold, VehicleStatus

from ingest_gateway.effects import (
    Brought,
    Changed,
    Close,
    Code,
    Effect,
    LossDeclined,
    Lost,
    Opened,
    OrderReported,
    Readings,
    ReadingsDeclined,
    Reported,
)
from ingest_gateway.limits import (
    CLOSE_SILENT_AFTER_S,
    HEARTBEAT_SLACK_S,
    HEARTBEATS_PER_PERMIT,
    HELLO_WITHIN_S,
    LOST_WITHIN_S,
    MAX_READINGS_PER_BATCH,
    SILENT_AFTER_S,
    THROTTLE_S,
    TICK_S,
)
from ingest_gateway.record import VehicleRecord
from ingest_gateway.session import Session, State
from pitwall import wire
from pitwall.domain.permit import MAX_TTL_S, MIN_TTL_S
from tests.unit.ingest_gateway.builders import (
    EPOCH,
    TERMS,
    VEHICLE,
    at,
    batch,
    delta,
    frames_down,
    hello,
    leave,
    new_session,
    numbered,
    open_session,
    reading,
    release,
    status,
    stop,
)

_E = TypeVar("_E")


def only(effects: list[Effect], kind: type[_E]) -> _E:
    (found,) = [effect for effect in effects if isinstance(effect, kind)]
    return found


def stop_report(stage: int = StopStage.STOP_STAGE_RECEIVED) -> pb.ConnectRequest:
    frame = pb.ConnectRequest()
    frame.stop_report.progress.add(stop_id="s-1", stage=stage)
    return frame


def order_report() -> pb.ConnectRequest:
    frame = pb.ConnectRequest()
    frame.order_report.request_id = "o-1"
    frame.order_report.outcome.result = OrderResult.ORDER_RESULT_EXECUTED
    return frame


def lost_range(first: int, last: int, epoch: int = EPOCH) -> pb.ConnectRequest:
    frame = pb.ConnectRequest()
    frame.lost_range.boot_epoch, frame.lost_range.reason = epoch, "OUTBOX_FULL"
    frame.lost_range.range.first_sequence, frame.lost_range.range.last_sequence = first, last
    return frame


# Opening


def test_hello_opens_and_brings_its_set() -> None:
    session = new_session()
    frame = hello()
    frame.hello.stop_set.CopyFrom(wire.set_to_proto(delta(stop("s-1"))))
    effects = session.feed(frame, at(0))
    assert only(effects, Opened).brought == delta(stop("s-1"))
    change = only(effects, Changed).change
    assert (change.connectivity, change.status) == (
        Connectivity.CONNECTIVITY_CONNECTED,
        VehicleStatus.VEHICLE_STATUS_HAULING,
    )


@pytest.mark.parametrize(
    "frame",
    [numbered([1]), status(), stop_report(), order_report(), lost_range(1, 2), pb.ConnectRequest(heartbeat_number=1)],
    ids=["readings", "status", "stop report", "order report", "lost range", "heartbeat"],
)
def test_nothing_is_taken_before_hello(frame: pb.ConnectRequest) -> None:
    session = new_session()
    close = only(session.feed(frame, at(0)), Close)
    assert (close.code, close.reason) == (Code.INVALID_ARGUMENT, "HELLO_MISSING")
    assert session.state is State.CLOSED


def test_hello_comes_once() -> None:
    close = only(open_session().feed(hello(), at(0)), Close)
    assert (close.code, close.reason) == (Code.INVALID_ARGUMENT, "HELLO_TWICE")


def test_no_hello_in_time_ends_the_stream() -> None:
    session = new_session()
    assert session.tick(at(HELLO_WITHIN_S - TICK_S)) == []
    assert only(session.tick(at(HELLO_WITHIN_S)), Close).code is Code.DEADLINE_EXCEEDED


def test_welcome_says_the_terms() -> None:
    (frame,) = frames_down(open_session())
    welcome = frame.welcome
    assert (welcome.gateway, welcome.protocol_version) == (TERMS.gateway, 1)
    assert wire.to_seconds(welcome.permit_ttl) == TERMS.permit_ttl_s
    assert welcome.max_unacked_readings == TERMS.max_unacked_readings
    assert welcome.max_readings_per_batch == MAX_READINGS_PER_BATCH


# Readings


def test_readings_are_taken_and_acknowledged_when_they_have_arrived() -> None:
    session = open_session()
    frames_down(session)
    intake = only(session.feed(numbered([1, 2, 3]), at(1)), Readings).intake
    assert [sequence for sequence, _ in intake.taken] == [1, 2, 3]
    assert frames_down(session) == []
    session.record.acks.arrived(EPOCH, [1, 2, 3])
    (frame,) = frames_down(session)
    assert frame.reading_ack.boot_epoch == EPOCH
    assert [(r.first_sequence, r.last_sequence) for r in frame.reading_ack.ranges] == [(1, 3)]


def test_a_bad_reading_is_refused_by_name_and_ends_nothing() -> None:
    session = open_session()
    frames_down(session)
    intake = only(session.feed(batch(reading(1), reading(2, payload_tons=-1.0)), at(1)), Readings).intake
    assert len(intake.taken) == len(intake.refused) == 1
    session.record.acks.arrived(EPOCH, [1, 2])
    (frame,) = frames_down(session)
    (rejection,) = frame.reading_ack.rejections
    assert (rejection.sequence, rejection.field, rejection.reason) == (2, "payload_tons", "OUT_OF_RANGE")
    assert "-1 t" in rejection.message


def test_a_new_session_goes_on_where_the_old_one_was() -> None:
    record = VehicleRecord(VEHICLE)
    open_session(record).feed(numbered([1, 2]), at(0))
    session = open_session(record, connect_count=2)
    frames_down(session)
    intake = only(session.feed(numbered([1, 2, 3]), at(1)), Readings).intake
    assert [sequence for sequence, _ in intake.taken] == [3]
    record.acks.arrived(EPOCH, [1, 2, 3])
    (frame,) = frames_down(session)
    assert [(r.first_sequence, r.last_sequence) for r in frame.reading_ack.ranges] == [(1, 3)]


def test_readings_of_an_older_epoch_are_taken_under_theirs() -> None:
    old = batch(reading(9, boot_epoch=EPOCH - 1), boot_epoch=EPOCH - 1)
    intake = only(open_session().feed(old, at(1)), Readings).intake
    assert (intake.boot_epoch, len(intake.taken)) == (EPOCH - 1, 1)


@pytest.mark.parametrize("epoch", [0, EPOCH + 1])
def test_a_batch_of_no_epoch_of_this_vehicle_is_illegal(epoch: int) -> None:
    close = only(open_session().feed(batch(boot_epoch=epoch), at(1)), Close)
    assert close.reason == "OUT_OF_RANGE"
    assert str(epoch) in close.message


def test_a_batch_has_a_limit() -> None:
    session = open_session()
    assert only(session.feed(numbered(range(1, MAX_READINGS_PER_BATCH + 1)), at(1)), Readings)
    close = only(session.feed(numbered(range(200, 201 + MAX_READINGS_PER_BATCH)), at(1)), Close)
    assert (close.code, close.reason) == (Code.INVALID_ARGUMENT, "TOO_MANY")


def test_too_much_on_its_way_is_declined_and_heartbeats_go_on() -> None:
    session = open_session()
    frames_down(session)
    most = TERMS.max_unacked_readings
    for first in range(1, most + 1, MAX_READINGS_PER_BATCH):
        session.feed(numbered(range(first, first + MAX_READINGS_PER_BATCH)), at(1))
    assert only(session.feed(numbered([most + 1]), at(1)), ReadingsDeclined).count == 1
    session.feed(pb.ConnectRequest(heartbeat_number=4), at(1))
    throttle, *_ = frames_down(session)
    assert throttle.throttle.reason == "UNACKED_READINGS"
    assert throttle.permit.heartbeat_number == 4
    session.record.acks.arrived(EPOCH, range(1, most + 1))
    assert only(session.feed(numbered([most + 1]), at(1 + THROTTLE_S)), Readings).intake.taken


def test_after_a_reconnect_a_vehicle_has_its_share_and_no_more() -> None:
    session, most = open_session(), TERMS.max_unacked_readings
    batches = [range(first, first + MAX_READINGS_PER_BATCH) for first in range(1, most + 1, MAX_READINGS_PER_BATCH)]
    for sequences in batches:
        session.feed(numbered(sequences), at(1))
    again = open_session(session.record, connect_count=2)
    for sequences in batches:
        assert only(again.feed(numbered(sequences), at(2)), Readings).intake.repeated == len(sequences)
    assert only(again.feed(numbered([most, most + 1]), at(2)), ReadingsDeclined)
    assert session.record.acks.in_flight == most


@pytest.mark.parametrize("speed_kph", [31.5, -1.0])
def test_what_is_due_to_a_vehicle_that_does_not_read_is_bounded_and_no_ack_is_lost(speed_kph: float) -> None:
    session, most, taken = open_session(), TERMS.max_unacked_readings, set[int]()
    acks = session.record.acks

    def offer(first: int, now_s: float) -> None:
        """Every other reading; Kafka has them at once."""
        made = [reading(n, now_s, speed_kph=speed_kph) for n in range(first, first + 2 * MAX_READINGS_PER_BATCH, 2)]
        for effect in session.feed(batch(*made), at(now_s)):
            if isinstance(effect, Readings):
                arrived = [n for n, _ in effect.intake.taken] + [letter.sequence for letter in effect.intake.refused]
                acks.arrived(EPOCH, arrived)
                taken.update(arrived)

    for number in range(20):
        offer(1 + 2 * MAX_READINGS_PER_BATCH * number, 1 + THROTTLE_S * number)
        assert acks.unsent <= most + MAX_READINGS_PER_BATCH
    told = set[int]()
    for number in range(20, 25):
        for ack in (frame.reading_ack for frame in frames_down(session, 1 + THROTTLE_S * number)):
            told.update(n for r in ack.ranges for n in range(r.first_sequence, r.last_sequence + 1))
        offer(1 + 2 * MAX_READINGS_PER_BATCH * number, 1 + THROTTLE_S * number)
    told.update(n for frame in frames_down(session, 99) for r in frame.reading_ack.ranges for n in [r.first_sequence])
    assert len(told) > 2 * most
    assert told == taken


def test_whoever_goes_on_sending_after_throttle_is_closed() -> None:
    session = open_session()
    most = TERMS.max_unacked_readings
    effects: list[Effect] = []
    for first in range(1, 2 * most + 2, MAX_READINGS_PER_BATCH):
        effects = session.feed(numbered(range(first, first + MAX_READINGS_PER_BATCH)), at(1))
        assert session.is_open is (first < 2 * most)
    assert only(effects, Close).reason == "THROTTLE_IGNORED"


# Heartbeats


def test_a_heartbeat_is_answered_in_the_envelope_of_whatever_goes() -> None:
    session = open_session(heartbeat=3)
    (frame,) = frames_down(session)
    assert frame.HasField("welcome")
    assert frame.permit.heartbeat_number == 3


def test_a_vehicle_that_was_released_is_answered_anew_at_once() -> None:
    session = open_session(heartbeat=3)
    session.feed(status(latched=["s-1"]), at(1))
    frames_down(session)
    assert frames_down(session) == []
    session.feed(status(), at(1))
    (frame,) = frames_down(session)
    assert frame.permit.heartbeat_number == 3
    session.feed(status(), at(1))
    assert frames_down(session) == []


def test_heartbeats_never_go_back() -> None:
    session = open_session(heartbeat=9)
    session.feed(pb.ConnectRequest(heartbeat_number=4), at(1))
    session.feed(pb.ConnectRequest(), at(1))
    assert session.heartbeat_number == 9


# Reports


def test_what_it_says_of_stops_is_passed_on_and_kept() -> None:
    session = open_session()
    assert only(session.feed(stop_report(), at(1)), Reported).progress[0].stop_id == "s-1"
    assert [one.stop_id for one in session.progress.all()] == ["s-1"]


@pytest.mark.parametrize("stage", [StopStage.STOP_STAGE_ISSUED, StopStage.STOP_STAGE_SENT, 0])
def test_a_stage_that_is_not_its_own_is_illegal(stage: int) -> None:
    assert only(open_session().feed(stop_report(stage), at(1)), Close).reason == "NOT_ALLOWED"


def test_its_own_stops_are_merged_before_its_progress_is_passed_on() -> None:
    frame = stop_report()
    own = stop("own-1", vehicle_id=VEHICLE)
    frame.stop_report.own.CopyFrom(wire.set_to_proto(delta(own, release("r-1", "elsewhere"))))
    session = open_session()
    effects = session.feed(frame, at(1))
    assert [type(effect) for effect in effects] == [Brought, Reported]
    assert only(effects, Brought).delta == delta(own)
    assert session.ignored_releases == 1


def test_a_status_is_passed_on_and_published_when_it_changed() -> None:
    session = open_session()
    same = session.feed(status(latched=["s-1"]), at(1))
    assert [type(effect) for effect in same] == [Reported]
    assert session.says_latched
    held = status(VehicleStatus.VEHICLE_STATUS_EMERGENCY_STOP, MotionHold.MOTION_HOLD_STOPPED, cause="stop s-1")
    change = only(session.feed(held, at(2)), Changed).change
    assert (change.status, change.motion_hold, change.cause) == (
        VehicleStatus.VEHICLE_STATUS_EMERGENCY_STOP,
        MotionHold.MOTION_HOLD_STOPPED,
        "stop s-1",
    )
    assert change.connectivity == Connectivity.CONNECTIVITY_CONNECTED
    assert not session.says_latched


def test_a_status_that_goes_with_stages_is_one_report_with_them() -> None:
    session, frame = open_session(), stop_report()
    held = status(VehicleStatus.VEHICLE_STATUS_EMERGENCY_STOP, MotionHold.MOTION_HOLD_STOPPED, latched=["s-1"])
    frame.stop_report.status.CopyFrom(held.status_report)
    effects = session.feed(frame, at(1))
    assert [type(effect) for effect in effects] == [Reported, Changed]
    reported = only(effects, Reported)
    assert (reported.progress[0].stop_id, reported.status) == ("s-1", held.status_report)
    assert session.says_latched


def test_a_status_within_a_stop_report_is_checked_like_any() -> None:
    frame = stop_report()
    frame.stop_report.status.status = 99  # type: ignore[assignment]
    close = only(open_session().feed(frame, at(1)), Close)
    assert (close.reason, list(close.fields)) == ("NOT_ALLOWED", ["stop_report.status.status"])


def test_a_change_is_dated_by_the_gateways_clock() -> None:
    session = new_session()
    frame = hello()
    frame.hello.clock.wall_time.FromNanoseconds(at(0).wall_ns + 3600 * 10**9)
    session.feed(frame, at(0))
    report = status(VehicleStatus.VEHICLE_STATUS_IDLE)
    report.status_report.event_time.FromNanoseconds(at(4).wall_ns + 3600 * 10**9)
    change = only(session.feed(report, at(5)), Changed).change
    assert change.event_time.ToNanoseconds() == at(4).wall_ns
    assert change.received_time.ToNanoseconds() == at(5).wall_ns


def test_an_outcome_is_passed_on() -> None:
    assert only(open_session().feed(order_report(), at(1)), OrderReported).request_id == "o-1"


def test_a_declared_loss_is_passed_on_with_its_bytes() -> None:
    frame = lost_range(5, 9)
    lost = only(open_session().feed(frame, at(1)), Lost)
    assert (lost.boot_epoch, lost.first, lost.last, lost.reason) == (EPOCH, 5, 9, "OUTBOX_FULL")
    assert lost.record == frame.lost_range.SerializeToString()


def test_whatever_a_vehicle_says_with_a_loss_its_record_is_small_enough_for_kafka() -> None:
    """One that Kafka refuses would be said again every second, and readings would wait for that each time."""
    frame = lost_range(5, 9)
    frame.lost_range.reason = "X" * 2_000_000
    frame.lost_range.MergeFromString(pb.LostRange.FromString(b"\xa2\x06\x90\x4e" + b"y" * 10_000).SerializeToString())
    lost = only(open_session().feed(frame, at(1)), Lost)
    assert len(lost.record) < 200
    kept = pb.LostRange.FromString(lost.record)
    assert (kept.boot_epoch, kept.range, kept.reason) == (EPOCH, frame.lost_range.range, "X" * 64)


def test_a_loss_that_is_not_taken_is_asked_for_again_and_ends_no_stream() -> None:
    session = new_session(has_room=False)
    session.feed(hello(), at(0))
    session.welcome()
    frames_down(session)
    for _ in range(2):
        effects = session.feed(lost_range(5, 9), at(1))
        assert only(effects, LossDeclined)
        assert not any(isinstance(effect, Lost | Close) for effect in effects)
    (frame,) = frames_down(session)
    assert frame.throttle.reason == "KAFKA_BACKLOG"


def test_a_loss_that_is_declared_again_is_no_second_record() -> None:
    session = open_session()
    frames_down(session)
    acks = session.record.acks
    acks.lose(EPOCH, 5, 9)
    assert session.feed(lost_range(5, 9), at(1)) == []
    acks.declared_lost(EPOCH, 5, 9)
    assert [frame.reading_ack.ranges[0].last_sequence for frame in frames_down(session)] == [9]
    assert session.feed(lost_range(5, 9), at(1)) == []
    (frame,) = frames_down(session)
    assert [(r.first_sequence, r.last_sequence) for r in frame.reading_ack.ranges] == [(5, 9)]


@pytest.mark.parametrize(("first", "last", "epoch"), [(0, 3, EPOCH), (4, 3, EPOCH), (1, 3, EPOCH + 1), (1, 3, 0)])
def test_a_range_that_is_none_is_illegal(first: int, last: int, epoch: int) -> None:
    assert only(open_session().feed(lost_range(first, last, epoch), at(1)), Close).reason == "OUT_OF_RANGE"


# Silence and the end


def test_silence_is_lost_within_the_budget_and_one_word_brings_it_back() -> None:
    session = open_session()
    now_s = 0.0
    while session.connected:
        now_s += TICK_S
        effects = session.tick(at(now_s))
    assert SILENT_AFTER_S <= now_s < LOST_WITHIN_S
    change = only(effects, Changed).change
    assert change.connectivity == Connectivity.CONNECTIVITY_LOST
    assert change.event_time.ToNanoseconds() == at(0).wall_ns
    back = only(session.feed(pb.ConnectRequest(heartbeat_number=1), at(now_s + 1)), Changed).change
    assert back.connectivity == Connectivity.CONNECTIVITY_CONNECTED
    assert back.change_id != change.change_id


@pytest.mark.parametrize("permit_ttl_s", [MIN_TTL_S, 2.0, 5.0, 7.5, MAX_TTL_S])
def test_a_vehicle_that_sends_nothing_but_late_heartbeats_is_not_lost(permit_ttl_s: float) -> None:
    session = new_session(terms=replace(TERMS, permit_ttl_s=permit_ttl_s))
    session.feed(hello(0), at(0))
    late_s = permit_ttl_s / HEARTBEATS_PER_PERMIT + 0.9 * HEARTBEAT_SLACK_S
    for beat in range(2, 10):
        assert session.tick(at((beat - 1) * late_s)) == []
        assert session.feed(pb.ConnectRequest(heartbeat_number=beat), at((beat - 1) * late_s)) == []
    assert session.connected


def test_a_long_silence_ends_the_stream() -> None:
    close = only(open_session().tick(at(CLOSE_SILENT_AFTER_S)), Close)
    assert (close.code, close.reason) == (Code.DEADLINE_EXCEEDED, "SILENT")


def test_the_end_of_a_stream_is_a_loss_unless_there_is_a_newer_one() -> None:
    ended = Close(Code.OK, "STREAM_ENDED", "")
    effects = open_session().close(ended, at(1))
    assert only(effects, Changed).change.connectivity == Connectivity.CONNECTIVITY_LOST
    assert effects[-1] is ended
    older = open_session()
    older.superseded = True
    assert older.close(ended, at(1)) == [ended]


def test_a_closed_session_says_and_hears_nothing() -> None:
    session = open_session(heartbeat=1)
    session.close(Close(Code.OK, "STREAM_ENDED", ""), at(1))
    assert session.feed(numbered([1]), at(1)) == []
    assert session.tick(at(100)) == []
    assert session.close(Close(Code.OK, "AGAIN", ""), at(2)) == []
    assert session.next_frame(leave(), 1.0) is None


def test_change_ids_are_the_sessions_own() -> None:
    ids = set()
    for count in (1, 2):
        session = new_session()
        effects = session.feed(hello(connect_count=count), at(0))
        effects += session.feed(status(VehicleStatus.VEHICLE_STATUS_IDLE), at(1))
        ids |= {effect.change.change_id for effect in effects if isinstance(effect, Changed)}
    assert len(ids) == 4


def test_hub_facts_are_of_an_opened_session_only() -> None:
    session: Session = new_session()
    assert not session.has_hello
    with pytest.raises(AssertionError):
        _ = session.key
