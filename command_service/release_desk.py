"""Where releases are asked for and agreed to."""

from dataclasses import replace
from typing import Final

from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1 import stop_pb2

from command_service.core import CommandCore
from command_service.hub import Hub, moment
from command_service.releases import MAX_WAITING, REQUEST_VALID, ReleaseEntry
from command_service.stop_desk import invalid
from pitwall import wire
from pitwall.clock import wall_time
from pitwall.domain.stop_set import Release, Stop, VehicleScope
from pitwall.ids import InvalidId, parse_uuid7, uuid7
from pitwall.rpc.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
)
from pitwall.tokens import Person
from pitwall.words import some

#: How long a call waits for the disk. What comes later is in force all the same, and the answer says that it may be.
JOURNAL_WAIT_S: Final = 5.0
_VALID_H: Final = REQUEST_VALID.total_seconds() / 3600


class ReleaseDesk:
    """`approvals`: how many persons a release takes, 1 or 2."""

    def __init__(self, hub: Hub, approvals: int) -> None:
        self._hub, self._approvals = hub, approvals

    @property
    def _core(self) -> CommandCore:
        return self._hub.core

    async def request(self, request: command_pb2.RequestReleaseRequest, person: Person) -> ReleaseEntry:
        """Asks for it; puts it in force where one person is enough. Repeat freely with the same release_id."""
        release = _checked(request, person)
        known = self._core.releases.get(release.release_id)
        if known is None:
            self._check_stops(release)
            self._core.request(release, moment())
            self._hub.carry_out()
        elif not _same(known.release, release):
            raise AlreadyExists(
                "RELEASE_ID_REUSED", f"release {release.release_id} is another one; leave release_id out to make one"
            )
        entry = self._core.releases.get(release.release_id)
        assert entry is not None
        await self._await_disk(entry, "requested")
        return await self._agree(entry, person) if self._approvals == 1 else entry

    async def approve(self, request: command_pb2.ApproveReleaseRequest, person: Person) -> ReleaseEntry:
        """Puts it in force. Repeat freely."""
        entry = self._core.releases.get(request.release_id)
        if entry is None:
            raise NotFound(
                "RELEASE_NOT_FOUND",
                f"no release {request.release_id[:80]!r} is known here, or it has waited longer than "
                f"{_VALID_H:g} h and has to be requested anew; `pitwall releases` (ListReleases) has them all",
            )
        if person.subject == entry.release.requested_by and not entry.in_force and self._approvals > 1:
            raise PermissionDenied(
                "SAME_PERSON", f"{person.subject} has asked for this release; another supervisor has to approve it"
            )
        return await self._agree(entry, person)

    async def _agree(self, entry: ReleaseEntry, person: Person) -> ReleaseEntry:
        if entry.approval is None:
            approved = replace(entry.release, approved_by=person.subject, approved_time=wall_time())
            self._core.approve(approved, moment())
            self._hub.carry_out()
        await self._await_disk(entry, "approved")
        return entry

    async def _await_disk(self, entry: ReleaseEntry, what: str) -> None:
        reached = await self._hub.until(lambda: _reached(entry, what) or entry.rival, JOURNAL_WAIT_S)
        if entry.rival and what == "approved":
            raise AlreadyExists(
                "RELEASE_ID_REUSED",
                f"another release has the id {entry.release.release_id}, and somebody has approved it: one of the two "
                "at most comes into force. ListReleases says which; request the other one anew, without a release_id",
                metadata={"may_have_happened": "true"},
            )
        if not reached:
            raise Aborted(
                "NOT_JOURNALED",
                f"no majority of command services has it on disk after {JOURNAL_WAIT_S:g} s, so it isn't {what} yet; "
                "it will be when the disk takes it. Repeat it with the same release_id, or look with ListReleases",
                metadata={"may_have_happened": "true"},
            )

    def _check_stops(self, release: Release) -> None:
        """Every stop is held here, and none is a vehicle's own; every vehicle is in the scope of one of them."""
        unknown = sorted(stop_id for stop_id in release.stop_ids if stop_id not in self._core.stops)
        if unknown:
            raise NotFound(
                "STOP_NOT_FOUND",
                f"no such stop is known here: {some(unknown)}; `pitwall stops` (ListStops) has them all",
            )
        stops = [stop for stop in map(self._core.stops.get, release.stop_ids) if stop]
        own = sorted(f"{stop.stop_id} of {stop.issuing_vehicle_id}" for stop in stops if stop.issuing_vehicle_id)
        if own:
            raise FailedPrecondition(
                "STOP_IS_VEHICLES_OWN",
                f"only the vehicle itself ends its own stop, when the cause is gone: {some(own)}",
                metadata={"may_have_happened": "false"},
            )
        outside = sorted(v for v in release.vehicle_ids if not any(_in_scope(stop, v) for stop in stops))
        if outside:
            raise invalid("vehicle_ids", "VEHICLE_NOT_IN_SCOPE", f"none of the stops is for {some(outside)}")
        if self._core.releases.waiting >= MAX_WAITING:
            raise ResourceExhausted(
                "TOO_MANY_RELEASES",
                f"{MAX_WAITING:,} releases wait for approval; approve some of them first, "
                f"or wait: each expires {_VALID_H:g} h after it was requested",
            )


def _checked(request: command_pb2.RequestReleaseRequest, person: Person) -> Release:
    if not request.reason.strip():
        raise invalid("reason", "REASON_MISSING", "is empty: say why it is safe")
    try:
        release_id = parse_uuid7(request.release_id) if request.release_id else uuid7()
    except InvalidId as error:
        raise invalid("release_id", "INVALID_RELEASE_ID", str(error)) from error
    message = stop_pb2.Release(
        release_id=release_id,
        stop_ids=request.stop_ids,
        vehicle_ids=request.vehicle_ids,
        reason=request.reason,
        requested_by=person.subject,
        requested_time=wire.timestamp(wall_time()),
    )
    try:
        return wire.release_from_proto(message)
    except wire.InvalidMessage as error:
        raise invalid(error.field, "INVALID_RELEASE", error.reason) from error


def _same(known: Release, asked: Release) -> bool:
    return (known.stop_ids, known.vehicle_ids) == (asked.stop_ids, asked.vehicle_ids)


def _reached(entry: ReleaseEntry, what: str) -> bool:
    return entry.in_force or (what == "requested" and entry.requested_on_disk)


def _in_scope(stop: Stop, vehicle_id: str) -> bool:
    return not isinstance(stop.scope, VehicleScope) or vehicle_id in stop.scope.vehicle_ids
