"""Compares what vehicles generated with what Kafka has, reading by reading."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

#: vehicle_id, boot_epoch, sequence.
Identity = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`lost`: generated and not in Kafka. `foreign`: in Kafka and never generated."""

    generated: int
    found: int
    lost: list[Identity] = field(default_factory=list)
    duplicated: list[Identity] = field(default_factory=list)
    corrupt: list[Identity] = field(default_factory=list)
    foreign: list[Identity] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Everything is there, and as it was generated. A record may be there twice: where a gateway died between
        Kafka's report and its own ack, the vehicle has to send again, and its identity tells that it is the same."""
        return not (self.lost or self.corrupt or self.foreign)

    @property
    def clean(self) -> bool:
        """Complete, and nothing twice: what holds while nothing fails."""
        return self.complete and not self.duplicated

    def __str__(self) -> str:
        faults = {name: getattr(self, name) for name in ("lost", "duplicated", "corrupt", "foreign")}
        told = "; ".join(f"{name} {len(ids)}, first {ids[:3]}" for name, ids in faults.items() if ids)
        return f"generated {self.generated}, in Kafka {self.found}: {told or 'the same'}"


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
    corrupt, foreign = set[Identity](), set[Identity]()
    for identity, crc32 in in_kafka:
        counts[identity] += 1
        if identity not in expected:
            foreign.add(identity)
        elif expected[identity] != crc32:
            corrupt.add(identity)
    lost = [i for i in expected if i not in counts and (through is None or i[2] <= through.get(i[:2], 0))]
    return Verdict(
        generated=len(expected),
        found=len(counts),
        lost=sorted(lost),
        duplicated=sorted(identity for identity, count in counts.items() if count > 1),
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
