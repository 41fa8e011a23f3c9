"""The first frame of a vehicle: who is there, and on what terms."""

import math
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from haul.link.v1.vehicle_link_service_pb2 import Hello, StatusReport, VehicleClock
from haul.telemetry.v1.telemetry_pb2 import MotionHold, VehicleStatus, VehicleSubStatus

from ingest_gateway.brought import BroughtSet, read_brought
from ingest_gateway.clock_offset import NANOS, VehicleClockReading
from ingest_gateway.effects import Close, Code, Illegal, illegal
from ingest_gateway.limits import (
    MAX_LATCHED,
    MAX_MONOTONIC_NANOS,
    MAX_TEXT_CHARACTERS,
    OLDEST_PROTOCOL_VERSION,
    PROTOCOL_VERSION,
)
from ingest_gateway.validation import malformed_time
from pitwall import wire
from pitwall.wire import MAX_NUMBER

_STATUSES = frozenset(VehicleStatus.values()) - {0}
_SUB_STATUSES = frozenset(VehicleSubStatus.values())
_HOLDS = frozenset(MotionHold.values()) - {0}


@dataclass(frozen=True, slots=True, order=True)
class SessionKey:
    """Orders the sessions of one vehicle: the highest is the newest."""

    boot_epoch: int
    connect_count: int


@dataclass(frozen=True, slots=True)
class Introduction:
    """A Hello that was good."""

    key: SessionKey
    protocol_version: int
    software_version: str
    lowest_deceleration_mps2: float
    status: StatusReport
    clock: VehicleClockReading
    brought: BroughtSet
    #: In this boot_epoch, as the vehicle says.
    last_sequence: int = 0


def read_hello(hello: Hello, vehicle_id: str) -> Introduction:
    """Raises Illegal, naming field and value. `vehicle_id` is the certificate's."""
    _check_identity(hello.vehicle_id, vehicle_id)
    _check_version(hello.protocol_version)
    for name, value in (("boot_epoch", hello.boot_epoch), ("connect_count", hello.connect_count)):
        if not 1 <= value <= MAX_NUMBER:
            raise illegal("OUT_OF_RANGE", f"hello.{name}", f"{value} is not within 1 to {MAX_NUMBER}")
    if not hello.HasField("clock"):
        raise illegal("MISSING", "hello.clock", "is absent: send both clocks")
    _check_text(hello.software_version, "hello.software_version")
    _check_deceleration(hello.lowest_deceleration_mps2)
    return Introduction(
        key=SessionKey(hello.boot_epoch, hello.connect_count),
        protocol_version=min(hello.protocol_version, PROTOCOL_VERSION),
        software_version=hello.software_version,
        lowest_deceleration_mps2=hello.lowest_deceleration_mps2,
        status=checked_status(hello.status, "hello.status"),
        clock=read_clock(hello.clock, "hello.clock"),
        brought=read_brought(hello.stop_set, vehicle_id, "hello.stop_set"),
        last_sequence=hello.last_sequence,
    )


def read_clock(clock: VehicleClock, field: str) -> VehicleClockReading:
    """Raises Illegal for times that no clock shows."""
    _check_time(clock.wall_time, f"{field}.wall_time")
    if clock.monotonic_nanos > MAX_MONOTONIC_NANOS:
        text = f"{clock.monotonic_nanos} is more than {MAX_MONOTONIC_NANOS}: nanoseconds since the computer has started"
        raise illegal("OUT_OF_RANGE", f"{field}.monotonic_nanos", text)
    return VehicleClockReading(clock.wall_time.seconds * NANOS + clock.wall_time.nanos, clock.monotonic_nanos)


def checked_status(status: StatusReport, field: str) -> StatusReport:
    """The report, if every enum in it says something. Raises Illegal."""
    values = (
        ("status", status.status, _STATUSES),
        ("sub_status", status.sub_status, _SUB_STATUSES),
        ("motion_hold", status.motion_hold, _HOLDS),
    )
    for name, value, allowed in values:
        if value not in allowed:
            text = f"{int(value)} is not one of {min(allowed)} to {max(allowed)}"
            raise illegal("NOT_ALLOWED", f"{field}.{name}", text)
    _check_time(status.event_time, f"{field}.event_time")
    _check_text(status.cause, f"{field}.cause")
    if len(status.latched_stop_ids) > MAX_LATCHED:
        text = f"has {len(status.latched_stop_ids)} stops, at most {MAX_LATCHED:,} are taken"
        raise illegal("TOO_MANY", f"{field}.latched_stop_ids", text)
    return status


def _check_identity(said: str, vehicle_id: str) -> None:
    try:
        wire.checked_vehicle_id(said, "hello.vehicle_id")
    except wire.InvalidMessage as error:
        raise illegal("MALFORMED_VEHICLE_ID", error.field, error.reason) from error
    if said != vehicle_id:
        text = f"{said!r} is not {vehicle_id!r}, which the certificate says; use the certificate of {said}"
        raise Illegal(
            Close(
                Code.PERMISSION_DENIED,
                "WRONG_VEHICLE",
                f"hello.vehicle_id: {text}",
                {"hello.vehicle_id": text},
            )
        )


def _check_version(version: int) -> None:
    if not OLDEST_PROTOCOL_VERSION <= version <= PROTOCOL_VERSION + 1:
        text = f"{version} is not taken here: {OLDEST_PROTOCOL_VERSION} to {PROTOCOL_VERSION + 1} are"
        raise illegal("PROTOCOL_VERSION", "hello.protocol_version", text)


def _check_time(time: Timestamp, field: str) -> None:
    sentence = malformed_time(time)
    if sentence is not None:
        raise illegal("MALFORMED", field, sentence)


def _check_text(text: str, field: str) -> None:
    if len(text) > MAX_TEXT_CHARACTERS:
        raise illegal("TOO_LONG", field, f"has {len(text)} characters, at most {MAX_TEXT_CHARACTERS} are taken")


def _check_deceleration(mps2: float) -> None:
    if not (math.isfinite(mps2) and mps2 >= 0):
        raise illegal("OUT_OF_RANGE", "hello.lowest_deceleration_mps2", f"{mps2} m/s² is no deceleration")
