"""command_service's journal without its thread and its file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from haul.command.v1 import event_pb2

from command_service.events import Record
from command_service.journal import HUNG_AFTER_S
from command_service.records import Head, seal, unseal
from tests.model.surroundings import CLOCK

if TYPE_CHECKING:
    from tests.model.commands import CommandService


@dataclass
class CommandDisk:
    """The journal's file. `hangs`: it takes nothing for now."""

    complete: bool = True
    records: list[Record] = field(default_factory=list)
    vehicles: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    hangs: bool = False

    def replay(self, name: str) -> Iterator[event_pb2.CommandEvent]:
        """Each record through its bytes, as a restart reads them."""
        head = back = Head()
        for record in self.records:
            raw, head = seal(record, name, head)
            message, back = unseal(raw, back)
            yield message


class Written:
    """The one thing that Hub wants of a future."""

    def __init__(self) -> None:
        self.then: Callable[[Written], None] = lambda _: None

    def add_done_callback(self, then: "Callable[[Written], None]") -> None:
        self.then = then

    def cancelled(self) -> bool:
        return False


class Journal:
    """command_service.journal without its thread."""

    def __init__(self, process: "CommandService") -> None:
        self._process = process
        self._urgent: list[tuple[Record, Written]] = []
        self._notes: list[Record] = []
        self._vehicles: dict[str, tuple[bytes, int]] = {}
        self._complete = self._due = False
        self._written_s = CLOCK.own_s

    def healthy(self, now_s: float) -> bool:
        return now_s - self._written_s <= HUNG_AFTER_S

    def append(self, record: Record) -> Written:
        written = Written()
        self._urgent.append((record, written))
        self._soon(0.001 + 0.02 * self._process.chance.random() ** 4)
        return written

    def note(self, record: Record) -> None:
        self._notes.append(record)

    def remember(self, vehicle_id: str, session: bytes, since_ns: int) -> None:
        self._vehicles[vehicle_id] = (session, since_ns)

    def complete(self) -> None:
        self._complete = True

    def probe(self) -> None:
        """An idle journal writes too, and all that may wait."""
        self._soon(0.001)

    def _soon(self, own_s: float) -> None:
        if not self._due:
            self._due = True
            self._process.later(own_s, self._write)

    def _write(self) -> None:
        process, disk = self._process, self._process.disk
        if disk.hangs:
            process.later(0.2, self._write)
            return
        self._due = False
        urgent, self._urgent = self._urgent, []
        notes, self._notes = self._notes, []
        disk.vehicles.update(self._vehicles)
        self._vehicles.clear()
        disk.complete = disk.complete or self._complete
        for record in (*(record for record, _ in urgent), *notes):
            disk.records.append(record)
            process.watch.on_disk(process.name, record)
        self._written_s = CLOCK.own_s
        if urgent:
            process.later(1e-4, self._tell, [written for _, written in urgent])

    @staticmethod
    def _tell(all_written: list[Written]) -> None:
        for written in all_written:
            written.then(written)
