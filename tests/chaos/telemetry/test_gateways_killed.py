"""Gateways are killed again and again, and each time five thousand readings a second go through them."""

import time
from collections import Counter

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading

from tests.chaos.breaking import held_to
from tests.chaos.line import say
from tests.chaos.telemetry.judge import Judge
from tests.chaos.telemetry.yard import GATEWAYS, Yard

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

#: They bring history for as long as the test takes, and no faster than this each: 6,400 a second; and 10 Hz besides.
VEHICLES = 16
BRINGS_PER_S = 400
HISTORY = 32_000
KILLS = 20
#: In the second before each kill.
RATE = 5_000
GROWTH_MB = 64
FLOWS_WITHIN_S = 20.0
DRAINED_WITHIN_S = 120.0


def test_gateways_killed_at_5000_readings_a_second_lose_none(yard: Yard) -> None:
    with (
        held_to(yard.stack, BRINGS_PER_S),
        yard.agents("gateways-killed", 1, VEHICLES) as agents,
        yard.gateway_memory() as memory,
    ):
        agents.fill(HISTORY, seed=1)
        judge, flow = yard.judge(agents), Flow()
        judge.each = flow.take
        agents.start()
        agents.await_connected()
        began_s, rates = time.time(), list[int]()
        for kill in range(KILLS):
            rates.append(await_rate(judge, flow))
            yard.stack.kill(GATEWAYS[kill % 2])
            yard.stack.await_healthy(GATEWAYS[kill % 2])
        took_s = time.time() - began_s
        left = agents.metric("pitwall_agent_outbox_readings")
        verdict, drained_s = judge.await_all(DRAINED_WITHIN_S)
        judge.close()
    say(
        f"{KILLS} gateways killed in {took_s:.0f} s at {min(rates):,} to {max(rates):,} readings/s in the second "
        f"before ({flow.between(began_s, began_s + took_s) / took_s:,.0f} on the average of all that time, {left:,.0f} "
        f"waited at the end): {verdict.figures}; complete {drained_s:.1f} s later; "
        f"gateways' memory +{memory.growth_mb:.0f} MB"
    )
    assert verdict.complete, str(verdict)
    assert left >= RATE, "history outlasts the kills"
    assert memory.growth_mb <= GROWTH_MB


def await_rate(judge: Judge, flow: "Flow") -> int:
    """Until enough readings a second go through. How many that is."""
    end_s = time.monotonic() + FLOWS_WITHIN_S
    while (rate := flow.rate(time.time())) < RATE:
        assert time.monotonic() < end_s, f"{rate:,} readings/s"
        judge.look(0.2)
    return rate


class Flow:
    """Readings by when a gateway took them."""

    #: What was taken so long ago is in our hands, seconds.
    _LAG_S = 0.3
    _TICKS_PER_S = 10

    def __init__(self) -> None:
        self._by_tick = Counter[int]()

    def take(self, reading: Reading) -> None:
        self._by_tick[self._tick(reading.received_time.ToNanoseconds() / 1e9)] += 1

    def rate(self, now_s: float) -> int:
        """Readings of a whole second that has just passed; Unix seconds."""
        end_s = now_s - self._LAG_S
        return self.between(end_s - 1.0, end_s)

    def between(self, first_s: float, end_s: float) -> int:
        """Unix seconds."""
        return sum(self._by_tick[tick] for tick in range(self._tick(first_s), self._tick(end_s)))

    def _tick(self, moment_s: float) -> int:
        return int(moment_s * self._TICKS_PER_S)
