"""What is missing of one boot_epoch: as a set of sequences says it, in whatever order and however often it is told."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_service.gaps import BRIEF_NS, Epoch, Gap, GapState, Run, placed

OPEN, FILLED, LOST, REJECTED = GapState.OPEN, GapState.FILLED, GapState.LOST, GapState.REJECTED
SECOND = 1_000_000_000
#: When the first reading of an epoch was sampled; one a second follows.
BEGIN = 1_790_000_000 * SECOND
LATER = BEGIN + 3_600 * SECOND
UNDER_WAY_NS = SECOND // 4


def sampled(sequence: int) -> int:
    return BEGIN + sequence * SECOND


def run(first: int, last: int | None = None, received_ns: int = 0) -> Run:
    """Each is taken UNDER_WAY_NS after it was sampled, or all of them at the time told."""
    last = last or first
    came_ns, received_ns = received_ns or sampled(first) + UNDER_WAY_NS, received_ns or sampled(last) + UNDER_WAY_NS
    return Run(first, last, sampled(first), sampled(last), came_ns, received_ns)


def epoch(*runs: tuple[int, int]) -> Epoch:
    one = Epoch()
    for first, last in runs:
        one.arrived(run(first, last))
    return one


def spans(one: Epoch) -> list[tuple[int, int, GapState]]:
    return [(gap.first, gap.last, gap.state) for gap in one.gaps]


@pytest.mark.parametrize(
    ("sentence", "runs", "missing"),
    [
        ("in order, nothing is missing", [(1, 5), (6, 6), (7, 9)], []),
        ("a jump leaves a gap", [(1, 5), (8, 9)], [(6, 7)]),
        ("an epoch begins at 1", [(4, 9)], [(1, 3)]),
        ("what comes twice changes nothing", [(1, 5), (3, 5), (1, 5)], []),
        ("what is partly known reaches further", [(1, 5), (3, 8)], []),
        ("a gap may be filled from its front", [(1, 2), (9, 9), (3, 5)], [(6, 8)]),
        ("from its end", [(1, 2), (9, 9), (6, 8)], [(3, 5)]),
        ("in its middle", [(1, 2), (9, 9), (5, 6)], [(3, 4), (7, 8)]),
        ("over several of them", [(1, 1), (3, 3), (5, 5), (2, 4)], []),
        ("and beyond all that was known", [(1, 1), (3, 3), (2, 7)], []),
    ],
)
def test_gaps_follow_from_what_came(sentence: str, runs: list[tuple[int, int]], missing: list[tuple[int, int]]) -> None:
    one = epoch(*runs)
    assert [(g.first, g.last) for g in one.gaps if g.state is OPEN] == missing, sentence
    assert one.last == max(last for _, last in runs)


@pytest.mark.parametrize(
    ("sentence", "said", "expected"),
    [
        ("rejected ones are not missing", lambda e: e.rejected(6, 6, "NO", LATER), [(6, 6, REJECTED), (7, 8, OPEN)]),
        ("lost ones are lost", lambda e: e.lost(6, 8, "FULL", LATER), [(6, 8, LOST)]),
        ("only as far as they didn't come", lambda e: e.lost(2, 7, "FULL", LATER), [(6, 7, LOST), (8, 8, OPEN)]),
        ("a loss beyond all opens a gap before it", lambda e: e.lost(13, 14, "", LATER), [
            (6, 8, OPEN), (11, 12, OPEN), (13, 14, LOST),
        ]),
        ("what the vehicle says it has made is missing", lambda e: e.told(12, LATER), [(6, 8, OPEN), (11, 12, OPEN)]),
        ("less than is known says nothing", lambda e: e.told(9, LATER), [(6, 8, OPEN)]),
    ],
)  # fmt: skip
def test_words_of_what_did_not_come(sentence: str, said, expected: list[tuple[int, int, GapState]]) -> None:  # type: ignore[no-untyped-def]
    one = epoch((1, 5), (9, 10))
    said(one)
    assert spans(one) == expected, sentence


def test_what_is_told_and_comes_after_is_one_gap_until_it_comes() -> None:
    one = epoch((1, 5))
    assert one.told(8, sampled(9))
    assert one.arrived(run(12, 13))
    assert spans(one) == [(6, 11, OPEN)]
    assert one.gaps[0].found_ns == sampled(9)
    assert (one.gaps[0].after_ns, one.gaps[0].before_ns) == (sampled(5), sampled(12))
    one.arrived(run(6, 11, LATER))
    assert spans(one) == [(6, 11, FILLED)]
    assert (one.gaps[0].found_ns, one.gaps[0].closed_ns) == (sampled(9), LATER)


def test_a_gap_filled_within_a_moment_leaves_no_trace() -> None:
    for wait_ns, left in ((BRIEF_NS - 1, []), (BRIEF_NS, [(3, 4, FILLED)])):
        one = epoch((1, 2), (5, 5))
        one.arrived(run(3, 4, sampled(5) + UNDER_WAY_NS + wait_ns))
        assert spans(one) == left


def test_a_lost_reading_that_comes_after_all_is_there() -> None:
    one = epoch((1, 2), (9, 9))
    one.lost(3, 8, "FULL", sampled(9))
    one.arrived(run(5, 6, sampled(9)))
    assert spans(one) == [(3, 4, LOST), (5, 6, FILLED), (7, 8, LOST)]
    assert [g.reason for g in one.gaps] == ["FULL", "", "FULL"]


def test_below_its_floor_nothing_is_claimed() -> None:
    one = Epoch(floor=100)
    one.arrived(run(100, 110))
    one.lost(1, 50, "FULL", LATER)
    one.arrived(run(20, 30))
    one.rejected(99, 101, "NO", LATER)
    assert spans(one) == []
    one.arrived(run(113))
    assert spans(one) == [(111, 112, OPEN)]


def places(one: Epoch) -> list[tuple[int, int, int]]:
    """Of each gap that is not filled: its first sequence, and the readings between which its stretch lies; 0: none."""
    found = []
    for gap, place in placed(one.gaps):
        ends = [(ns - BEGIN) // SECOND if ns else 0 for ns in (place.after_ns, place.before_ns)]
        found.append((gap.first, ends[0], ends[1]))
    return found


def test_neighbours_say_when_it_was() -> None:
    one = epoch((1, 10), (21, 30))
    one.arrived(run(14, 15, LATER))
    assert places(one) == [(11, 10, 14), (16, 15, 21)]
    [*_, (_, place)] = placed(one.gaps)
    assert [place.time_of(n) for n in range(15, 22)] == [sampled(n) for n in range(15, 22)]
    one.lost(17, 18, "FULL", LATER)
    assert places(one) == [(11, 10, 14), (16, 15, 21), (17, 15, 21), (19, 15, 21)], "none of these is there"
    one.arrived(run(17, 18, LATER))
    assert places(one) == [(11, 10, 14), (16, 15, 17), (19, 18, 21)]


def test_it_makes_no_difference_whether_letters_or_readings_are_read_first() -> None:
    """Of a backlog the few letters are read long before the many readings."""
    early, late = Epoch(), Epoch()
    late.lost(5, 6, "FULL", LATER)
    late.rejected(9, 9, "NO", LATER)
    for one in (early, late):
        one.arrived(run(1, 3))
        one.arrived(run(11, 13))
    early.rejected(9, 9, "NO", LATER)
    early.lost(5, 6, "FULL", LATER)
    assert spans(early) == spans(late)
    assert places(early) == places(late) == [(n, 3, 11) for n in (4, 5, 7, 9, 10)]
    assert {g.found_ns for g in early.gaps + late.gaps} == {sampled(11) + UNDER_WAY_NS}


def test_a_tail_that_came_is_the_neighbour_of_what_comes_next() -> None:
    one = epoch((1, 5))
    one.told(8, sampled(9))
    one.arrived(run(6, 8, LATER))
    assert not one.arrived(run(9)), "what is filled has no place in time, so nothing is to be stored"
    one.arrived(run(12, 13))
    assert spans(one) == [(6, 8, FILLED), (10, 11, OPEN)]
    assert one.gaps[0].before_ns == 0
    gap = one.gaps[1]
    assert (gap.after_ns, gap.before_ns, gap.found_ns) == (sampled(9), sampled(12), sampled(12) + UNDER_WAY_NS)
    one = epoch((1, 5))
    one.told(8, sampled(9))
    one.arrived(run(6, 8))
    one.arrived(run(10))
    assert one.gaps[0].after_ns == sampled(8)


def test_the_first_word_of_equal_ones_stays() -> None:
    one = epoch((1, 2), (5, 5))
    one.lost(3, 4, "FULL", LATER)
    before = one.gaps
    assert not one.lost(3, 4, "TOO_OLD", LATER + SECOND)
    assert one.gaps == before
    assert not one.told(5, LATER)
    assert not one.lost(1, 2, "FULL", LATER)


def test_a_tail_that_was_told_ends_where_the_next_reading_was_sampled() -> None:
    one = epoch((1, 5))
    one.told(8, LATER)
    assert one.gaps[0].before_ns == LATER
    assert one.arrived(run(9, 12)), "the gap's place has become clearer, which is to be stored"
    assert one.gaps[0].before_ns == sampled(9)


# Against a set


@dataclass
class Model:
    """One sequence at a time."""

    last: int = 0
    word: dict[int, GapState] = field(default_factory=dict)
    missed: set[int] = field(default_factory=set)

    def say(self, first: int, last: int, state: GapState) -> None:
        strength = (OPEN, LOST, REJECTED, FILLED)
        self.missed |= set(range(self.last + 1, first))
        for n in range(first, last + 1):
            if state is not FILLED and self.word.get(n) is not FILLED:
                self.missed.add(n)
            if strength.index(state) > strength.index(self.word.get(n, OPEN)):
                self.word[n] = state
        self.last = max(self.last, last)

    def told(self, last: int) -> None:
        self.missed |= set(range(self.last + 1, last + 1))
        self.last = max(self.last, last)

    def states(self) -> dict[int, GapState]:
        """Of whatever is not simply there."""
        state = {n: self.word.get(n, OPEN) for n in range(1, self.last + 1)}
        return {n: s for n, s in state.items() if s is not FILLED or n in self.missed}


WORDS = st.tuples(
    st.sampled_from(["arrived", "arrived", "rejected", "lost", "told"]), st.integers(1, 60), st.integers(0, 12)
)


def tell(one: Epoch, word: str, first: int, last: int, time_ns: int) -> None:
    match word:
        case "arrived":
            one.arrived(run(first, last, time_ns))
        case "rejected":
            one.rejected(first, last, "NO", time_ns)
        case "lost":
            one.lost(first, last, "FULL", time_ns)
        case "told":
            one.told(last, time_ns)


def told_to_model(model: Model, word: str, first: int, last: int) -> None:
    if word == "told":
        model.told(last)
    else:
        model.say(first, last, {"arrived": FILLED, "rejected": REJECTED, "lost": LOST}[word])


def states(one: Epoch) -> dict[int, GapState]:
    found: dict[int, GapState] = {}
    for gap in one.gaps:
        assert 1 <= gap.first <= gap.last
        for n in range(gap.first, gap.last + 1):
            assert n not in found, "disjoint"
            found[n] = gap.state
    return found


@given(st.lists(WORDS, max_size=40))
def test_it_is_what_a_set_of_sequences_says(words: list[tuple[str, int, int]]) -> None:
    one, model = Epoch(), Model()
    for step, (word, first, more) in enumerate(words):
        tell(one, word, first, first + more, LATER + step * BRIEF_NS)
        told_to_model(model, word, first, first + more)
        assert one.last == model.last
        assert states(one) == model.states()
        assert [g.first for g in one.gaps] == sorted(g.first for g in one.gaps)
        for gap, following in zip(one.gaps, one.gaps[1:], strict=False):
            same = (gap.state, gap.reason) == (following.state, following.reason)
            assert not (same and gap.last + 1 == following.first), "neighbours that say the same are one"
        missing = {n for n, state in states(one).items() if state is not FILLED}
        for _, place in placed(one.gaps):
            assert missing >= set(range(place.first, place.last + 1)), "nothing of it is there"
            assert place.after_ns == (sampled(place.first - 1) if place.first > 1 else 0)
            assert place.last == one.last or place.before_ns == sampled(place.last + 1)


@given(st.lists(WORDS, max_size=25), st.randoms(use_true_random=False))
def test_order_and_repetition_make_no_difference(words: list[tuple[str, int, int]], chance) -> None:  # type: ignore[no-untyped-def]
    shuffled = words + chance.sample(words, len(words) // 2)
    chance.shuffle(shuffled)
    left, right = Epoch(), Epoch()
    for one, told in ((left, words), (right, shuffled)):
        for step, (word, first, more) in enumerate(told):
            tell(one, word, first, first + more, LATER + step * BRIEF_NS)
    assert left.last == right.last
    unfilled = [{n: s for n, s in states(one).items() if s is not FILLED} for one in (left, right)]
    assert unfilled[0] == unfilled[1]


@given(st.lists(WORDS, max_size=40), st.integers(1, 10))
def test_coarser_it_shows_more_never_less(words: list[tuple[str, int, int]], most: int) -> None:
    one = Epoch()
    for step, (word, first, more) in enumerate(words):
        tell(one, word, first, first + more, LATER + step * BRIEF_NS)
    before = {n: s for n, s in states(one).items() if s is not FILLED}
    open_before = {n for n, s in before.items() if s is OPEN}
    overstated = one.coarsen(most)
    after = states(one)
    assert len(one.gaps) <= most
    assert before.keys() <= after.keys()
    assert open_before <= {n for n, s in after.items() if s is OPEN}
    assert len(after) - len(before) == overstated
    assert all(g.approximate for g in one.gaps if any(n not in before for n in range(g.first, g.last + 1)))


def test_the_closest_gaps_become_one() -> None:
    one = epoch((1, 5), (7, 8), (10, 50), (53, 60))
    assert one.coarsen(2) == 2
    assert [(g.first, g.last, g.approximate) for g in one.gaps] == [(6, 9, True), (51, 52, False)]


def test_what_may_still_come_is_open_whatever_it_is_joined_with() -> None:
    one = epoch((1, 5), (8, 8), (10, 10))
    one.rejected(9, 9, "NO", LATER)
    one.coarsen(1)
    assert [(g.first, g.last, g.state, g.closed_ns, g.reason) for g in one.gaps] == [(6, 9, OPEN, 0, "")]
    assert one.gaps[0].found_ns == sampled(8) + UNDER_WAY_NS


@pytest.mark.parametrize(
    "word",
    [
        lambda e: e.arrived(run(6, 6, LATER)),
        lambda e: e.arrived(run(2, 2, LATER)),
        lambda e: e.rejected(2, 2, "NO", LATER),
        lambda e: e.lost(9, 9, "FULL", LATER),
        lambda e: e.told(1, LATER),
    ],
)
def test_every_word_tells_when_it_was_last_heard_of(word) -> None:  # type: ignore[no-untyped-def]
    one = epoch((1, 5))
    assert one.heard_ns == sampled(5) + UNDER_WAY_NS
    word(one)
    assert one.heard_ns == LATER


def test_the_filled_ones_closed_last_are_kept() -> None:
    one = epoch((1, 1), (3, 3), (5, 5), (7, 7))
    for n, minute in ((6, 1), (2, 2), (4, 3)):
        one.arrived(run(n, n, LATER + minute * 60 * SECOND))
    assert one.drop_filled(2)
    assert [g.first for g in one.gaps] == [2, 4]
    assert not one.drop_filled(2)


def test_a_gap_without_neighbours_has_no_time() -> None:
    for before_ns in (0, LATER):
        [(_, place)] = placed([Gap(3, 5, OPEN, LATER, before_ns=before_ns)])
        assert {place.time_of(n) for n in (3, 4, 5)} == {before_ns}
