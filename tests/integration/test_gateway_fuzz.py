"""A real gateway under changed frames and garbage by the ten thousand: it stays, and healthy vehicles notice nothing.

The seed is printed; PITWALL_TEST_SEED runs it again.
"""

import asyncio
import math
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

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
#: Of all of them together, a second: what they do themselves, and what the gateway has to do for them, leaves processor
#: time for the others on two cores, so that it is the gateway that is measured and not the lack of cores.
BURSTS_PER_S, FRAMES_PER_S = 150.0, 60.0
#: With and without an attack in turns, so that whatever else this machine does is in both, seconds;
TURN_S = 5.0
#: and before the first turn: Kafka's JVM compiles what it runs often for half a minute, and acks wait for that.
SETTLE_S = 30.0
#: After a turn, until what was sent last is dealt with, seconds.
REST_S = 0.5
#: Turns beyond those that it takes at that rate, times: not every burst comes in time.
TURNS_MORE = 1.25
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
    ("kind", "counted", "wanted", "per_s"),
    [
        ("send garbage", "bursts", BURSTS, BURSTS_PER_S),
        ("send changed frames", "frames", FRAMES, FRAMES_PER_S),
    ],
)
async def test_whatever_comes_the_gateway_stays_and_nobody_notices(
    home: Path, running: GatewayProcess, kind: str, counted: str, wanted: int, per_s: float
) -> None:
    seed = int(os.environ.get("PITWALL_TEST_SEED") or time.time())
    print(f"\nseed {seed}")
    attack = Attack(home, await running.address(), BAD, seed, per_s)
    came, quiet, beside = await asyncio.to_thread(attacked, kind, attack, counted, wanted)
    slow_s, alone_s = p99(beside), p99(quiet)
    print(
        f"p99 of others {1000 * alone_s:.1f} ms without, {1000 * slow_s:.1f} ms beside, {slow_s / alone_s:.2f} times; "
        f"median {1000 * median(quiet):.1f} and {1000 * median(beside):.1f} ms, {len(quiet):,} and {len(beside):,} "
        f"batches; {came}"
    )
    assert came[counted] >= wanted
    assert running.process.poll() is None, running.log[-2_000:]
    assert [line for line in running.log.splitlines() if DEFECTS.search(line)] == []
    assert errors(running.log) == []
    code, _ = await running.status("/healthz")
    assert code == 200
    assert slow_s <= LONGER * alone_s + SLACK_S
    assert await running.end() == 0


def attacked(kind: str, attack: Attack, counted: str, wanted: int) -> tuple[Counter[str], list[float], list[float]]:
    """What came of an attack in turns, and what the others' batches took without it and beside it."""
    quiet, beside = list[float](), list[float]()
    turns = math.ceil(TURNS_MORE * wanted / attack.per_s / TURN_S)
    with good_vehicles(attack.home, attack.address, GOOD) as others, hostile(kind, attack) as attackers:
        attackers.rest()
        time.sleep(SETTLE_S)
        for _ in range(turns):
            quiet += measured(others, TURN_S)
            attackers.go()
            beside += measured(others, TURN_S)
            attackers.rest()
            time.sleep(REST_S)
        came = Counter(attackers.tell())
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
