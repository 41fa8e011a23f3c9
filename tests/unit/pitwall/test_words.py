"""What people are told."""

import pytest

from pitwall.words import some


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], ""),
        (["A"], "A"),
        (list("ABCDE"), "A, B, C, D, E"),
        (list("ABCDEF"), "A, B, C, D, E and 1 more"),
        (["A"] * 1_005, "A, A, A, A, A and 1000 more"),
    ],
)
def test_a_few_are_named_and_the_others_counted(names: list[str], said: str) -> None:
    assert some(names) == said
