"""One batch of readings: what of it goes to Kafka, what to the dead letters, what is there already.

A reading that is known by its identity is not written again. One that was sampled at another time is not the one that
is known: it is refused, and kept as a dead letter. A jump in the sequence is no fault: live readings overtake history.
It is counted, and the hole stays visible to whoever reads the topic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from google.protobuf.timestamp_pb2 import Timestamp
from haul.link.v1.vehicle_link_service_pb2 import ReadingBatch
from haul.telemetry.v1.telemetry_pb2 import Reading

from ingest_gateway.acks import AckTracker, Known, runs
from ingest_gateway.clock_offset import NANOS, Corrector
from ingest_gateway.moment import Moment
from ingest_gateway.record import VehicleRecord
from ingest_gateway.validation import Expected, Fault, find_fault, oversize

#: As on the wire, before a length of one byte.
_RECEIVED_TIME_TAG = b"\x2a"
ANOTHER = Fault(
    "sequence",
    "REPEATED_DIFFERENTLY",
    "sequence: is that of a reading sampled at another time, which is there already; a sequence is used once",
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected reading, with the bytes as the vehicle sent them."""

    sequence: int
    record: bytes
    fault: Fault


@dataclass(slots=True)
class Intake:
    """What became of a batch. `taken` holds (sequence, record for vehicle-telemetry).

    `backfilled`: those of `taken` that are history. `repeated`: known already. `jumped`: sequences skipped since the
    newest one known. `corrected`: event times rewritten. `newest_live`: the last good reading that is no history, as it
    goes to Kafka.
    """

    vehicle_id: str
    boot_epoch: int
    taken: list[tuple[int, bytes]] = field(default_factory=list)
    refused: list[DeadLetter] = field(default_factory=list)
    backfilled: int = 0
    repeated: int = 0
    jumped: int = 0
    corrected: int = 0
    newest_live: bytes | None = None


def take_in(batch: ReadingBatch, record: VehicleRecord, now: Moment) -> Intake:
    """Judges, corrects and serializes every reading, and marks it as on its way. The caller hands it to Kafka."""
    readings, acks = batch.readings, record.acks
    result = Intake(record.vehicle_id, batch.boot_epoch)
    if not readings:
        return result
    sequences = [reading.sequence for reading in readings]
    newest = acks.newest(batch.boot_epoch)
    result.jumped = max(0, sequences[0] - newest - 1) if newest else 0
    if _all_new(sequences, newest):
        _judge(readings, result, record, now)
        _mark(acks, result)
        if not result.refused:
            record.samples.keep(batch.boot_epoch, readings)
        return result
    for sequence, reading in zip(sequences, readings, strict=True):
        if _is_new(acks, result, sequence, reading, record):
            single = Intake(record.vehicle_id, batch.boot_epoch)
            _judge((reading,), single, record, now)
            _mark(acks, single)
            if not single.refused:
                record.samples.keep(batch.boot_epoch, (reading,))
            _add(result, single)
    return result


def _all_new(sequences: Sequence[int], newest: int) -> bool:
    """Ascending, none twice, and all beyond what is known: the way a healthy vehicle sends."""
    first = sequences[0]
    if first <= newest:
        return False
    return sequences == list(range(first, first + len(sequences))) or all(a < b for a, b in pairwise(sequences))


def _is_new(acks: AckTracker, result: Intake, sequence: int, reading: Reading, record: VehicleRecord) -> bool:
    known = acks.known(result.boot_epoch, sequence)
    if known is Known.NEW:
        return True
    if known is Known.DURABLE:
        if record.samples.differs(result.boot_epoch, reading):
            acks.reject(result.boot_epoch, sequence, ANOTHER)
            result.refused.append(DeadLetter(sequence, reading.SerializeToString(), ANOTHER))
            return False
        acks.again(result.boot_epoch, sequence)
    result.repeated += 1
    return False


def _judge(readings: Sequence[Reading], result: Intake, record: VehicleRecord, now: Moment) -> None:
    """The path of every reading: lean, because it is paid for each of them.

    Almost all are good, laid out as usual, and from a clock that is right: those are passed on as they came, with their
    arrival put behind. Fields may come in any order on the wire.
    """
    corrector = record.clocks.corrector(result.boot_epoch, now)
    admits, event_ns, take = record.layout(result.boot_epoch).admits, corrector.event_ns, result.taken.append
    arrival = _arrival(now)
    for reading in readings:
        data, time = reading.SerializeToString(), reading.event_time
        said_ns = time.seconds * NANOS + time.nanos
        if admits(data) and time.nanos < NANOS and event_ns(said_ns, reading.monotonic_nanos) == said_ns:
            data += arrival
            take((reading.sequence, data))
            if reading.backfilled:
                result.backfilled += 1
            else:
                result.newest_live = data
        else:
            _judge_slowly(reading, data, result, record, corrector)


def _judge_slowly(reading: Reading, data: bytes, result: Intake, record: VehicleRecord, corrector: Corrector) -> None:
    """Rule by rule, and field by field. `data`: the reading as it came."""
    fault = find_fault(reading, Expected(record.vehicle_id, result.boot_epoch))
    if fault is None:
        record.layout(result.boot_epoch).learn(reading)
        corrected = _stamp(reading, corrector)
        stamped = reading.SerializeToString()
        fault = oversize(len(stamped))
        if fault is None:
            result.corrected += corrected
            result.taken.append((reading.sequence, stamped))
            if reading.backfilled:
                result.backfilled += 1
            else:
                result.newest_live = stamped
            return
    result.refused.append(DeadLetter(reading.sequence, data, fault))


def _arrival(now: Moment) -> bytes:
    """`received_time`, to be put behind a reading that has none."""
    seconds, nanos = divmod(now.wall_ns, NANOS)
    time = Timestamp(seconds=seconds, nanos=nanos).SerializeToString()
    return _RECEIVED_TIME_TAG + bytes((len(time),)) + time


def _stamp(reading: Reading, corrector: Corrector) -> bool:
    """Sets the gateway's times. Returns whether event_time was corrected."""
    event = reading.event_time
    event_ns = event.seconds * NANOS + event.nanos
    right_ns = corrector.event_ns(event_ns, reading.monotonic_nanos)
    corrected = right_ns != event_ns
    if corrected:
        reading.vehicle_time.CopyFrom(event)
        event.seconds, event.nanos = divmod(right_ns, NANOS)
    else:
        reading.ClearField("vehicle_time")
    reading.received_time.seconds, reading.received_time.nanos = divmod(corrector.received_ns, NANOS)
    return corrected


def _mark(acks: AckTracker, result: Intake) -> None:
    for first, last in runs([sequence for sequence, _ in result.taken]):
        acks.take(result.boot_epoch, first, last)
    for letter in result.refused:
        acks.reject(result.boot_epoch, letter.sequence, letter.fault)


def _add(result: Intake, single: Intake) -> None:
    result.taken += single.taken
    result.refused += single.refused
    result.backfilled += single.backfilled
    result.corrected += single.corrected
    result.newest_live = single.newest_live or result.newest_live
