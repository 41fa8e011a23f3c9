"""Frames up, made from what the pure parts report."""

from collections.abc import Iterable

from haul.command.v1 import stop_pb2
from haul.link.v1 import vehicle_link_service_pb2 as link
from haul.telemetry.v1.telemetry_pb2 import Reading

from edge_agent.effects import ReportOrder, StateSnapshot
from edge_agent.moment import Moment
from edge_agent.shipment import Batch
from edge_agent.stages import Progress
from pitwall import wire
from pitwall.domain.stop_set import SetDelta


def status_report(state: StateSnapshot, now: Moment) -> link.StatusReport:
    return link.StatusReport(
        status=int(state.status),  # type: ignore[arg-type]
        sub_status=int(state.sub_status),  # type: ignore[arg-type]
        motion_hold=int(state.hold),  # type: ignore[arg-type]
        hold_count=state.hold_count,
        event_time=wire.timestamp(now.wall_at(state.at_s)),
        cause=state.cause,
        latched_stop_ids=sorted(state.latched),
    )


def stop_report(
    progress: Iterable[Progress], own: SetDelta, state: StateSnapshot | None, now: Moment
) -> link.StopReport:
    status = None if state is None else status_report(state, now)
    report = link.StopReport(progress=(_progress(p, now) for p in progress), status=status)
    if own:
        report.own.CopyFrom(wire.set_to_proto(own))
    return report


def _progress(progress: Progress, now: Moment) -> stop_pb2.StopProgress:
    return stop_pb2.StopProgress(
        stop_id=progress.stop_id,
        stage=int(progress.stage),  # type: ignore[arg-type]
        event_time=wire.timestamp(now.wall_at(progress.at_s)),
        latched_durably=progress.latched_durably,
    )


def order_report(vehicle_id: str, report: ReportOrder, now: Moment) -> link.OrderReport:
    outcome = wire.outcome_to_proto(vehicle_id, report.outcome, now.wall)
    return link.OrderReport(request_id=report.request_id, outcome=outcome)


def reading_batch(batch: Batch, now: Moment) -> link.ReadingBatch:
    message = link.ReadingBatch(boot_epoch=batch.boot_epoch, clock=now.clock())
    for stored in batch.readings:
        reading = Reading.FromString(stored.content)
        reading.backfilled = batch.backfilled
        message.readings.append(reading)
    return message
