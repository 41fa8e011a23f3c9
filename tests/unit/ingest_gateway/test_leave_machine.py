"""A gateway's leases from three command services, whatever is delayed, repeated, reordered, refused, or slept through.

Beside them stands what is true: when each beat was sent, until when each command service's word reaches, and since
which beat the process has been awake.
"""

from math import inf

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ingest_gateway.leave import Leave
from pitwall.domain.permit import PermitDenial, PermitTerms, majority
from tests.support.machines import as_test

TERMS = PermitTerms(lease_ttl_s=2.0, permit_ttl_s=1.0)
MEMBERS = ("c-1", "c-2", "c-3")


class LeaseMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.now_s = self.looked_s = 0.0
        self.leave = Leave(MEMBERS, TERMS, self.now_s)
        self.sent_s: list[float] = []
        self.on_their_way: list[tuple[str, int, float]] = []
        self.until_s = dict.fromkeys(MEMBERS, -inf)
        self.slept_through = 0
        self.sleeps = 0

    def look(self) -> None:
        """What every look at the clock finds."""
        if self.now_s - self.looked_s > TERMS.lease_ttl_s:
            self.sleeps += 1
            self.until_s = dict.fromkeys(MEMBERS, -inf)
            self.slept_through = len(self.sent_s)
        self.looked_s = self.now_s

    @rule(seconds=st.sampled_from([0.1, 0.25, 0.25, 1.0, 2.0, 2.5]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def gateway_beats(self) -> None:
        self.look()
        self.sent_s.append(self.now_s)
        assert self.leave.beat(self.now_s) == len(self.sent_s)

    @rule(member=st.sampled_from(MEMBERS), ttl_s=st.sampled_from([0.0, 0.5, 1.0, 2.0]))
    def command_service_answers(self, member: str, ttl_s: float) -> None:
        if self.sent_s:
            self.on_their_way.append((member, len(self.sent_s), ttl_s))

    @rule(which=st.integers(0, 9))
    def answer_arrives(self, which: int) -> None:
        """Any of those that were ever sent, mostly a late one: for the first time, or again."""
        if self.on_their_way:
            self.hear(*self.on_their_way[-1 - which % len(self.on_their_way)])

    @rule(member=st.sampled_from(MEMBERS))
    def somebody_makes_an_answer_up(self, member: str) -> None:
        self.hear(member, len(self.sent_s) + 1, 2.0)

    def hear(self, member: str, number: int, ttl_s: float) -> None:
        self.look()
        self.leave.granted(member, number, ttl_s, self.now_s)
        if ttl_s > 0 and self.slept_through < number <= len(self.sent_s):
            self.until_s[member] = max(self.until_s[member], self.sent_s[number - 1] + ttl_s)

    @rule()
    def all_goes_well(self) -> None:
        """A majority answers a fresh beat."""
        self.gateway_beats()
        for member in MEMBERS[: majority(len(MEMBERS))]:
            self.hear(member, len(self.sent_s), TERMS.lease_ttl_s)
        assert self.leave.answer(self.now_s, holds=False, newest=True) == (TERMS.permit_ttl_s, PermitDenial.NONE)

    @rule(holds=st.booleans(), newest=st.booleans())
    def vehicle_is_answered(self, holds: bool, newest: bool) -> None:
        self.look()
        ttl_s, denial = self.leave.answer(self.now_s, holds=holds, newest=newest)
        given = [until_s for until_s in self.until_s.values() if self.leases_beyond(until_s) >= majority(len(MEMBERS))]
        left_s = max(0.0, max(given, default=-inf) - self.now_s)
        assert self.leave.remaining_s(self.now_s) == left_s
        assert ttl_s == (0.0 if holds or not newest else pytest.approx(min(left_s, TERMS.permit_ttl_s)))
        assert (denial is PermitDenial.NONE) is (ttl_s > 0)
        assert self.leave.sleeps == self.sleeps

    def leases_beyond(self, until_s: float) -> int:
        return sum(lease_until_s >= until_s for lease_until_s in self.until_s.values())


TestLeaseMachine = as_test(LeaseMachine, runs=200)
