"""What a vehicle may bring into the stop set.

Any stop that it has latched: a stop that the site has forgotten is then in force again, which is the safe side. Stops
of its own, for itself alone. Releases of its own stops alone: whatever else it sends as a release is left out and
counted, because leaving a release out is the safe side too.
"""

from dataclasses import dataclass

from haul.command.v1.stop_pb2 import StopSet as StopSetMessage

from ingest_gateway.effects import illegal
from ingest_gateway.limits import MAX_BROUGHT
from pitwall import wire
from pitwall.domain.stop_set import Release, SetDelta, Stop, VehicleScope


@dataclass(frozen=True, slots=True)
class BroughtSet:
    """`ignored`: releases that are not the vehicle's to make."""

    delta: SetDelta
    ignored: int


def read_brought(message: StopSetMessage, vehicle_id: str, field: str) -> BroughtSet:
    """Raises Illegal, naming the field, for what can't be read or can't be honest."""
    for name, count in (("stops", len(message.stops)), ("releases", len(message.releases))):
        if count > MAX_BROUGHT:
            raise illegal("TOO_MANY", f"{field}.{name}", f"has {count} entries, at most {MAX_BROUGHT:,} are taken")
    try:
        delta = wire.set_from_proto(message)
    except ValueError as error:  # InvalidMessage, or a time beyond what a datetime holds
        raise illegal("MALFORMED_SET", field, str(error)) from error
    for stop in delta.stops:
        _check_stop(stop, vehicle_id, field)
    own = tuple(release for release in delta.releases if _is_own(release, vehicle_id))
    return BroughtSet(SetDelta(delta.stops, own), len(delta.releases) - len(own))


def _check_stop(stop: Stop, vehicle_id: str, field: str) -> None:
    if wire.STORABLE_ID.fullmatch(stop.stop_id) is None:
        # Nobody here makes such an id, and the stores of the site can't keep it.
        text = f"stop_id {stop.stop_id[:80]!r} does not match {wire.STORABLE_ID.pattern}"
        raise illegal("MALFORMED_SET", f"{field}.stops", text)
    issuer = stop.issuing_vehicle_id
    if issuer is None:
        return
    if issuer != vehicle_id:
        raise illegal("FOREIGN_STOP", f"{field}.stops", f"{stop.stop_id} is a stop that {issuer[:80]!r} issued")
    if stop.scope != VehicleScope(frozenset({vehicle_id})):
        text = f"{stop.stop_id} is the vehicle's own, so its scope must be {vehicle_id} alone"
        raise illegal("SCOPE_TOO_WIDE", f"{field}.stops", text)


def _is_own(release: Release, vehicle_id: str) -> bool:
    # Naming none would be for all in scope, should the stop turn out to be somebody else's.
    own = release.issuing_vehicle_id == vehicle_id and release.vehicle_ids == {vehicle_id}
    return own and wire.STORABLE_ID.fullmatch(release.release_id) is not None
