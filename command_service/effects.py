"""What the core wants done, for the shell to carry out in its order."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from command_service.events import Record
from command_service.registry import CloseOlder, Vehicle
from pitwall.domain.order import MotionEtag, Order
from pitwall.domain.stop_set import Release, SetDelta


class Moment(NamedTuple):
    """Now: CLOCK_BOOTTIME seconds for every age, and wall clock nanoseconds since 1970 for people and records."""

    s: float
    ns: int


class Awaited(Enum):
    """What hangs on a record being on disk."""

    STOP = auto()
    REQUEST = auto()
    APPROVAL = auto()


#: What a release does: the stops and vehicles that it names.
Content = tuple[frozenset[str], frozenset[str]]


class Ack(NamedTuple):
    """A record that somebody awaits: the stop or release that it is about.

    `content`: of an approval. A disk counts for what is on it, and not for another release of the same id.
    """

    kind: Awaited
    id: str
    content: Content | None = None


def approval(release: Release) -> Ack:
    return Ack(Awaited.APPROVAL, release.release_id, (release.stop_ids, release.vehicle_ids))


@dataclass(frozen=True, slots=True)
class Journal:
    """To disk. With an ack, tell `journaled` when it is there; without, whenever it suits."""

    record: Record
    ack: Ack | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """New in the set: to every peer and every gateway, except the gateway that brought it.

    `relayed`: it was not asked for here. Whoever has brought it tells the others as well, so it goes a moment later.
    """

    delta: SetDelta
    except_link: int | None = None
    relayed: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """A release that waits, for an approval or for a majority's disks: to every peer at once."""

    release: Release


@dataclass(frozen=True, slots=True)
class Recalled:
    """What this command service had lost with its journal it knows again: to disk, and leases may be granted."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """An order, to the gateway that holds these vehicles."""

    link: int
    order: Order
    etags: Mapping[str, MotionEtag]


@dataclass(frozen=True, slots=True)
class Remember:
    """The vehicle's newest session is to survive a restart."""

    vehicle: Vehicle


Effect = Journal | Push | Ask | Recalled | Deliver | Remember | CloseOlder
