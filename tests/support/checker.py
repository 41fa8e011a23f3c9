"""Compares what vehicles generated with what Kafka has, reading by reading.

A reading is known by (vehicle_id, boot_epoch, sequence). A record may be in Kafka twice: where a gateway died between
Kafka's report and its own ack, the vehicle has to send again, and whoever reads Kafka tells it by its identity. That is
right only where both records say the same: so one identity with two contents is a fault, whoever is right.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

#: vehicle_id, boot_epoch, sequence.
Identity = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`lost`: generated and not in Kafka. `foreign`: in Kafka and never generated. `contradictory`: in Kafka with more
    than one content. `records`: in Kafka, repeats too.
    """

    generated: int
    found: int
    records: int = 0
    lost: list[Identity] = field(default_factory=list)
    duplicated: list[Identity] = field(default_factory=list)
    contradictory: list[Identity] = field(default_factory=list)
    corrupt: list[Identity] = field(default_factory=list)
    foreign: list[Identity] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Everything is there, as it was generated and by identity just once."""
        return not (self.lost or self.contradictory or self.corrupt or self.foreign)

    @property
    def clean(self) -> bool:
        """Complete, and nothing twice: what holds while nothing fails."""
        return self.complete and not self.duplicated

    @property
    def raw_duplicates(self) -> int:
        """Records that a reader has to leave out."""
        return self.records - self.found

    def __str__(self) -> str:
        faults = {name: getattr(self, name) for name in ("lost", "duplicated", "contradictory", "corrupt", "foreign")}
        told = "; ".join(f"{name} {len(ids)}, first {ids[:3]}" for name, ids in faults.items() if ids)
        return f"generated {self.generated}, in Kafka {self.found}: {told or 'the same'}"

    @property
    def figures(self) -> str:
        """For a table: what is 0 is said too."""
        return (
            f"{self.generated:,} readings generated, {self.records:,} records in Kafka: lost {len(self.lost)}, "
            f"twice by identity with other content {len(self.contradictory)}, corrupt {len(self.corrupt)}, "
            f"foreign {len(self.foreign)}; raw duplicates {self.raw_duplicates:,}"
        )


def compare(
    generated: Iterable[tuple[Identity, int]],
    in_kafka: Iterable[tuple[Identity, int]],
    *,
    through: dict[tuple[str, int], int] | None = None,
) -> Verdict:
    """Both sides as (identity, crc32).

    `through`: (vehicle_id, boot_epoch) -> last sequence that has to be there; what was generated after it may still be
    on its way. Without it, everything has to be there.
    """
    expected = dict(generated)
    counts: Counter[Identity] = Counter()
    said: dict[Identity, int] = {}
    contradictory, corrupt, foreign = set[Identity](), set[Identity](), set[Identity]()
    for identity, crc32 in in_kafka:
        counts[identity] += 1
        if said.setdefault(identity, crc32) != crc32:
            contradictory.add(identity)
        if identity not in expected:
            foreign.add(identity)
        elif expected[identity] != crc32:
            corrupt.add(identity)
    lost = [i for i in expected if i not in counts and (through is None or i[2] <= through.get(i[:2], 0))]
    return Verdict(
        generated=len(expected),
        found=len(counts),
        records=counts.total(),
        lost=sorted(lost),
        duplicated=sorted(identity for identity, count in counts.items() if count > 1),
        contradictory=sorted(contradictory),
        corrupt=sorted(corrupt),
        foreign=sorted(foreign),
    )


@dataclass(frozen=True, slots=True)
class ListedGap:
    """Readings that somebody says are missing, both ends inclusive."""

    vehicle_id: str
    boot_epoch: int
    first: int
    last: int


def wrong_gaps(
    generated: Iterable[Identity],
    in_kafka: Collection[Identity],
    listed: Iterable[ListedGap],
    known: Mapping[tuple[str, int], int],
) -> list[str]:
    """What a list of gaps has wrong, in sentences: none where it names all that is missing and nothing else.

    `known`: (vehicle_id, boot_epoch) -> the last sequence that the site has heard of; what was generated after it
    can't be listed.
    """
    missing = {i for i in generated if i not in in_kafka and i[2] <= known.get(i[:2], 0)}
    shown = Counter((g.vehicle_id, g.boot_epoch, n) for g in listed for n in range(g.first, g.last + 1))
    faults = {
        "missing and not listed": missing - shown.keys(),
        "listed and there": shown.keys() & set(in_kafka),
        "listed and never generated": shown.keys() - missing - set(in_kafka),
        "listed twice": {identity for identity, count in shown.items() if count > 1},
    }
    return [f"{what}: {len(found)}, first {sorted(found)[:3]}" for what, found in faults.items() if found]


def tails(lost: Iterable[Identity], generated: Iterable[Identity], most: int) -> tuple[list[Identity], list[Identity]]:
    """(what a kill may have found on its way to the disk, what was lost).

    A vehicle notes a reading before it stores it. So at most the `most` newest of a boot that a kill has ended may be
    noted and nowhere else; whatever is lost before them was on disk.
    """
    last: dict[tuple[str, int], int] = {}
    for vehicle_id, epoch, sequence in generated:
        last[vehicle_id, epoch] = max(sequence, last.get((vehicle_id, epoch), 0))
    newest: dict[str, int] = {}
    for vehicle_id, epoch in last:
        newest[vehicle_id] = max(epoch, newest.get(vehicle_id, 0))
    on_the_way, gone = list[Identity](), list[Identity]()
    for identity in lost:
        vehicle_id, epoch, sequence = identity
        at_the_end = epoch < newest[vehicle_id] and sequence > last[vehicle_id, epoch] - most
        (on_the_way if at_the_end else gone).append(identity)
    return on_the_way, gone
