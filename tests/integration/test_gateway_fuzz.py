"""A real gateway under changed frames and garbage by the ten thousand: it stays, and healthy vehicles notice nothing.

The seed is printed; PITWALL_TEST_SEED runs it again.
"""

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pitwall import devca
from pitwall.kafka_topics import ensure_topics
from tests.integration.gateway_rig import GatewayProcess, gateway, make_home, serving
from tests.integration.stacks import RunningStack
from tests.support.good_vehicles import Others, good_vehicles
from tests.support.hostile_vehicles import Attack, hostile

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(420)]

GOOD = [f"GOOD-{number:03d}" for number in range(10)]
BAD = tuple(f"BAD-{number:03d}" for number in range(20))
BURSTS, FRAMES = 10_000, 3_000
#: One round of an attack, and the quiet before it, seconds.
ATTACKS_S, QUIET_S = 20.0, 5.0
#: How much longer the slowest hundredth of batches may take, times; and what a busy machine's timers add, seconds.
LONGER, SLACK_S = 1.2, 0.005
#: Lines of a gateway that has had to do with something that nobody thought of.
DEFECTS = re.compile(r"Traceback|incident|exception was never retrieved|Unhandled|Segmentation|core dumped")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_home(tmp_path_factory.mktemp("fuzz"))
    devca.ensure(made, vehicles=[*GOOD, *BAD])
    return made


@pytest.fixture
async def running(home: Path, tmp_path: Path, kafka: RunningStack) -> AsyncIterator[GatewayProcess]:
    await asyncio.to_thread(ensure_topics, kafka.kafka_bootstrap)
    async with (
        serving(home, "command-1") as (_, address),
        gateway(home, tmp_path, [address], kafka.kafka_bootstrap) as started,
    ):
        yield started


@pytest.mark.parametrize(
    ("kind", "counted", "wanted"), [("send garbage", "bursts", BURSTS), ("send changed frames", "frames", FRAMES)]
)
async def test_whatever_comes_the_gateway_stays_and_nobody_notices(
    home: Path, running: GatewayProcess, kind: str, counted: str, wanted: int
) -> None:
    seed = int(os.environ.get("PITWALL_TEST_SEED") or time.time())
    print(f"\nseed {seed}")
    address = await running.address()
    attack = Attack(home, address, BAD, seed)
    came, quiet, beside = await asyncio.to_thread(attacked, kind, attack, counted, wanted)
    slow_s = p99(beside)
    alone = f"p99 of others {1000 * p99(quiet):.1f} ms without"
    print(f"{alone}, {1000 * slow_s:.1f} ms beside {wanted:,} {counted}: {came}")
    assert running.process.poll() is None, running.log[-2_000:]
    assert [line for line in running.log.splitlines() if DEFECTS.search(line)] == []
    assert errors(running.log) == []
    code, _ = await running.status("/healthz")
    assert code == 200
    assert slow_s <= LONGER * p99(quiet) + SLACK_S
    assert await running.end() == 0


def attacked(kind: str, attack: Attack, counted: str, wanted: int) -> tuple[Counter[str], list[float], list[float]]:
    """Round after round, each with a seed of its own, until so many have come. What came, and what others took."""
    came, quiet, beside = Counter[str](), list[float](), list[float]()
    with good_vehicles(attack.home, attack.address, GOOD) as others:
        while came[counted] < wanted:
            quiet += measured(others, QUIET_S)
            seed = attack.seed + 1_000 * len(came)
            with hostile(kind, Attack(attack.home, attack.address, attack.vehicle_ids, seed)) as attackers:
                beside += measured(others, ATTACKS_S)
                came.update(attackers.tell())
        quiet += measured(others, QUIET_S)
    return came, quiet, beside


def measured(others: Others, seconds: float) -> list[float]:
    with others.measuring() as told:
        time.sleep(seconds)
    assert told.owed_s < seconds, "a batch has no ack"
    return told.took_s


def p99(took_s: list[float]) -> float:
    return sorted(took_s)[int(0.99 * len(took_s))]


def errors(log: str) -> list[str]:
    """What the gateway itself calls an error. gRPC's own lines may run into them, so they are not read as JSON."""
    return [line for line in log.splitlines() if re.search(r'"level": "(error|critical)"', line)]
