"""One that lost its journal: complete again when everybody has told, a majority of them complete, and never before."""

from itertools import combinations, permutations

import pytest

from command_service.recall import Recall
from pitwall.domain.permit import SITE_SIZES, majority


@pytest.mark.parametrize("size", SITE_SIZES)
def test_one_that_never_lost_its_journal_is_complete_whoever_tells(size: int) -> None:
    recall = Recall(size - 1, complete=True)
    assert not any(recall.told(f"c{number}", complete=True) for number in range(1, size))
    assert recall.complete


@pytest.mark.parametrize(
    ("told", "complete"),
    [
        ("", False),
        ("B", False),
        ("C", False),
        ("BC", True),
        ("CB", True),
        ("BB", False),
        ("bC", False),
        ("Bc", False),
        ("bc", False),
        ("bCB", True),
    ],
)
def test_of_three_it_takes_both_others_complete(told: str, complete: bool) -> None:
    """Upper case: it is complete itself."""
    recall = Recall(2, complete=False)
    news = [recall.told(peer.upper(), complete=peer.isupper()) for peer in told]
    assert recall.complete is complete
    assert news == [False] * (len(told) - 1) + [complete] * bool(told), "it is told once"


@pytest.mark.parametrize("complete", range(5))
def test_of_five_it_takes_every_other_one_and_three_of_them_complete(complete: int) -> None:
    for order in permutations("BCDE"):
        recall = Recall(4, complete=False)
        for peer in order:
            assert not recall.complete
            recall.told(peer, complete="BCDE".index(peer) < complete)
        assert recall.complete is (complete >= 3)


@pytest.mark.parametrize("size", [size for size in SITE_SIZES if size > 1])
def test_the_complete_ones_share_a_member_with_what_is_left_of_every_majority(size: int) -> None:
    peers, needed = range(size - 1), Recall(size - 1, complete=False).needed
    for told in combinations(peers, needed):
        for left in combinations(peers, majority(size) - 1):
            assert set(told) & set(left)


def test_it_says_who_is_missing() -> None:
    recall = Recall(4, complete=False)
    recall.told("B", complete=True)
    recall.told("C", complete=False)
    assert (recall.peers, recall.needed, recall.heard, recall.silent) == (4, 3, 1, 2)


def test_alone_nobody_can_tell() -> None:
    recall = Recall(0, complete=False)
    assert (recall.complete, recall.needed, recall.silent) == (False, 0, 0)
