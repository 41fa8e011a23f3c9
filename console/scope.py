"""Which vehicles a command is for, from its arguments: some by name, a zone, or all."""

from collections.abc import Sequence
from pathlib import Path

from console.failures import UsageProblem
from console.zone_file import read_zone
from pitwall.domain.stop_set import FleetScope, Scope, VehicleScope, ZoneScope


def read_scope(vehicle_ids: Sequence[str], everyone: bool, zone: Path | None) -> Scope:
    """Exactly one of the three. Raises UsageProblem otherwise, or for a bad zone file.

    Ids are taken as written: whether a vehicle is known is for the command service to say, after it has stopped it.
    """
    if sum((bool(vehicle_ids), everyone, zone is not None)) != 1:
        raise UsageProblem(
            "say which vehicles: some by name, or --all, or --zone FILE, and only one of these",
            fix="for example KOMATSU-930E-001 KOMATSU-980E-002, or --all",
        )
    if zone is not None:
        return ZoneScope(read_zone(zone))
    return FleetScope() if everyone else VehicleScope(frozenset(vehicle_ids))


def describe_scope(scope: Scope) -> str:
    """In words, as in `stop of …`."""
    match scope:
        case VehicleScope(vehicle_ids):
            return names(sorted(vehicle_ids))
        case ZoneScope(zone):
            return f"zone {zone.name!r}"
        case FleetScope():
            return "the whole fleet"


def names(vehicle_ids: Sequence[str], most: int = 5) -> str:
    """Some names, and how many more."""
    shown = ", ".join(vehicle_ids[:most])
    return shown if len(vehicle_ids) <= most else f"{shown} and {len(vehicle_ids) - most} more"
