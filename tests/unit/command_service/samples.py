"""Objects that the tests of this package are made of."""

from datetime import UTC, datetime

from command_service.core import CommandCore
from command_service.effects import Moment
from command_service.registry import Opened, Session, Status
from pitwall.domain.permit import PermitTerms
from pitwall.domain.stop_set import FleetScope, Release, Scope, Stop, VehicleScope

WHEN = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
NS = 1_700_000_000_000_000_000
FIRST = Session(7, 1)
FLEET = FleetScope()


def at(seconds: float = 0.0) -> Moment:
    return Moment(100.0 + seconds, NS + round(seconds * 1e9))


def named(*vehicle_ids: str) -> VehicleScope:
    return VehicleScope(frozenset(vehicle_ids))


def stop(stop_id: str = "s", scope: Scope = FLEET, own: str | None = None, issued_time: datetime = WHEN) -> Stop:
    return Stop(stop_id, scope, "because", "somebody", issued_time, issuing_vehicle_id=own)


def release(
    release_id: str = "r", stop_ids: str = "s", *vehicle_ids: str, approved_by: str = "", own: str | None = None
) -> Release:
    return Release(
        release_id,
        frozenset(stop_ids.split()),
        frozenset(vehicle_ids),
        "safe",
        "somebody",
        WHEN,
        approved_by,
        WHEN if approved_by else None,
        own,
    )


def opened(vehicle_id: str = "A", session: Session = FIRST, *latched: str) -> Opened:
    return Opened(vehicle_id, session, Status(hold_count=1, latched=latched), "1.0", 2.0, 5)


def core_with(*vehicle_ids: str, members: tuple[str, ...] = ("c1",)) -> CommandCore:
    """A core that is c1, with these vehicles on link 1; its effects so far are gone."""
    core = CommandCore("c1", members, PermitTerms())
    for vehicle_id in vehicle_ids:
        core.opened(1, "gateway-1", opened(vehicle_id), at())
    core.take_effects()
    return core
