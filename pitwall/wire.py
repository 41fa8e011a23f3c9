"""Between the messages of haul.command.v1 and the objects of pitwall.domain, both ways.

`*_from_proto` raises InvalidMessage, which names the field as the caller wrote it. Nothing is guessed.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from haul.command.v1 import order_pb2, stop_pb2

from pitwall.domain.drill import DrillReaction, DrillVerdict
from pitwall.domain.geo import InvalidZone, Position, Zone
from pitwall.domain.order import (
    DEFAULT_EXPIRE_AFTER_S,
    LinkLossDrill,
    MotionEtag,
    Order,
    OrderKind,
    OrderOutcome,
    OrderResult,
    Resume,
    SetAutonomousMode,
    SetStatus,
    StartRoute,
    StopDrill,
)
from pitwall.domain.stop_set import FleetScope, Release, Scope, SetDelta, Stop, VehicleScope, ZoneScope
from pitwall.domain.vehicle_state import VehicleStatus

VEHICLE_ID = re.compile(r"[A-Z0-9][A-Z0-9-]{2,62}")
#: Ids that can be a key in every store and go into a page token as they are. Whatever we make (UUIDs, and ids composed
#: of a vehicle's, a rule's name and numbers) is one. `stop_from_proto` does not ask for it, because no stop that was
#: taken once may be refused later: it is asked where ids of others come in.
STORABLE_ID = re.compile(r"[ !#-\[\]-~]{1,200}")
#: Of a sequence, a boot epoch and whatever else is counted: what Kafka's readers, SQLite and PostgreSQL's bigint hold.
MAX_NUMBER = 2**63 - 1
MAX_SCOPE_VEHICLES = 10_000
MAX_RELEASED_STOPS = 1_000
MAX_REASON_CHARACTERS = 500
MAX_ROUTE_CHARACTERS = 200


class InvalidMessage(ValueError):
    """A field of a message can't be taken as it is."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


# Times and spans


def timestamp(moment: datetime) -> Timestamp:
    """An aware datetime as a Timestamp, microseconds kept."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def to_datetime(message: Timestamp) -> datetime:
    """UTC, microseconds kept."""
    return message.ToDatetime(tzinfo=UTC)


def duration(seconds: float) -> Duration:
    """Seconds, not negative, as a Duration."""
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)


def to_seconds(message: Duration) -> float:
    return message.seconds + message.nanos / 1e9


# Small checks


def checked_vehicle_id(vehicle_id: str, field: str = "vehicle_id") -> str:
    """The id, if it is one."""
    if not VEHICLE_ID.fullmatch(vehicle_id):
        raise InvalidMessage(
            field, f"{vehicle_id[:80]!r} is no vehicle id: 3 to 63 of A-Z, 0-9 and -, as in KOMATSU-930E-001"
        )
    return vehicle_id


def _checked_text(text: str, field: str, most: int) -> str:
    if len(text) > most:
        raise InvalidMessage(field, f"has {len(text)} characters, at most {most} are taken")
    return text


# Stops and releases


def scope_from_proto(message: stop_pb2.Scope, field: str = "scope") -> Scope:
    match message.WhichOneof("target"):
        case "vehicles":
            return VehicleScope(_vehicle_ids(message.vehicles.vehicle_ids, f"{field}.vehicles.vehicle_ids"))
        case "zone":
            return ZoneScope(_zone(message.zone, f"{field}.zone"))
        case "fleet":
            return FleetScope()
    raise InvalidMessage(field, "is empty: name vehicles, a zone or the fleet")


def _vehicle_ids(ids: Iterable[str], field: str) -> frozenset[str]:
    checked = [checked_vehicle_id(vehicle_id, f"{field}[{index}]") for index, vehicle_id in enumerate(ids)]
    if not 1 <= len(checked) <= MAX_SCOPE_VEHICLES:
        raise InvalidMessage(field, f"has {len(checked)} vehicles, 1 to {MAX_SCOPE_VEHICLES:,} are taken")
    return frozenset(checked)


def _zone(message: stop_pb2.Zone, field: str) -> Zone:
    corners = tuple(Position(corner.latitude_degrees, corner.longitude_degrees) for corner in message.corners)
    try:
        return Zone(message.name, corners)
    except InvalidZone as error:
        raise InvalidMessage(f"{field}.corners", str(error)) from error


def scope_to_proto(scope: Scope) -> stop_pb2.Scope:
    match scope:
        case VehicleScope(vehicle_ids):
            return stop_pb2.Scope(vehicles=stop_pb2.VehicleList(vehicle_ids=sorted(vehicle_ids)))
        case ZoneScope(zone):
            return stop_pb2.Scope(zone=stop_pb2.Zone(name=zone.name, corners=map(point_to_proto, zone.corners)))
        case FleetScope():
            return stop_pb2.Scope(fleet=stop_pb2.WholeFleet())


def point_to_proto(position: Position) -> stop_pb2.GeoPoint:
    return stop_pb2.GeoPoint(latitude_degrees=position.latitude_degrees, longitude_degrees=position.longitude_degrees)


def stop_from_proto(message: stop_pb2.Stop) -> Stop:
    if not message.stop_id:
        raise InvalidMessage("stop_id", "is empty")
    return Stop(
        stop_id=message.stop_id,
        scope=scope_from_proto(message.scope),
        reason=_checked_text(message.reason, "reason", MAX_REASON_CHARACTERS),
        issued_by=message.issued_by,
        issued_time=to_datetime(message.issued_time),
        issuing_vehicle_id=message.issuing_vehicle_id if message.HasField("issuing_vehicle_id") else None,
        traceparent=message.traceparent,
    )


def stop_to_proto(stop: Stop) -> stop_pb2.Stop:
    return stop_pb2.Stop(
        stop_id=stop.stop_id,
        scope=scope_to_proto(stop.scope),
        reason=stop.reason,
        issued_by=stop.issued_by,
        issued_time=timestamp(stop.issued_time),
        issuing_vehicle_id=stop.issuing_vehicle_id,
        traceparent=stop.traceparent,
    )


def release_from_proto(message: stop_pb2.Release) -> Release:
    if not message.release_id:
        raise InvalidMessage("release_id", "is empty")
    if not 1 <= len(message.stop_ids) <= MAX_RELEASED_STOPS:
        raise InvalidMessage("stop_ids", f"has {len(message.stop_ids)} stops, 1 to {MAX_RELEASED_STOPS:,} are taken")
    ids = message.vehicle_ids
    return Release(
        release_id=message.release_id,
        stop_ids=frozenset(message.stop_ids),
        vehicle_ids=_vehicle_ids(ids, "vehicle_ids") if ids else frozenset(),
        reason=_checked_text(message.reason, "reason", MAX_REASON_CHARACTERS),
        requested_by=message.requested_by,
        requested_time=to_datetime(message.requested_time),
        approved_by=message.approved_by,
        approved_time=to_datetime(message.approved_time) if message.HasField("approved_time") else None,
        issuing_vehicle_id=message.issuing_vehicle_id if message.HasField("issuing_vehicle_id") else None,
    )


def release_to_proto(release: Release) -> stop_pb2.Release:
    return stop_pb2.Release(
        release_id=release.release_id,
        stop_ids=sorted(release.stop_ids),
        vehicle_ids=sorted(release.vehicle_ids),
        reason=release.reason,
        requested_by=release.requested_by,
        requested_time=timestamp(release.requested_time),
        approved_by=release.approved_by,
        approved_time=timestamp(release.approved_time) if release.approved_time else None,
        issuing_vehicle_id=release.issuing_vehicle_id,
    )


def set_from_proto(message: stop_pb2.StopSet) -> SetDelta:
    return SetDelta(tuple(map(stop_from_proto, message.stops)), tuple(map(release_from_proto, message.releases)))


def set_to_proto(delta: SetDelta) -> stop_pb2.StopSet:
    return stop_pb2.StopSet(stops=map(stop_to_proto, delta.stops), releases=map(release_to_proto, delta.releases))


# Orders


def order_from_proto(message: order_pb2.Order) -> Order:
    if not message.request_id:
        raise InvalidMessage("request_id", "is empty")
    expire_after_s = to_seconds(message.expire_after) if message.HasField("expire_after") else DEFAULT_EXPIRE_AFTER_S
    try:
        return Order(message.request_id, _kind_from_proto(message), expire_after_s, message.issued_by)
    except InvalidMessage:
        raise
    except ValueError as error:
        raise InvalidMessage("expire_after", str(error)) from error


def _kind_from_proto(message: order_pb2.Order) -> OrderKind:
    match message.WhichOneof("kind"):
        case "set_status":
            try:
                return SetStatus(VehicleStatus(message.set_status.status))
            except ValueError as error:
                raise InvalidMessage("set_status.status", "is unspecified or unknown") from error
        case "start_route":
            return StartRoute(_checked_text(message.start_route.route, "start_route.route", MAX_ROUTE_CHARACTERS))
        case "resume":
            return Resume()
        case "set_autonomous_mode":
            return SetAutonomousMode(message.set_autonomous_mode.enabled)
        case "link_loss_drill":
            return LinkLossDrill(_drill_reason(message.link_loss_drill.reason, "link_loss_drill"))
        case "stop_drill":
            return _stop_drill_from_proto(message.stop_drill)
    raise InvalidMessage(
        "kind",
        "is empty: one of set_status, start_route, resume, set_autonomous_mode, link_loss_drill, stop_drill",
    )


def _stop_drill_from_proto(message: order_pb2.StopDrill) -> StopDrill:
    if not message.stop_id:
        raise InvalidMessage("stop_drill.stop_id", "is empty")
    return StopDrill(message.stop_id, _drill_reason(message.reason, "stop_drill"))


def _drill_reason(reason: str, kind: str) -> str:
    return _checked_text(reason, f"{kind}.reason", MAX_REASON_CHARACTERS)


def order_to_proto(order: Order) -> order_pb2.Order:
    message = order_pb2.Order(
        request_id=order.request_id, expire_after=duration(order.expire_after_s), issued_by=order.issued_by
    )
    match order.kind:
        case SetStatus(status):
            message.set_status.status = int(status)  # type: ignore[assignment]
        case StartRoute(route):
            message.start_route.SetInParent()
            message.start_route.route = route
        case Resume():
            message.resume.SetInParent()
        case SetAutonomousMode(enabled):
            message.set_autonomous_mode.SetInParent()
            message.set_autonomous_mode.enabled = enabled
        case LinkLossDrill(reason):
            message.link_loss_drill.SetInParent()
            message.link_loss_drill.reason = reason
        case StopDrill(stop_id, reason):
            message.stop_drill.stop_id, message.stop_drill.reason = stop_id, reason
    return message


def etag_from_proto(message: order_pb2.MotionEtag) -> MotionEtag:
    return MotionEtag(message.boot_epoch, message.connect_count, message.hold_count, message.heartbeat_number)


def etag_to_proto(etag: MotionEtag) -> order_pb2.MotionEtag:
    return order_pb2.MotionEtag(
        boot_epoch=etag.boot_epoch,
        connect_count=etag.connect_count,
        hold_count=etag.hold_count,
        heartbeat_number=etag.heartbeat_number,
    )


def outcome_from_proto(message: order_pb2.OrderOutcome) -> OrderOutcome:
    try:
        result = OrderResult(message.result)
    except ValueError as error:
        raise InvalidMessage("result", "is unspecified or unknown") from error
    reaction = reaction_from_proto(message.reaction) if message.HasField("reaction") else None
    return OrderOutcome(result, message.reason, message.message, message.may_have_happened, reaction)


def outcome_to_proto(vehicle_id: str, outcome: OrderOutcome, moment: datetime) -> order_pb2.OrderOutcome:
    return order_pb2.OrderOutcome(
        vehicle_id=vehicle_id,
        result=int(outcome.result),  # type: ignore[arg-type]
        reason=outcome.reason,
        message=outcome.message,
        may_have_happened=outcome.may_have_happened,
        event_time=timestamp(moment),
        reaction=None if outcome.reaction is None else reaction_to_proto(outcome.reaction),
    )


def reaction_from_proto(message: order_pb2.DrillReaction) -> DrillReaction:
    """A verdict of a newer contract is none."""
    known = message.verdict in DrillVerdict._value2member_map_
    return DrillReaction(
        speed_kph=message.speed_kph if message.HasField("speed_kph") else None,
        braking_after_s=_span(message.braking_after, message.HasField("braking_after")),
        standstill_after_s=_span(message.standstill_after, message.HasField("standstill_after")),
        braking_bound_s=_span(message.braking_bound, message.HasField("braking_bound")),
        standstill_bound_s=_span(message.standstill_bound, message.HasField("standstill_bound")),
        verdict=DrillVerdict(message.verdict) if known else None,
    )


def reaction_to_proto(reaction: DrillReaction) -> order_pb2.DrillReaction:
    return order_pb2.DrillReaction(
        speed_kph=reaction.speed_kph,
        braking_after=_duration(reaction.braking_after_s),
        standstill_after=_duration(reaction.standstill_after_s),
        braking_bound=_duration(reaction.braking_bound_s),
        standstill_bound=_duration(reaction.standstill_bound_s),
        verdict=int(reaction.verdict or 0),  # type: ignore[arg-type]  # the same numbers
    )


def _span(message: Duration, given: bool) -> float | None:
    return to_seconds(message) if given else None


def _duration(seconds: float | None) -> Duration | None:
    return None if seconds is None else duration(seconds)
