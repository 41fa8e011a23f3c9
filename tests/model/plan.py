"""When what goes wrong, by the seed alone: an action that is left out changes no other."""

import random
from dataclasses import dataclass

from pitwall.domain.geo import Position, Zone


def _square(name: str, south: float, west: float) -> Zone:
    corners = [(south, west), (south, west + 0.01), (south + 0.01, west + 0.01), (south + 0.01, west)]
    return Zone(name, tuple(Position(*corner) for corner in corners))


ZONES = (_square("north", 10.0, 20.0), _square("south", 9.995, 20.0))
#: In none, in the first, in the second, in both.
PLACES = tuple(Position(latitude, 20.005) for latitude in (10.5, 10.008, 9.997, 10.002))

#: How often each thing happens, against the others.
_WEIGHTS = {
    "stop": 5,
    "drive": 6,
    "ambush": 2,
    "wall": 6,
    "split": 5,
    "siege": 5,
    "amnesia": 2,
    "outage": 2,
    "slow": 5,
    "cut": 6,
    "kill": 5,
    "pause": 6,
    "hang": 3,
    "button": 2,
    "blind": 1,
    "wrong_clock": 1,
}


@dataclass(frozen=True)
class Action:
    """`number` gives it its chance."""

    number: int
    at_s: float
    kind: str


def plan(chance: random.Random, from_s: float, to_s: float, every_s: float, often: str) -> list[Action]:
    """One or a few every so many seconds on the average. Each run leaves some kinds out and has one more often than
    others, because faults that come together in every run hide each other."""
    actions: list[Action] = []
    at_s = from_s
    kinds = list(_WEIGHTS)
    often = often or chance.choice(kinds)
    weights = [15 * _WEIGHTS[kind] if kind == often else _WEIGHTS[kind] * (chance.random() < 0.6) for kind in kinds]
    while True:
        at_s += chance.expovariate(1 / every_s)
        if at_s >= to_s:
            return actions
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            kind = chance.choices(kinds, weights)[0]
            actions.append(Action(len(actions), at_s + chance.random() * 0.3, kind))
