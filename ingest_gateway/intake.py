"""One batch of readings: what of it goes to Kafka, what to the dead letters, what is there already.

A reading that is known by its identity is not written again. One that was sampled at another time is not the one that
is known: it is refused, and kept as a dead letter. A jump in the sequence is no fault: live readings overtake history.
It is counted, and the hole stays visible to whoever reads the topic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from haul.link.v1.vehicle_link_service_pb2 import ReadingBatch
from haul.telemetry.v1.telemetry_pb2 import Reading

from ingest_gateway.acks import AckTracker, Known
from ingest_gateway.clock_offset import NANOS, Corrector
from ingest_gateway.moment import Moment
from ingest_gateway.record import VehicleRecord
from ingest_gateway.validation import Expected, Fault, find_fault, oversize

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
    newest one known. `corrected`: event times rewritten. `newest_live`: the last good reading that is no history.
    """

    vehicle_id: str
    boot_epoch: int
    taken: list[tuple[int, bytes]] = field(default_factory=list)
    refused: list[DeadLetter] = field(default_factory=list)
    backfilled: int = 0
    repeated: int = 0
    jumped: int = 0
    corrected: int = 0
    newest_live: Reading | None = None


def take_in(batch: ReadingBatch, record: VehicleRecord, now: Moment) -> Intake:
    """Judges, corrects and serializes every reading, and marks it as on its way. The caller hands it to Kafka."""
    readings, acks = batch.readings, record.acks
    result = Intake(record.vehicle_id, batch.boot_epoch)
    if not readings:
        return result
    sequences = [reading.sequence for reading in readings]
    result.jumped = _jump(acks, batch.boot_epoch, sequences)
    if _all_new(acks, batch.boot_epoch, sequences):
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


def _jump(acks: AckTracker, boot_epoch: int, sequences: Sequence[int]) -> int:
    newest = acks.newest(boot_epoch)
    return max(0, sequences[0] - newest - 1) if newest else 0


def _all_new(acks: AckTracker, boot_epoch: int, sequences: Sequence[int]) -> bool:
    """Ascending, none twice, and all beyond what is known: the way a healthy vehicle sends."""
    first = sequences[0]
    ascending = sequences == list(range(first, first + len(sequences))) or all(a < b for a, b in pairwise(sequences))
    return first > 0 and ascending and acks.knows_nothing_from(boot_epoch, first)


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
    """The path of every reading: lean, because it is paid for each of them."""
    expected = Expected(record.vehicle_id, result.boot_epoch)
    corrector = record.clocks.corrector(result.boot_epoch, now)
    seconds, nanos = divmod(now.wall_ns, NANOS)
    for reading in readings:
        fault = find_fault(reading, expected)
        if fault is None:
            result.corrected += _stamp(reading, corrector, seconds, nanos)
            data = reading.SerializeToString()
            fault = oversize(len(data))
            if fault is None:
                result.taken.append((reading.sequence, data))
                if reading.backfilled:
                    result.backfilled += 1
                else:
                    result.newest_live = reading
                continue
            _unstamp(reading)
        result.refused.append(DeadLetter(reading.sequence, reading.SerializeToString(), fault))


def _stamp(reading: Reading, corrector: Corrector, seconds: int, nanos: int) -> bool:
    """Sets the gateway's times. Returns whether event_time was corrected."""
    event = reading.event_time
    event_ns = event.seconds * NANOS + event.nanos
    right_ns = corrector.event_ns(event_ns, reading.monotonic_nanos)
    corrected = right_ns != event_ns
    if corrected:
        reading.vehicle_time.CopyFrom(event)
        event.seconds, event.nanos = divmod(right_ns, NANOS)
    elif reading.HasField("vehicle_time"):
        reading.ClearField("vehicle_time")
    received = reading.received_time
    received.seconds = seconds
    received.nanos = nanos
    return corrected


def _unstamp(reading: Reading) -> None:
    """Back to what the vehicle sent."""
    if reading.HasField("vehicle_time"):
        reading.event_time.CopyFrom(reading.vehicle_time)
        reading.ClearField("vehicle_time")
    reading.ClearField("received_time")


def _mark(acks: AckTracker, result: Intake) -> None:
    first = last = 0
    for sequence, _ in result.taken:
        if sequence != last + 1 or not first:
            if first:
                acks.take(result.boot_epoch, first, last)
            first = sequence
        last = sequence
    if first:
        acks.take(result.boot_epoch, first, last)
    for letter in result.refused:
        acks.reject(result.boot_epoch, letter.sequence, letter.fault)


def _add(result: Intake, single: Intake) -> None:
    result.taken += single.taken
    result.refused += single.refused
    result.backfilled += single.backfilled
    result.corrected += single.corrected
    result.newest_live = single.newest_live or result.newest_live
