"""The ledger of many vehicles: its limits, what it stores, what it says of windows of time."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_service.gap_ledger import (
    GAPS_LEFT,
    MAX_EPOCHS,
    MAX_FILLED,
    MAX_GAPS,
    MAX_MISSING,
    Changes,
    EpochKey,
    EpochRow,
    Ledger,
    Listed,
)
from fleet_service.gaps import GapState, Run
from tests.unit.fleet_service.test_gaps import BEGIN, LATER, SECOND, UNDER_WAY_NS, run, sampled

V, W = "KOMATSU-930E-001", "KOMATSU-980E-002"
OPEN, FILLED, LOST, REJECTED = GapState.OPEN, GapState.FILLED, GapState.LOST, GapState.REJECTED


@dataclass
class Stored:
    """In the place of the tables: what each flush says, merged."""

    rows: dict[EpochKey, EpochRow] = field(default_factory=dict)

    def keep(self, changes: Changes) -> None:
        for key in changes.gone:
            self.rows.pop(key, None)
        for row in changes.rows:
            before = self.rows.get(row.key)
            kept = row.gaps if row.gaps is not None or before is None else before.gaps
            self.rows[row.key] = replace(row, gaps=kept)

    def restored(self) -> Ledger:
        ledger = Ledger()
        for row in self.rows.values():
            ledger.restore(row)
        return ledger


def listed(ledger: Ledger) -> list[tuple[str, int, int, int, GapState]]:
    found = ledger.listed(None, lambda _: True)
    return [(one.vehicle_id, one.boot_epoch, one.gap.first, one.gap.last, one.gap.state) for one in found]


def full(ledger: Ledger) -> list[Listed]:
    return list(ledger.listed(None, lambda _: True))


def test_vehicles_and_epochs_are_apart() -> None:
    ledger = Ledger()
    ledger.arrived(W, 1, run(2))
    ledger.arrived(V, 2, run(1, 3))
    ledger.arrived(V, 1, run(1, 3))
    ledger.arrived(V, 1, run(6))
    ledger.lost(V, 2, 5, 5, "FULL", LATER)
    assert listed(ledger) == [(V, 1, 4, 5, OPEN), (V, 2, 4, 4, OPEN), (V, 2, 5, 5, LOST), (W, 1, 1, 1, OPEN)]


def test_it_goes_on_behind_any_gap() -> None:
    ledger = Ledger()
    for vehicle_id in (W, V):
        ledger.arrived(vehicle_id, 1, run(2))
        ledger.arrived(vehicle_id, 1, run(4))
        ledger.arrived(vehicle_id, 3, run(2))
    everything = full(ledger)
    assert len(everything) == 6
    for i, one in enumerate(everything):
        assert list(ledger.listed(one.key, lambda _: True)) == everything[i + 1 :]


def test_a_new_boot_epoch_leaves_the_tail_of_the_old_one_missing_where_it_was_told() -> None:
    ledger = Ledger()
    ledger.arrived(V, 1, run(1, 10))
    ledger.told(V, 1, 14, sampled(15))
    ledger.arrived(V, 2, run(1, 5))
    assert listed(ledger) == [(V, 1, 11, 14, OPEN)]


def test_what_is_told_of_a_vehicle_that_has_sent_nothing_is_missing() -> None:
    ledger = Ledger()
    ledger.told(V, 1, 3, LATER)
    ledger.lost(W, 2, 2, 2, "FULL", LATER)
    ledger.rejected(W, 3, 1, "NO", LATER)
    expected = [(V, 1, 1, 3, OPEN), (W, 2, 1, 1, OPEN), (W, 2, 2, 2, LOST), (W, 3, 1, 1, REJECTED)]
    assert listed(ledger) == expected


def test_where_kafka_had_deleted_readings_nothing_is_claimed_of_the_time_before() -> None:
    ledger = Ledger()
    ledger.truncated = True
    ledger.told(V, 3, 5_000, BEGIN)
    ledger.rejected(V, 3, 4_000, "NO", BEGIN)
    ledger.lost(V, 2, 1, 9_000, "FULL", BEGIN)
    assert len(ledger) == 0
    ledger.arrived(V, 3, run(6_000, 6_100))
    ledger.arrived(V, 3, run(6_103))
    ledger.arrived(V, 4, Run(2, 2, *(4 * [sampled(9_000)])))  # later than what it began with, so all of it is known
    ledger.told(V, 2, 77, BEGIN)
    assert listed(ledger) == [(V, 3, 6_101, 6_102, OPEN), (V, 4, 1, 1, OPEN)]
    assert ledger.missing_in(V, sampled(5_990), sampled(6_010)) is None
    ledger.truncated = False
    ledger.arrived(W, 1, run(3))
    assert listed(ledger)[-1] == (W, 1, 1, 2, OPEN)


def test_of_too_many_gaps_of_a_vehicle_the_closest_become_one_and_none_is_hidden() -> None:
    ledger, arrived, kept = Ledger(), set[int](), list[int]()
    for n in range(2, 4 * MAX_GAPS, 2):
        ledger.arrived(V, 1, run(n))
        arrived.add(n)
        kept.append(len(full(ledger)))
    assert max(kept) == MAX_GAPS
    assert min(kept[MAX_GAPS:]) == GAPS_LEFT
    shown = {n for one in full(ledger) for n in range(one.gap.first, one.gap.last + 1)}
    missing = set(range(1, max(arrived))) - arrived
    assert missing <= shown
    assert len(shown & arrived) == ledger.overstated > 0
    assert all(one.gap.state is OPEN for one in full(ledger))
    assert any(one.gap.approximate for one in full(ledger))
    assert [one.gap.last + 1 < two.gap.first for one, two in pairwise(full(ledger))]


def test_the_start_with_the_most_gaps_gives_up_the_most() -> None:
    ledger = Ledger()
    ledger.arrived(V, 1, run(2))
    ledger.arrived(V, 1, run(4))
    for n in range(2, 2 * MAX_GAPS + 2, 2):
        ledger.arrived(V, 2, run(n))
    assert listed(ledger)[:2] == [(V, 1, 1, 1, OPEN), (V, 1, 3, 3, OPEN)]


def test_the_latest_filled_gaps_are_remembered() -> None:
    ledger = Ledger()
    for n in range(2, 6 * MAX_FILLED, 2):
        ledger.arrived(V, 1, run(n))
    for n in range(1, 6 * MAX_FILLED - 1, 2):
        ledger.arrived(V, 1, run(n, n, LATER + n * SECOND))
    filled = [one.gap.first for one in full(ledger)]
    assert len(filled) == MAX_FILLED
    assert filled[-1] == 6 * MAX_FILLED - 3
    assert ledger.overstated == 0


def test_of_too_many_starts_a_complete_one_goes_first_then_the_oldest_and_is_counted() -> None:
    ledger = Ledger()
    for epoch in range(10, 10 + MAX_EPOCHS):
        ledger.arrived(V, epoch, run(1 if epoch == 50 else 3))
    ledger.lost(V, 10, 5, 9, "FULL", LATER)
    assert ledger.take_changes().gone == ()
    ledger.arrived(V, 1_000, run(1))
    assert (sum(ledger.forgotten.values()), ledger.take_changes().gone) == (0, ((V, 50),))
    ledger.arrived(V, 1_001, run(1))
    assert (ledger.forgotten["limit"], ledger.take_changes().gone) == (3, ((V, 10),)), "what is lost is not missing"
    ledger.arrived(V, 3, run(7))
    assert ledger.turned_away == 1


def test_a_vehicle_beyond_the_most_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet_service.gap_ledger.MAX_VEHICLES", 1)
    ledger = Ledger()
    ledger.arrived(V, 1, run(2))
    ledger.arrived(W, 1, run(2))
    assert (len(ledger), ledger.turned_away) == (1, 1)


def test_of_what_was_taken_out_of_the_registry_the_gaps_are_forgotten_up_to_then() -> None:
    ledger, stored = Ledger(), Stored()
    ledger.arrived(V, 1, run(2))
    ledger.arrived(V, 2, run(1_000))
    ledger.arrived(W, 1, run(3))
    ledger.forget_vehicle(V, sampled(500))
    assert listed(ledger) == [(V, 2, 1, 999, OPEN), (W, 1, 1, 2, OPEN)]
    ledger.forget_vehicle(V, sampled(2_000))
    assert listed(ledger) == [(W, 1, 1, 2, OPEN)]
    assert ledger.forgotten == {"registry": 1_000, "age": 0, "limit": 0}
    stored.keep(ledger.take_changes())
    for back in (ledger, stored.restored()):
        back.arrived(V, 2, run(1_003))
        back.arrived(V, 2, run(998))
        back.arrived(V, 1, run(1, 3))
        assert listed(back) == [(V, 2, 1_001, 1_002, OPEN), (W, 1, 1, 2, OPEN)]


def test_old_starts_are_forgotten_but_never_the_newest() -> None:
    ledger = Ledger()
    ledger.arrived(V, 1, run(2))
    ledger.arrived(V, 2, run(2))
    ledger.forget_old(LATER)
    assert listed(ledger) == [(V, 2, 1, 1, OPEN)]
    assert ledger.forgotten["age"] == 1


def test_whatever_a_vehicle_says_it_has_made_is_a_number_that_can_be_answered() -> None:
    ledger = Ledger()
    for epoch in (1, 2, 3):
        ledger.arrived(V, epoch, run(1))
        ledger.told(V, epoch, 2**63 - 1, sampled(2))
    assert ledger.missing_in(V, BEGIN, LATER) == MAX_MISSING
    assert [one.gap.last for one in full(ledger)] == [2**63 - 1] * 3


def test_counts_by_state_and_the_oldest_open_gap() -> None:
    ledger = Ledger()
    ledger.arrived(V, 1, run(1, 10))
    ledger.arrived(V, 1, run(16, 20))
    ledger.lost(V, 1, 11, 12, "FULL", LATER)
    ledger.rejected(V, 1, 15, "NO", LATER)
    ledger.arrived(W, 1, run(3))
    ledger.arrived(W, 1, run(9))
    summary = ledger.summary()
    assert summary.readings == {"open": 9, "lost": 2, "rejected": 1}
    assert summary.gaps == {"open": 3, "lost": 1, "rejected": 1}
    assert summary.oldest_open_ns == sampled(3) + UNDER_WAY_NS
    assert Ledger().summary().oldest_open_ns == 0


@pytest.mark.parametrize(
    ("sentence", "start", "end", "missing"),
    [
        ("before the gap", 0, 11, 0),
        ("its beginning", 0, 15, 4),
        ("all of it", 0, 60, 10),
        ("its end", 15, 60, 6),
        ("a part of it", 12, 14, 2),
        ("behind it", 21, 60, 0),
    ],
)
def test_a_window_has_what_lay_in_it(sentence: str, start: int, end: int, missing: int) -> None:
    ledger = Ledger()
    ledger.arrived(V, 1, run(1, 10))
    ledger.arrived(V, 1, run(21, 70))
    assert ledger.missing_in(V, sampled(start), sampled(end)) == missing, sentence
    ledger.lost(V, 1, 11, 13, "FULL", LATER)
    ledger.rejected(V, 1, 15, "NO", LATER)
    assert ledger.missing_in(V, sampled(start), sampled(end)) == missing, f"{sentence}: lost is missing too"
    ledger.arrived(V, 1, run(11, 20, LATER))
    assert ledger.missing_in(V, sampled(start), sampled(end)) == 0, f"{sentence}: filled by now"


def test_of_a_time_before_all_that_it_knows_it_says_nothing() -> None:
    ledger = Ledger()
    assert ledger.missing_in(V, BEGIN, LATER) is None
    ledger.arrived(V, 1, run(1, 10))
    assert ledger.missing_in(V, BEGIN - 60 * SECOND, BEGIN) is None
    assert ledger.missing_in(V, BEGIN, LATER) == 0


def test_what_came_without_a_gap_is_stored_too() -> None:
    ledger, stored = Ledger(), Stored()
    for first in (1, 4, 7):
        ledger.arrived(V, 1, run(first, first + 2))
        stored.keep(ledger.take_changes())
    again = stored.restored()
    again.arrived(V, 1, run(10))
    assert listed(again) == []
    assert again.missing_in(V, BEGIN, LATER) == 0


def test_an_epoch_that_begins_anew_has_none_of_its_old_gaps() -> None:
    ledger, stored = Ledger(), Stored()
    ledger.arrived(V, 1, run(3))
    ledger.arrived(V, 2, run(1))
    stored.keep(ledger.take_changes())
    ledger.forget_old(LATER)
    ledger.arrived(V, 1, run(1, 4))
    stored.keep(ledger.take_changes())
    assert listed(stored.restored()) == []


SAID = st.tuples(
    st.sampled_from(["arrived", "arrived", "rejected", "lost", "told"]),
    st.sampled_from([V, W]),
    st.integers(1, 3),
    st.integers(1, 30),
    st.integers(0, 6),
    st.booleans(),  # stored behind it
    st.booleans(),  # and killed then: what came since the last time it was stored is read again
)


def say(ledger: Ledger, step: int, said: tuple[str, str, int, int, int, bool, bool]) -> None:
    word, vehicle_id, epoch, first, more, *_ = said
    time_ns = LATER + step * 20 * SECOND
    match word:
        case "arrived":
            ledger.arrived(vehicle_id, epoch, run(first, first + more, time_ns))
        case "rejected":
            ledger.rejected(vehicle_id, epoch, first, "NO", time_ns)
        case "lost":
            ledger.lost(vehicle_id, epoch, first, first + more, "FULL", time_ns)
        case "told":
            ledger.told(vehicle_id, epoch, first + more, time_ns)


@given(st.lists(SAID, max_size=40))
def test_killed_anywhere_it_knows_the_same(everything: list[tuple[str, str, int, int, int, bool, bool]]) -> None:
    """Rows and offsets are one transaction, so what is read again is what is not stored."""
    straight, killed, stored, behind = Ledger(), Ledger(), Stored(), 0
    for step, said in enumerate(everything):
        say(straight, step, said)
        say(killed, step, said)
        if said[-2]:
            stored.keep(killed.take_changes())
            behind = step + 1
        if said[-1]:
            killed = stored.restored()
            for again in range(behind, step + 1):
                say(killed, again, everything[again])
    assert full(killed) == full(straight)
    assert killed.summary() == straight.summary()
    stored.keep(killed.take_changes())
    assert full(stored.restored()) == full(straight)
