"""One stop in the ledger: its vehicles, its sums, who has it on disk.

To be changed by the ledger alone; anybody may look.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile

from command_service.progress import MOVING, Reach, VehicleNow, VehicleProgress
from pitwall.domain.stop_set import Stop, VehicleScope


@dataclass(slots=True)
class StopEntry:
    """`vehicles` are in the order of their last change, so that what changed is found from the end.

    `issued_ns`: when a majority had it on disk, nanoseconds since 1970. `unknown`: named, but not known to the site.
    `counts`: vehicles by Reach.
    """

    stop: Stop
    journaled_by: set[str] = field(default_factory=set)
    issued_ns: int | None = None
    version: int = 0
    changed_for_all: int = 0
    released_for_all: bool = False
    released_for: set[str] = field(default_factory=set)
    vehicles: dict[str, VehicleProgress] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    pending: set[str] = field(default_factory=set)
    counts: list[int] = field(default_factory=lambda: [0] * len(Reach))

    # Views

    @property
    def stop_id(self) -> str:
        return self.stop.stop_id

    @property
    def grows(self) -> bool:
        """Whether vehicles can come into scope later."""
        return not isinstance(self.stop.scope, VehicleScope)

    @property
    def unreachable(self) -> int:
        return self.counts[Reach.UNREACHABLE] + self.counts[Reach.UNREACHABLE_AFTER_STANDSTILL]

    @property
    def settled(self) -> bool:
        """Whether everybody in scope has come to a stand or is released, though the link may be gone since."""
        return not any(self.counts[reach] for reach in MOVING)

    @property
    def all_released(self) -> bool:
        """Whether no vehicle is in scope any more: each has said that it no longer holds the stop, or never had it."""
        return self.counts[Reach.RELEASED] == len(self.vehicles)

    @property
    def over(self) -> bool:
        """Whether no vehicle is in scope any more, and none can come to be."""
        return self.all_released and (self.released_for_all or not self.grows)

    def changed(self, since: int = -1) -> list[VehicleProgress]:
        """The vehicles that changed after this version; all of them for -1."""
        newest_first = reversed(self.vehicles.values())
        if since < self.changed_for_all:
            return list(newest_first)
        return list(takewhile(lambda progress: progress.version > since, newest_first))

    # Changes

    def enter(self, vehicle: VehicleNow, now_s: float) -> VehicleProgress | None:
        """Takes a vehicle into scope; None where it is in scope already."""
        if vehicle.vehicle_id in self.vehicles:
            return None
        released = self.released_for_all or vehicle.vehicle_id in self.released_for
        progress = VehicleProgress(vehicle, now_s, vehicle.linked, released_in_set=released)
        self.vehicles[vehicle.vehicle_id] = progress
        self.counts[progress.reach] += 1
        self._note_pending(progress)
        self.renew(progress)
        return progress

    def moved(self, progress: VehicleProgress, before: Reach) -> None:
        """A vehicle has changed; `before` is the sum that it counted in until then."""
        reach = progress.reach
        if reach is not before:
            self.counts[before] -= 1
            self.counts[reach] += 1
            self._note_pending(progress)
        self.renew(progress)

    def _note_pending(self, progress: VehicleProgress) -> None:
        (self.pending.add if progress.reach is Reach.PENDING else self.pending.discard)(progress.vehicle_id)

    def renew(self, progress: VehicleProgress) -> None:
        """Makes it the latest change."""
        self.version += 1
        progress.version = self.version
        self.vehicles[progress.vehicle_id] = self.vehicles.pop(progress.vehicle_id)

    def renew_sums(self) -> None:
        """Something changed that is shown of the stop as a whole."""
        self.version += 1

    def renew_all(self) -> None:
        """Something changed that every vehicle's view shows."""
        self.version += 1
        self.changed_for_all = self.version

    def release(self, vehicle_ids: frozenset[str]) -> Iterable[VehicleProgress]:
        """Notes the released pairs and gives those that are in scope; everybody where none is named."""
        self.released_for_all |= not vehicle_ids
        self.released_for |= vehicle_ids
        chosen = vehicle_ids & self.vehicles.keys() if vehicle_ids else tuple(self.vehicles)
        return [self.vehicles[vehicle_id] for vehicle_id in chosen]
