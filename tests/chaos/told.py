"""What `pitwall stop` says and when, and whether the vehicles' own logs agree."""

import json
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.integration.console_rig import pitwall
from tests.integration.stacks import RunningStack
from tests.support.operator import Json
from tests.support.plant import Plant, PlantLine

#: A stop says where it goes within so long, seconds: a Python process starts meanwhile.
STARTS_WITHIN_S = 20.0
ENDS_WITHIN_S = 60.0


@dataclass(slots=True)
class Told:
    """The lines of one stop, each with the moment (CLOCK_MONOTONIC, seconds) when it was read."""

    process: subprocess.Popen[str]
    lines: list[tuple[float, Json]] = field(default_factory=list)
    _begun: threading.Event = field(default_factory=threading.Event)
    _reader: threading.Thread | None = None

    def read(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self.lines.append((time.monotonic(), json.loads(text)))
            self._begun.set()
        self._begun.set()

    @property
    def issued_t(self) -> float:
        """When the request went out."""
        assert self._begun.wait(STARTS_WITHIN_S), "pitwall stop says nothing"
        assert self.lines, f"pitwall stop has ended: {self.process.communicate()}"
        return float(self.lines[0][1]["issuedMonotonic"])

    @property
    def stop_id(self) -> str:
        """Of the stop that is in force: a later line names another one where the first had been released."""
        return str(self.lines[-1][1].get("stopId") or self.summary["stopId"])

    def end(self) -> int:
        """Awaits the end; the exit code."""
        assert self._reader is not None
        self._reader.join(ENDS_WITHIN_S)
        assert not self._reader.is_alive(), f"pitwall stop does not end; so far: {self.lines[-3:]}"
        return self.process.wait()

    @property
    def summary(self) -> Json:
        """After the end."""
        summary: Json = self.lines[-1][1]["summary"]
        return summary

    def assert_true(self, plant: Plant) -> None:
        """Nobody was called standing who moved."""
        assert not (found := lies(plant, self.lines)), found
        standing = [v for v in plant.vehicle_ids() if plant.last(v).speed_kph == 0]
        assert self.summary["standstill"] <= len(standing), (self.summary, standing)


def lies(plant: Plant, told: Iterable[tuple[float, Json]]) -> list[str]:
    """Of whom it was said that they stand, by their own logs they moved at that moment or have moved since."""
    standing = [(t, line["vehicleId"]) for t, line in told if line.get("stage") == "STOP_STAGE_STANDSTILL"]
    return [f"{vehicle_id}: {moved}" for t, vehicle_id in standing if (moved := _moved(plant.lines(vehicle_id), t))]


def _moved(lines: Iterable[PlantLine], since_t: float) -> PlantLine | None:
    newest: PlantLine | None = None
    for line in lines:
        if line.t > since_t and line.speed_kph > 0:
            return line
        newest = line if line.t <= since_t else newest
    return newest if newest is not None and newest.speed_kph > 0 else None


@contextmanager
def stopping(stack: RunningStack, *arguments: str) -> Iterator[Told]:
    """One `pitwall stop` under way; awaited at the end of the block, unless that was done in it."""
    with pitwall(stack, "stop", *arguments, "--output", "json") as process:
        told = Told(process)
        told.read()
        yield told
        told.end()
