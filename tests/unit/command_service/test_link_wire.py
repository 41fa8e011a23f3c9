"""Messages of gateways: what can be read is taken, what can't does no harm, unknown stays unknown."""

import pytest
from haul.command.v1 import stop_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from haul.link.v1 import vehicle_link_service_pb2 as vehicle_pb2

from command_service import link_wire
from command_service.core import Progress
from command_service.lanes import CloseFrame, LeaseFrame, OrderFrame, SetFrame
from command_service.progress import Stage
from command_service.registry import Pulse, Session, Status, Vehicle
from pitwall import wire
from pitwall.domain.geo import Position
from pitwall.domain.order import MotionEtag, Order, Resume
from pitwall.domain.stop_set import SetDelta
from pitwall.domain.vehicle_state import MotionHold, SubStatus, VehicleStatus
from tests.unit.command_service.samples import NS, named, release, stop

VEHICLE = Vehicle(
    "TRUCK-1",
    Session(7, 2),
    Status(VehicleStatus.HAULING, SubStatus.CRUISING, MotionHold.NONE, 3, ("s",), NS),
    "1.0",
    2.0,
    NS,
    pulse=Pulse(9),
)


def test_what_cannot_be_read_of_a_set_is_named_and_the_rest_is_taken() -> None:
    good, let_go = stop(scope=named("TRUCK-1")), release(approved_by="boss")
    message = stop_pb2.StopSet(
        stops=[stop_pb2.Stop(stop_id="x"), wire.stop_to_proto(good), stop_pb2.Stop()],
        releases=[stop_pb2.Release(release_id="x"), wire.release_to_proto(let_go)],
    )
    delta, wrong = link_wire.set_from(message)
    assert delta == SetDelta((good,), (let_go,))
    assert [error.field for error in wrong] == ["scope", "stop_id", "stop_ids"]


def test_a_vehicle_survives_the_disk() -> None:
    raw = link_wire.vehicle_to(VEHICLE).SerializeToString()
    assert link_wire.vehicle_from(raw, NS) == VEHICLE


def test_what_is_absent_is_unknown() -> None:
    opened = link_wire.opened_from(link_pb2.SessionOpened(vehicle_id="TRUCK-1"))
    assert opened.status == Status()
    assert opened.deceleration_mps2 is None
    assert link_wire.pulse_from(link_pb2.VehiclePulse(heartbeat_number=3), 100.0) == Pulse(3)


def test_a_pulse_is_as_old_as_it_says() -> None:
    message = link_pb2.VehiclePulse(
        heartbeat_number=3, speed_kph=0.0, location=stop_pb2.GeoPoint(latitude_degrees=1, longitude_degrees=2)
    )
    message.age.FromMilliseconds(250)
    assert link_wire.pulse_from(message, 100.0) == Pulse(3, 0.0, Position(1, 2), 99.75)


def test_a_vehicle_id_that_is_none_is_refused() -> None:
    with pytest.raises(wire.InvalidMessage):
        link_wire.opened_from(link_pb2.SessionOpened(vehicle_id="truck 1"))


def test_stages_and_statuses_of_a_newer_contract_are_left_out() -> None:
    newer = stop_pb2.StopProgress(stop_id="s", stage=99)  # type: ignore[arg-type]
    known = stop_pb2.StopProgress(stop_id="s", stage=stop_pb2.STOP_STAGE_BRAKING, latched_durably=True)
    words = link_wire.words_from([newer, stop_pb2.StopProgress(stop_id="s"), known])
    assert list(words) == [Progress("s", Stage.BRAKING, 0, True)]
    assert link_wire.status_from(vehicle_pb2.StatusReport(status=99)) == Status()  # type: ignore[arg-type]


def test_frames_down_are_those_of_the_contract() -> None:
    delta = SetDelta((stop(),))
    etag = MotionEtag(7, 1, 2, 3)
    pushed = link_wire.frame_to(SetFrame(delta, 4), link_pb2.Lease())
    assert (pushed.stop_set.exchange_id, pushed.stop_set.stop_set) == (4, wire.set_to_proto(delta))
    lease = link_wire.frame_to(LeaseFrame(5), link_pb2.Lease(reason="JOURNAL_UNAVAILABLE"))
    assert (lease.lease.beat_number, lease.lease.reason) == (5, "JOURNAL_UNAVAILABLE")
    order = link_wire.frame_to(OrderFrame(Order("q", Resume()), {"TRUCK-1": etag}), link_pb2.Lease())
    assert order.order.targets[0].etag == wire.etag_to_proto(etag)
    close = link_wire.frame_to(CloseFrame("TRUCK-1", Session(7, 1)), link_pb2.Lease())
    assert (close.close_session.boot_epoch, close.close_session.connect_count) == (7, 1)
