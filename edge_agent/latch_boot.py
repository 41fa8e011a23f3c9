"""What a vehicle's latch file says at its start; whatever it fails to say is a stop."""

import hashlib
import logging
import uuid
from datetime import datetime
from pathlib import Path

from edge_agent.effects import LatchRecord
from edge_agent.latch import DamagedLatch, LatchFile
from pitwall.domain.stop_set import SetDelta, Stop, VehicleScope
from pitwall.ids import uuid7

_log = logging.getLogger(__name__)


def open_latch(
    path: Path, vehicle_id: str, uri: str, wall: datetime, *, seen_before: bool
) -> tuple[LatchFile, LatchRecord]:
    """The file, open, and what holds the vehicle. `seen_before`: the vehicle has been here, so there was a file.

    Raises OSError where no file can be made at all.
    """
    latch = LatchFile(path)
    if not latch.exists() and not seen_before:
        latch.create(LatchRecord())
        return latch, LatchRecord()
    try:
        return latch, described(latch.load(), vehicle_id, uri, wall)
    except (DamagedLatch, FileNotFoundError) as error:
        record = _stopped(error, vehicle_id, uri, wall)
        _log.error("%s: %s; the vehicle is stopped until that is released", path, error)
        if latch.exists():
            latch.set_aside(f"damaged-{round(wall.timestamp())}")
        latch.create(record)
        return latch, record


def _stopped(error: DamagedLatch | FileNotFoundError, vehicle_id: str, uri: str, wall: datetime) -> LatchRecord:
    """A stop that people release: the vehicle can't know whether its cause is gone, so it is not one of its own."""
    rest = described(error.rest, vehicle_id, uri, wall) if isinstance(error, DamagedLatch) else LatchRecord()
    problem = str(error) if isinstance(error, DamagedLatch) else "the file is gone"
    stop = _stop(uuid7(), f"LATCH_FILE_DAMAGED: {problem}; stops may have been forgotten", vehicle_id, uri, wall)
    carried = SetDelta((*rest.carried.stops, stop), rest.carried.releases)
    return LatchRecord(rest.latched | {stop.stop_id}, carried)


def described(record: LatchRecord, vehicle_id: str, uri: str, wall: datetime) -> LatchRecord:
    """Puts a stop of its own in place of a latch of which only the id was kept.

    So it can be shown, adopted and released, and it is never taken for the stop that really has that id and may be for
    many more. Its id is derived, so that each start makes the same.
    """
    known = {stop.stop_id for stop in record.carried.stops}
    made = tuple(
        _stop(
            _instead_of(stop_id, vehicle_id),
            f"LATCH_ID_ONLY: the disk was too full for more than the id, {stop_id}",
            vehicle_id,
            uri,
            wall,
        )
        for stop_id in sorted(record.latched - known)
    )
    latched = (record.latched & known) | {stop.stop_id for stop in made}
    return LatchRecord(frozenset(latched), SetDelta(record.carried.stops + made, record.carried.releases))


def _instead_of(stop_id: str, vehicle_id: str) -> str:
    """A UUIDv7 in shape, since people name it in a release; its time says nothing."""
    digest = hashlib.sha256(f"{vehicle_id}/{stop_id}".encode()).digest()
    free = int.from_bytes(digest[:16]) & ~(0xF << 76) & ~(0x3 << 62)
    return str(uuid.UUID(int=free | 7 << 76 | 2 << 62))


def _stop(stop_id: str, reason: str, vehicle_id: str, uri: str, wall: datetime) -> Stop:
    return Stop(stop_id, VehicleScope(frozenset({vehicle_id})), reason, uri, wall)
