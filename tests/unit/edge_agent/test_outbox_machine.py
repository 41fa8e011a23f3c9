"""The outbox against the plain definition of what it holds: sets of readings, of losses, and an order of age."""

import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_agent.outbox import ROW_OVERHEAD_BYTES, Bounds, NewReading, Outbox
from edge_agent.reports import Lost
from edge_agent.shipment import Stored, Wanted
from pitwall.domain.sequence import SequenceRange
from tests.support.machines import as_test
from tests.unit.edge_agent.builders import OTHER, VEHICLE, moment

NOW = moment()
SIZE, CHECKSUM = 60, 4
#: So many readings fit.
ROOM = 12
BOUNDS = Bounds(ROOM * (SIZE + CHECKSUM + ROW_OVERHEAD_BYTES), 7 * 86_400.0)

Key = tuple[str, int, int]
STREAMS = st.tuples(st.sampled_from([VEHICLE, OTHER]), st.sampled_from([7, 8]))
SPANS = st.tuples(st.integers(1, 30), st.integers(0, 10)).map(lambda pair: SequenceRange(pair[0], sum(pair)))


class OutboxMachine(RuleBasedStateMachine):
    """`kept` in the order of age. A reading is either kept, lost, known to be lost, acknowledged or never made."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.sqlite"
        self.outbox = Outbox(self.path, BOUNDS, NOW)
        self.kept: list[Key] = []
        self.lost: set[Key] = set()
        self.made: dict[tuple[str, int], int] = {}

    @rule(stream=STREAMS, count=st.integers(1, 8))
    def readings_are_added(self, stream: tuple[str, int], count: int) -> None:
        first = self.made.get(stream, 0) + 1
        self.made[stream] = first + count - 1
        keys = [(*stream, sequence) for sequence in range(first, first + count)]
        self.outbox.begin()
        self.outbox.add(map(reading, keys))
        told = self.outbox.evict(NOW)
        self.outbox.commit()
        self.kept += keys
        gone, self.kept = self.kept[:-ROOM], self.kept[-ROOM:]
        assert {key for vehicle_id, losses in told.items() for key in named(vehicle_id, losses)} == set(gone)
        self.lost |= set(gone)

    @rule(stream=STREAMS, span=SPANS)
    def an_ack_comes(self, stream: tuple[str, int], span: SequenceRange) -> None:
        self.outbox.begin()
        self.outbox.remove(*stream, [span])
        self.outbox.commit()
        gone = {(*stream, sequence) for sequence in range(span.first, span.last + 1)}
        self.kept = [key for key in self.kept if key not in gone]
        self.lost -= gone

    @rule(stream=STREAMS, span=SPANS)
    def somebody_gives_up(self, stream: tuple[str, int], span: SequenceRange) -> None:
        if span.last > self.made.get(stream, 0) or self.lost & set(named(stream[0], [Lost(stream[1], span, "")])):
            return  # nobody gives up what was never made, or twice
        lost = Lost(stream[1], span, "NOT_ON_DISK")
        self.outbox.begin()
        self.outbox.lose({stream[0]: [lost]}, NOW.s)
        self.outbox.commit()
        gone = set(named(stream[0], [lost]))
        self.kept = [key for key in self.kept if key not in gone]
        self.lost |= gone

    @rule(stream=STREAMS, crashes=st.booleans())
    def the_disk_refuses(self, stream: tuple[str, int], *, crashes: bool) -> None:
        """All of it or nothing."""
        self.outbox.begin()
        self.outbox.remove(*stream, [SequenceRange(1, 10)])
        self.outbox.add([reading((*stream, self.made.get(stream, 0) + 1)), reading(("NEW-VEHICLE-1", 9, 1))])
        self.outbox.lose({stream[0]: [Lost(stream[1], SequenceRange(1, 3), "NOT_ON_DISK")]}, NOW.s)
        if not crashes:
            assert self.outbox.rollback()
            return
        self.outbox.abandon()
        self.outbox = Outbox(self.path, BOUNDS, NOW)

    @rule()
    def it_starts_again(self) -> None:
        self.outbox.close()
        self.outbox = Outbox(self.path, BOUNDS, NOW)

    @invariant()
    def it_holds_what_is_kept_as_it_was(self) -> None:
        found = {
            (vehicle_id, epoch, stored.sequence): stored
            for vehicle_id in (VEHICLE, OTHER)
            for epoch, r in self.outbox.pending(vehicle_id)
            for stored in self.outbox.fetch(vehicle_id, Wanted(epoch, r.first, r.last))
        }
        assert found == {key: reading(key).stored for key in self.kept}
        assert self.outbox.rows == len(self.kept)
        assert self.outbox.bytes == len(self.kept) * (SIZE + CHECKSUM + ROW_OVERHEAD_BYTES)

    @invariant()
    def it_knows_what_is_lost_and_not_yet_known(self) -> None:
        found = [key for vehicle_id in (VEHICLE, OTHER) for key in named(vehicle_id, self.outbox.lost(vehicle_id))]
        assert len(found) == len(set(found)), "told once"
        assert set(found) == self.lost

    def teardown(self) -> None:
        self.outbox.close()
        self.folder.cleanup()


def reading(key: Key) -> NewReading:
    vehicle_id, epoch, sequence = key
    return NewReading(vehicle_id, Stored(epoch, sequence, f"{key}".encode().ljust(SIZE)), NOW.s)


def named(vehicle_id: str, losses: list[Lost]) -> list[Key]:
    return [(vehicle_id, one.boot_epoch, s) for one in losses for s in range(one.range.first, one.range.last + 1)]


TestOutboxMachine = as_test(OutboxMachine, runs=12)
