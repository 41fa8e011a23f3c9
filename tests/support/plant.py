"""What the simulated vehicles wrote themselves: the only witness that tests believe about motion."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: How often a file is looked at again while waiting, seconds.
POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class PlantLine:
    """`t` is CLOCK_MONOTONIC, seconds."""

    t: float
    speed_kph: float
    brake: bool
    permitted: bool
    #: None before the first verdict of an agent.
    status: str | None
    cause: str
    boot_epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Plant:
    """The folder of plant files of one stack."""

    folder: Path

    def vehicle_ids(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.jsonl"))

    def lines(self, vehicle_id: str, since_t: float = 0.0) -> Iterator[PlantLine]:
        """Every whole line from this moment on; a half-written last line is left for the next look."""
        with (self.folder / f"{vehicle_id}.jsonl").open() as file:
            for text in file:
                if text.endswith("\n"):
                    line = PlantLine(**json.loads(text))
                    if line.t >= since_t:
                        yield line

    def last(self, vehicle_id: str) -> PlantLine:
        """The newest line, read from the end of the file."""
        with (self.folder / f"{vehicle_id}.jsonl").open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4096))
            whole = [text for text in file.read().split(b"\n")[:-1] if text]
        return PlantLine(**json.loads(whole[-1]))

    def wait(
        self,
        vehicle_id: str,
        what: str,
        holds: Callable[[PlantLine], bool],
        *,
        since_t: float = 0.0,
        timeout_s: float = 30.0,
    ) -> PlantLine:
        """The first line since then for which it holds. AssertionError with the last line when none comes in time."""
        deadline = time.monotonic() + timeout_s
        path = self.folder / f"{vehicle_id}.jsonl"
        while not path.exists():  # the plant is just starting
            assert time.monotonic() < deadline, f"{vehicle_id}: no plant file in {timeout_s} s"
            time.sleep(POLL_S)
        with path.open() as file:
            kept = ""
            line = None
            while True:
                text = file.readline()
                if text.endswith("\n"):
                    line = PlantLine(**json.loads(kept + text))
                    kept = ""
                    if line.t >= since_t and holds(line):
                        return line
                    continue
                kept += text
                if time.monotonic() > deadline:
                    raise AssertionError(f"{vehicle_id}: no line in {timeout_s} s where {what}; the last one: {line}")
                time.sleep(POLL_S)

    def readings(self) -> Iterator[tuple[tuple[str, int, int], int]]:
        """((vehicle_id, boot_epoch, sequence), crc32) of every generated reading."""
        for path in sorted(self.folder.glob("*.readings")):
            with path.open() as file:
                for text in file:
                    if text.endswith("\n"):
                        boot_epoch, sequence, crc32 = text.split()
                        yield (path.stem, int(boot_epoch), int(sequence)), int(crc32)
