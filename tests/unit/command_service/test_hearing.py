"""Whom a command service asks for gateways that it lacks: nobody while it lacks none, and for each one peer alone."""

import pytest

from command_service.hearing import LACKED_FOR_S, Hearing

G1, G2 = "gateway-1", "gateway-2"
BOTH, NONE = frozenset({G1, G2}), frozenset[str]()
PEERS = ("c2", "c3")
LATER_S = 10.0


def hearing(**peers: frozenset[str]) -> Hearing:
    made = Hearing()
    for peer, gateways in peers.items():
        made.heard(peer, 1, gateways)
    return made


def asked(made: Hearing, own: frozenset[str] = NONE, reachable: tuple[str, ...] = PEERS) -> dict[str, frozenset[str]]:
    """Long after it began to lack them."""
    made.ask(own, reachable, 0.0)
    return dict(made.ask(own, reachable, LATER_S))


@pytest.mark.parametrize(
    ("own", "peers", "reachable", "expected"),
    [
        (BOTH, {"c2": BOTH, "c3": BOTH}, PEERS, {}),
        (NONE, {}, PEERS, {}),
        (NONE, {"c2": NONE, "c3": NONE}, PEERS, {}),
        (NONE, {"c2": BOTH, "c3": BOTH}, PEERS, {"c2": BOTH}),
        (NONE, {"c2": BOTH, "c3": BOTH}, ("c3",), {"c3": BOTH}),
        (NONE, {"c2": BOTH, "c3": BOTH}, (), {}),
        ({G2}, {"c2": BOTH, "c3": BOTH}, PEERS, {"c2": {G1}}),
        (NONE, {"c2": {G2}, "c3": BOTH}, PEERS, {"c2": {G2}, "c3": {G1}}),
    ],
    ids=[
        "whoever hears all asks nobody",
        "nobody has said anything",
        "nobody hears any",
        "the first by name is asked for all",
        "one that can't be reached is not asked",
        "nobody can be reached",
        "what it hears itself is not asked for",
        "each from the first that has it",
    ],
)
def test_each_lacked_gateway_is_asked_for_once(
    own: frozenset[str],
    peers: dict[str, frozenset[str]],
    reachable: tuple[str, ...],
    expected: dict[str, frozenset[str]],
) -> None:
    assert asked(hearing(**{name: frozenset(g) for name, g in peers.items()}), frozenset(own), reachable) == expected


def test_one_that_is_about_to_attach_is_not_asked_for() -> None:
    made = hearing(c2=frozenset({G1}))
    assert not made.ask(NONE, PEERS, 100.0)
    assert not made.ask(NONE, PEERS, 99.99 + LACKED_FOR_S)
    assert made.ask(NONE, PEERS, 100.0 + LACKED_FOR_S) == {"c2": {G1}}


def test_the_time_begins_anew_for_one_that_was_there_meanwhile() -> None:
    made = hearing(c2=frozenset({G1}))
    made.ask(NONE, PEERS, 100.0)
    made.ask(frozenset({G1}), PEERS, 100.4)
    assert not made.ask(NONE, PEERS, 100.5)
    assert not made.ask(NONE, PEERS, 100.9)
    assert made.ask(NONE, PEERS, 101.0)


def test_when_the_one_that_was_asked_loses_it_another_one_is_asked_at_once() -> None:
    made = hearing(c2=BOTH, c3=BOTH)
    assert asked(made) == {"c2": BOTH}
    made.heard("c2", 1, NONE)
    assert made.ask(NONE, PEERS, LATER_S) == {"c3": BOTH}


def test_what_a_peer_said_on_an_older_stream_does_not_count() -> None:
    made = Hearing()
    assert made.heard("c2", 2, BOTH)
    assert not made.heard("c2", 1, NONE), "the end of the one before"
    assert asked(made) == {"c2": BOTH}
    assert made.heard("c2", 2, NONE)
    assert asked(made) == {}
