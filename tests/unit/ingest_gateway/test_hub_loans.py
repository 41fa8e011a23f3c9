"""What is lent to vehicles that bring history, from batch to ack."""

import pytest
from haul.link.v1 import vehicle_link_service_pb2 as pb

from ingest_gateway.limits import LEND_FROM, LOAN_IDLE_S
from tests.unit.ingest_gateway.builders import EPOCH, OTHER, TERMS, VEHICLE, batch, numbered, reading
from tests.unit.ingest_gateway.site import LENT, Site, leased


@pytest.fixture
def site() -> Site:
    return leased()


def history(first: int, count: int, vehicle_id: str = VEHICLE) -> pb.ConnectRequest:
    return batch(*(reading(n, vehicle_id=vehicle_id, backfilled=True) for n in range(first, first + count)))


def windows(frames: list[pb.ConnectResponse]) -> list[int]:
    acks = [frame.reading_ack for frame in frames if frame.HasField("reading_ack")]
    return [ack.max_unacked_readings for ack in acks if ack.HasField("max_unacked_readings")]


def test_who_brings_history_is_lent_room_and_told_with_its_ack(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.say(history(1, LEND_FROM))
    vehicle.session.record.acks.arrived(EPOCH, range(1, LEND_FROM + 1))
    assert windows(vehicle.write_all()) == [TERMS.max_unacked_readings + LENT]
    vehicle.say(history(1, LEND_FROM))
    assert [ack.HasField("reading_ack") for ack in vehicle.write_all()] == [True]
    vehicle.say(history(1, LEND_FROM))
    assert windows(vehicle.write_all()) == [], "it is told once"
    for first in range(1, TERMS.max_unacked_readings + LENT, 100):
        vehicle.say(history(LEND_FROM + first, 100))
    assert vehicle.session.record.acks.in_flight == TERMS.max_unacked_readings + LENT
    assert not any(frame.HasField("throttle") for frame in vehicle.write_all())


@pytest.mark.parametrize("frame", [history(1, LEND_FROM - 1), numbered(range(1, 101))])
def test_little_history_and_live_readings_need_no_loan(site: Site, frame: pb.ConnectRequest) -> None:
    vehicle = site.vehicle().say_hello().say(frame)
    vehicle.session.record.acks.arrived(EPOCH, range(1, len(frame.reading_batch.readings) + 1))
    assert windows(vehicle.write_all()) == []
    assert len(site.hub.loans) == 0


def test_where_all_is_lent_a_vehicle_goes_on_with_its_share(site: Site) -> None:
    site.vehicle().say_hello().say(history(1, 100))
    other = site.vehicle(OTHER).say_hello()
    for first in range(1, TERMS.max_unacked_readings, 100):
        other.say(history(first, 100, OTHER))
    assert other.session.record.acks.in_flight == TERMS.max_unacked_readings
    assert not any(frame.HasField("throttle") for frame in other.write_all())


def test_a_loan_ends_with_the_history_and_the_next_one_gets_it(site: Site) -> None:
    vehicle, other = site.vehicle().say_hello(), site.vehicle(OTHER).say_hello()
    vehicle.say(history(1, 100))
    vehicle.session.record.acks.arrived(EPOCH, range(1, 101))
    vehicle.write_all()
    site.now_s += LOAN_IDLE_S
    site.hub.tick()
    other.say(history(1, 100, OTHER))
    other.session.record.acks.arrived(EPOCH, range(1, 101))
    assert windows(other.write_all()) == [TERMS.max_unacked_readings + LENT]
    vehicle.say(numbered([101]))
    vehicle.session.record.acks.arrived(EPOCH, [101])
    assert windows(vehicle.write_all()) == [TERMS.max_unacked_readings]


def test_a_vehicle_that_has_not_heard_yet_that_its_loan_is_over_is_asked_to_wait_and_not_cut(site: Site) -> None:
    vehicle = site.vehicle().say_hello()
    vehicle.say(history(1, 100))
    vehicle.session.record.acks.arrived(EPOCH, range(1, 101))
    told = TERMS.max_unacked_readings + LENT
    assert windows(vehicle.write_all()) == [told]
    site.now_s += LOAN_IDLE_S
    site.hub.tick()
    for first in range(101, 101 + told, 100):
        vehicle.say(numbered(range(first, first + 100)))
    assert [frame.throttle.reason for frame in vehicle.write_all()] == ["UNACKED_READINGS"]
    assert vehicle.session.record.acks.in_flight == TERMS.max_unacked_readings
    assert vehicle.closed is None


def test_a_loan_is_the_vehicle_s_also_on_its_next_stream(site: Site) -> None:
    site.vehicle().say_hello().say(history(1, 100))
    again = site.vehicle().say_hello(2)
    (welcome,) = [frame.welcome for frame in again.write_all() if frame.HasField("welcome")]
    assert welcome.max_unacked_readings == TERMS.max_unacked_readings + LENT
