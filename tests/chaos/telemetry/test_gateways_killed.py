"""Gateways are killed again and again while readings go through them as fast as vehicles' history allows."""

import time

import pytest

from tests.chaos.line import say
from tests.chaos.telemetry.yard import GATEWAYS, Yard

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

VEHICLES = 40
#: Of each. It drains as fast as the cores carry it, so the first kills meet more of it than the last ones.
HISTORY = 25_000
KILLS = 20
#: From one kill to the next, seconds: the one before is up again, and vehicles are on it.
APART_S = 2.0
RATE = 5_000
GROWTH_MB = 64
DRAINED_WITHIN_S = 120.0


def test_gateways_killed_at_5000_readings_a_second_lose_none(yard: Yard) -> None:
    with yard.agents("gateways-killed", 1, VEHICLES) as agents, yard.gateway_memory() as memory:
        agents.fill(HISTORY, seed=1)
        judge = yard.judge(agents)
        agents.start()
        agents.await_connected()
        judge.look(1.0)
        before, began_s = len(judge.identities), time.monotonic()
        for kill in range(KILLS):
            yard.stack.kill(GATEWAYS[kill % 2])
            judge.look(APART_S)
        rate = (len(judge.identities) - before) / (time.monotonic() - began_s)
        left = agents.metric("pitwall_agent_outbox_readings")
        verdict, took_s = judge.await_all(DRAINED_WITHIN_S)
        judge.close()
    say(
        f"{KILLS} gateways killed at {rate:,.0f} readings/s on the average ({left:,.0f} waited at the last kill): "
        f"{verdict.figures}; "
        f"complete {took_s:.1f} s later; gateways' memory +{memory.growth_mb:.0f} MB"
    )
    assert verdict.complete, str(verdict)
    assert rate >= RATE
    assert memory.growth_mb <= GROWTH_MB
