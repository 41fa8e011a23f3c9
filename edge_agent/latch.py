"""The latch file: which stops have hold of a vehicle, on disk, whatever happens to the disk.

Two slots take turns. A write fills the payload of the slot that is not in force and syncs, then writes that slot's
header and syncs: until the header stands, the other slot is in force. The file is preallocated and overwritten in
place, so a full disk can't refuse it. Whatever can't be read for certain is a stop: the vehicle stays where it is until
people have looked.

    0      header of slot 0      magic, generation, length, CRC-32 of the payload, capacity, CRC-32 of the header
    4096   header of slot 1
    8192   payload of slot 0     JSON: the ids, and the stop set as haul.command.v1.StopSet in base64
    …      payload of slot 1
"""

import base64
import errno
import json
import logging
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError
from haul.command.v1.stop_pb2 import StopSet

from edge_agent.effects import LatchRecord
from pitwall import wire

_log = logging.getLogger(__name__)

_MAGIC: Final = b"PITLATCH"
_HEADER: Final = struct.Struct("<8sQIIII")
_HEADER_AT: Final = (0, 4096)
_PAYLOADS_AT: Final = 8192
#: Bytes for one payload: some hundred stops. A larger set makes a larger file, or, on a full disk, leaves the ids.
CAPACITY: Final = 28 * 1024

assert _PAYLOADS_AT + 2 * CAPACITY == 64 * 1024


class DamagedLatch(Exception):
    """The file says nothing for certain. `rest` is what could be read."""

    def __init__(self, problem: str, rest: LatchRecord) -> None:
        super().__init__(problem)
        self.rest = rest


@dataclass(frozen=True, slots=True)
class _Header:
    generation: int
    length: int
    payload_crc: int
    capacity: int

    def packed(self) -> bytes:
        body = _HEADER.pack(_MAGIC, self.generation, self.length, self.payload_crc, self.capacity, 0)[:-4]
        return body + struct.pack("<I", zlib.crc32(body))


class LatchFile:
    """One vehicle's file. Every method blocks on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._generation = 0
        self._slot = 0
        self._capacity = CAPACITY

    def exists(self) -> bool:
        return self._path.exists()

    def create(self, record: LatchRecord, capacity: int = CAPACITY) -> None:
        """A new file in the place of an old one, whole or not at all. Raises OSError."""
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _PAYLOADS_AT + 2 * capacity)
            self._put(descriptor, 0, self._generation + 1, encoded(record, capacity), capacity)
            os.rename(fresh, self._path)
            _sync_folder(self._path.parent)
        except OSError:
            os.close(descriptor)
            fresh.unlink(missing_ok=True)
            raise
        self.close()
        self._descriptor, self._slot, self._capacity = descriptor, 0, capacity
        self._generation += 1

    def load(self) -> LatchRecord:
        """What is in force. Raises DamagedLatch, and OSError where the file can't be opened."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        headers = [_parsed(os.pread(self._descriptor, _HEADER.size, at)) for at in _HEADER_AT]
        readable = sorted(
            ((h.generation, slot, h) for slot, h in enumerate(headers) if isinstance(h, _Header)), reverse=True
        )
        payloads = [self._payload(slot, header) for _, slot, header in readable]
        rest = next((record for record in payloads if record is not None), LatchRecord())
        if "damaged" in headers:
            raise DamagedLatch("a header can't be read", rest)
        if not readable or payloads[0] is None:
            raise DamagedLatch("the newest payload can't be read", rest)
        self._generation, self._slot, header = readable[0]
        self._capacity = header.capacity
        return rest

    def _payload(self, slot: int, header: _Header) -> LatchRecord | None:
        content = os.pread(self._descriptor, header.length, _payload_at(slot, header.capacity))
        if len(content) != header.length or zlib.crc32(content) != header.payload_crc:
            return None
        try:
            return decoded(content)
        except (ValueError, KeyError, TypeError, DecodeError):
            return None

    def write(self, record: LatchRecord) -> None:
        """Puts the record in force. Raises OSError; the one before is in force then."""
        needed = len(encoded(record, None))
        if needed > self._capacity and self._grown(record, needed):
            return
        slot = 1 - self._slot
        content = encoded(record, self._capacity)
        self._put(self._descriptor, slot, self._generation + 1, content, self._capacity)
        self._slot = slot
        self._generation += 1

    def _grown(self, record: LatchRecord, needed: int) -> bool:
        try:
            self.create(record, capacity=2 * needed)
        except OSError as error:
            _log.error("%s: can't grow to %d bytes: %s; keeping the ids of the latches", self._path, needed, error)
            return False
        return True

    def _put(self, descriptor: int, slot: int, generation: int, content: bytes, capacity: int) -> None:
        _write_all(descriptor, content, _payload_at(slot, capacity))
        os.fdatasync(descriptor)
        header = _Header(generation, len(content), zlib.crc32(content), capacity)
        _write_all(descriptor, header.packed(), _HEADER_AT[slot])
        os.fdatasync(descriptor)

    def set_aside(self, suffix: str) -> Path:
        """Keeps a damaged file for people, under another name."""
        aside = self._path.with_name(f"{self._path.name}.{suffix}")
        os.rename(self._path, aside)
        return aside

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def encoded(record: LatchRecord, capacity: int | None) -> bytes:
    """At most `capacity` bytes: whole, or without what describes the stops, or saying that it is not all."""
    whole = _json(record.latched, base64.b64encode(wire.set_to_proto(record.carried).SerializeToString()).decode())
    if capacity is None or len(whole) <= capacity:
        return whole
    ids = _json(record.latched, "")
    return ids if len(ids) <= capacity else json.dumps({"latched": [], "stop_set": "", "cut": True}).encode()


def _json(latched: frozenset[str], stop_set: str) -> bytes:
    return json.dumps({"latched": sorted(latched), "stop_set": stop_set, "cut": False}).encode()


def decoded(content: bytes) -> LatchRecord:
    """Raises ValueError, KeyError, TypeError or DecodeError for what `encoded` did not make, or had to cut."""
    fields = json.loads(content)
    if fields["cut"]:
        raise ValueError("more latches than the file could hold")
    delta = wire.set_from_proto(StopSet.FromString(base64.b64decode(fields["stop_set"], validate=True)))
    return LatchRecord(frozenset(map(str, fields["latched"])), delta)


def _parsed(content: bytes) -> _Header | str:
    """A header, "empty" for one never written, "damaged" for anything else."""
    if content == bytes(_HEADER.size):
        return "empty"
    if len(content) != _HEADER.size or zlib.crc32(content[:-4]) != struct.unpack("<I", content[-4:])[0]:
        return "damaged"
    magic, generation, length, payload_crc, capacity, _ = _HEADER.unpack(content)
    fits = magic == _MAGIC and length <= capacity
    return _Header(generation, length, payload_crc, capacity) if fits else "damaged"


def _payload_at(slot: int, capacity: int) -> int:
    return _PAYLOADS_AT + slot * capacity


def _write_all(descriptor: int, content: bytes, at: int) -> None:
    written = os.pwrite(descriptor, content, at)
    if written != len(content):
        raise OSError(errno.EIO, f"{written} of {len(content)} bytes written")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
