"""Which readings go next, in which kind, and that none is forgotten."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_agent.limits import LIVE_READINGS, MAX_EPOCHS_UNDER_WAY
from edge_agent.shipment import Batch, BatchLimits, Shipment, Stored, Wanted
from pitwall.domain.sequence import SequenceRange
from tests.support.machines import as_test

LIMITS = BatchLimits(max_readings=10, max_bytes=10_000, max_unacked=20)


def stored(sequence: int, epoch: int = 7, size: int = 10) -> Stored:
    return Stored(epoch, sequence, b"x" * size)


def filled(*sequences: int) -> Shipment:
    shipment = Shipment()
    for sequence in sequences:
        shipment.add(stored(sequence))
    return shipment


def sequences(batch: Batch | None) -> list[int]:
    return [reading.sequence for reading in batch.readings] if batch else []


def everything(shipment: Shipment, limits: BatchLimits = LIMITS) -> list[Batch]:
    batches = []
    while (batch := shipment.take(limits, 0.0)) is not None:
        batches.append(batch)
    return batches


def fetch(shipment: Shipment, limits: BatchLimits = LIMITS) -> Wanted:
    wanted = shipment.wanted(limits)
    assert wanted is not None
    shipment.fetched(wanted, [stored(i, wanted.boot_epoch) for i in range(wanted.first, wanted.last + 1)])
    return wanted


def test_live_readings_go_in_order_within_the_limits_of_a_batch() -> None:
    assert [sequences(b) for b in everything(filled(*range(1, 15)))] == [list(range(1, 11)), [11, 12, 13, 14]]


@pytest.mark.parametrize(("max_bytes", "counts"), [(100, [5, 5]), (20, [2] * 5), (19, [1] * 10), (1, [1] * 10)])
def test_a_batch_is_cut_by_its_bytes_but_has_at_least_one(max_bytes: int, counts: list[int]) -> None:
    limits = BatchLimits(5, max_bytes, 20)
    assert [len(b.readings) for b in everything(filled(*range(1, 11)), limits)] == counts


def test_a_batch_is_of_one_epoch() -> None:
    shipment = filled(1, 2)
    shipment.add(stored(1, epoch=8))
    assert [(b.boot_epoch, sequences(b)) for b in everything(shipment)] == [(7, [1, 2]), (8, [1])]


def test_history_of_so_many_boots_is_under_way_and_of_the_next_one_when_all_of_one_is_acknowledged() -> None:
    shipment = Shipment()
    for epoch in range(1, MAX_EPOCHS_UNDER_WAY + 2):
        shipment.on_disk(epoch, 1, 2)
    sent: list[Batch] = []
    while shipment.has_history and len(sent) < MAX_EPOCHS_UNDER_WAY:
        fetch(shipment)
        sent += everything(shipment)
    assert [batch.boot_epoch for batch in sent] == list(range(1, MAX_EPOCHS_UNDER_WAY + 1))
    fetch(shipment)
    assert everything(shipment) == []
    shipment.gone(2, [SequenceRange(1, 1)])
    assert everything(shipment) == []
    shipment.gone(2, [SequenceRange(2, 2)])
    assert [batch.boot_epoch for batch in everything(shipment)] == [MAX_EPOCHS_UNDER_WAY + 1]


@pytest.mark.parametrize("unacked", [1, 19, 20])
def test_the_window_bounds_what_is_on_its_way(unacked: int) -> None:
    shipment = filled(*range(1, 41))
    everything(shipment, BatchLimits(10, 10_000, unacked))
    assert shipment.unacked == unacked


def test_an_ack_opens_the_window() -> None:
    shipment = filled(*range(1, 41))
    everything(shipment)
    shipment.gone(7, [SequenceRange(1, 5)])
    assert [sequences(b) for b in everything(shipment)] == [[21, 22, 23, 24, 25]]


def test_an_ack_for_another_epoch_says_nothing() -> None:
    shipment = filled(1)
    everything(shipment)
    shipment.gone(8, [SequenceRange(1, 5)])
    assert shipment.unacked == 1


def test_live_goes_ahead_of_history() -> None:
    shipment = Shipment()
    shipment.on_disk(6, 1, 3)
    fetch(shipment)
    shipment.add(stored(1))
    first, second = everything(shipment)
    assert (first.backfilled, second.backfilled) == (False, True)


def test_history_takes_its_share_of_the_window_and_no_more() -> None:
    shipment = Shipment()
    shipment.on_disk(6, 1, 100)
    fetch(shipment)
    everything(shipment)
    assert shipment.unacked == 10
    assert fetch(shipment) == Wanted(6, 11, 20), "the next batch is at hand"
    assert everything(shipment) == []
    for sequence in range(1, 11):
        shipment.add(stored(sequence))
    assert [sequences(b) for b in everything(shipment)] == [list(range(1, 11))]
    assert shipment.wanted(LIMITS) is None, "and one batch at hand is enough"


@pytest.mark.parametrize(("acked", "sent"), [(4, []), (5, [11, 12, 13, 14, 15]), (10, list(range(11, 21)))])
def test_history_waits_until_half_a_batch_fits(acked: int, sent: list[int]) -> None:
    shipment = Shipment()
    shipment.on_disk(6, 1, 100)
    fetch(shipment)
    everything(shipment)
    fetch(shipment)
    shipment.gone(6, [SequenceRange(1, acked)])
    assert [s for batch in everything(shipment) for s in sequences(batch)] == sent


# The flush interval

FLUSH_S = 0.2


def flushed(shipment: Shipment, at_s: float) -> list[int]:
    return sequences(shipment.take(LIMITS, at_s))


def test_after_a_pause_a_reading_waits_for_nothing() -> None:
    shipment = Shipment(FLUSH_S)
    for sequence in range(1, 4):
        shipment.add(stored(sequence))
        assert flushed(shipment, float(sequence)) == [sequence]


@pytest.mark.parametrize(("after_s", "goes"), [(0.0, []), (FLUSH_S - 0.001, []), (FLUSH_S, [2, 3])])
def test_within_the_flush_interval_readings_gather(after_s: float, goes: list[int]) -> None:
    shipment = Shipment(FLUSH_S)
    shipment.add(stored(1))
    assert flushed(shipment, 10.0) == [1]
    shipment.add(stored(2))
    shipment.add(stored(3))
    assert shipment.live_due(LIMITS, 10.0 + after_s) is bool(goes)
    assert flushed(shipment, 10.0 + after_s) == goes


@pytest.mark.parametrize(("count", "size", "goes"), [(9, 10, False), (10, 10, True), (4, 2499, False), (4, 2500, True)])
def test_a_batch_that_is_full_by_count_or_bytes_goes_at_once(count: int, size: int, *, goes: bool) -> None:
    shipment = Shipment(FLUSH_S)
    shipment.add(stored(1))
    flushed(shipment, 10.0)
    for sequence in range(2, count + 2):
        shipment.add(stored(sequence, size=size))
    assert shipment.live_due(LIMITS, 10.0) is goes


def test_what_is_acked_meanwhile_does_not_count_as_gathered() -> None:
    shipment = Shipment(FLUSH_S)
    shipment.add(stored(1))
    flushed(shipment, 10.0)
    for sequence in range(2, 6):
        shipment.add(stored(sequence, size=2500))
    shipment.gone(7, [SequenceRange(2, 2)])
    assert not shipment.live_due(LIMITS, 10.0)


def test_on_a_new_stream_nothing_waits() -> None:
    shipment = Shipment(FLUSH_S)
    shipment.add(stored(1))
    flushed(shipment, 10.0)
    shipment.offer_again()
    assert flushed(shipment, 10.0) == [1]


def test_with_the_window_full_nothing_is_due() -> None:
    shipment = filled(*range(1, 41))
    everything(shipment)
    assert not shipment.live_due(LIMITS, 1e9)
    assert not shipment.has_history


def test_one_fetch_at_a_time() -> None:
    shipment = Shipment()
    shipment.on_disk(6, 1, 100)
    assert shipment.wanted(LIMITS) == Wanted(6, 1, 10)
    assert shipment.wanted(LIMITS) is None


def test_the_oldest_epoch_is_history_first() -> None:
    shipment = Shipment()
    shipment.on_disk(6, 5, 9)
    shipment.on_disk(5, 40, 41)
    assert shipment.wanted(LIMITS) == Wanted(5, 40, 41)


def test_what_the_disk_should_have_had_is_lost_and_what_was_acked_meanwhile_is_not() -> None:
    shipment = Shipment()
    shipment.on_disk(6, 1, 5)
    wanted = shipment.wanted(LIMITS)
    assert wanted is not None
    shipment.gone(6, [SequenceRange(2, 2)])
    assert shipment.fetched(wanted, [stored(1, 6), stored(2, 6), stored(5, 6)]) == (SequenceRange(3, 4),)
    assert [sequences(b) for b in everything(shipment)] == [[1, 5]]
    assert shipment.wanted(LIMITS) is None


def test_an_answer_to_a_fetch_of_an_earlier_session_is_dropped_and_asked_for_again() -> None:
    shipment = Shipment()
    shipment.on_disk(6, 1, 3)
    old = shipment.wanted(LIMITS)
    assert old is not None
    shipment.offer_again()
    assert shipment.fetched(old, [stored(1, 6)]) == ()
    assert shipment.wanted(LIMITS) == Wanted(6, 1, 3)


def test_a_disk_that_can_not_say_what_it_has_is_asked_again_and_nothing_is_lost() -> None:
    shipment = Shipment()
    shipment.on_disk(6, 1, 3)
    wanted = shipment.wanted(LIMITS)
    assert wanted is not None
    assert shipment.fetched(wanted, None) == ()
    assert shipment.wanted(LIMITS) == wanted


def test_after_a_broken_stream_unacked_live_readings_go_again_first_and_as_live() -> None:
    shipment = filled(1, 2, 3)
    everything(shipment)
    shipment.gone(7, [SequenceRange(2, 2)])
    shipment.add(stored(4))
    shipment.offer_again()
    (batch,) = everything(shipment)
    assert (sequences(batch), batch.backfilled) == ([1, 3, 4], False)


def test_live_readings_that_are_too_many_become_history_the_oldest_first() -> None:
    shipment = filled(*range(1, LIVE_READINGS + 4))
    assert shipment.wanted(LIMITS) == Wanted(7, 1, 3)


class ShipmentMachine(RuleBasedStateMachine):
    """Everything that was made is acked in the end, whatever breaks on the way; kinds ascend within a session."""

    def __init__(self) -> None:
        super().__init__()
        self.shipment = Shipment(FLUSH_S)
        self.now_s = 0.0
        self.made = 0
        self.disk: dict[int, Stored] = {}
        self.on_the_way: list[Batch] = []
        self.acked: set[int] = set()
        self.newest = {False: 0, True: 0}
        self.wanted: Wanted | None = None

    @rule(count=st.integers(1, 150))
    def readings_are_made(self, count: int) -> None:
        for _ in range(count):
            self.made += 1
            self.disk[self.made] = stored(self.made)
            self.shipment.add(self.disk[self.made])

    @rule()
    def a_batch_is_sent(self) -> None:
        self.now_s += FLUSH_S / 2
        batch = self.shipment.take(LIMITS, self.now_s)
        if batch is None:
            return
        assert not {r.sequence for r in batch.readings} & self.acked, "what is acked is not sent again"
        assert batch.readings[0].sequence > self.newest[batch.backfilled], "ascending within each kind"
        self.newest[batch.backfilled] = batch.readings[-1].sequence
        self.on_the_way.append(batch)

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data())
    def a_batch_is_acked(self, data: st.DataObject) -> None:
        self._ack(self.on_the_way.pop(data.draw(st.integers(0, len(self.on_the_way) - 1))))

    def _ack(self, batch: Batch) -> None:
        """What is in it, one by one: what lies between two of them may have become history."""
        for reading in batch.readings:
            self.acked.add(reading.sequence)
            self.disk.pop(reading.sequence, None)
            self.shipment.gone(7, [SequenceRange(reading.sequence, reading.sequence)])

    @rule()
    def history_is_asked_for(self) -> None:
        self.wanted = self.shipment.wanted(LIMITS) or self.wanted

    @precondition(lambda self: self.wanted)
    @rule()
    def the_disk_answers(self) -> None:
        wanted, self.wanted = self.wanted, None
        assert wanted is not None
        found = [self.disk[s] for s in range(wanted.first, wanted.last + 1) if s in self.disk]
        assert self.shipment.fetched(wanted, found) == (), "nothing is lost that the disk has"

    @rule()
    def the_stream_breaks(self) -> None:
        self.on_the_way.clear()
        self.newest = {False: 0, True: 0}
        self.shipment.offer_again()

    @invariant()
    def every_reading_is_acked_waiting_or_on_its_way(self) -> None:
        assert self.shipment.unacked + self.shipment.waiting + len(self.acked) == self.made
        assert self.shipment.unacked <= LIMITS.max_unacked

    def teardown(self) -> None:
        """A good stream drains it."""
        self.the_stream_breaks()
        self.wanted = None
        while self.shipment.unacked + self.shipment.waiting:
            self.history_is_asked_for()
            if self.wanted:
                self.the_disk_answers()
            self.a_batch_is_sent()
            for _ in range(len(self.on_the_way)):
                self._ack(self.on_the_way.pop())
        assert self.acked == set(range(1, self.made + 1))


TestShipmentMachine = as_test(ShipmentMachine, runs=80)
