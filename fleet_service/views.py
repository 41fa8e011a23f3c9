"""What callers are shown: messages of haul.fleet.v1 made from what is known."""

from google.protobuf.timestamp_pb2 import Timestamp
from haul.fleet.v1 import vehicle_pb2
from haul.telemetry.v1 import alert_pb2, metrics_pb2, telemetry_pb2

from fleet_service.alerts import Alert
from fleet_service.fleet import Vehicle
from fleet_service.live import Live
from fleet_service.records import FIGURES, WindowFigures
from fleet_service.registry import Entry
from fleet_service.statistics import Statistics
from pitwall import wire


def instant(nanos: int) -> Timestamp:
    return Timestamp(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)


def vehicle(known: Vehicle, now_ns: int) -> vehicle_pb2.Vehicle:
    live = known.live
    status, sub_status, motion_hold = live.state
    message = entry(known.entry)
    message.MergeFrom(
        vehicle_pb2.Vehicle(
            status=status,  # type: ignore[arg-type]  # numbers of the contract
            sub_status=sub_status,  # type: ignore[arg-type]
            motion_hold=motion_hold,  # type: ignore[arg-type]
            connectivity=live.connectivity,  # type: ignore[arg-type]
            connectivity_time=None if live.change is None else instant(live.change.since_ns),
            current_reading=reading(live),
            active_stop_ids=known.active_stop_ids,
            open_alert_count=known.open_alerts,
        )
    )
    for name, age_s in live.ages_s(now_ns).items():
        message.quantity_ages[name].CopyFrom(wire.duration(age_s))
    return message


def entry(known: Entry) -> vehicle_pb2.Vehicle:
    """The registry's part."""
    message = vehicle_pb2.Vehicle(
        vehicle_id=known.vehicle_id,
        model=known.model,
        manufacturer=known.manufacturer,
        rated_payload_tons=known.rated_payload_tons,
        max_payload_tons=known.max_payload_tons,
        max_speed_kph=known.max_speed_kph,
        autonomous_mode=known.autonomous_mode,
        assigned_route=known.assigned_route,
        destination=known.destination,
        etag=known.etag,
        create_time=wire.timestamp(known.create_time),
        update_time=wire.timestamp(known.update_time),
    )
    if known.safety_envelope is not None:
        message.safety_envelope.MergeFromString(known.safety_envelope)
    return message


def reading(live: Live) -> telemetry_pb2.Reading | None:
    """The newest live one, with the last known value of what it doesn't have: quantity_ages tells them apart."""
    sample = live.sample
    if sample is None:
        return None
    return telemetry_pb2.Reading(
        vehicle_id=sample.vehicle_id,
        boot_epoch=sample.boot_epoch,
        sequence=sample.sequence,
        event_time=instant(sample.event_ns),
        received_time=instant(sample.received_ns),
        status=sample.status,  # type: ignore[arg-type]  # numbers of the contract
        sub_status=sample.sub_status,  # type: ignore[arg-type]
        motion_hold=sample.motion_hold,  # type: ignore[arg-type]
        **{name: known.value for name, known in live.values.items()},  # type: ignore[arg-type]
    )


def alert(known: Alert) -> vehicle_pb2.AlertRecord:
    return vehicle_pb2.AlertRecord(
        alert=alert_pb2.Alert(
            alert_id=known.alert_id,
            vehicle_id=known.vehicle_id,
            rule=known.rule,
            severity=known.severity,  # type: ignore[arg-type]  # numbers of the contract
            state=known.state,  # type: ignore[arg-type]
            message=known.message,
            value=known.value,
            threshold=known.threshold,
            boot_epoch=known.boot_epoch,
            sequence=known.sequence,
            raised_time=instant(known.raised_ns),
            event_time=instant(known.event_ns),
            backfilled=known.backfilled,
        ),
        cleared_time=instant(known.event_ns) if known.cleared else None,
        acknowledged_by=known.acknowledged_by,
        acknowledged_time=None if known.acknowledged_time is None else wire.timestamp(known.acknowledged_time),
        acknowledgement_note=known.note,
    )


def window(known: WindowFigures, missing_count: int | None) -> metrics_pb2.VehicleMetrics:
    """With what is missing of it now; None where that is unknown."""
    message = metrics_pb2.VehicleMetrics(
        vehicle_id=known.vehicle_id,
        window_start_time=instant(known.window_start_ns),
        revision=known.revision,
        reading_count=known.reading_count,
        missing_count=missing_count,
        **{name: value for name, value in zip(FIGURES, known.figures, strict=True) if value is not None},  # type: ignore[arg-type]
    )
    message.window_length.FromMilliseconds(known.window_length_ms)
    return message


def statistics(known: Statistics) -> vehicle_pb2.FleetStatistics:
    return vehicle_pb2.FleetStatistics(
        total=known.total,
        active=known.active,
        idle=known.idle,
        connected=known.connected,
        by_status=known.by_status,
        open_alerts=known.open_alerts,
        computed_time=instant(known.computed_ns),
        stale=known.stale,
    )
