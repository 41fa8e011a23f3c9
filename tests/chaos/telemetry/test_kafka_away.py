"""Kafka is killed, and hangs, while vehicles send: they keep what it does not take, and gateways do not grow."""

import time

import pytest

from tests.chaos.line import say
from tests.chaos.telemetry.judge import Judge
from tests.chaos.telemetry.yard import Yard, until
from tests.support.checker import Verdict

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

#: A thousand readings a second.
VEHICLES = 100
KILLS = 5
#: Longer than every time-out on the way, of which librdkafka's 10 s for a request is the longest; and one of a minute.
HANGS_S = (15.0, 15.0, 15.0, 15.0, 60.0)
GROWTH_MB = 64
BACK_WITHIN_S = 60.0


def test_kafka_killed_again_and_again(yard: Yard) -> None:
    with yard.agents("kafka-killed", 1, VEHICLES) as agents, yard.gateway_memory() as memory:
        judge = yard.judge(agents)
        agents.start()
        agents.await_connected()
        back_s = []
        for _ in range(KILLS):
            judge.look(2.0)
            killed_s = time.monotonic()
            yard.stack.kill("kafka")
            await_flow(judge)
            back_s.append(time.monotonic() - killed_s)
        verdict, took_s = judge.await_all(BACK_WITHIN_S)
        judge.close()
    told("killed", verdict, took_s, memory.growth_mb, f"readings flow again after {max(back_s):.1f} s at most")


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
        verdict, took_s = judge.await_all(BACK_WITHIN_S)
        judge.close()
    hangs = ", ".join(f"{hang_s:g}" for hang_s in HANGS_S)
    told("hung", verdict, took_s, memory.growth_mb, f"for {hangs} s")


def await_flow(judge: Judge) -> None:
    until(lambda: judge.look(0.2) > 0, "readings arrive again", BACK_WITHIN_S)


def told(how: str, verdict: Verdict, took_s: float, growth_mb: float, beside: str) -> None:
    say(
        f"Kafka {how} 5 times at {VEHICLES * 10:,} readings/s, {beside}: {verdict.figures}; "
        f"complete {took_s:.1f} s later; gateways' memory +{growth_mb:.0f} MB"
    )
    assert verdict.complete, str(verdict)
    assert growth_mb <= GROWTH_MB
