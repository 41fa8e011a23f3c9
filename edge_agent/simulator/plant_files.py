"""Writes the plant files, in a thread of its own: a slow or full disk must not hold the physics.

Lines wait in memory, at most MOST_WAITING of them; what doesn't fit is dropped, counted, and seen in /healthz. A file
that reaches its share of the budget becomes `<vehicle_id>.jsonl.1`, in place of the one that had that name.
"""

import os
import threading
from collections import deque
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Final

#: Lines that may wait for the disk: ten seconds of a thousand braking vehicles.
MOST_WAITING: Final = 100_000
#: All plant files together, both generations.
DEFAULT_BUDGET_BYTES: Final = 2 * 1024**3
#: A file is not cut shorter than this: some hours of one line a second.
SMALLEST_FILE_BYTES: Final = 1024 * 1024
#: How long close() waits for the disk.
CLOSE_S: Final = 2.0


class PlantFile:
    """One vehicle's file. Only the writer's thread uses it."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path, self.limit_bytes = path, limit_bytes
        self._file: int | None = None
        self._size = 0

    def append(self, lines: bytes) -> None:
        """Whole lines or nothing new to a reader but a torn last one. Raises OSError."""
        if self._file is None:
            self._open()
        if self._size and self._size + len(lines) > self.limit_bytes:
            self.close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._open()
        assert self._file is not None
        rest = memoryview(lines)
        while rest:
            written = os.write(self._file, rest)
            self._size += written
            rest = rest[written:]

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._file).st_size

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class PlantFiles:
    """`write` never blocks. Raises OSError on construction when the folder can't be made."""

    def __init__(self, folder: Path, vehicle_ids: Iterable[str], budget_bytes: int = DEFAULT_BUDGET_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        ids = list(vehicle_ids)
        limit_bytes = max(budget_bytes // max(2 * len(ids), 1), SMALLEST_FILE_BYTES)
        self._files = {vehicle_id: PlantFile(folder / f"{vehicle_id}.jsonl", limit_bytes) for vehicle_id in ids}
        self._waiting: deque[tuple[str, str]] = deque()
        self._wake = threading.Event()
        self._closing = False
        #: Lines that were dropped so far, because too many waited or the disk refused them.
        self.lost = 0
        #: What the disk said last; empty while it takes everything.
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="plant-files", daemon=True)
        self._thread.start()

    def write(self, vehicle_id: str, line: str) -> None:
        """Hands one line, with its line end, to the writer."""
        if len(self._waiting) >= MOST_WAITING:
            self.lost += 1
            return
        self._waiting.append((vehicle_id, line))
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Writes what waits, for at most CLOSE_S."""
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not (self._closing and not self._waiting):
            self._wake.wait()
            if not self._closing:
                self._wake.clear()
            self._write_waiting()
        for file in self._files.values():
            file.close()

    def _write_waiting(self) -> None:
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        # Stable: each vehicle's lines keep their order.
        batch.sort(key=lambda item: item[0])
        for vehicle_id, items in groupby(batch, key=lambda item: item[0]):
            lines = [line for _, line in items]
            try:
                self._files[vehicle_id].append("".join(lines).encode())
                self.problem = ""
            except OSError as error:
                self.lost += len(lines)
                self.problem = f"{vehicle_id}.jsonl: {error.strerror}"
