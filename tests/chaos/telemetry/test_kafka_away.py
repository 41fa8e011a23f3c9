"""Kafka is killed, and hangs, while vehicles send: they keep what it does not take, and gateways do not grow."""

import time
from collections.abc import Iterable

import pytest

from tests.chaos.line import say
from tests.chaos.telemetry.judge import Judge
from tests.chaos.telemetry.lengths import COMPLETE_AFTER_KAFKA_S, DEAD_S, HANGS_S
from tests.chaos.telemetry.yard import Yard, until
from tests.support.checker import Verdict

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_200)]

#: A thousand readings a second.
VEHICLES = 100
GROWTH_MB = 64
BACK_WITHIN_S = 60.0


def test_kafka_killed_again_and_again(yard: Yard) -> None:
    with yard.agents("kafka-killed", 1, VEHICLES) as agents, yard.gateway_memory() as memory:
        judge = yard.judge(agents)
        agents.start()
        agents.await_connected()
        back_s = []
        for dead_s in DEAD_S:
            judge.look(2.0)
            begun_s = kill(yard, dead_s)
            await_flow(judge)
            back_s.append(time.monotonic() - begun_s)
        verdict, took_s = judge.await_all(COMPLETE_AFTER_KAFKA_S)
        judge.close()
    told(
        f"killed {len(DEAD_S)} times, {f'dead for {seconds(DEAD_S)},' if any(DEAD_S) else 'started again at once,'}",
        verdict,
        took_s,
        memory.growth_mb,
        f"readings flow again {max(back_s):.1f} s after its start is begun at most",
    )


def kill(yard: Yard, dead_s: float) -> float:
    """It stays away for so long; 0: as long as the supervisor takes. When its start began, CLOCK_MONOTONIC seconds."""
    if not dead_s:
        begun_s = time.monotonic()
        yard.stack.kill("kafka")
        return begun_s
    yard.stack.lose("kafka")
    time.sleep(dead_s)
    begun_s = time.monotonic()
    yard.stack.supervisor.start("kafka")
    return begun_s


def test_kafka_hung_for_longer_than_any_time_out(yard: Yard) -> None:
    with yard.agents("kafka-hung", 1, VEHICLES) as agents, yard.gateway_memory() as memory:
        judge = yard.judge(agents)
        agents.start()
        agents.await_connected()
        for hang_s in HANGS_S:
            judge.look(2.0)
            yard.stack.hang("kafka")
            try:
                time.sleep(hang_s)
            finally:
                yard.stack.wake("kafka")
            await_flow(judge)
        verdict, took_s = judge.await_all(COMPLETE_AFTER_KAFKA_S)
        judge.close()
    told(f"hung {len(HANGS_S)} times", verdict, took_s, memory.growth_mb, f"for {seconds(HANGS_S)}")


def await_flow(judge: Judge) -> None:
    until(lambda: judge.look(0.2) > 0, "readings arrive again", BACK_WITHIN_S)


def seconds(lengths_s: Iterable[float]) -> str:
    return f"{', '.join(f'{length_s:g}' for length_s in lengths_s)} s"


def told(how: str, verdict: Verdict, took_s: float, growth_mb: float, beside: str) -> None:
    say(
        f"Kafka {how} at {VEHICLES * 10:,} readings/s, {beside}: {verdict.figures}; "
        f"complete {took_s:.1f} s later; gateways' memory +{growth_mb:.0f} MB"
    )
    assert verdict.complete, str(verdict)
    assert growth_mb <= GROWTH_MB
