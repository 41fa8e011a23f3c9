"""The checker finds what is planted, and nothing else."""

import pytest

from tests.support.checker import Identity, compare

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
