"""What vehicles do when the path to them breaks, judged by what they wrote themselves."""

import time
from collections.abc import Iterator

import pytest

from deploy.local.options import Server
from tests.integration.driving import BRAKES_WITHIN_S, await_driving, await_hold, resume_all
from tests.integration.stacks import RunningStack, running
from tests.support.fault_proxy import FaultProxy
from tests.support.operator import Operator
from tests.support.plant import Plant
from tests.support.topics import await_all

pytestmark = pytest.mark.alone

FIRST, SECOND = "KOMATSU-930E-001", "KOMATSU-980E-002"
#: A hung Kafka in this test, seconds: longer than its clients wait for one answer.
KAFKA_HANGS_S = 15.0
#: Readings of a killed agent that may not have reached its outbox: half a second's at 5 Hz, rounded up.
TAIL = 3


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with running("broken", vehicles=2, rate_hz=5.0, time_scale=20.0, servers=frozenset({Server.KAFKA})) as stack:
        yield stack


@pytest.fixture
def operator(stack: RunningStack) -> Operator:
    return Operator(stack.home)


@pytest.fixture
def plant(stack: RunningStack) -> Plant:
    return Plant(stack.places.plant)


def test_without_a_command_service_vehicles_brake_and_wait_for_resume(
    stack: RunningStack, operator: Operator, plant: Plant
) -> None:
    resume_all(operator)
    await_driving(plant, FIRST, SECOND)
    killed_t = time.monotonic()
    stack.hang("command-1")
    for vehicle_id in (FIRST, SECOND):
        braked = plant.wait(vehicle_id, "it brakes", lambda line: line.brake and not line.permitted, since_t=killed_t)
        assert braked.t - killed_t <= BRAKES_WITHIN_S
        plant.wait(vehicle_id, "it stands", lambda line: line.speed_kph == 0, since_t=killed_t)
    stood_t = time.monotonic()
    stack.wake("command-1")
    stack.kill("command-1")
    stack.await_healthy("command-1", within_s=30)
    await_hold(operator, "MOTION_HOLD_LINK_LOST", FIRST, SECOND)
    for vehicle_id in (FIRST, SECOND):
        assert not [line for line in plant.lines(vehicle_id, stood_t) if line.speed_kph > 0]
    resume_all(operator)
    await_driving(plant, FIRST, SECOND)


@pytest.mark.parametrize("fault", ["hung", pytest.param("killed", marks=pytest.mark.chaos)])
def test_a_vehicle_whose_interface_was_gone_does_not_drive_on_by_itself(
    stack: RunningStack, operator: Operator, plant: Plant, fault: str
) -> None:
    resume_all(operator)
    await_driving(plant, FIRST)
    if fault == "hung":
        stack.hang("plant")
        await_hold(operator, "MOTION_HOLD_LINK_LOST", FIRST)
        stack.wake("plant")
    else:
        stack.kill("plant")
        stack.await_healthy("plant", within_s=30)
    back_t = time.monotonic()
    # Samples come again, permits have never ended: and it stands. The test after this one resumes it.
    held = plant.wait(FIRST, "it is told to hold", lambda line: line.cause == "LINK_LOST", since_t=back_t)
    plant.wait(FIRST, "it stands for a while", lambda line: line.t > held.t + 3 and line.speed_kph == 0)
    assert not [line for line in plant.lines(FIRST, held.t) if line.permitted]


@pytest.fixture
def proxies(stack: RunningStack) -> Iterator[list[FaultProxy]]:
    """Both gateways behind proxies; the agents go through them."""
    config = stack.places.config / "agents.toml"
    before = config.read_text()
    with FaultProxy(stack.address("gateway-1")) as one, FaultProxy(stack.address("gateway-2")) as two:
        through = before.replace(stack.address("gateway-1"), one.address).replace(
            stack.address("gateway-2"), two.address
        )
        assert through != before
        config.write_text(through)
        stack.kill("agents")
        stack.await_healthy("agents")
        yield [one, two]
    config.write_text(before)
    stack.kill("agents")
    stack.await_healthy("agents")


@pytest.mark.parametrize("fault", [pytest.param("cut", marks=pytest.mark.chaos), "silence"])
def test_a_vehicle_that_is_cut_off_brakes_and_gets_the_set_before_anything_else(
    stack: RunningStack, operator: Operator, plant: Plant, proxies: list[FaultProxy], fault: str
) -> None:
    await_hold(operator, "MOTION_HOLD_BOOT", FIRST, SECOND)
    resume_all(operator)
    await_driving(plant, FIRST)
    broken_t = time.monotonic()
    for proxy in proxies:
        getattr(proxy, fault)()
    late_t = broken_t + BRAKES_WITHIN_S
    plant.wait(FIRST, "its permit is over", lambda line: line.t > late_t, since_t=broken_t)

    # Stopped while it is away: said to be unreachable or pending, with the bound; never said to stand.
    told = operator.do("stop", FIRST, "--wait", "2", exit_code=3)
    summary = told[-1]["summary"]
    assert (summary["inScope"], summary["standstill"]) == (1, 0)
    assert summary["brakesBy"]

    for proxy in proxies:
        proxy.heal()
    plant.wait(FIRST, "the stop has hold of it", lambda line: summary["stopId"] in line.cause, since_t=broken_t)
    assert not [line for line in plant.lines(FIRST, late_t) if line.permitted or not line.brake]
    operator.release(summary["stopId"])


def test_a_hung_kafka_stops_nobody_from_stopping_and_loses_nothing(
    stack: RunningStack, operator: Operator, plant: Plant
) -> None:
    resume_all(operator)
    stack.hang("kafka")
    hung_t = time.monotonic()
    try:
        plant.wait(SECOND, "time passes", lambda line: line.t > hung_t + KAFKA_HANGS_S, since_t=hung_t, timeout_s=60)
        told = operator.do("stop", SECOND)
    finally:
        stack.wake("kafka")
    issued_t = float(told[0]["issuedMonotonic"])
    braked = plant.wait(SECOND, "it brakes", lambda line: line.brake, since_t=issued_t)
    assert braked.t - issued_t <= 0.1
    assert told[-1]["summary"]["standstill"] == 1
    verdict = await_all(plant, stack.kafka_bootstrap, within_s=90, killed_tail=TAIL)
    assert verdict.generated > 5 * 2 * KAFKA_HANGS_S
    operator.release(told[-1]["summary"]["stopId"])


def test_a_killed_kafka_loses_nothing(stack: RunningStack, plant: Plant) -> None:
    stack.kill("kafka")
    stack.await_healthy("kafka")
    await_all(plant, stack.kafka_bootstrap, within_s=90, killed_tail=TAIL)


def test_killed_gateways_and_agents_lose_nothing(stack: RunningStack, plant: Plant) -> None:
    for process in ("gateway-1", "gateway-2", "agents"):
        stack.kill(process)
        stack.await_healthy(process)
    await_all(plant, stack.kafka_bootstrap, within_s=90, killed_tail=TAIL)
