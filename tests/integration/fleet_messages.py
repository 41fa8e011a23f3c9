"""What gateways, stream jobs and command services would write into Kafka."""

import time
from typing import Any

from haul.command.v1 import event_pb2, stop_pb2
from haul.telemetry.v1 import alert_pb2, metrics_pb2, telemetry_pb2

CONNECTED, LOST = telemetry_pb2.CONNECTIVITY_CONNECTED, telemetry_pb2.CONNECTIVITY_LOST
HAULING, IDLE = telemetry_pb2.VEHICLE_STATUS_HAULING, telemetry_pb2.VEHICLE_STATUS_IDLE
LOADING, DUMPING = telemetry_pb2.VEHICLE_STATUS_LOADING, telemetry_pb2.VEHICLE_STATUS_DUMPING
RAISED, CLEARED = alert_pb2.ALERT_STATE_RAISED, alert_pb2.ALERT_STATE_CLEARED
ESCALATED = alert_pb2.ALERT_STATE_ESCALATED
#: Seconds since 1970 at which alerts and windows begin: a whole minute, a day ago. What is months old is deleted.
BEGIN_S = int(time.time()) // 60 * 60 - 86_400


def reading(vehicle_id: str, sequence: int, **fields: Any) -> telemetry_pb2.Reading:
    """Sampled and taken now."""
    chosen: dict[str, Any] = {"boot_epoch": 1, "status": HAULING, "motion_hold": 1} | fields
    message = telemetry_pb2.Reading(vehicle_id=vehicle_id, sequence=sequence, **chosen)
    message.event_time.GetCurrentTime()
    message.received_time.GetCurrentTime()
    return message


def change(vehicle_id: str, number: int, connectivity: int, **fields: Any) -> telemetry_pb2.StatusChange:
    """The change of this number in the vehicle's first session."""
    chosen: dict[str, Any] = {"boot_epoch": 1, "connect_count": 1, "status": HAULING, "motion_hold": 1} | fields
    message = telemetry_pb2.StatusChange(
        vehicle_id=vehicle_id,
        change_id=f"{vehicle_id}:{chosen['boot_epoch']}:{chosen['connect_count']}:{number}",
        connectivity=connectivity,  # type: ignore[arg-type]  # one of the enum's numbers
        **chosen,
    )
    message.event_time.GetCurrentTime()
    message.received_time.GetCurrentTime()
    return message


def alert(vehicle_id: str, rule: str, state: int, sequence: int, raised_by: int) -> alert_pb2.Alert:
    message = alert_pb2.Alert(
        alert_id=f"{vehicle_id}.{rule}.1.{raised_by}",
        vehicle_id=vehicle_id,
        rule=rule,
        severity=alert_pb2.ALERT_SEVERITY_WARNING,
        state=state,  # type: ignore[arg-type]  # one of the enum's numbers
        message="as it is",
        value=61.0,
        threshold=60.0,
        boot_epoch=1,
        sequence=sequence,
    )
    message.raised_time.FromSeconds(BEGIN_S + raised_by)
    message.event_time.FromSeconds(BEGIN_S + sequence)
    return message


def window(vehicle_id: str, minute: int, revision: int, count: int) -> metrics_pb2.VehicleMetrics:
    message = metrics_pb2.VehicleMetrics(vehicle_id=vehicle_id, revision=revision, reading_count=count)
    message.window_start_time.FromSeconds(BEGIN_S + 60 * minute)
    message.window_length.FromSeconds(60)
    return message


def stop_issued(stop_id: str, *vehicle_ids: str) -> event_pb2.CommandEvent:
    scope = stop_pb2.Scope(vehicles=stop_pb2.VehicleList(vehicle_ids=vehicle_ids))
    stop = stop_pb2.Stop(stop_id=stop_id, scope=scope, reason="a test", issued_by="operator")
    stop.issued_time.GetCurrentTime()
    return event_pb2.CommandEvent(stop_issued=stop)


def stop_released(*stop_ids: str) -> event_pb2.CommandEvent:
    """Approved."""
    release = stop_pb2.Release(release_id=f"release of {stop_ids}", stop_ids=stop_ids, approved_by="supervisor")
    return event_pb2.CommandEvent(release_in_force=release)


def stop_stage(stop_id: str, vehicle_id: str, stage: int) -> event_pb2.CommandEvent:
    """The vehicle's word."""
    progress = stop_pb2.StopProgress(stop_id=stop_id, stage=stage)  # type: ignore[arg-type]  # one of the enum's numbers
    return event_pb2.CommandEvent(vehicle_id=vehicle_id, stop_progress=progress)
