"""Every vehicle's boot_epochs, and what is missing of each. Pure; bounded for each vehicle.

At a limit it errs by showing too much: neighbouring gaps become one that says of itself that it is approximate. Only
what is complete, or already filled, is forgotten without being counted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from fleet_service.gaps import Epoch, Gap, GapState, Place, Run, placed

#: Vehicles of which a ledger is kept: as many as the registry takes.
MAX_VEHICLES: Final = 10_000
#: Starts of one vehicle's agent that are remembered.
MAX_EPOCHS: Final = 100
#: Gaps of one vehicle, over all its epochs; and so many are left when there were too many.
MAX_GAPS: Final = 300
GAPS_LEFT: Final = 200
#: In one window: what the contract's number holds. A vehicle may say that it has made any number of readings.
MAX_MISSING: Final = 2**63 - 1
#: Filled gaps of one boot_epoch that are remembered, the latest ones.
MAX_FILLED: Final = 20

# An epoch can always be brought down to one gap, so the limits can be kept together.
assert MAX_EPOCHS <= GAPS_LEFT < MAX_GAPS

#: vehicle_id, boot_epoch.
EpochKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Listed:
    """One gap of one vehicle. `place`: None where it is filled."""

    vehicle_id: str
    boot_epoch: int
    gap: Gap
    place: Place | None

    @property
    def key(self) -> tuple[str, int, int]:
        return self.vehicle_id, self.boot_epoch, self.gap.first


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch as it is stored. `gaps`: None where they are as they were."""

    key: EpochKey
    floor: int
    last: int
    first_ns: int
    last_ns: int
    heard_ns: int
    gaps: tuple[Gap, ...] | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What has to be stored since it was asked for the last time: `gone` before `rows`, which may begin anew."""

    rows: tuple[EpochRow, ...]
    gone: tuple[EpochKey, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Over all vehicles. `oldest_open_ns`: when the oldest open gap was found; 0 where there is none."""

    readings: Mapping[str, float]
    gaps: Mapping[str, float]
    oldest_open_ns: int = 0

    @staticmethod
    def by_state() -> dict[str, float]:
        """Zeros."""
        return {state.name.lower(): 0.0 for state in GapState if state is not GapState.FILLED}


class Ledger:
    """Feed it with what the topics say."""

    def __init__(self) -> None:
        self._vehicles: dict[str, dict[int, Epoch]] = {}
        self._moved: set[EpochKey] = set()
        self._changed: set[EpochKey] = set()
        self._gone: set[EpochKey] = set()
        self._with_gaps: set[EpochKey] = set()
        #: Kafka had deleted readings before this ledger began: what is below the first one of a vehicle is unknown.
        self.truncated = False
        #: Readings shown as missing that were there, since the process began.
        self.overstated = 0
        #: Readings missing in epochs that are no longer remembered, by the cause of that, since the process began.
        self.forgotten: Mapping[str, float] = dict.fromkeys(("limit", "age", "registry"), 0.0)
        #: Records of vehicles or epochs beyond the most that are kept, since the process began.
        self.turned_away = 0

    # What is heard

    def arrived(self, vehicle_id: str, boot_epoch: int, run: Run) -> None:
        epoch = self._epoch(vehicle_id, boot_epoch, run.first)
        self._note((vehicle_id, boot_epoch), epoch, epoch is not None and epoch.arrived(run))

    def rejected(self, vehicle_id: str, boot_epoch: int, sequence: int, reason: str, time_ns: int) -> None:
        epoch = self._epoch(vehicle_id, boot_epoch)
        changed = epoch is not None and epoch.rejected(sequence, sequence, reason, time_ns)
        self._note((vehicle_id, boot_epoch), epoch, changed)

    def lost(self, vehicle_id: str, boot_epoch: int, first: int, last: int, reason: str, time_ns: int) -> None:
        epoch = self._epoch(vehicle_id, boot_epoch)
        changed = epoch is not None and epoch.lost(first, last, reason, time_ns)
        self._note((vehicle_id, boot_epoch), epoch, changed)

    def told(self, vehicle_id: str, boot_epoch: int, last: int, time_ns: int) -> None:
        """In Hello: the vehicle had made so many readings in this epoch."""
        epoch = self._epoch(vehicle_id, boot_epoch)
        self._note((vehicle_id, boot_epoch), epoch, epoch is not None and epoch.told(last, time_ns))

    def _epoch(self, vehicle_id: str, boot_epoch: int, arriving: int | None = None) -> Epoch | None:
        """None where none is kept. `arriving`: the first reading of a run, which alone may begin an unknown past."""
        epochs = self._vehicles.get(vehicle_id)
        found = None if epochs is None else epochs.get(boot_epoch)
        if found is not None:
            return found
        if epochs is None and len(self._vehicles) >= MAX_VEHICLES:
            self.turned_away += 1
            return None
        return self._begin(vehicle_id, boot_epoch, arriving)

    def _begin(self, vehicle_id: str, boot_epoch: int, arriving: int | None) -> Epoch | None:
        epochs = self._vehicles.get(vehicle_id, {})
        before_all_known = not epochs or boot_epoch < min(epochs)
        if before_all_known and self.truncated and arriving is None:
            return None  # of a time of which nothing is known
        if len(epochs) >= MAX_EPOCHS and boot_epoch < min(epochs):
            self.turned_away += 1
            return None
        epoch = Epoch(arriving if before_all_known and self.truncated and arriving else 1)
        self._vehicles.setdefault(vehicle_id, epochs)[boot_epoch] = epoch
        self._moved.add((vehicle_id, boot_epoch))
        if len(epochs) > MAX_EPOCHS:
            self._forget(vehicle_id, self._most_dispensable(epochs), "limit")
        return epoch

    @staticmethod
    def _most_dispensable(epochs: dict[int, Epoch]) -> int:
        """The oldest that is complete, but not the newest two; else the oldest."""
        old = sorted(epochs)[:-2]
        complete = (number for number in old if not any(map(_unfilled, epochs[number].gaps)))
        return next(complete, old[0])

    def _note(self, key: EpochKey, epoch: Epoch | None, changed: bool) -> None:
        if epoch is None:
            return
        self._moved.add(key)
        if changed:
            self._keep_within_limits(key, epoch)
            self._gaps_changed(key, epoch)

    def _gaps_changed(self, key: EpochKey, epoch: Epoch) -> None:
        self._moved.add(key)
        self._changed.add(key)
        if epoch.gaps:
            self._with_gaps.add(key)
        else:
            self._with_gaps.discard(key)

    # Limits

    def _keep_within_limits(self, key: EpochKey, epoch: Epoch) -> None:
        if len(epoch.gaps) > MAX_FILLED:
            epoch.drop_filled(MAX_FILLED)
        epochs = self._vehicles[key[0]]
        if sum(len(one.gaps) for one in epochs.values()) > MAX_GAPS:
            while (excess := sum(len(one.gaps) for one in epochs.values()) - GAPS_LEFT) > 0:
                number, most = max(epochs.items(), key=lambda item: len(item[1].gaps))
                self.overstated += most.coarsen(max(1, len(most.gaps) - excess))
                self._gaps_changed((key[0], number), most)

    def _forget(self, vehicle_id: str, boot_epoch: int, cause: str) -> None:
        key = vehicle_id, boot_epoch
        epoch = self._vehicles[vehicle_id].pop(boot_epoch)
        if not self._vehicles[vehicle_id]:
            del self._vehicles[vehicle_id]
        self._count_forgotten(epoch, cause)
        self._moved.discard(key)
        self._changed.discard(key)
        self._with_gaps.discard(key)
        self._gone.add(key)

    def _count_forgotten(self, epoch: Epoch, cause: str) -> None:
        missing = sum(gap.count for gap in epoch.gaps if gap.state is GapState.OPEN)
        self.forgotten = {**self.forgotten, cause: self.forgotten[cause] + missing}  # read from another thread

    def forget_vehicle(self, vehicle_id: str, before_ns: int) -> None:
        """Taken out of the registry then: none of its gaps until then is listed any more.

        How far it was stays known: one that comes back goes on there, and nothing of it is new.
        """
        for boot_epoch, epoch in self._vehicles.get(vehicle_id, {}).items():
            if epoch.heard_ns < before_ns and epoch.gaps:
                self._count_forgotten(epoch, "registry")
                epoch.settle()
                self._gaps_changed((vehicle_id, boot_epoch), epoch)

    def forget_old(self, before_ns: int) -> None:
        """Epochs of which nothing has been heard since then, but the newest of each vehicle."""
        for vehicle_id, epochs in list(self._vehicles.items()):
            newest = max(epochs)
            for boot_epoch in [n for n, epoch in epochs.items() if n != newest and epoch.heard_ns < before_ns]:
                self._forget(vehicle_id, boot_epoch, "age")

    # For the store

    def restore(self, row: EpochRow) -> None:
        """As it was stored."""
        epoch = Epoch(row.floor, row.gaps or ())
        epoch.last, epoch.first_ns, epoch.last_ns, epoch.heard_ns = row.last, row.first_ns, row.last_ns, row.heard_ns
        self._vehicles.setdefault(row.key[0], {})[row.key[1]] = epoch
        if epoch.gaps:
            self._with_gaps.add(row.key)

    def take_changes(self) -> Changes:
        """They count as stored from now on."""
        changes = Changes(tuple(map(self._row, self._moved)), tuple(self._gone))
        self._moved, self._changed, self._gone = set(), set(), set()
        return changes

    def _row(self, key: EpochKey) -> EpochRow:
        epoch = self._vehicles[key[0]][key[1]]
        gaps = epoch.gaps if key in self._changed else None
        return EpochRow(key, epoch.floor, epoch.last, epoch.first_ns, epoch.last_ns, epoch.heard_ns, gaps)

    # What is asked

    def __len__(self) -> int:
        return len(self._vehicles)

    def listed(self, after: tuple[str, int, int] | None, wanted: Callable[[Listed], bool]) -> Iterator[Listed]:
        """By vehicle, boot_epoch and sequence, behind `after`."""
        for key in sorted(key for key in self._with_gaps if after is None or key >= after[:2]):
            gaps = self._vehicles[key[0]][key[1]].gaps
            places = {gap.first: place for gap, place in placed(gaps)}
            for gap in gaps:
                listed = Listed(*key, gap, places.get(gap.first))
                if (after is None or listed.key > after) and wanted(listed):
                    yield listed

    def missing_in(self, vehicle_id: str, start_ns: int, end_ns: int) -> int | None:
        """Readings sampled from `start_ns` up to `end_ns` that are missing, lost or rejected. None: not known."""
        epochs = self._vehicles.get(vehicle_id, {})
        known_from_ns = min((epoch.first_ns for epoch in epochs.values() if epoch.first_ns), default=0)
        if not known_from_ns or end_ns <= known_from_ns or (start_ns < known_from_ns and self._begins_late(epochs)):
            return None
        return min(MAX_MISSING, sum(missing_between(epoch.gaps, start_ns, end_ns) for epoch in epochs.values()))

    @staticmethod
    def _begins_late(epochs: dict[int, Epoch]) -> bool:
        return epochs[min(epochs)].floor > 1

    def summary(self) -> Summary:
        """Costs as much as there are gaps."""
        readings, gaps, oldest_ns = Summary.by_state(), Summary.by_state(), 0
        for vehicle_id, boot_epoch in self._with_gaps:
            for gap in filter(_unfilled, self._vehicles[vehicle_id][boot_epoch].gaps):
                readings[gap.state.name.lower()] += gap.count
                gaps[gap.state.name.lower()] += 1
                if gap.state is GapState.OPEN:
                    oldest_ns = min(oldest_ns or gap.found_ns, gap.found_ns)
        return Summary(readings, gaps, oldest_ns)


def missing_between(gaps: Iterable[Gap], start_ns: int, end_ns: int) -> int:
    """As if missing readings lay evenly between their neighbours; with one neighbour known, all lie at that one."""
    return sum(_index(gap, place, end_ns) - _index(gap, place, start_ns) for gap, place in placed(gaps))


def _index(gap: Gap, place: Place, time_ns: int) -> int:
    """How many of the gap were sampled before then."""
    low, high = 0, gap.count
    while low < high:
        middle = (low + high) // 2
        if place.time_of(gap.first + middle) < time_ns:
            low = middle + 1
        else:
            high = middle
    return low


def _unfilled(gap: Gap) -> bool:
    return gap.state is not GapState.FILLED
