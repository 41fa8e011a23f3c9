"""What the outbox's thread is asked for, and what it answers."""

from dataclasses import dataclass, field

from edge_agent.outbox import NewReading
from edge_agent.reports import Lost
from edge_agent.shipment import Stored, Wanted
from pitwall.domain.sequence import SequenceRange


@dataclass(frozen=True, slots=True)
class Remove:
    """Acknowledged."""

    vehicle_id: str
    boot_epoch: int
    ranges: tuple[SequenceRange, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    vehicle_id: str
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Lose:
    """Given up by somebody else than the outbox: to be written down, so that it is told after a restart too."""

    vehicle_id: str
    losses: tuple[Lost, ...]


Command = NewReading | Remove | Fetch | Lose


@dataclass(slots=True)
class Outcome:
    """What came of a run of commands. `unsaved`: readings that are in memory alone."""

    stored: list[NewReading] = field(default_factory=list)
    fetched: list[tuple[Fetch, list[Stored] | None]] = field(default_factory=list)
    lost: dict[str, list[Lost]] = field(default_factory=dict)
    problem: str = ""
    rows: int = 0
    bytes: int = 0
    unsaved: int = 0
