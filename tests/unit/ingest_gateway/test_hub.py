"""Sessions, the stop set, leases, command services and Kafka together."""

import pytest
from haul.command.v1.order_pb2 import OrderOutcome, OrderResult
from haul.command.v1.stop_pb2 import StopProgress, StopStage
from haul.link.v1 import gateway_link_service_pb2 as link_pb
from haul.link.v1 import vehicle_link_service_pb2 as pb
from haul.telemetry.v1.telemetry_pb2 import Connectivity

from ingest_gateway.effects import Close, Code
from ingest_gateway.limits import (
    ANSWERS_ALL_OF,
    CLOSE_SILENT_AFTER_S,
    GATHER_S,
    HEARTBEATS_PER_PERMIT,
    PULSE_TURNS,
    PULSES_AT_ONCE,
    SILENT_AFTER_S,
    WRITE_STALL_S,
)
from pitwall import wire
from pitwall.domain.permit import PermitDenial
from tests.unit.ingest_gateway.builders import (
    OTHER,
    TERMS,
    VEHICLE,
    delta,
    numbered,
    reading,
    release,
    status,
    stop,
)
from tests.unit.ingest_gateway.site import Site, leased

LOST, CONNECTED = Connectivity.CONNECTIVITY_LOST, Connectivity.CONNECTIVITY_CONNECTED


@pytest.fixture
def site() -> Site:
    return leased()


def bodies(frames: list[pb.ConnectResponse]) -> list[str | None]:
    return [frame.WhichOneof("body") for frame in frames]


def stop_ids(frame: pb.ConnectResponse) -> set[str]:
    return {each.stop_id for each in frame.stop_set.stops}


def progress(frames: list[link_pb.AttachRequest]) -> list[tuple[str, str, int]]:
    return [
        (report.vehicle_id, one.stop_id, one.stage)
        for frame in frames
        for report in frame.reports.reports
        for one in report.progress
    ]


def outcomes(frames: list[link_pb.AttachRequest]) -> list[OrderOutcome]:
    return [report.outcome for frame in frames for report in frame.order_reports.reports]


def permit_of(frames: list[pb.ConnectResponse]) -> pb.Permit:
    (permit,) = [frame.permit for frame in frames if frame.HasField("permit")]
    return permit


# The first frames


def test_the_set_goes_down_first_then_welcome(site: Site) -> None:
    assert bodies(site.vehicle().say_hello().write_all()) == ["stop_set", "welcome"]


def test_what_the_vehicle_brings_is_merged_before_anything_goes_down(site: Site) -> None:
    vehicle = site.vehicle().say_hello(1, stop("brought"), heartbeat=1)
    frames = vehicle.write_all()
    assert stop_ids(frames[0]) == {"brought"}
    assert permit_of(frames).denial == pb.PERMIT_DENIAL_STOPPED


def test_what_a_vehicle_brings_goes_to_everybody_at_once(site: Site) -> None:
    other = site.vehicle(OTHER).say_hello()
    other.write_all()
    site.vehicle().say_hello(1, stop("brought"))
    (frame,) = other.write_all()
    assert stop_ids(frame) == {"brought"}
    (news,) = [frame.stop_set for frame in site.heard() if frame.HasField("stop_set")]
    assert wire.set_from_proto(news) == delta(stop("brought"))


def test_it_gets_the_release_of_what_it_has_latched(site: Site) -> None:
    site.push(1, stop("s"), release("r", "s"))
    first, *_ = site.vehicle().say_hello(1, stop("s")).write_all()
    assert not first.stop_set.stops
    assert [each.release_id for each in first.stop_set.releases] == ["r"]


def test_the_site_hears_of_the_session(site: Site) -> None:
    site.vehicle().say_hello(heartbeat=7)
    (opened,) = [frame.session_opened for frame in site.heard() if frame.HasField("session_opened")]
    assert (opened.vehicle_id, opened.connect_count, opened.heartbeat_number) == (VEHICLE, 1, 7)
    assert opened.lowest_deceleration_mps2 == 1.5


# A stop


def test_a_stop_goes_ahead_of_everything_and_permits_end_in_the_same_step(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    site.order()
    vehicle.beat(1)
    site.push(1, stop("now"))
    frames = vehicle.write_all()
    assert bodies(frames) == ["stop_set", "order"]
    assert stop_ids(frames[0]) == {"now"}
    assert not frames[0].HasField("permit")
    assert permit_of(frames).denial == pb.PERMIT_DENIAL_STOPPED


def test_the_command_service_is_answered_and_hears_sent_when_it_is_written(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    site.heard()
    site.push(1, stop("now"))
    (merged,) = [frame for frame in site.heard() if frame.HasField("stop_set_merged")]
    assert merged.stop_set_merged.exchange_id == site._exchanges
    vehicle.write_all()
    assert progress(site.heard()) == [(VEHICLE, "now", StopStage.STOP_STAGE_SENT)]


def test_every_other_command_service_hears_of_it_and_not_the_one_that_said_it() -> None:
    site = Site(members=3)
    for number in (1, 2, 3):
        site.attach(number)
    site.push(2, stop("now"))
    said = [[frame.WhichOneof("body") for frame in site.heard(number)] for number in (1, 2, 3)]
    assert said == [["stop_set"], ["stop_set_merged"], ["stop_set"]]


def test_news_of_a_vehicle_is_told_at_once_and_that_of_a_command_service_a_moment_later() -> None:
    site, woken = Site(members=3), list[str]()
    for number in (1, 2, 3):
        site.attach(number)
        site.end(number).wake = lambda number=number: woken.append(f"{number} now")  # type: ignore[misc]
        site.end(number).wake_later = lambda number=number: woken.append(f"{number} later")  # type: ignore[misc]
    site.hub.merge(delta(stop("told")), site.end(1))
    assert woken == ["2 later", "3 later"]
    woken.clear()
    site.hub.merge(delta(stop("brought")), None)
    assert woken == ["1 now", "2 now", "3 now"]


def test_a_withdrawal_that_waited_for_its_stop_goes_also_to_whoever_has_brought_the_stop(site: Site) -> None:
    withdrawal = release("w", "own", vehicles=[VEHICLE], vehicle_id=VEHICLE)
    site.vehicle().say_hello(1, withdrawal)
    site.heard()
    site.push(1, stop("own", vehicle_id=VEHICLE))
    (news,) = [frame.stop_set for frame in site.heard() if frame.HasField("stop_set")]
    assert wire.set_from_proto(news) == delta(withdrawal)


def test_a_known_stop_is_not_pushed_again(site: Site) -> None:
    site.push(1, stop("now"))
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    site.push(1, stop("now"))
    assert vehicle.write_all() == []


def test_a_release_is_passed_on_and_the_vehicles_own_word_decides(site: Site) -> None:
    site.push(1, stop("s"))
    vehicle = site.vehicle().say_hello()
    vehicle.say(status(latched=["s"]))
    vehicle.write_all()
    site.push(1, release("r", "s"))
    (frame,) = vehicle.beat(1).write_all()[:1]
    assert [each.release_id for each in frame.stop_set.releases] == ["r"]
    assert site.hub.may_move(vehicle.session, site.now_s)[1] is PermitDenial.STOPPED
    vehicle.say(status())
    assert site.hub.may_move(vehicle.session, site.now_s)[1] is PermitDenial.NONE


# Leases


def test_no_lease_no_leave() -> None:
    site = Site()
    vehicle = site.vehicle().say_hello(heartbeat=1)
    assert permit_of(vehicle.write_all()).denial == pb.PERMIT_DENIAL_NO_MAJORITY


def test_a_permit_is_as_long_as_what_is_left_when_it_is_written(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    vehicle.beat(1)
    site.now_s += 1.5
    permit = permit_of(vehicle.write_all())
    assert wire.to_seconds(permit.ttl) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("others", "answered"), [(ANSWERS_ALL_OF - 1, [1, 2, 3, 4, 5, 6]), (ANSWERS_ALL_OF, [1, 3, 5])]
)
def test_of_many_vehicles_every_other_heartbeat_is_answered(site: Site, others: int, answered: list[int]) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    for number in range(others):
        site.vehicle(f"TRUCK-{number:03d}")
    heard = []
    for number in range(1, 7):
        vehicle.beat(number)
        heard += [frame.permit.heartbeat_number for frame in vehicle.write_all()]
        site.now_s += TERMS.permit_ttl_s / HEARTBEATS_PER_PERMIT
        site.lease()
    assert heard == answered


def test_a_lost_command_service_lapses_by_time(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    site.from_site.detach(site.end(), "gone")
    site.now_s += 1.9
    assert site.hub.may_move(vehicle.session, site.now_s)[1] is PermitDenial.NONE
    site.now_s += 0.2
    assert site.hub.may_move(vehicle.session, site.now_s)[1] is PermitDenial.NO_MAJORITY


def test_a_process_that_slept_looks_at_the_clock_before_it_permits(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    vehicle.beat(1)
    site.now_s += 60
    assert permit_of(vehicle.write_all()).denial == pb.PERMIT_DENIAL_NO_MAJORITY
    assert site.leave.sleeps == 1


# Sessions


def test_a_newer_stream_takes_over_and_the_older_one_ends(site: Site) -> None:
    older = site.vehicle().say_hello(1)
    newer = site.vehicle().say_hello(2)
    assert older.closed is not None
    assert (older.closed.code, older.closed.reason) == (Code.ABORTED, "NEWER_SESSION")
    assert newer.closed is None
    changes = [(each.connect_count, each.connectivity) for each in site.sink.changes]
    assert (1, LOST) not in changes


def test_an_older_stream_that_comes_late_is_turned_away(site: Site) -> None:
    newer, late = site.vehicle().say_hello(2), site.vehicle().say_hello(1)
    assert late.closed is not None
    assert late.closed.reason == "NEWER_SESSION"
    assert late.write_all() == []
    assert newer.closed is None
    assert [frame.session_closed for frame in site.heard() if frame.HasField("session_closed")] == []


def test_word_of_a_newer_session_elsewhere_ends_this_one(site: Site) -> None:
    vehicle = site.vehicle().say_hello(3)
    close = link_pb.CloseSession(vehicle_id=VEHICLE, boot_epoch=vehicle.session.key.boot_epoch, connect_count=3)
    site.say(1, link_pb.AttachResponse(close_session=close))
    assert vehicle.closed is not None
    assert vehicle.closed.code is Code.ABORTED


def test_the_end_of_a_stream_is_told_and_published(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    site.heard()
    site.hub.status_settled(VEHICLE, delivered=True)
    site.hub.close(vehicle.session, Close(Code.OK, "STREAM_ENDED", ""))
    (closed,) = [frame.session_closed for frame in site.heard() if frame.HasField("session_closed")]
    assert (closed.vehicle_id, closed.reason) == (VEHICLE, "STREAM_ENDED")
    assert site.sink.changes[-1].connectivity == LOST
    assert site.hub.stream_count == 0


def test_a_stream_without_hello_leaves_no_trace(site: Site) -> None:
    vehicle = site.vehicle()
    site.hub.close(vehicle.session, Close(Code.OK, "STREAM_ENDED", ""))
    assert site.heard() == []
    assert site.sink.changes == []


def test_silence_is_found_by_the_tick(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    site.hub.status_settled(VEHICLE, delivered=True)
    site.now_s += SILENT_AFTER_S
    site.hub.tick()
    assert site.sink.changes[-1].connectivity == LOST
    site.now_s += CLOSE_SILENT_AFTER_S - SILENT_AFTER_S
    site.hub.tick()
    assert vehicle.closed is not None
    assert vehicle.closed.reason == "SILENT"


def test_a_vehicle_that_does_not_read_is_dropped(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.writing_since_s = site.now_s
    for step in range(10):
        site.now_s += WRITE_STALL_S / 10
        vehicle.beat(step)
        site.hub.tick()
        assert (vehicle.closed is not None) == (step == 9)
    assert vehicle.closed is not None
    assert vehicle.closed.reason == "WRITE_STALLED"


def test_draining_asks_every_vehicle_to_move(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    site.hub.drain(2.0)
    (frame,) = vehicle.write_all()
    assert wire.to_seconds(frame.drain.delay) == 2.0


# Reports


def test_the_vehicles_words_go_to_every_command_service() -> None:
    site = Site(members=3)
    for number in (1, 2, 3):
        site.attach(number)
    vehicle = site.vehicle().say_hello()
    frame = pb.ConnectRequest()
    frame.stop_report.progress.add(stop_id="s", stage=StopStage.STOP_STAGE_RECEIVED)
    vehicle.say(frame)
    for number in (1, 2, 3):
        assert progress(site.heard(number)) == [(VEHICLE, "s", StopStage.STOP_STAGE_RECEIVED)]


@pytest.mark.parametrize(
    ("stage", "durably", "soon"),
    [
        ("SENT", False, []),
        ("RECEIVED", False, [1]),
        ("RECEIVED", True, []),
        ("BRAKING", False, [1]),
        ("STANDSTILL", True, [1]),
        ("RELEASED", False, [1]),
    ],
)
def test_a_word_goes_at_once_to_where_somebody_waits_for_it(stage: str, durably: bool, soon: list[int]) -> None:
    site = Site(members=3)
    for number in (1, 2, 3):
        site.attach(number)
    vehicle = site.vehicle().say_hello()
    site.push(1, stop("s"))
    site.push(2, stop("s"))
    for number in (1, 2, 3):
        site.heard(number)
    site.now_s += 5
    word = StopProgress(stop_id="s", stage=StopStage.Value(f"STOP_STAGE_{stage}"), latched_durably=durably)
    site.links.report(vehicle.session, [word], now_s=site.now_s)
    lanes = {number: site.end(number).lanes for number in (1, 2, 3)}
    assert [number for number in lanes if lanes[number].next(site.now_s)] == soon
    assert [number for number in lanes if lanes[number].next(site.now_s + GATHER_S)] == [
        number for number in lanes if number not in soon
    ]


def test_of_a_stop_that_nobody_is_known_to_wait_for_everybody_hears_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest_gateway.links.MAX_ASKED", 1)
    site = Site(members=3)
    for number in (1, 2, 3):
        site.attach(number)
    vehicle = site.vehicle().say_hello()
    site.push(1, stop("forgotten"), stop("remembered"))
    for number in (1, 2, 3):
        site.heard(number)
    site.now_s += 5
    word = StopProgress(stop_id="forgotten", stage=StopStage.STOP_STAGE_RECEIVED)
    site.links.report(vehicle.session, [word], now_s=site.now_s)
    assert all(site.end(number).lanes.next(site.now_s) for number in (1, 2, 3))


def test_a_command_service_that_comes_back_hears_it_all_again(site: Site) -> None:
    vehicle = site.vehicle().say_hello(1, stop("s"))
    vehicle.write_all()
    frame = pb.ConnectRequest()
    frame.stop_report.progress.add(stop_id="s", stage=StopStage.STOP_STAGE_STANDSTILL)
    vehicle.say(frame).say(status(latched=["s"]))
    site.from_site.detach(site.end(), "gone")
    frames = site.attach()
    said = frames[0].hello
    assert [each.stop_id for each in said.stop_set.stops] == ["s"]
    assert [(each.vehicle_id, list(each.status.latched_stop_ids)) for each in said.sessions] == [(VEHICLE, ["s"])]
    assert {stage for _, _, stage in progress(frames)} == {
        StopStage.STOP_STAGE_SENT,
        StopStage.STOP_STAGE_STANDSTILL,
    }


def test_pulses_are_of_vehicles_that_speak(site: Site) -> None:
    site.vehicle().say_hello(heartbeat=4).say(numbered([1], site.now_s - 0.5))
    quiet = site.vehicle(OTHER).say_hello()
    site.heard()
    site.hub.pulse()
    (frame,) = site.heard()
    assert {each.vehicle_id for each in frame.pulses.pulses} == {VEHICLE, OTHER}
    (pulse,) = [each for each in frame.pulses.pulses if each.vehicle_id == VEHICLE]
    assert (pulse.heartbeat_number, pulse.speed_kph) == (4, 31.5)
    assert wire.to_seconds(pulse.age) == pytest.approx(0.5)
    assert not pulse.HasField("location")
    site.now_s += SILENT_AFTER_S
    site.hub.tick()
    assert not quiet.session.connected
    site.hub.pulse()
    assert site.heard() == []


# Orders


def test_an_order_goes_down_and_its_outcome_up(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    site.order()
    (frame,) = vehicle.write_all()
    assert frame.order.order.request_id == "o-1"
    answer = pb.ConnectRequest()
    answer.order_report.request_id = "o-1"
    answer.order_report.outcome.result = OrderResult.ORDER_RESULT_EXECUTED
    vehicle.say(answer)
    (outcome,) = outcomes(site.heard())
    assert (outcome.vehicle_id, outcome.result) == (VEHICLE, OrderResult.ORDER_RESULT_EXECUTED)


def test_an_order_for_a_vehicle_that_is_away_is_answered_at_once(site: Site) -> None:
    site.order()
    (outcome,) = outcomes(site.heard())
    assert (outcome.result, outcome.reason) == (OrderResult.ORDER_RESULT_UNAVAILABLE, "NO_LINK")
    assert not outcome.may_have_happened


def test_or_silent(site: Site) -> None:
    site.vehicle().say_hello()
    site.now_s += SILENT_AFTER_S
    site.hub.tick()
    site.order()
    assert outcomes(site.heard())[0].reason == "NO_LINK"


def test_an_order_for_an_earlier_session_is_answered_at_once(site: Site) -> None:
    vehicle = site.vehicle().say_hello(2)
    vehicle.write_all()
    site.order(connect_count=1)
    assert outcomes(site.heard())[0].reason == "RECONNECTED"
    assert vehicle.write_all() == []


@pytest.mark.parametrize(
    ("written", "result"),
    [(False, OrderResult.ORDER_RESULT_UNAVAILABLE), (True, OrderResult.ORDER_RESULT_UNKNOWN)],
)
def test_a_link_that_breaks_says_what_may_have_happened(site: Site, written: bool, result: int) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    site.order()
    if written:
        vehicle.write_all()
    site.hub.close(vehicle.session, Close(Code.OK, "STREAM_ENDED", ""))
    (outcome,) = outcomes(site.heard())
    assert (outcome.result, outcome.may_have_happened) == (result, written)


def test_an_outcome_waits_for_a_command_service_that_is_away(site: Site) -> None:
    site.vehicle().say_hello()
    site.from_site.detach(site.end(), "gone")
    answer = pb.ConnectRequest()
    answer.order_report.request_id = "o-1"
    answer.order_report.outcome.result = OrderResult.ORDER_RESULT_EXECUTED
    site.hub.feed(site.hub.registry.get(VEHICLE), answer)  # type: ignore[arg-type]
    assert len(outcomes(site.attach())) == 1


# Kafka


def test_readings_go_to_kafka_and_acks_wake_the_writer(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    vehicle.say(numbered([1, 2]))
    (intake,) = site.sink.intakes
    assert [sequence for sequence, _ in intake.taken] == [1, 2]
    vehicle.session.record.acks.arrived(intake.boot_epoch, [1, 2])
    before = vehicle.woken
    site.hub.acks_due([VEHICLE, "UNKNOWN-1"])
    assert vehicle.woken == before + 1
    assert bodies(vehicle.write_all()) == ["reading_ack"]


def test_while_kafka_is_away_stops_and_permits_go_on(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    site.sink.room = 0
    vehicle.say(numbered([1], site.now_s)).beat(1)
    site.push(1, stop("now"))
    frames = vehicle.write_all()
    assert bodies(frames) == ["stop_set", "throttle"]
    assert permit_of(frames).denial == pb.PERMIT_DENIAL_STOPPED
    assert site.sink.intakes == []


def test_readings_that_kafka_will_never_have_are_asked_for_again(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    for _ in range(3):
        site.hub.offer_again(VEHICLE, "TOPIC_AUTHORIZATION_FAILED")
    (frame,) = vehicle.write_all()
    assert frame.throttle.reason == "TOPIC_AUTHORIZATION_FAILED"
    assert vehicle.closed is None
    site.hub.offer_again(OTHER, "it is not here")


def test_status_changes_wait_for_room(site: Site) -> None:
    site.sink.room = 0
    site.vehicle().say_hello()
    assert site.sink.changes == []
    site.sink.room = 10
    site.hub.tick()
    assert [each.connectivity for each in site.sink.changes] == [CONNECTED]


def test_a_declared_loss_goes_to_the_dead_letters_and_never_ends_a_stream(site: Site) -> None:
    frame = pb.ConnectRequest()
    frame.lost_range.boot_epoch, frame.lost_range.reason = 5, "OUTBOX_FULL"
    frame.lost_range.range.first_sequence, frame.lost_range.range.last_sequence = 3, 9
    vehicle = site.vehicle().say_hello().say(frame)
    assert [(each.first, each.last) for each in site.sink.losses] == [(3, 9)]
    assert vehicle.closed is None
    site.sink.room = 0
    vehicle.say(frame)
    assert vehicle.closed is None


def test_losses_count_when_they_are_in_kafka(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(site.hub._meters, "lost", counted.append)
    frame = pb.ConnectRequest()
    frame.lost_range.boot_epoch = 5
    frame.lost_range.range.first_sequence, frame.lost_range.range.last_sequence = 3, 9
    site.vehicle().say_hello().say(frame)
    assert len(site.sink.losses) == 1
    assert counted == []
    site.hub.readings_lost(7)
    assert counted == [7]


def test_a_frame_that_breaks_the_protocol_ends_that_stream_alone(site: Site) -> None:
    bad, good = site.vehicle().say_hello(), site.vehicle(OTHER).say_hello()
    bad.say(numbered(range(1, 500)))
    assert bad.closed is not None
    assert bad.closed.code is Code.INVALID_ARGUMENT
    assert good.closed is None


def test_a_stop_that_does_not_fit_ends_the_stream_that_brought_it(site: Site) -> None:
    site.push(1, *(stop(f"s-{number}") for number in range(20_000)))
    vehicle = site.vehicle().say_hello(1, stop("one more"))
    assert vehicle.closed is not None
    assert vehicle.closed.reason == "TOO_MANY_STOPS"
    assert site.hub.registry.get(VEHICLE) is None


def test_live_readings_are_not_touched_by_history(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.say(numbered([9], site.now_s))
    history = pb.ConnectRequest()
    history.reading_batch.boot_epoch = vehicle.session.key.boot_epoch
    history.reading_batch.readings.append(reading(3, site.now_s - 50, backfilled=True, speed_kph=1.0))
    vehicle.say(history)
    assert vehicle.session.pulse.message(1, site.now_s).speed_kph == 31.5


def test_a_frame_wakes_the_writer_where_there_is_something_to_write_and_not_otherwise(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    woken = vehicle.woken
    vehicle.beat(5)
    assert vehicle.woken == woken + 1
    vehicle.write_all()
    vehicle.say(numbered([1]))
    assert vehicle.woken == woken + 1
    acks = vehicle.session.record.acks
    acks.arrived(site.sink.intakes[-1].boot_epoch, [1])
    assert acks.next_ack() is not None
    vehicle.say(numbered([1]))  # there already: to be acknowledged again
    assert vehicle.woken == woken + 2


def test_a_permit_waits_for_an_ack_to_ride_on_and_no_longer_than_two_turns(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    woken = vehicle.woken
    vehicle.say(numbered([1])).beat(5)
    site.hub.end_rides()
    assert (vehicle.woken, vehicle.write_all()) == (woken, [])
    site.hub.end_rides()
    assert vehicle.woken == woken + 1
    assert permit_of(vehicle.write_all()).heartbeat_number == 5

    site.now_s += TERMS.permit_ttl_s
    vehicle.beat(6)
    site.hub.end_rides()
    assert vehicle.write_all() == [], "the one before has not used up this one's wait"
    vehicle.session.record.acks.arrived(site.sink.intakes[-1].boot_epoch, [1])
    site.hub.acks_due([vehicle.vehicle_id])
    (frame,) = vehicle.write_all()
    assert (frame.WhichOneof("body"), frame.permit.heartbeat_number) == ("reading_ack", 6)
    woken = vehicle.woken
    site.hub.end_rides()
    site.hub.end_rides()
    assert vehicle.woken == woken


def test_a_permit_that_a_stop_set_has_left_behind_waits_no_longer_than_others(site: Site) -> None:
    site.push(1, stop("s"))
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    vehicle.say(numbered([1]))
    site.push(1, release("r", "s"))
    vehicle.beat(5)
    (frame,) = vehicle.write_all()
    assert frame.WhichOneof("body") == "stop_set"
    woken = vehicle.woken
    site.hub.end_rides()
    site.hub.end_rides()
    assert vehicle.woken == woken + 1
    assert permit_of(vehicle.write_all()).heartbeat_number == 5


def test_a_vehicle_that_is_released_is_told_at_once_whatever_is_on_its_way_to_kafka(site: Site) -> None:
    vehicle = site.vehicle().say_hello().say(status(latched=["now"]))
    vehicle.write_all()
    vehicle.say(numbered([1])).beat(5)
    woken = vehicle.woken
    vehicle.say(status())
    assert vehicle.woken == woken + 1
    assert permit_of(vehicle.write_all()).heartbeat_number == 5


@pytest.mark.parametrize(("vehicles", "frames"), [(PULSES_AT_ONCE, 1), (PULSES_AT_ONCE + 1, PULSE_TURNS)])
def test_pulses_of_few_are_told_together_and_those_of_many_in_turns(site: Site, vehicles: int, frames: int) -> None:
    for number in range(vehicles):
        site.vehicle(f"V-{number:03d}").say_hello().beat(1)
    site.heard()
    for turn in range(PULSE_TURNS):
        site.hub.pulse(turn)
    told = [frame.pulses.pulses for frame in site.heard() if frame.HasField("pulses")]
    assert len(told) == frames
    assert sorted(one.vehicle_id for pulses in told for one in pulses) == [f"V-{n:03d}" for n in range(vehicles)]
    assert max(map(len, told)) <= PULSES_AT_ONCE
