"""Headers of the records that carry some: CloudEvents' names for what it is, `dl_*` for why it is a dead letter."""

from datetime import UTC, datetime
from typing import Final

from haul.telemetry.v1.telemetry_pb2 import StatusChange

from ingest_gateway.effects import Lost
from ingest_gateway.intake import DeadLetter

Headers = list[tuple[str, bytes]]

#: Of a reading in the dead letters, bytes: with its headers it has to stay below what a broker takes.
MAX_LETTER_BYTES: Final = 900_000


def reading_headers(source: str, vehicle_id: str, boot_epoch: int, letter: DeadLetter) -> Headers:
    """`source`: the process that refused it; it is also where the letter comes from."""
    identity = f"{vehicle_id}:{boot_epoch}:{letter.sequence}"
    size = len(letter.record)
    cut = f"; the first {MAX_LETTER_BYTES} of {size} bytes" if size > MAX_LETTER_BYTES else ""
    why = _why(source, letter.fault.reason, letter.fault.field, letter.fault.message + cut)
    return _event("haul.telemetry.v1.Reading", identity, source) + why


def lost_headers(source: str, vehicle_id: str, lost: Lost) -> Headers:
    """The record is the vehicle's LostRange."""
    identity = f"{vehicle_id}:{lost.boot_epoch}:{lost.first}-{lost.last}"
    text = f"the vehicle gave up {lost.last - lost.first + 1} readings: {lost.reason}"
    return _event("haul.link.v1.LostRange", identity, source) + _why(source, lost.reason, "lost_range", text)


def status_headers(source: str, change: StatusChange) -> Headers:
    return _event("haul.telemetry.v1.StatusChange", change.change_id, source)


def _event(kind: str, identity: str, source: str) -> Headers:
    now = datetime.now(UTC).isoformat()
    return [
        ("ce_type", kind.encode()),
        ("ce_id", identity.encode()),
        ("ce_source", source.encode()),
        ("ce_time", now.encode()),
        ("content-type", b"application/protobuf"),
    ]


def _why(source: str, reason: str, field: str, message: str) -> Headers:
    return [
        ("dl_where", source.encode()),
        ("dl_reason", reason.encode()),
        ("dl_field", field.encode()),
        ("dl_message", message.encode()),
        ("dl_time", datetime.now(UTC).isoformat().encode()),
    ]
