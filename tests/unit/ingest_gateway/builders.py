"""Frames, readings and moments as the tests of this folder need them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from haul.link.v1 import vehicle_link_service_pb2 as pb
from haul.telemetry.v1.telemetry_pb2 import MotionHold, Reading, VehicleStatus

from ingest_gateway.moment import Moment
from ingest_gateway.record import VehicleRecord
from ingest_gateway.session import Session
from ingest_gateway.terms import Terms
from pitwall.domain.permit import PermitDenial
from pitwall.domain.stop_set import FleetScope, Release, Scope, SetDelta, Stop, VehicleScope

VEHICLE = "KOMATSU-930E-001"
OTHER = "KOMATSU-980E-002"
EPOCH = 1_760_000_000_000
#: The wall clock at boottime 0.
WALL_NS = 1_760_000_000_000_000_000
NANOS = 1_000_000_000
TERMS = Terms("gateway-1", 2.0, 200)


def at(boottime_s: float) -> Moment:
    """A moment of a gateway whose clocks run alike."""
    return Moment(boottime_s, WALL_NS + round(boottime_s * NANOS))


def reading(sequence: int, sampled_s: float = 0.0, **fields: Any) -> Reading:
    """A good reading of a vehicle whose clocks are those of `at`."""
    made = Reading(
        vehicle_id=VEHICLE,
        boot_epoch=EPOCH,
        sequence=sequence,
        monotonic_nanos=max(1, round(sampled_s * NANOS)),
        status=VehicleStatus.VEHICLE_STATUS_HAULING,
        motion_hold=MotionHold.MOTION_HOLD_NONE,
        speed_kph=31.5,
    )
    made.event_time.FromNanoseconds(WALL_NS + round(sampled_s * NANOS))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def batch(*readings: Reading, boot_epoch: int = EPOCH, heartbeat: int = 0) -> pb.ConnectRequest:
    frame = pb.ConnectRequest(heartbeat_number=heartbeat)
    frame.reading_batch.boot_epoch = boot_epoch
    frame.reading_batch.readings.extend(readings)
    return frame


def numbered(sequences: Iterable[int], sampled_s: float = 0.0) -> pb.ConnectRequest:
    return batch(*(reading(sequence, sampled_s) for sequence in sequences))


def hello(now_s: float = 0.0, **fields: Any) -> pb.ConnectRequest:
    frame = pb.ConnectRequest(heartbeat_number=fields.pop("heartbeat", 0))
    said = frame.hello
    said.vehicle_id, said.boot_epoch, said.connect_count, said.protocol_version = VEHICLE, EPOCH, 1, 1
    said.software_version = "test"
    said.status.status = VehicleStatus.VEHICLE_STATUS_HAULING
    said.status.motion_hold = MotionHold.MOTION_HOLD_NONE
    said.clock.wall_time.FromNanoseconds(WALL_NS + round(now_s * NANOS))
    said.clock.monotonic_nanos = round(now_s * NANOS)
    said.lowest_deceleration_mps2 = 1.5
    for name, value in fields.items():
        setattr(said, name, value)
    return frame


def status(
    vehicle_status: int = VehicleStatus.VEHICLE_STATUS_HAULING,
    hold: int = MotionHold.MOTION_HOLD_NONE,
    latched: Iterable[str] = (),
    cause: str = "",
) -> pb.ConnectRequest:
    frame = pb.ConnectRequest()
    report = frame.status_report
    report.status, report.motion_hold, report.cause = vehicle_status, hold, cause  # type: ignore[assignment]
    report.latched_stop_ids.extend(latched)
    return frame


def new_session(
    record: VehicleRecord | None = None, now_s: float = 0.0, terms: Terms = TERMS, *, has_room: bool = True
) -> Session:
    return Session("session", record or VehicleRecord(VEHICLE), terms, lambda _: has_room, at(now_s))


def open_session(record: VehicleRecord | None = None, now_s: float = 0.0, **fields: Any) -> Session:
    """One that has said Hello and has its Welcome in the lane."""
    session = new_session(record, now_s)
    session.feed(hello(now_s, **fields), at(now_s))
    session.welcome()
    return session


def leave(ttl_s: float = 2.0, denial: PermitDenial = PermitDenial.NONE) -> Any:
    return lambda _: (ttl_s, denial)


def frames_down(session: Session, now_s: float = 0.0, ttl_s: float = 2.0) -> list[pb.ConnectResponse]:
    """Everything that waits, in its order."""
    found = []
    while (outgoing := session.next_frame(leave(ttl_s), now_s)) is not None:
        found.append(pb.ConnectResponse.FromString(outgoing.data))
    return found


ISSUED = datetime(2026, 11, 1, tzinfo=UTC)


def stop(stop_id: str, scope: Scope | None = None, vehicle_id: str | None = None) -> Stop:
    """For the fleet, unless said otherwise. `vehicle_id`: the vehicle's own, for itself."""
    if vehicle_id is not None:
        scope = scope or VehicleScope(frozenset({vehicle_id}))
    return Stop(stop_id, scope or FleetScope(), "test", "somebody", ISSUED, issuing_vehicle_id=vehicle_id)


def release(release_id: str, *stop_ids: str, vehicles: Iterable[str] = (), vehicle_id: str | None = None) -> Release:
    return Release(
        release_id,
        frozenset(stop_ids),
        frozenset(vehicles),
        "test",
        "somebody",
        ISSUED,
        approved_by="somebody else",
        approved_time=ISSUED,
        issuing_vehicle_id=vehicle_id,
    )


def delta(*entries: Stop | Release) -> SetDelta:
    return SetDelta(
        tuple(entry for entry in entries if isinstance(entry, Stop)),
        tuple(entry for entry in entries if isinstance(entry, Release)),
    )
