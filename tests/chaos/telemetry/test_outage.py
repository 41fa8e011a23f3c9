"""Two hundred vehicles without any gateway for a while: when they are back, what happens now is seen first."""

import time

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading

from tests.chaos.line import say
from tests.chaos.telemetry.test_partitions import heal, proxies
from tests.chaos.telemetry.yard import VEHICLES, Yard

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

#: A minute at 10 Hz leaves as many readings behind as ten minutes at 1 Hz.
AWAY_S = 60.0
#: A live reading has to be so young when the gateway takes it, seconds, and every vehicle's first one so soon there.
YOUNG_S = 2.0
LIVE_WITHIN_S = 10.0
COMPLETE_WITHIN_S = 120.0


def test_after_an_outage_live_readings_come_first_and_history_is_complete(yard: Yard) -> None:
    with proxies(yard) as links, yard.agents("outage", 1, VEHICLES, [link.address for link in links]) as agents:
        judge = yard.judge(agents)
        agents.start()
        agents.await_connected()
        judge.look(2.0)
        for link in links:
            link.cut()
        time.sleep(AWAY_S)
        behind = agents.metric("pitwall_agent_outbox_readings")
        young = Young(time.time())
        judge.each = young.take
        heal(links)
        verdict, complete_s = judge.await_all(COMPLETE_WITHIN_S)
        judge.close()
    first_s = young.first_s
    say(
        f"{VEHICLES} vehicles without a gateway for {AWAY_S:.0f} s at 10 Hz, {behind:,.0f} readings behind: "
        f"a live reading of each, younger than {YOUNG_S:g} s, within {max(first_s.values()):.1f} s "
        f"(half of them {sorted(first_s.values())[len(first_s) // 2]:.1f} s); history complete in {complete_s:.1f} s; "
        f"{verdict.figures}"
    )
    assert behind >= 0.9 * VEHICLES * AWAY_S * 10
    assert verdict.complete, str(verdict)
    assert len(first_s) == VEHICLES
    assert max(first_s.values()) <= LIVE_WITHIN_S
    assert complete_s <= COMPLETE_WITHIN_S
    assert young.backfilled >= 0.8 * behind, "what had waited is marked as such"


class Young:
    """When the first live reading of each vehicle came that was young, seconds after `since_s`, Unix seconds."""

    def __init__(self, since_s: float) -> None:
        self._since_s = since_s
        self.first_s: dict[str, float] = {}
        self.backfilled = 0

    def take(self, reading: Reading) -> None:
        self.backfilled += reading.backfilled
        received_s = reading.received_time.ToNanoseconds() / 1e9
        old_s = received_s - reading.event_time.ToNanoseconds() / 1e9
        if not reading.backfilled and received_s > self._since_s and old_s < YOUNG_S:
            self.first_s.setdefault(reading.vehicle_id, received_s - self._since_s)
