"""Between the messages of haul.link.v1.GatewayLinkService and this service's objects.

A gateway is trusted to say who said what; a value that it passes on and that this version can't read is skipped,
counted by the caller, and harms nothing beside it.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import TypeVar

from haul.command.v1 import stop_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb2
from haul.link.v1 import vehicle_link_service_pb2 as vehicle_pb2

from command_service.core import Progress
from command_service.lanes import CloseFrame, Frame, LeaseFrame, OrderFrame, SetFrame
from command_service.progress import Stage
from command_service.records import instant, nanos
from command_service.registry import Opened, Pulse, Session, Status, Vehicle
from pitwall import wire
from pitwall.domain.geo import Position
from pitwall.domain.stop_set import Release, SetDelta, Stop
from pitwall.domain.vehicle_state import MotionHold, SubStatus, VehicleStatus

_E = TypeVar("_E", bound=IntEnum)


def _known(kind: type[_E], number: int) -> _E | None:
    """None for 0 and for a number of a newer contract."""
    return kind(number) if number in kind._value2member_map_ else None


# Up


def set_from(message: stop_pb2.StopSet) -> tuple[SetDelta, list[wire.InvalidMessage]]:
    """What can be read of a set, and what is wrong with the rest."""
    stops: list[Stop] = []
    releases: list[Release] = []
    wrong: list[wire.InvalidMessage] = []
    for stop in message.stops:
        try:
            stops.append(wire.stop_from_proto(stop))
        except wire.InvalidMessage as error:
            wrong.append(error)
    for release in message.releases:
        try:
            releases.append(wire.release_from_proto(release))
        except wire.InvalidMessage as error:
            wrong.append(error)
    return SetDelta(tuple(stops), tuple(releases)), wrong


def status_from(message: vehicle_pb2.StatusReport) -> Status:
    return Status(
        status=_known(VehicleStatus, message.status),
        sub_status=_known(SubStatus, message.sub_status) or SubStatus.NONE,
        motion_hold=_known(MotionHold, message.motion_hold),
        hold_count=message.hold_count,
        latched=tuple(message.latched_stop_ids),
        event_ns=nanos(message.event_time),
    )


def opened_from(message: link_pb2.SessionOpened) -> Opened:
    """Raises wire.InvalidMessage for a vehicle id that is none."""
    return Opened(
        vehicle_id=wire.checked_vehicle_id(message.vehicle_id),
        session=Session(message.boot_epoch, message.connect_count),
        status=status_from(message.status),
        software_version=message.software_version,
        deceleration_mps2=message.lowest_deceleration_mps2 or None,
        heartbeat_number=message.heartbeat_number,
    )


def words_from(messages: Iterable[stop_pb2.StopProgress]) -> Iterator[Progress]:
    """Stages of a newer contract are left out."""
    for message in messages:
        stage = _known(Stage, message.stage)
        if stage:
            yield Progress(message.stop_id, stage, nanos(message.event_time), message.latched_durably)


def pulse_from(message: link_pb2.VehiclePulse, now_s: float) -> Pulse:
    located = message.HasField("location")
    point = message.location
    return Pulse(
        heartbeat_number=message.heartbeat_number,
        speed_kph=message.speed_kph if message.HasField("speed_kph") else None,
        position=Position(point.latitude_degrees, point.longitude_degrees) if located else None,
        at_s=now_s - wire.to_seconds(message.age) if message.HasField("age") else None,
    )


# Down


def frame_to(frame: Frame, lease: link_pb2.Lease) -> link_pb2.AttachResponse:
    """`lease`: the answer to a beat at this moment, without its number."""
    match frame:
        case SetFrame(delta, exchange_id):
            push = link_pb2.StopSetPush(stop_set=wire.set_to_proto(delta), exchange_id=exchange_id)
            return link_pb2.AttachResponse(stop_set=push)
        case LeaseFrame(beat_number):
            lease.beat_number = beat_number
            return link_pb2.AttachResponse(lease=lease)
        case OrderFrame(order, etags):
            targets = [
                link_pb2.OrderPushTarget(vehicle_id=vehicle_id, etag=wire.etag_to_proto(etag))
                for vehicle_id, etag in etags.items()
            ]
            return link_pb2.AttachResponse(order=link_pb2.OrderPush(order=wire.order_to_proto(order), targets=targets))
        case CloseFrame(vehicle_id, session):
            close = link_pb2.CloseSession(
                vehicle_id=vehicle_id, boot_epoch=session.boot_epoch, connect_count=session.connect_count
            )
            return link_pb2.AttachResponse(close_session=close)


# To disk and back


def vehicle_to(vehicle: Vehicle) -> link_pb2.SessionOpened:
    """The vehicle's newest session with its latest status, as the journal keeps it."""
    status = vehicle.status
    return link_pb2.SessionOpened(
        vehicle_id=vehicle.vehicle_id,
        boot_epoch=vehicle.session.boot_epoch,
        connect_count=vehicle.session.connect_count,
        status=vehicle_pb2.StatusReport(
            status=status.status or 0,  # type: ignore[arg-type]  # the same numbers
            sub_status=int(status.sub_status),  # type: ignore[arg-type]
            motion_hold=status.motion_hold or 0,  # type: ignore[arg-type]
            hold_count=status.hold_count,
            event_time=instant(status.event_ns),
            latched_stop_ids=status.latched,
        ),
        software_version=vehicle.software_version,
        lowest_deceleration_mps2=vehicle.deceleration_mps2 or 0.0,
        heartbeat_number=vehicle.pulse.heartbeat_number,
    )


def vehicle_from(session: bytes, since_ns: int) -> Vehicle:
    """As it was when last heard of, without a link."""
    opened = opened_from(link_pb2.SessionOpened.FromString(session))
    return Vehicle(
        opened.vehicle_id,
        opened.session,
        opened.status,
        opened.software_version,
        opened.deceleration_mps2,
        since_ns,
        pulse=Pulse(opened.heartbeat_number),
    )
