"""Every vehicle has its share; what is lent on top comes out of one pool, and is back before it is lent again."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ingest_gateway.acks import AckTracker
from ingest_gateway.limits import LOAN_IDLE_S, TICK_S
from ingest_gateway.loans import Loans
from ingest_gateway.window import ReadingWindow
from tests.support.machines import as_test

SHARE, MOST, POOL = 100, 400, 1_000


def in_flight(count: int) -> AckTracker:
    acks = AckTracker()
    if count:
        acks.take(1, 1, count)
    return acks


def test_so_many_are_lent_to_one_as_long_as_the_pool_lasts() -> None:
    loans = Loans(SHARE, MOST, POOL)
    assert [loans.lend(name, in_flight(0), 0.0) for name in "ABC"] == [MOST, MOST, 0]
    assert [loans.of(name) for name in "ABC"] == [MOST, MOST, 0]
    assert len(loans) * MOST <= POOL


def test_who_has_a_loan_gets_no_second_one() -> None:
    loans = Loans(SHARE, MOST, POOL)
    acks = in_flight(0)
    assert [loans.lend("A", acks, now_s) for now_s in (0.0, 1.0, 2.0)] == [MOST] * 3
    assert loans.lend("B", in_flight(0), 2.0) == MOST


def test_a_pool_that_is_too_small_and_loans_of_nothing_lend_nothing() -> None:
    assert Loans(SHARE, MOST, MOST - 1).lend("A", in_flight(0), 0.0) == 0
    assert Loans(SHARE, 0, POOL).lend("A", in_flight(0), 0.0) == 0


def test_a_loan_ends_when_no_history_has_come_for_a_while() -> None:
    loans = Loans(SHARE, MOST, MOST)
    loans.lend("A", in_flight(0), 0.0)
    loans.lend("A", in_flight(0), 5.0)
    assert loans.settle(5.0 + LOAN_IDLE_S - TICK_S) == []
    assert loans.settle(5.0 + LOAN_IDLE_S) == ["A"]
    assert loans.of("A") == 0
    assert loans.lend("B", in_flight(0), 10.0) == MOST


def test_a_loan_that_is_on_its_way_to_kafka_is_not_lent_to_anybody_else() -> None:
    loans, acks = Loans(SHARE, MOST, MOST), in_flight(SHARE + 1)
    loans.lend("A", acks, 0.0)
    assert loans.settle(1_000.0) == []
    assert loans.lend("B", in_flight(0), 1_000.0) == 0
    acks.arrived(1, [1])
    assert loans.settle(1_000.0) == ["A"]


class LoansMachine(RuleBasedStateMachine):
    """Vehicles that bring as much as is taken, at any moment, while Kafka reports when it likes."""

    names = ("A", "B", "C", "D")

    @initialize()
    def start(self) -> None:
        self.now_s = 0.0
        self.loans = Loans(SHARE, MOST, POOL)
        self.acks = {name: AckTracker() for name in self.names}
        self.windows = {name: ReadingWindow(SHARE, self.acks[name], lambda _: True) for name in self.names}
        self.next = dict.fromkeys(self.names, 1)
        self.flying = {name: list[int]() for name in self.names}

    @rule(name=st.sampled_from(names), count=st.integers(1, SHARE), history=st.booleans())
    def bring(self, name: str, count: int, *, history: bool) -> None:
        window, acks = self.windows[name], self.acks[name]
        if not window.ask(1, count, self.now_s).take:
            return
        first, self.next[name] = self.next[name], self.next[name] + count
        acks.take(1, first, first + count - 1)
        self.flying[name] += range(first, first + count)
        if history:
            window.lend(self.loans.lend(name, acks, self.now_s))

    @rule(name=st.sampled_from(names), count=st.integers(1, SHARE + MOST))
    def kafka_reports(self, name: str, count: int) -> None:
        arrived, self.flying[name] = self.flying[name][:count], self.flying[name][count:]
        if arrived:
            self.acks[name].arrived(1, arrived)

    @rule(seconds=st.sampled_from([TICK_S, LOAN_IDLE_S]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        for name in self.loans.settle(self.now_s):
            self.windows[name].lend(0)

    @invariant()
    def all_together_fit(self) -> None:
        beyond = sum(max(0, acks.in_flight - SHARE) for acks in self.acks.values())
        assert beyond <= POOL, "what is reserved for others is not lent"

    @invariant()
    def nobody_has_more_than_its_share_and_a_loan(self) -> None:
        for name, acks in self.acks.items():
            assert acks.in_flight <= SHARE + self.loans.of(name)
            assert self.windows[name].size == SHARE + self.loans.of(name)


TestLoansMachine = as_test(LoansMachine, runs=100)
