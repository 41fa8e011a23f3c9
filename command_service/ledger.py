"""The stop ledger: for each stop, how far it has come at each vehicle, and whether a majority has it on disk.

Pure: words come in with the time (CLOCK_BOOTTIME seconds) at which they came, views go out. The sums are kept as the
words come and always add up: in scope = standstill + pending + unreachable. Whoever watches a stop asks what has
changed since its last look, so a slow reader costs a number and no queue.

Who is in scope: of named vehicles those, known or not; of the fleet every known one, and whoever connects later; of a
zone whoever says that the stop has hold of it, because only the vehicle judges that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from command_service.entry import StopEntry
from command_service.progress import Reach, Stage, VehicleNow, VehicleProgress
from pitwall.domain.permit import PermitTerms, majority
from pitwall.domain.stop_set import FleetScope, Stop, VehicleScope

_NANOS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Summary:
    """The sums of one stop. `brakes_by_ns`: nanoseconds since 1970; None while the stop is not confirmed."""

    in_scope: int
    standstill: int
    pending: int
    unreachable: int
    journaled_by: int
    command_services: int
    confirmed: bool
    brakes_by_ns: int | None
    unknown_vehicle_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overdue:
    """A stage that has not come in time."""

    stop_id: str
    vehicle_id: str
    last_stage: Stage


class Ledger:
    """All stops that this site remembers. `members`: its command services, whose journals are counted."""

    def __init__(self, members: Sequence[str], terms: PermitTerms) -> None:
        self._members, self._terms = frozenset(members), terms
        self._entries: dict[str, StopEntry] = {}
        self._of_vehicle: dict[str, set[str]] = {}  # vehicle id -> stops that it has not said to be released
        self._fleet: set[str] = set()  # stops for the fleet that are not released for all
        self._busy: set[str] = set()  # stops with pending vehicles
        self._touched: set[str] = set()
        #: (stop, vehicle) pairs in all.
        self.pairs = 0

    def __len__(self) -> int:
        return len(self._entries)

    # Stops come and go

    def open(self, stop: Stop, vehicles: Iterable[VehicleNow], now_s: float) -> bool:
        """A stop that is new here, with the vehicles that are in scope now. Returns False where it is not new."""
        if stop.stop_id in self._entries:
            return False
        entry = self._entries[stop.stop_id] = StopEntry(stop)
        if isinstance(stop.scope, FleetScope):
            self._fleet.add(stop.stop_id)
        for vehicle in vehicles:
            self._enter(entry, vehicle, now_s)
        entry.unknown = tuple(sorted(p.vehicle_id for p in entry.vehicles.values() if not p.met.known))
        self._touched.add(stop.stop_id)
        return True

    def journaled(self, stop_id: str, member: str, event_ns: int) -> bool:
        """A member has the stop on disk. Returns whether that made the majority: the stop is issued."""
        entry = self._entries.get(stop_id)
        if entry is None or member not in self._members or member in entry.journaled_by:
            return False
        entry.journaled_by.add(member)
        issued = entry.issued_ns is None and len(entry.journaled_by) >= majority(len(self._members))
        if issued:
            entry.issued_ns = event_ns
            self._renew_all(entry)
        else:
            entry.renew_sums()
            self._touched.add(stop_id)
        return issued

    def restore_issued(self, stop_id: str, event_ns: int) -> None:
        """The journal says that a majority had the stop on disk."""
        entry = self._entries.get(stop_id)
        if entry is not None and entry.issued_ns is None:
            entry.issued_ns = event_ns
            self._renew_all(entry)

    def released(self, stop_ids: Iterable[str], vehicle_ids: Iterable[str], now_s: float) -> list[tuple[str, str, int]]:
        """A release is in force: for the named vehicles, for all where none is named.

        Returns the (stop, vehicle) pairs whose vehicle had already said that it let go, with when it said so.
        """
        named = frozenset(vehicle_ids)
        gone = []
        for entry in filter(None, map(self._entries.get, stop_ids)):
            for progress in entry.release(named):
                before = progress.reach
                if progress.release(now_s):
                    gone.append((entry.stop_id, progress.vehicle_id, progress.event_ns[Stage.RELEASED]))
                self._moved(entry, progress, before)
            if entry.released_for_all:
                self._fleet.discard(entry.stop_id)
            self._renew_all(entry)
        return gone

    def forget(self, stop_id: str) -> None:
        """Drops a stop that the stop set has compacted away."""
        entry = self._entries.pop(stop_id, None)
        self._fleet.discard(stop_id)
        self._busy.discard(stop_id)
        for vehicle_id in entry.vehicles if entry else ():
            self._of_vehicle[vehicle_id].discard(stop_id)
            self.pairs -= 1

    def thin(self, most: int) -> None:
        """Drops the oldest stops that every vehicle has said to be released, until there are so many pairs.

        Never one that could still hold somebody: a zone that nobody is in has no pairs, and is none of those.
        """
        for stop_id in [stop_id for stop_id, entry in self._entries.items() if entry.over]:
            if self.pairs <= most:
                return
            self.forget(stop_id)

    # Vehicles speak

    def link(self, vehicle: VehicleNow, now_s: float) -> None:
        """A vehicle's link came or went. One that connects is in scope of every stop for the fleet."""
        for stop_id in self._fleet if vehicle.linked else ():
            self._enter(self._entries[stop_id], vehicle, now_s)
        for stop_id in self._of_vehicle.get(vehicle.vehicle_id, ()):
            entry = self._entries[stop_id]
            progress = entry.vehicles[vehicle.vehicle_id]
            if progress.linked is not vehicle.linked:
                before = progress.reach
                progress.link(vehicle, now_s)
                self._moved(entry, progress, before)

    def is_for(self, stop_id: str, vehicle_id: str) -> bool:
        """Whether the vehicle can be in the stop's scope. True of a stop that isn't known here: nobody can say."""
        entry = self._entries.get(stop_id)
        scope = entry.stop.scope if entry else None
        return not isinstance(scope, VehicleScope) or vehicle_id in scope.vehicle_ids

    def report(
        self, vehicle: VehicleNow, stop_id: str, stage: Stage, event_ns: int, durably: bool, now_s: float
    ) -> bool:
        """A word about one stage. Returns whether it said anything new; False also where the vehicle isn't in scope."""
        entry = self._entries.get(stop_id)
        if entry is None or stage < Stage.SENT:
            return False
        if entry.grows and Stage.RECEIVED <= stage <= Stage.STANDSTILL:
            self._enter(entry, vehicle, now_s)
        progress = entry.vehicles.get(vehicle.vehicle_id)
        if progress is None:
            return False
        before = progress.reach
        news = progress.take(stage, event_ns, durably, now_s)
        if news:
            self._moved(entry, progress, before)
        return news

    def latched(
        self, vehicle: VehicleNow, stop_ids: Iterable[str], event_ns: int, now_s: float, *, hello: bool
    ) -> list[tuple[str, Stage]]:
        """The vehicle's own list of what has hold of it; it does not hold the rest. Returns the stages that are new.

        The absence of a stop counts only in a `hello` or once the vehicle has had it: an earlier list may still have
        been on its way when the stop reached the vehicle.
        """
        held = frozenset(stop_ids)
        words = [(stop_id, Stage.RECEIVED) for stop_id in sorted(held)]
        for stop_id in self._of_vehicle.get(vehicle.vehicle_id, set()) - held:
            progress = self._entries[stop_id].vehicles[vehicle.vehicle_id]
            if progress.released_in_set and (hello or progress.stage >= Stage.RECEIVED):
                words.append((stop_id, Stage.RELEASED))
        return [word for word in words if self.report(vehicle, *word, event_ns, False, now_s)]

    def tick(self, now_s: float) -> list[Overdue]:
        """Those whose next stage has become late since the last tick."""
        late = []
        for stop_id in self._busy:
            entry = self._entries[stop_id]
            for vehicle_id in entry.pending:
                progress = entry.vehicles[vehicle_id]
                due_s = None if progress.overdue else progress.due_s()
                if due_s is not None and now_s >= due_s:
                    late.append(Overdue(stop_id, vehicle_id, progress.stage))
        for overdue in late:
            entry = self._entries[overdue.stop_id]
            entry.vehicles[overdue.vehicle_id].overdue = True
            entry.renew(entry.vehicles[overdue.vehicle_id])
            self._touched.add(overdue.stop_id)
        return late

    # Views

    def get(self, stop_id: str) -> StopEntry | None:
        return self._entries.get(stop_id)

    def entries(self) -> Iterable[StopEntry]:
        """In the order in which they came."""
        return self._entries.values()

    def __getitem__(self, stop_id: str) -> StopEntry:
        return self._entries[stop_id]

    def take_touched(self) -> set[str]:
        """Stops that have changed since this was last asked."""
        touched, self._touched = self._touched, set()
        return touched

    @property
    def overdue(self) -> int:
        """(stop, vehicle) pairs whose next stage is late now."""
        return sum(self._entries[s].vehicles[v].overdue for s in self._busy for v in self._entries[s].pending)

    def summary(self, stop_id: str) -> Summary:
        entry = self._entries[stop_id]
        standstill, pending, unreachable = (
            entry.counts[Reach.STANDSTILL],
            entry.counts[Reach.PENDING],
            entry.unreachable,
        )
        return Summary(
            in_scope=standstill + pending + unreachable,
            standstill=standstill,
            pending=pending,
            unreachable=unreachable,
            journaled_by=len(entry.journaled_by),
            command_services=len(self._members),
            confirmed=entry.issued_ns is not None,
            brakes_by_ns=_after_issue(entry, self._terms.brakes_within_s),
            unknown_vehicle_ids=entry.unknown,
        )

    def says_released(self, stop_ids: Iterable[str], vehicle_ids: Iterable[str]) -> list[str]:
        """Of the named vehicles, or of all in scope: those that no longer hold any of these stops, sorted."""
        entries = [entry for entry in map(self._entries.get, stop_ids) if entry]
        asked = set(vehicle_ids) or {vehicle_id for entry in entries for vehicle_id in entry.vehicles}
        pairs = ((v, {e.vehicles[v].stage for e in entries if v in e.vehicles}) for v in asked)
        return sorted(v for v, stages in pairs if stages == {Stage.RELEASED})

    # Keeping the books

    def _enter(self, entry: StopEntry, vehicle: VehicleNow, now_s: float) -> None:
        if entry.enter(vehicle, now_s) is not None:
            self.pairs += 1
            self._of_vehicle.setdefault(vehicle.vehicle_id, set()).add(entry.stop_id)
            self._noticed(entry)

    def _moved(self, entry: StopEntry, progress: VehicleProgress, before: Reach) -> None:
        entry.moved(progress, before)
        if progress.stage is Stage.RELEASED:
            self._of_vehicle[progress.vehicle_id].discard(entry.stop_id)
        self._noticed(entry)

    def _renew_all(self, entry: StopEntry) -> None:
        entry.renew_all()
        self._touched.add(entry.stop_id)

    def _noticed(self, entry: StopEntry) -> None:
        (self._busy.add if entry.pending else self._busy.discard)(entry.stop_id)
        self._touched.add(entry.stop_id)


def _after_issue(entry: StopEntry, seconds: float) -> int | None:
    return None if entry.issued_ns is None else entry.issued_ns + round(seconds * _NANOS)
