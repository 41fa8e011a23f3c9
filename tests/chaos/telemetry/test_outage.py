"""Two hundred vehicles without any gateway for minutes: when they are back, what happens now is seen first, and in the
end nothing is missing, neither in Kafka nor by the fleet service's own list.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from haul.fleet.v1.vehicle_pb2 import GAP_STATE_FILLED
from haul.telemetry.v1.telemetry_pb2 import Reading

from deploy.local.options import Server
from tests.chaos.line import say
from tests.chaos.telemetry.judge import Judge
from tests.chaos.telemetry.lengths import AWAY_S
from tests.chaos.telemetry.yard import GATEWAYS, VEHICLES, WITHIN_S, metric, until
from tests.integration.stacks import RunningStack, running
from tests.support.picture import View, fleet_view
from tests.support.plant import Plant

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_200)]

#: Of each vehicle.
RATE_HZ = 1.0
#: A live reading has to be so young when the gateway takes it, seconds, and every vehicle's first one so soon there.
YOUNG_S = 2.0
LIVE_WITHIN_S = 10.0
COMPLETE_WITHIN_S = 120.0


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    """With a fleet service, and vehicles of its own."""
    servers = frozenset({Server.KAFKA, Server.POSTGRES, Server.REDIS})
    with running("outage", vehicles=VEHICLES, rate_hz=RATE_HZ, command_services=1, servers=servers) as started:
        yield started


def test_after_an_outage_live_readings_come_first_and_nothing_is_missing(stack: RunningStack) -> None:
    judge = Judge(stack.kafka_bootstrap, [Plant(stack.places.plant)], from_the_beginning=True)
    with fleet_view(stack.home, stack.address("fleet-1").replace("127.0.0.1", "localhost")) as view:
        meanwhile = Meanwhile(view, stack.address("agents-metrics"))
        until(meanwhile.all_connected, "all are connected")
        judge.await_all(WITHIN_S)
        until(meanwhile.nothing_missing, "nothing is missing before")
        for gateway in GATEWAYS:
            stack.lose(gateway)
        time.sleep(AWAY_S)
        behind = meanwhile.waiting()
        young = Young(time.time())
        judge.each = young.take
        with ThreadPoolExecutor() as pool:
            list(pool.map(stack.supervisor.start, GATEWAYS))
        verdict, _ = judge.await_all(COMPLETE_WITHIN_S, meanwhile.look)
        complete_s = young.elapsed_s
        meanwhile.look()
        until(lambda: judge.look(0.1) >= 0 and len(young.first_s) == VEHICLES, "a young one of each", LIVE_WITHIN_S)
        judge.close()
        until(meanwhile.nothing_missing, "nothing is missing", max(0.0, COMPLETE_WITHIN_S - complete_s))
        listed_s = young.elapsed_s
        filled = [gap for gap in view.gaps(filled=True)[0] if gap.state == GAP_STATE_FILLED]
    say(
        f"{VEHICLES} vehicles without a gateway for {AWAY_S:.0f} s at {RATE_HZ:g} Hz, {behind:,.0f} readings behind. "
        f"Both gateways are started: all vehicles connected after {meanwhile.connected_s - young.since_s:.1f} s; "
        f"{young.figures}; history complete in {complete_s:.1f} s; ListGaps empty at {listed_s:.1f} s "
        f"({meanwhile.most_gaps} gaps at most meanwhile, {len(filled)} told as filled); {verdict.figures}"
    )
    assert behind >= 0.9 * VEHICLES * AWAY_S * RATE_HZ
    assert verdict.complete, str(verdict)
    assert max(young.first_s.values()) <= LIVE_WITHIN_S
    assert complete_s <= COMPLETE_WITHIN_S
    assert meanwhile.most_gaps > 0, "a list that is always empty says nothing"
    assert young.backfilled >= 0.8 * behind, "what had waited is marked as such"


class Meanwhile:
    """How it looks from outside. `connected_s`: when all vehicles were connected again, Unix seconds; 0 before."""

    def __init__(self, view: View, agents: str) -> None:
        self._view, self._agents = view, agents
        self.most_gaps = 0
        self.connected_s = 0.0

    def all_connected(self) -> bool:
        return metric(self._agents, "pitwall_agent_vehicles_connected") == VEHICLES

    def waiting(self) -> float:
        """Readings on vehicles' disks."""
        return metric(self._agents, "pitwall_agent_outbox_readings")

    def nothing_missing(self) -> bool:
        """By the fleet service, when it has read all that Kafka has."""
        return self._view.gaps() == ([], False)

    def look(self) -> None:
        self.most_gaps = max(self.most_gaps, len(self._view.gaps()[0]))
        if not self.connected_s and self.all_connected():
            self.connected_s = time.time()


class Young:
    """When the first live reading of each vehicle came that was young, seconds after `since_s`, Unix seconds."""

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.first_s: dict[str, float] = {}
        self.backfilled = 0

    @property
    def elapsed_s(self) -> float:
        return time.time() - self.since_s

    @property
    def figures(self) -> str:
        first_s = sorted(self.first_s.values())
        within = f"within {first_s[-1]:.1f} s (half of them {first_s[len(first_s) // 2]:.1f} s)"
        return f"a live reading of each, younger than {YOUNG_S:g} s, {within}"

    def take(self, reading: Reading) -> None:
        self.backfilled += reading.backfilled
        received_s = reading.received_time.ToNanoseconds() / 1e9
        old_s = received_s - reading.event_time.ToNanoseconds() / 1e9
        if not reading.backfilled and received_s > self.since_s and old_s < YOUNG_S:
            self.first_s.setdefault(reading.vehicle_id, received_s - self.since_s)
