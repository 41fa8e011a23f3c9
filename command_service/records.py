"""The journal's records as bytes: CommandEvents, each sealed with the hash of itself and of the one before.

Sealing writes the hash as the last field of the serialized message, so a record is serialized once; taking it off again
gives back exactly the bytes that were hashed.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from haul.command.v1 import event_pb2, order_pb2, stop_pb2

from command_service.events import (
    Event,
    OrderRecorded,
    Outcome,
    Record,
    Refused,
    ReleaseApproved,
    ReleaseExpired,
    ReleaseInForce,
    ReleaseRequested,
    StageReached,
    StopIssued,
)
from command_service.progress import Stage
from pitwall import wire

#: Outcomes in one record, so that it stays well below Kafka's limit of a message (1 MB).
MAX_OUTCOMES = 1_000

# The contract has no event of its own for a request that expires: it is turned down, by the command service itself.
_REQUEST_RELEASE = "haul.command.v1.CommandService/RequestRelease"
_EXPIRED = "RELEASE_EXPIRED"

_NANOS = 1_000_000_000
# Field 13 (record_hash), length-delimited, 32 bytes.
_SEAL = bytes([13 << 3 | 2, 32])
_SEAL_BYTES = len(_SEAL) + 32


class BrokenChain(ValueError):
    """A record is not what was written, or not in its place."""


class Head(NamedTuple):
    """The last record: its sequence and its hash. Of an empty journal (0, b"")."""

    sequence: int = 0
    record_hash: bytes = b""


def instant(nanos: int) -> Timestamp:
    """Nanoseconds since 1970 as a Timestamp."""
    return Timestamp(seconds=nanos // _NANOS, nanos=nanos % _NANOS)


def nanos(message: Timestamp) -> int:
    return message.seconds * _NANOS + message.nanos


def seal(record: Record, command_service: str, head: Head) -> tuple[bytes, Head]:
    """The bytes of the record that follows `head`, and the new head."""
    message = event_pb2.CommandEvent(
        command_service=command_service,
        journal_sequence=head.sequence + 1,
        event_time=instant(record.event_ns),
        actor=record.actor,
        vehicle_id=record.vehicle_id,
        previous_hash=head.record_hash,
    )
    _put(message, record.event)
    content = message.SerializeToString(deterministic=True)
    record_hash = sha256(content).digest()
    return content + _SEAL + record_hash, Head(head.sequence + 1, record_hash)


def unseal(raw: bytes, head: Head) -> tuple[event_pb2.CommandEvent, Head]:
    """The record that follows `head`. Raises BrokenChain."""
    content, mark, record_hash = raw[:-_SEAL_BYTES], raw[-_SEAL_BYTES:-32], raw[-32:]
    place = f"record {head.sequence + 1}"
    if mark != _SEAL or sha256(content).digest() != record_hash:
        raise BrokenChain(f"{place} has been changed: its hash is not that of its content")
    message = event_pb2.CommandEvent.FromString(raw)
    if message.journal_sequence != head.sequence + 1:
        raise BrokenChain(f"{place} is missing: number {message.journal_sequence} stands in its place")
    if message.previous_hash != head.record_hash:
        raise BrokenChain(f"{place} does not follow the one before: its previous_hash is another one")
    return message, Head(message.journal_sequence, record_hash)


def _put(message: event_pb2.CommandEvent, event: Event) -> None:
    match event:
        case StageReached(stop_id, stage, reached_ns, durably):
            message.stop_progress.CopyFrom(
                stop_pb2.StopProgress(
                    stop_id=stop_id,
                    stage=stage,  # type: ignore[arg-type]  # the same numbers
                    event_time=instant(reached_ns),
                    latched_durably=durably,
                )
            )
        case StopIssued(stop):
            message.stop_issued.CopyFrom(wire.stop_to_proto(stop))
        case ReleaseRequested(release):
            message.release_requested.CopyFrom(wire.release_to_proto(release))
        case ReleaseApproved(release):
            message.release_approved.CopyFrom(wire.release_to_proto(release))
        case ReleaseInForce(release):
            message.release_in_force.CopyFrom(wire.release_to_proto(release))
        case ReleaseExpired(release_id):
            text = f"{release_id} has waited too long for an approval; look again, and request it anew"
            message.refusal.CopyFrom(event_pb2.Refusal(method=_REQUEST_RELEASE, reason=_EXPIRED, message=text))
        case OrderRecorded():
            message.order.CopyFrom(order_to_proto(event))
        case Refused(method, reason, text):
            message.refusal.CopyFrom(event_pb2.Refusal(method=method, reason=reason, message=text))


def record_from(message: event_pb2.CommandEvent) -> Record | None:
    """None for an event of a kind that this version does not know."""
    event = _event_from(message)
    if event is None:
        return None
    return Record(nanos(message.event_time), message.actor, event, message.vehicle_id)


def _event_from(message: event_pb2.CommandEvent) -> Event | None:
    match message.WhichOneof("event"):
        case "stop_progress":
            progress = message.stop_progress
            return StageReached(
                progress.stop_id, Stage(progress.stage), nanos(progress.event_time), progress.latched_durably
            )
        case "stop_issued":
            return StopIssued(wire.stop_from_proto(message.stop_issued))
        case "release_requested":
            return ReleaseRequested(wire.release_from_proto(message.release_requested))
        case "release_approved":
            return ReleaseApproved(wire.release_from_proto(message.release_approved))
        case "release_in_force":
            return ReleaseInForce(wire.release_from_proto(message.release_in_force))
        case "order":
            return order_from(message.order)
        case "refusal" if message.refusal.reason == _EXPIRED:
            return ReleaseExpired(message.refusal.message.partition(" ")[0])
        case "refusal":
            return Refused(message.refusal.method, message.refusal.reason, message.refusal.message)
    return None


def order_to_proto(record: OrderRecorded) -> order_pb2.OrderRecord:
    return order_pb2.OrderRecord(
        order=wire.order_to_proto(record.order),
        issued_time=instant(record.issued_ns),
        outcomes=map(outcome_to_proto, record.outcomes),
    )


def outcome_to_proto(outcome: Outcome) -> order_pb2.OrderOutcome:
    """One on its way has the result UNSPECIFIED and no time."""
    if outcome.outcome is None:
        return order_pb2.OrderOutcome(vehicle_id=outcome.vehicle_id)
    return order_pb2.OrderOutcome(
        vehicle_id=outcome.vehicle_id,
        result=int(outcome.outcome.result),  # type: ignore[arg-type]  # the same numbers
        reason=outcome.outcome.reason,
        message=outcome.outcome.message,
        may_have_happened=outcome.outcome.may_have_happened,
        event_time=instant(outcome.event_ns),
        reaction=wire.reaction_to_proto(outcome.outcome.reaction) if outcome.outcome.reaction else None,
    )


def outcome_from(message: order_pb2.OrderOutcome) -> Outcome:
    known = wire.outcome_from_proto(message) if message.result else None
    return Outcome(message.vehicle_id, known, nanos(message.event_time))


def order_from(message: order_pb2.OrderRecord) -> OrderRecorded:
    outcomes = tuple(map(outcome_from, message.outcomes))
    return OrderRecorded(wire.order_from_proto(message.order), nanos(message.issued_time), outcomes)


def in_parts(record: OrderRecorded) -> Iterator[OrderRecorded]:
    """The same outcomes in records of MAX_OUTCOMES at most."""
    for start in range(0, len(record.outcomes), MAX_OUTCOMES):
        yield OrderRecorded(record.order, record.issued_ns, record.outcomes[start : start + MAX_OUTCOMES])
