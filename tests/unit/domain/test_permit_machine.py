"""Permits at the vehicle, whatever is delayed, repeated, reordered or lost.

Beside the holder stands what is true: when each heartbeat was sent, which answers have come, and when a stop voided
what had been sent before.
"""

from math import inf

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pitwall.domain.permit import HEARTBEAT_MEMORY, HEARTBEAT_MEMORY_S, HeartbeatLog, PermitHolder
from tests.support.machines import as_test

ttls_s = st.sampled_from([0.0, 0.5, 1.0, 2.0])


class PermitMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.now_s = 0.0
        self.log = HeartbeatLog()
        self.holder = PermitHolder(self.log)
        self.sent_s: list[float] = []
        self.on_their_way: list[tuple[int, float]] = []
        self.newest_answer = 0
        self.void_before = 0
        self.until_s = -inf

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def loop_beats(self) -> None:
        self.sent_s.append(self.now_s)
        assert self.log.beat(self.now_s) == len(self.sent_s)

    @rule(rarely=st.integers(0, 9))
    def loop_beats_for_a_minute(self, rarely: int) -> None:
        """More often than it is remembered."""
        for _ in range(0 if rarely else HEARTBEAT_MEMORY):
            self.loop_beats()

    @rule(ttl_s=ttls_s)
    def gateway_answers(self, ttl_s: float) -> None:
        if self.sent_s:
            self.on_their_way.append((len(self.sent_s), ttl_s))

    @rule(which=st.integers(0, 9))
    def answer_arrives(self, which: int) -> None:
        """Any of those that were ever sent, mostly a late one: for the first time, or again."""
        if self.on_their_way:
            self.hear(*self.on_their_way[-1 - which % len(self.on_their_way)])

    @rule(ttl_s=ttls_s)
    def all_goes_well(self, ttl_s: float) -> None:
        self.loop_beats()
        self.gateway_answers(ttl_s)
        self.answer_arrives(0)

    @rule(number=st.integers(-1, 3), ahead=st.booleans(), ttl_s=ttls_s)
    def somebody_makes_an_answer_up(self, number: int, ahead: bool, ttl_s: float) -> None:
        """To a heartbeat long ago, or to none."""
        self.hear(len(self.sent_s) + number if ahead else number, ttl_s)

    def hear(self, number: int, ttl_s: float) -> None:
        remembered = len(self.sent_s) - HEARTBEAT_MEMORY < number <= len(self.sent_s) and number > 0
        counts = remembered and number >= self.newest_answer and number > self.void_before
        assert self.holder.grant(number, ttl_s) is counts
        if counts:
            self.newest_answer = number
            self.until_s = self.sent_s[number - 1] + ttl_s if ttl_s > 0 else -inf

    @rule()
    def stop_is_accepted(self) -> None:
        self.holder.void()
        self.void_before, self.until_s = len(self.sent_s), -inf

    # What must hold after every step

    @invariant()
    def leave_ends_one_ttl_after_its_heartbeat_was_sent(self) -> None:
        assert self.holder.until_s == self.until_s
        assert self.holder.valid(self.now_s) is (self.now_s < self.until_s)

    @invariant()
    def a_heartbeat_is_known_for_a_minute_and_has_its_age(self) -> None:
        assert self.log.newest == len(self.sent_s)
        for number in {
            1,
            len(self.sent_s) - HEARTBEAT_MEMORY,
            len(self.sent_s) - HEARTBEAT_MEMORY + 1,
            self.log.newest,
        }:
            remembered = max(0, len(self.sent_s) - HEARTBEAT_MEMORY) < number <= len(self.sent_s)
            sent_s = self.sent_s[number - 1] if remembered else None
            assert self.log.sent_s(number) == sent_s
            age_s = None if sent_s is None else self.now_s - sent_s
            assert self.log.age_s(number, self.now_s) == (
                None if age_s is None or age_s > HEARTBEAT_MEMORY_S else age_s
            )


TestPermitMachine = as_test(PermitMachine, runs=100)
