"""`<vehicle_id>.readings` among the plant files: what tests compare with what arrived.

A line `boot_epoch sequence crc32` for every reading, written before the reading enters the outbox. Written to the
kernel at once, so that a killed agent keeps the order: line first.
"""

import logging
from io import FileIO
from pathlib import Path

from haul.telemetry.v1.telemetry_pb2 import Reading

from edge_agent.outbox import NewReading
from pitwall.reading import content_crc32

_log = logging.getLogger(__name__)


class ReadingsLog:
    """`folder` None: switched off. Used in the outbox's thread alone."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: dict[str, FileIO] = {}

    def write(self, readings: list[NewReading]) -> None:
        """A disk that takes no line must not keep the readings back: then the line is missing and the log says so."""
        if self._folder is None:
            return
        lines: dict[str, list[str]] = {}
        for new in readings:
            stored = new.stored
            crc = content_crc32(Reading.FromString(stored.content))
            lines.setdefault(new.vehicle_id, []).append(f"{stored.boot_epoch} {stored.sequence} {crc}\n")
        for vehicle_id, text in lines.items():
            try:
                self._file(self._folder, vehicle_id).write("".join(text).encode())
            except OSError as error:
                _log.error("%s.readings: %d lines are missing: %s", vehicle_id, len(text), error)

    def _file(self, folder: Path, vehicle_id: str) -> FileIO:
        if vehicle_id not in self._files:
            folder.mkdir(parents=True, exist_ok=True)
            self._files[vehicle_id] = FileIO(folder / f"{vehicle_id}.readings", "a")
        return self._files[vehicle_id]

    def close(self) -> None:
        for file in self._files.values():
            file.close()
