"""What is acknowledged: exactly what has arrived, each at least once, nothing before."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ingest_gateway.acks import AckTracker, Known
from ingest_gateway.limits import (
    MAX_EPOCHS_PER_VEHICLE,
    MAX_KNOWN_RANGES,
    MAX_RANGES_PER_ACK,
    MAX_REJECTIONS_PER_ACK,
)
from ingest_gateway.validation import Fault
from pitwall.domain.sequence import SequenceRange
from tests.support.machines import as_test

FAULT = Fault("speed_kph", "OUT_OF_RANGE", "speed_kph: -1 km/h is not within 0 to 130 km/h")


def acked(tracker: AckTracker) -> set[tuple[int, int]]:
    found = set()
    while (ack := tracker.next_ack()) is not None:
        found |= {(ack.boot_epoch, s) for each in ack.ranges for s in range(each.first, each.last + 1)}
    return found


def test_nothing_is_acknowledged_before_it_has_arrived() -> None:
    tracker = AckTracker()
    tracker.take(1, 1, 10)
    assert tracker.next_ack() is None
    assert tracker.in_flight == 10
    tracker.arrived(1, [1, 2, 3])
    ack = tracker.next_ack()
    assert ack is not None
    assert ack.ranges == (SequenceRange(1, 3),)
    assert tracker.next_ack() is None
    assert tracker.in_flight == 7


def test_an_identity_is_new_then_in_flight_then_durable() -> None:
    tracker = AckTracker()
    assert tracker.known(1, 5) is Known.NEW
    tracker.take(1, 5, 5)
    assert tracker.known(1, 5) is Known.IN_FLIGHT
    tracker.arrived(1, [5])
    assert tracker.known(1, 5) is Known.DURABLE
    assert tracker.known(2, 5) is Known.NEW


def test_what_failed_is_new_again_and_never_acknowledged() -> None:
    tracker = AckTracker()
    tracker.take(1, 1, 3)
    tracker.failed(1, 2)
    tracker.arrived(1, [1, 3])
    assert tracker.known(1, 2) is Known.NEW
    assert acked(tracker) == {(1, 1), (1, 3)}
    assert tracker.in_flight == 0


def test_a_rejected_one_is_acknowledged_by_name_once_it_is_a_durable_dead_letter() -> None:
    tracker = AckTracker()
    tracker.take(1, 1, 1)
    tracker.reject(1, 2, FAULT)
    assert tracker.next_ack() is None
    tracker.arrived(1, [1, 2])
    ack = tracker.next_ack()
    assert ack is not None
    assert ack.ranges == (SequenceRange(1, 2),)
    assert [(one.sequence, one.fault) for one in ack.refused] == [(2, FAULT)]


def test_sequence_0_is_told_but_has_no_range() -> None:
    tracker = AckTracker()
    tracker.reject(1, 0, FAULT)
    tracker.arrived(1, [0])
    ack = tracker.next_ack()
    assert ack is not None
    assert ack.ranges == ()
    assert [one.sequence for one in ack.refused] == [0]
    assert tracker.known(1, 0) is Known.NEW


def test_several_without_a_sequence_arrive_one_after_the_other() -> None:
    tracker = AckTracker()
    for _ in range(3):
        tracker.reject(1, 0, FAULT)
    tracker.take(1, 7, 7)
    for arrived in ([0], [7, 0], [0]):
        tracker.arrived(1, arrived)
    ack = tracker.next_ack()
    assert ack is not None
    assert ack.ranges == (SequenceRange(7, 7),)
    assert [one.sequence for one in ack.refused] == [0, 0, 0]
    assert tracker.in_flight == 0


def test_one_without_a_sequence_that_kafka_refuses_is_no_longer_under_way() -> None:
    tracker = AckTracker()
    for _ in range(2):
        tracker.reject(1, 0, FAULT)
    tracker.failed(1, 0)
    tracker.arrived(1, [0])
    ack = tracker.next_ack()
    assert ack is not None
    assert [one.sequence for one in ack.refused] == [0]


def test_an_epoch_is_remembered_while_one_without_a_sequence_is_under_way() -> None:
    tracker = AckTracker()
    tracker.reject(1, 0, FAULT)
    for boot_epoch in range(2, MAX_EPOCHS_PER_VEHICLE + 3):
        tracker.take(boot_epoch, 1, 1)
        tracker.arrived(boot_epoch, [1])
    while tracker.next_ack() is not None:
        pass
    tracker.arrived(1, [0])
    ack = tracker.next_ack()
    assert ack is not None
    assert (ack.boot_epoch, [one.sequence for one in ack.refused]) == (1, [0])


def test_every_rejection_is_in_an_ack_whose_ranges_cover_it() -> None:
    tracker = AckTracker()
    for sequence in range(1, 2 * MAX_REJECTIONS_PER_ACK + 2):
        tracker.reject(1, sequence, FAULT)
    tracker.arrived(1, range(1, 2 * MAX_REJECTIONS_PER_ACK + 2))
    sizes = []
    while (ack := tracker.next_ack()) is not None:
        sizes.append(len(ack.refused))
        for one in ack.refused:
            assert any(each.first <= one.sequence <= each.last for each in ack.ranges)
    assert sizes == [MAX_REJECTIONS_PER_ACK, MAX_REJECTIONS_PER_ACK, 1]


def test_a_scattered_ack_comes_in_pieces() -> None:
    tracker = AckTracker()
    odd = range(1, 4 * MAX_RANGES_PER_ACK, 2)
    for sequence in odd:
        tracker.take(1, sequence, sequence)
    tracker.arrived(1, odd)
    first = tracker.next_ack()
    assert first is not None
    assert len(first.ranges) == MAX_RANGES_PER_ACK
    assert len(acked(tracker)) + MAX_RANGES_PER_ACK == len(odd)


def test_a_durable_one_that_is_offered_again_is_acknowledged_again() -> None:
    tracker = AckTracker()
    tracker.take(1, 1, 1)
    tracker.arrived(1, [1])
    assert acked(tracker) == {(1, 1)}
    tracker.again(1, 1)
    assert acked(tracker) == {(1, 1)}


def test_a_declared_loss_is_acknowledged_as_a_range() -> None:
    tracker = AckTracker()
    tracker.lose(1, 1_000, 2_000_000)
    assert tracker.next_ack() is None
    tracker.declared_lost(1, 1_000, 2_000_000)
    ack = tracker.next_ack()
    assert ack is not None
    assert ack.ranges == (SequenceRange(1_000, 2_000_000),)


def many_epochs_pass(tracker: AckTracker) -> None:
    """From 2 on, with a reading each that is acknowledged."""
    for epoch in range(2, 3 * MAX_EPOCHS_PER_VEHICLE):
        tracker.take(epoch, 1, 1)
        tracker.arrived(epoch, [1])
        acked(tracker)


def test_old_epochs_are_forgotten_but_never_what_is_in_flight() -> None:
    tracker = AckTracker()
    tracker.take(1, 1, 1)
    many_epochs_pass(tracker)
    assert tracker.known(1, 1) is Known.IN_FLIGHT
    assert tracker.known(2, 1) is Known.NEW
    assert tracker.known(3 * MAX_EPOCHS_PER_VEHICLE - 1, 1) is Known.DURABLE


def test_an_epoch_older_than_all_that_are_remembered_is_acknowledged_too() -> None:
    tracker = AckTracker()
    for epoch in [*range(2, MAX_EPOCHS_PER_VEHICLE + 2), 1]:
        tracker.take(epoch, 1, 1)
        tracker.arrived(epoch, [1])
        assert acked(tracker) == {(epoch, 1)}
    assert tracker.known(2, 1) is Known.NEW
    assert tracker.known(1, 1) is Known.DURABLE


def test_there_is_a_place_for_one_more_epoch_when_all_is_acknowledged_of_another() -> None:
    tracker = AckTracker()
    for epoch in range(1, MAX_EPOCHS_PER_VEHICLE + 1):
        assert tracker.has_place(epoch)
        tracker.take(epoch, 1, 1)
    assert not tracker.has_place(MAX_EPOCHS_PER_VEHICLE + 1)
    assert tracker.has_place(1)
    tracker.arrived(2, [1])
    assert not tracker.has_place(MAX_EPOCHS_PER_VEHICLE + 1)
    assert acked(tracker) == {(2, 1)}
    assert tracker.has_place(MAX_EPOCHS_PER_VEHICLE + 1)


def test_an_epoch_is_remembered_while_a_loss_is_under_way() -> None:
    tracker = AckTracker()
    tracker.lose(1, 5, 9)
    many_epochs_pass(tracker)
    assert tracker.losses_in_flight == 1
    tracker.declared_lost(1, 5, 9)
    assert tracker.losses_in_flight == 0


def test_a_loss_is_new_then_in_flight_then_durable() -> None:
    tracker = AckTracker()
    assert tracker.loss_known(1, 5, 9) is Known.NEW
    tracker.lose(1, 5, 9)
    assert tracker.loss_known(1, 5, 9) is Known.IN_FLIGHT
    assert tracker.loss_known(1, 5, 8) is Known.NEW
    tracker.declared_lost(1, 5, 9)
    assert tracker.loss_known(1, 5, 9) is Known.DURABLE
    assert tracker.loss_known(1, 5, 8) is Known.DURABLE
    assert tracker.loss_known(1, 5, 10) is Known.NEW
    assert tracker.loss_known(2, 5, 9) is Known.NEW
    assert tracker.known(1, 5) is Known.NEW, "should it turn up after all, it is taken"


def test_a_lost_reading_counts_once_however_often_it_is_declared() -> None:
    tracker = AckTracker()
    for first, last in ((5, 9), (5, 9), (7, 12)):
        tracker.lose(1, first, last)
    assert [tracker.declared_lost(1, first, last) for first, last in ((5, 9), (5, 9), (7, 12))] == [5, 0, 3]


def test_what_is_known_of_losses_is_bounded_too() -> None:
    tracker = AckTracker()
    odd = range(1, 2 * MAX_KNOWN_RANGES + 3, 2)
    for sequence in odd:
        tracker.lose(1, sequence, sequence)
        tracker.declared_lost(1, sequence, sequence)
    assert tracker.loss_known(1, 1, 1) is Known.NEW
    assert tracker.loss_known(1, odd[-1], odd[-1]) is Known.DURABLE


def test_ranges_and_rejections_are_unsent_until_they_are_in_an_ack() -> None:
    tracker = AckTracker()
    tracker.take(1, 1, 3)
    tracker.take(2, 1, 3)
    tracker.reject(2, 9, FAULT)
    assert tracker.unsent == 0
    tracker.arrived(1, [1, 3])
    tracker.arrived(2, [1, 2, 3, 9])
    assert tracker.unsent == 4
    assert tracker.next_ack() is not None
    assert tracker.unsent == 2


def test_scattered_knowledge_is_bounded_and_loses_the_lowest() -> None:
    tracker = AckTracker()
    odd = range(1, 2 * MAX_KNOWN_RANGES + 3, 2)
    for sequence in odd:
        tracker.take(1, sequence, sequence)
    tracker.arrived(1, odd)
    assert tracker.known(1, 1) is Known.NEW
    newer = odd[-MAX_KNOWN_RANGES // 2 :]
    assert {tracker.known(1, sequence) for sequence in newer} == {Known.DURABLE}
    assert {tracker.known(1, sequence) for sequence in odd if sequence < newer[0]} == {Known.NEW}


def test_the_newest_known_is_the_last_one_in_flight_or_durable() -> None:
    tracker = AckTracker()
    tracker.take(1, 3, 5)
    assert tracker.newest(1) == 5
    tracker.arrived(1, [3, 4, 5])
    assert tracker.newest(1) == 5
    tracker.take(1, 7, 7)
    tracker.failed(1, 7)
    assert tracker.newest(1) == 5
    assert tracker.newest(2) == 0


class Tracking(RuleBasedStateMachine):
    """Offers, arrivals, failures and acks in any order, against plain sets."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = AckTracker()
        self.flying = set[tuple[int, int]]()
        self.durable = set[tuple[int, int]]()
        self.refused = set[tuple[int, int]]()
        self.acked = set[tuple[int, int]]()

    @rule(epoch=st.integers(1, 2), sequence=st.integers(1, 12), bad=st.booleans())
    def offer(self, epoch: int, sequence: int, bad: bool) -> None:
        known = self.tracker.known(epoch, sequence)
        identity = (epoch, sequence)
        assert (known is Known.IN_FLIGHT) == (identity in self.flying)
        assert (known is Known.DURABLE) == (identity in self.durable)
        if known is Known.DURABLE:
            self.tracker.again(epoch, sequence)
            self.acked.discard(identity)
        elif known is Known.NEW:
            self.flying.add(identity)
            if bad:
                self.refused.add(identity)
                self.tracker.reject(epoch, sequence, FAULT)
            else:
                self.tracker.take(epoch, sequence, sequence)

    @rule(epoch=st.integers(1, 2), data=st.data())
    def arrive(self, epoch: int, data: st.DataObject) -> None:
        flying = sorted(s for e, s in self.flying if e == epoch)
        chosen = data.draw(st.lists(st.sampled_from(flying), unique=True)) if flying else []
        self.tracker.arrived(epoch, chosen)
        self.flying -= {(epoch, s) for s in chosen}
        self.durable |= {(epoch, s) for s in chosen}

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        if self.flying:
            identity = data.draw(st.sampled_from(sorted(self.flying)))
            self.tracker.failed(*identity)
            self.flying.discard(identity)
            self.refused.discard(identity)

    @rule()
    def acknowledge(self) -> None:
        while (ack := self.tracker.next_ack()) is not None:
            for each in ack.ranges:
                self.acked |= {(ack.boot_epoch, s) for s in range(each.first, each.last + 1)}
            for one in ack.refused:
                assert (ack.boot_epoch, one.sequence) in self.refused
        assert self.acked == self.durable

    @invariant()
    def only_what_is_durable_is_acknowledged(self) -> None:
        assert self.acked <= self.durable
        assert self.tracker.in_flight == len(self.flying)


TestTracking = as_test(Tracking, runs=100)


@given(st.lists(st.integers(1, 60), unique=True))
def test_arrivals_in_any_order_give_the_same_acks(order: list[int]) -> None:
    tracker = AckTracker()
    for sequence in order:
        tracker.take(1, sequence, sequence)
    tracker.arrived(1, order)
    assert acked(tracker) == {(1, sequence) for sequence in order}
