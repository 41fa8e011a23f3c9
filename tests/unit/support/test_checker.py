"""The checker finds what is planted, and nothing else."""

import pytest

from tests.support.checker import Identity, ListedGap, compare, tails, wrong_gaps

GENERATED = [(("V-1", 7, n), n * 11) for n in range(1, 6)] + [(("V-2", 9, 1), 5)]


def test_the_same_on_both_sides_is_clean() -> None:
    verdict = compare(GENERATED, reversed(GENERATED))
    assert verdict.clean
    assert str(verdict) == "generated 6, in Kafka 6: the same"


@pytest.mark.parametrize(
    ("in_kafka", "fault", "identity"),
    [
        (GENERATED[:2] + GENERATED[3:], "lost", ("V-1", 7, 3)),
        ([*GENERATED, GENERATED[0]], "duplicated", ("V-1", 7, 1)),
        ([*GENERATED[1:], (("V-1", 7, 1), 12)], "corrupt", ("V-1", 7, 1)),
        ([*GENERATED, (("V-3", 1, 1), 0)], "foreign", ("V-3", 1, 1)),
    ],
)
def test_a_planted_fault_is_found(in_kafka: list[tuple[Identity, int]], fault: str, identity: Identity) -> None:
    verdict = compare(GENERATED, in_kafka)
    assert not verdict.clean
    assert verdict.complete is (fault == "duplicated")
    assert getattr(verdict, fault) == [identity]
    assert f"{fault} 1, first [{identity}]" in str(verdict)


def test_what_is_still_on_its_way_is_not_lost() -> None:
    through = {("V-1", 7): 4, ("V-2", 9): 1}
    assert compare(GENERATED, GENERATED[:4] + GENERATED[5:], through=through).clean
    assert compare(GENERATED, GENERATED[:3] + GENERATED[5:], through=through).lost == [("V-1", 7, 4)]


HERE = {("V-1", 7, n) for n in (1, 2, 4, 5, 8)}
MADE = [("V-1", 7, n) for n in range(1, 10)]
KNOWN = {("V-1", 7): 8}
RIGHT = [ListedGap("V-1", 7, 3, 3), ListedGap("V-1", 7, 6, 7)]


def test_a_list_of_gaps_that_is_right() -> None:
    assert wrong_gaps(MADE, HERE, RIGHT, KNOWN) == []


@pytest.mark.parametrize(
    ("listed", "fault"),
    [
        (RIGHT[:1], "missing and not listed: 2, first [('V-1', 7, 6), ('V-1', 7, 7)]"),
        ([*RIGHT, ListedGap("V-1", 7, 4, 5)], "listed and there: 2, first [('V-1', 7, 4), ('V-1', 7, 5)]"),
        ([*RIGHT, ListedGap("V-1", 8, 1, 1)], "listed and never generated: 1, first [('V-1', 8, 1)]"),
        ([*RIGHT, ListedGap("V-1", 7, 9, 9)], "listed and never generated: 1, first [('V-1', 7, 9)]"),
        ([*RIGHT, RIGHT[0]], "listed twice: 1, first [('V-1', 7, 3)]"),
    ],
)
def test_what_a_list_of_gaps_has_wrong_is_named(listed: list[ListedGap], fault: str) -> None:
    assert wrong_gaps(MADE, HERE, listed, KNOWN) == [fault]


def test_an_identity_with_two_contents_is_found_whoever_is_right() -> None:
    verdict = compare(GENERATED, [*GENERATED, (("V-1", 7, 2), 99)])
    assert verdict.contradictory == verdict.corrupt == [("V-1", 7, 2)]
    assert not verdict.complete
    foreign = (("V-9", 1, 1), 1), (("V-9", 1, 1), 2)
    assert compare([], foreign).contradictory == [("V-9", 1, 1)]


def test_records_that_say_the_same_twice_are_counted_and_no_fault() -> None:
    verdict = compare(GENERATED, [*GENERATED, *GENERATED[:2], GENERATED[0]])
    assert verdict.complete
    assert verdict.raw_duplicates == 3
    assert "9 records in Kafka: lost 0, twice by identity with other content 0" in verdict.figures
    assert "raw duplicates 3" in verdict.figures


@pytest.mark.parametrize(
    ("lost", "on_the_way", "gone"),
    [
        ([("V", 1, 9), ("V", 1, 10)], 2, 0),
        ([("V", 1, 8)], 0, 1),
        ([("V", 1, 8), ("V", 1, 10)], 1, 1),
        ([("V", 2, 5)], 0, 1),
    ],
    ids=["the newest two", "the third newest", "with one between", "of a boot that lives"],
)
def test_just_the_newest_of_a_boot_that_has_ended_may_never_have_been_on_disk(
    lost: list[Identity], on_the_way: int, gone: int
) -> None:
    generated = [("V", 1, n) for n in range(1, 11)] + [("V", 2, n) for n in range(1, 6)]
    found = tails(lost, generated, most=2)
    assert (len(found[0]), len(found[1])) == (on_the_way, gone)
