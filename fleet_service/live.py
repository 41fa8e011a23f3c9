"""What is known of a vehicle now: pure merging of live readings and status changes.

The newest reading is the one with the greatest (boot_epoch, sequence); a backfilled one is history and changes nothing
here. A quantity that the newest reading doesn't have keeps its last known value, with the time when that was measured.
Merging is idempotent, so a record that comes again, or a state read from a store, never turns anything back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

#: (boot_epoch, sequence)
Identity = tuple[int, int]
#: (boot_epoch, connect_count, number within the session)
ChangeNumber = tuple[int, int, int]

LOST = 2
CONNECTED = 1


@dataclass(frozen=True, slots=True)
class Known:
    """The last known value of a quantity and the reading that had it. Times are nanoseconds since 1970."""

    value: float
    identity: Identity
    event_ns: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading. Status, sub-status and hold are the numbers of the contract's enums."""

    vehicle_id: str
    boot_epoch: int
    sequence: int
    event_ns: int
    received_ns: int
    status: int
    sub_status: int
    motion_hold: int
    quantities: Mapping[str, float]
    backfilled: bool = False

    @property
    def identity(self) -> Identity:
        return self.boot_epoch, self.sequence

    def known(self, name: str) -> Known | None:
        value = self.quantities.get(name)
        return None if value is None else Known(value, self.identity, self.event_ns)


@dataclass(frozen=True, slots=True)
class Change:
    """A status change: all of the state after it."""

    vehicle_id: str
    number: ChangeNumber
    event_ns: int
    status: int
    sub_status: int
    motion_hold: int
    connectivity: int
    #: Since when the connectivity is what it is.
    since_ns: int


@dataclass(frozen=True, slots=True)
class Live:
    """Of one vehicle. Methods return a new object, or this very one where nothing is new."""

    sample: Sample | None = None
    #: Quantities that `sample` doesn't have.
    older: Mapping[str, Known] = field(default_factory=dict)
    change: Change | None = None

    def with_sample(self, sample: Sample) -> "Live":
        if sample.backfilled:
            return self
        if self.sample is None:
            return replace(self, sample=sample, older=_without(self.older, sample))
        if sample.identity <= self.sample.identity:
            return self._with_late(sample)
        older = _newest(self.older, _all_known(self.sample))
        return replace(self, sample=sample, older=_without(older, sample))

    def _with_late(self, sample: Sample) -> "Live":
        """An older reading can still be the newest one that had some quantity."""
        assert self.sample is not None
        older = _newest(self.older, _without(_all_known(sample), self.sample))
        return self if older == self.older else replace(self, older=older)

    def with_change(self, change: Change) -> "Live":
        before = self.change
        if before is not None and change.number <= before.number:
            return self
        if before is not None and before.connectivity == change.connectivity and before.number[:2] == change.number[:2]:
            change = replace(change, since_ns=before.since_ns)
        return replace(self, change=change)

    def merge(self, other: "Live") -> "Live":
        """What both know together."""
        merged = self if other.sample is None else self.with_sample(other.sample)
        older: Mapping[str, Known] = _newest(merged.older, other.older)
        if merged.sample is not None:
            older = _without(older, merged.sample)
        if older != merged.older:
            merged = replace(merged, older=older)
        return merged if other.change is None else merged._with_newer(other.change)

    def _with_newer(self, change: Change) -> "Live":
        if self.change is not None and change.number <= self.change.number:
            return self
        return replace(self, change=change)

    @property
    def state(self) -> tuple[int, int, int]:
        """(status, sub-status, hold) by whichever speaks of the later moment of the newer start of the vehicle."""
        newest = self._newest_state()
        return (0, 0, 0) if newest is None else (newest.status, newest.sub_status, newest.motion_hold)

    def _newest_state(self) -> Sample | Change | None:
        if self.sample is None or self.change is None:
            return self.sample or self.change
        said = (self.sample.boot_epoch, self.sample.event_ns)
        changed = (self.change.number[0], self.change.event_ns)
        return self.sample if said > changed else self.change

    @property
    def connectivity(self) -> int:
        """0 where no status change has been seen."""
        return 0 if self.change is None else self.change.connectivity

    @property
    def values(self) -> Mapping[str, Known]:
        """Every quantity ever known, with its newest value."""
        return dict(self.older) if self.sample is None else {**self.older, **_all_known(self.sample)}

    def ages_s(self, now_ns: int) -> dict[str, float]:
        """Name of each known quantity -> seconds since it was measured, never below 0."""
        return {name: max(0, now_ns - known.event_ns) / 1e9 for name, known in self.values.items()}


def _all_known(sample: Sample) -> dict[str, Known]:
    return {name: Known(value, sample.identity, sample.event_ns) for name, value in sample.quantities.items()}


def _without(known: Mapping[str, Known], sample: Sample) -> Mapping[str, Known]:
    return {name: value for name, value in known.items() if name not in sample.quantities}


def _newest(first: Mapping[str, Known], second: Mapping[str, Known]) -> dict[str, Known]:
    newest = dict(first)
    for name, known in second.items():
        if name not in newest or known.identity > newest[name].identity:
            newest[name] = known
    return newest
