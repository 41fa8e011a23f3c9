"""What callers are shown: messages of haul.command.v1 made from what the core knows."""

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp
from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import order_pb2, stop_pb2

from command_service.core import CommandCore
from command_service.entry import StopEntry
from command_service.events import OrderRecorded
from command_service.ledger import Summary
from command_service.orders import OrderEntry
from command_service.progress import Stage, VehicleProgress
from command_service.records import instant, order_to_proto, outcome_to_proto
from command_service.registry import Vehicle
from command_service.releases import ReleaseEntry
from pitwall import wire

# Stops


def is_active(core: CommandCore, entry: StopEntry) -> bool:
    """Whether the stop holds, or could come to hold, some vehicle: also one that is released and has not said so."""
    return core.stops.is_active(entry.stop_id) or not entry.all_released


def summary(known: Summary) -> stop_pb2.StopSummary:
    return stop_pb2.StopSummary(
        in_scope=known.in_scope,
        standstill=known.standstill,
        pending=known.pending,
        unreachable=known.unreachable,
        journaled_by=known.journaled_by,
        command_services=known.command_services,
        confirmed=known.confirmed,
        brakes_by_time=None if known.brakes_by_ns is None else instant(known.brakes_by_ns),
        unknown_vehicle_ids=known.unknown_vehicle_ids,
    )


def stop_state(core: CommandCore, entry: StopEntry, *, with_vehicles: bool) -> stop_pb2.StopState:
    return stop_pb2.StopState(
        stop=wire.stop_to_proto(entry.stop),
        summary=summary(core.ledger.summary(entry.stop_id)),
        active=is_active(core, entry),
        vehicles=vehicle_stops(core, entry, entry.changed()) if with_vehicles else (),
    )


def vehicle_stops(
    core: CommandCore, entry: StopEntry, vehicles: Iterable[VehicleProgress]
) -> list[stop_pb2.VehicleStop]:
    """Sorted by vehicle. The progress within carries no stop_id: it is the stop's that it stands under."""
    brakes_by_ns = core.ledger.summary(entry.stop_id).brakes_by_ns
    issued = None if entry.issued_ns is None else _stage(Stage.ISSUED, entry.issued_ns)
    brakes_by = None if brakes_by_ns is None else instant(brakes_by_ns)
    return [
        stop_pb2.VehicleStop(
            vehicle_id=progress.vehicle_id,
            stage=progress.stage or (issued.stage if issued else stop_pb2.STOP_STAGE_UNSPECIFIED),  # type: ignore[arg-type]
            unreachable=progress.unreachable,
            latched_durably=progress.latched_durably,
            progress=_progress(progress, issued),
            brakes_by_time=brakes_by,
            stands_by_time=_stands_by(progress, brakes_by_ns),
            overdue=progress.overdue,
            unknown_vehicle=not progress.met.known,
        )
        for progress in sorted(vehicles, key=_by_vehicle)
    ]


def _by_vehicle(progress: VehicleProgress) -> str:
    return progress.vehicle_id


def _stands_by(progress: VehicleProgress, brakes_by_ns: int | None) -> Timestamp | None:
    braking_s = progress.braking_s
    if brakes_by_ns is None or braking_s is None:
        return None
    return instant(brakes_by_ns + round(braking_s * 1e9))


def _progress(progress: VehicleProgress, issued: stop_pb2.StopProgress | None) -> list[stop_pb2.StopProgress]:
    reached = [_stage(stage, event_ns) for stage, event_ns in sorted(progress.event_ns.items())]
    for one in reached if progress.latched_durably else ():
        one.latched_durably = one.stage == stop_pb2.STOP_STAGE_RECEIVED
    return reached if issued is None else [issued, *reached]


def _stage(stage: Stage, event_ns: int) -> stop_pb2.StopProgress:
    return stop_pb2.StopProgress(stage=stage, event_time=instant(event_ns))  # type: ignore[arg-type]  # same numbers


# Releases


def release_record(core: CommandCore, entry: ReleaseEntry) -> stop_pb2.ReleaseRecord:
    release = entry.current
    in_force = entry.in_force
    state = stop_pb2.RELEASE_STATE_APPROVED if in_force else stop_pb2.RELEASE_STATE_REQUESTED
    said = core.ledger.says_released(release.stop_ids, release.vehicle_ids) if in_force else ()
    return stop_pb2.ReleaseRecord(release=wire.release_to_proto(release), state=state, released_vehicle_ids=said)


# Vehicles


def motion_state(vehicle: Vehicle, now_s: float) -> order_pb2.MotionState:
    """Of a vehicle without a link: as it was when last heard of."""
    pulse, status = vehicle.pulse, vehicle.status
    return order_pb2.MotionState(
        vehicle_id=vehicle.vehicle_id,
        etag=vehicle.etag.text(),
        status=status.status or 0,  # type: ignore[arg-type]  # the same numbers
        sub_status=int(status.sub_status),  # type: ignore[arg-type]
        motion_hold=status.motion_hold or 0,  # type: ignore[arg-type]
        connectivity=int(vehicle.connectivity),  # type: ignore[arg-type]
        connectivity_time=instant(vehicle.since_ns),
        speed_kph=pulse.speed_kph,
        location=wire.point_to_proto(pulse.position) if pulse.position else None,
        age=None if pulse.at_s is None else wire.duration(max(0.0, now_s - pulse.at_s)),
        latched_stop_ids=status.latched,
        gateway=vehicle.gateway if vehicle.connected else "",
        software_version=vehicle.software_version,
    )


# Orders


def order_record(entry: OrderEntry) -> order_pb2.OrderRecord:
    return order_to_proto(OrderRecorded(entry.order, entry.issued_ns, tuple(entry.outcomes.values())))


def order_answer(entry: OrderEntry) -> command_pb2.SendOrderResponse:
    return command_pb2.SendOrderResponse(
        request_id=entry.order.request_id, outcomes=map(outcome_to_proto, entry.outcomes.values())
    )
