"""A vehicle that sends too much: asked to wait, then not read, in the end cut; nothing is lost, and stops get to it."""

from haul.link.v1 import vehicle_link_service_pb2 as pb

from ingest_gateway.allowance import Rates
from ingest_gateway.effects import Code
from ingest_gateway.limits import BURST_S, GRACE_S
from pitwall.wire import to_seconds
from tests.unit.ingest_gateway.builders import OTHER, batch, numbered, reading, stop
from tests.unit.ingest_gateway.site import Site, Vehicle

PER_S = 10


def welcomed(rates: Rates) -> tuple[Site, Vehicle]:
    site = Site(rates=rates)
    vehicle = site.vehicle().say_hello()
    vehicle.write_all()
    return site, vehicle


def throttles(vehicle: Vehicle) -> list[pb.Throttle]:
    return [frame.throttle for frame in vehicle.write_all() if frame.HasField("throttle")]


def taken(site: Site) -> list[int]:
    return [sequence for intake in site.sink.intakes for sequence, _ in intake.taken]


def flood(vehicle: Vehicle, batches: int) -> list[int]:
    """Batches of so many readings that each is a second's worth."""
    sequences = list(range(1, PER_S * batches + 1))
    for first in sequences[::PER_S]:
        vehicle.say(numbered(range(first, first + PER_S)))
    return sequences


def test_who_is_above_its_rate_is_asked_to_wait_and_its_readings_are_taken() -> None:
    site, vehicle = welcomed(Rates(readings_per_s=PER_S))
    sequences = flood(vehicle, 2)
    (throttle,) = throttles(vehicle)
    assert throttle.reason == "READINGS_PER_SECOND"
    assert to_seconds(throttle.retry_delay) == 2 - BURST_S / 2
    assert taken(site) == sequences
    assert vehicle.held_s == 0


def test_who_goes_on_is_not_read_and_still_nothing_of_it_is_lost() -> None:
    site, vehicle = welcomed(Rates(readings_per_s=PER_S))
    sequences = flood(vehicle, 3)
    assert vehicle.held_s == 3 - BURST_S
    assert len(throttles(vehicle)) == 1
    assert taken(site) == sequences


def test_one_that_is_not_read_is_stopped_all_the_same() -> None:
    site, vehicle = welcomed(Rates(readings_per_s=PER_S))
    site.attach()
    flood(vehicle, 5)
    site.push(1, stop("s-1"))
    assert next(iter(vehicle.write_all())).HasField("stop_set")


def test_one_that_never_waits_is_cut_by_name() -> None:
    site, vehicle = welcomed(Rates(readings_per_s=PER_S))
    flood(vehicle, 20)
    assert vehicle.closed is not None
    assert (vehicle.closed.code, vehicle.closed.reason) == (Code.RESOURCE_EXHAUSTED, "RATE_EXCEEDED")
    assert "READINGS_PER_SECOND" in vehicle.closed.message
    newer = site.vehicle().say_hello(connect_count=2)
    newer.say(batch(reading(1_000)))
    assert newer.closed is not None, "a new stream is no new allowance"


def test_heartbeats_alone_can_be_too_many() -> None:
    _, vehicle = welcomed(Rates(frames_per_s=PER_S))
    for number in range(round(PER_S * (BURST_S + GRACE_S)) + 1):
        vehicle.beat(number)
    assert [throttle.reason for throttle in throttles(vehicle)] == ["FRAMES_PER_SECOND"]
    assert vehicle.held_s > GRACE_S


def test_bytes_are_counted_of_all_frames_but_hello() -> None:
    frame = pb.ConnectRequest()
    frame.stop_report.progress.add(stop_id="x" * 1_000, stage=3)
    _, vehicle = welcomed(Rates(bytes_per_s=100))
    assert vehicle.held_s == 0
    vehicle.say(frame)
    assert [throttle.reason for throttle in throttles(vehicle)] == ["BYTES_PER_SECOND"]
    assert vehicle.held_s == frame.ByteSize() / 100 - BURST_S


def test_other_vehicles_have_an_allowance_of_their_own() -> None:
    site, vehicle = welcomed(Rates(readings_per_s=PER_S))
    flood(vehicle, 5)
    other = site.vehicle(OTHER).say_hello()
    other.write_all()
    other.say(batch(reading(1, vehicle_id=other.vehicle_id)))
    assert throttles(other) == []
