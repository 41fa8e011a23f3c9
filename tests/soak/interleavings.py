"""Interleavings of stop, release, order, crash, restart, repeat, reorder and delay at one vehicle, each by a seed.

The machine of tests.unit.edge_agent.test_order_machine, driven by plain chance, because a million of them are wanted.
It sees that nothing that came lets go without its release, and that no order is carried out twice, or late.
"""

from collections.abc import Callable
from random import Random

from tests.unit.edge_agent.test_order_machine import KINDS, PAUSES_S, OrderMachine

#: Steps of each.
STEPS = 24

#: What is drawn for each rule that takes something.
_CHOICES: dict[str, Callable[[Random], object]] = {
    "seconds": lambda chance: chance.choice(PAUSES_S),
    "kind": lambda chance: chance.choice(KINDS),
    "which": lambda chance: int(chance.expovariate(0.5)),
    "permitted": lambda chance: chance.random() < 0.7,
    "ok": lambda chance: chance.random() < 0.8,
    "written": lambda chance: chance.random() < 0.5,
}
#: How often, against the others, and what it takes.
_RULES: tuple[tuple[int, Callable[..., None], tuple[str, ...]], ...] = (
    (3, OrderMachine.time_passes, ("seconds",)),
    (4, OrderMachine.loop_ticks, ("permitted",)),
    (5, OrderMachine.operator_orders, ("kind",)),
    (7, OrderMachine.order_arrives, ("which",)),
    (7, OrderMachine.disk_answers, ("which", "ok")),
    (2, OrderMachine.somebody_stops_it, ()),
    (2, OrderMachine.supervisor_releases, ("which",)),
    (4, OrderMachine.set_frame_arrives, ("which",)),
    (1, OrderMachine.vehicle_reconnects, ()),
    (1, OrderMachine.computer_crashes, ("which", "written")),
)
_WEIGHTS = [weight for weight, _, _ in _RULES]


def interleaving(seed: int) -> OrderMachine:
    """As it stands at the end. Raises AssertionError."""
    chance, machine = Random(seed), OrderMachine()
    machine.boot()
    for _, act, takes in chance.choices(_RULES, _WEIGHTS, k=STEPS):
        act(machine, **{name: _CHOICES[name](chance) for name in takes})
        machine.what_came_holds_until_its_release_came()
    return machine
