"""Links between vehicles and gateways that stay open and carry nothing, for a second or for five minutes."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.chaos.line import say
from tests.chaos.telemetry.yard import GATEWAYS, Yard
from tests.support.fault_proxy import FaultProxy

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(500)]

VEHICLES = 20
#: One after the other on one half of the vehicles: how many, from, to, seconds. The other half is away all the while.
PARTITIONS = ((10, 1.0, 3.0), (5, 3.0, 10.0), (3, 10.0, 30.0), (1, 60.0, 60.0))
LONGEST_S = 300.0
#: Between two of them, seconds: some of the next ones meet vehicles that are just back, others those at rest.
APART_S = (0.5, 4.0)
WITHIN_S = 120.0


def test_silent_partitions_of_a_second_to_five_minutes_lose_nothing(yard: Yard) -> None:
    half = VEHICLES // 2
    with ExitStack() as stays:
        far, near = stays.enter_context(proxies(yard)), stays.enter_context(proxies(yard))
        away = stays.enter_context(yard.agents("far", 1, half, [proxy.address for proxy in far]))
        often = stays.enter_context(yard.agents("near", half + 1, half, [proxy.address for proxy in near]))
        judge = yard.judge(away, often)
        for agents in (away, often):
            agents.start()
        for agents in (away, often):
            agents.await_connected()
        judge.look(2.0)
        silent_s = time.monotonic()
        silence(far)
        lasted = break_again_and_again(near, random.Random(3))
        judge.look(max(0.0, LONGEST_S - (time.monotonic() - silent_s)))
        heal(far)
        verdict, took_s = judge.await_all(WITHIN_S)
        judge.close()
    say(
        f"{len(lasted) + 1} silent partitions of {min(lasted):.1f} to {LONGEST_S:.0f} s, {VEHICLES} vehicles at 10 Hz: "
        f"{verdict.figures}; complete {took_s:.1f} s after the last"
    )
    assert len(lasted) + 1 == 20
    assert verdict.complete, str(verdict)


def break_again_and_again(links: list[FaultProxy], rng: random.Random) -> list[float]:
    """How long each lasted, seconds."""
    lengths = [rng.uniform(low, high) for count, low, high in PARTITIONS for _ in range(count)]
    rng.shuffle(lengths)
    for length_s in lengths:
        time.sleep(rng.uniform(*APART_S))
        silence(links)
        time.sleep(length_s)
        heal(links)
    return lengths


@contextmanager
def proxies(yard: Yard) -> Iterator[list[FaultProxy]]:
    """One before each gateway."""
    with ExitStack() as stays:
        yield [stays.enter_context(FaultProxy(yard.stack.address(gateway))) for gateway in GATEWAYS]


def silence(links: list[FaultProxy]) -> None:
    for link in links:
        link.silence()


def heal(links: list[FaultProxy]) -> None:
    for link in links:
        link.heal()
