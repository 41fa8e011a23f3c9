"""A reading's bytes as a row of the outbox holds them: less than the reading, and enough to know that it is whole.

What the row's place says already (vehicle, boot_epoch, sequence) is left out, 30 bytes of 215: seven days at 1 Hz take
that much less. A checksum is added, because SQLite has none: a bit that a worn disk has turned would go up as a
measurement.
"""

import zlib
from typing import Final

from haul.telemetry.v1.telemetry_pb2 import Reading

_CHECKSUM_BYTES: Final = 4


class Packing:
    """For the readings of one vehicle and boot_epoch."""

    __slots__ = ("_head",)

    def __init__(self, vehicle_id: str, boot_epoch: int) -> None:
        self._head = Reading(vehicle_id=vehicle_id, boot_epoch=boot_epoch).SerializeToString()

    def pack(self, sequence: int, content: bytes) -> bytes:
        """`content`: the serialized Reading."""
        front = self._front(sequence)
        rest = content[len(front) :] if content.startswith(front) else content
        return rest + zlib.crc32(content, zlib.crc32(front)).to_bytes(_CHECKSUM_BYTES, "little")

    def unpack(self, sequence: int, packed: object) -> bytes | None:
        """The same content; None where it is no longer the same. A damaged row may hold any type."""
        if not isinstance(packed, bytes) or len(packed) < _CHECKSUM_BYTES:
            return None
        rest, checksum = packed[:-_CHECKSUM_BYTES], int.from_bytes(packed[-_CHECKSUM_BYTES:], "little")
        front = self._front(sequence)
        begun = zlib.crc32(front)
        content = front + rest
        if zlib.crc32(content, begun) == checksum:
            return content
        return rest if zlib.crc32(rest, begun) == checksum else None

    def _front(self, sequence: int) -> bytes:
        """With which every reading begins: protobuf writes fields in the order of their numbers."""
        return self._head + Reading(sequence=sequence).SerializeToString()
