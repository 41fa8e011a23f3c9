"""The state of a command service from its journal: the same core, fed with what was written, in that order.

What the journal does not hold is what only lived in the process: links, pulses, who watches. So every vehicle starts
without a link, and what was on its way is as unsure as it is.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from haul.command.v1 import event_pb2

from command_service.core import CommandCore
from command_service.effects import Ack, Awaited, Moment, approval
from command_service.events import (
    OrderRecorded,
    Record,
    ReleaseApproved,
    ReleaseExpired,
    ReleaseInForce,
    ReleaseRequested,
    StageReached,
    StopIssued,
)
from command_service.link_wire import vehicle_from
from command_service.progress import Stage
from command_service.records import record_from
from pitwall.domain.order import REQUEST_MEMORY_S

#: A stop that is released everywhere is forgotten so long after it was issued.
STOP_RETENTION: Final = timedelta(days=90)

_NANOS: Final = 1_000_000_000


def restore(
    core: CommandCore,
    vehicles: Iterable[tuple[str, bytes, int]],
    events: Iterable[event_pb2.CommandEvent],
    at: Moment,
) -> int:
    """Feeds a new core. Returns how many records there were."""
    for _, session, since_ns in vehicles:
        core.registry.restore(vehicle_from(session, since_ns))
    count = 0
    for message in events:
        count += 1
        record = record_from(message)
        if record is not None:
            _restore(core, record, at)
    core.take_effects()  # it is all on disk already
    _confirm(core, at)
    return count


def _restore(core: CommandCore, record: Record, at: Moment) -> None:
    match record.event:
        case StopIssued(stop):
            if core.stops.merge([stop]):
                core.open_in_ledger(stop, at.s)
        case StageReached():
            _restore_stage(core, record.vehicle_id, record.event, at)
        case ReleaseRequested(release):
            core.releases.request(release)
            core.releases.request_journaled(release.release_id)
        case ReleaseExpired(release_id):
            core.releases.drop(release_id)
        case ReleaseApproved(release):
            core.releases.approve(release)
        case ReleaseInForce(release):
            core.stops.merge(releases=[release])
            core.releases.enforce(release)
            core.ledger.released(release.stop_ids, release.vehicle_ids, at.s)
        case OrderRecorded() as order:
            if at.ns - order.issued_ns < REQUEST_MEMORY_S * _NANOS:
                core.orders.restore(order, at.ns)


def _restore_stage(core: CommandCore, vehicle_id: str, event: StageReached, at: Moment) -> None:
    if event.stage is Stage.ISSUED:
        core.ledger.restore_issued(event.stop_id, event.reached_ns)
        return
    now = core.registry.now(vehicle_id, at.s)
    core.ledger.report(now, event.stop_id, event.stage, event.reached_ns, event.latched_durably, at.s)


def _confirm(core: CommandCore, at: Moment) -> None:
    """This command service has every one of them on disk; where only that had not been written down, it is now."""
    for stop in core.stops.snapshot().stops:
        core.journaled(Ack(Awaited.STOP, stop.stop_id), core.name, at)
    for release in core.releases.waiting_releases():
        if release.approved_by:
            core.journaled(approval(release), core.name, at)
