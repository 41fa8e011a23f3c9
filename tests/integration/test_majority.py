"""Three command services and two gateways as processes: what a lost one, and a lost majority, do to vehicles."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploy.local import lifecycle
from deploy.local.errors import StackError
from deploy.local.options import Server
from tests.integration.driving import BRAKES_WITHIN_S, await_driving, await_hold, resume_all
from tests.integration.stacks import RunningStack, running
from tests.support.operator import Operator
from tests.support.plant import Plant

pytestmark = pytest.mark.alone

FIRST, SECOND = "KOMATSU-930E-001", "KOMATSU-980E-002"
BOTH = (FIRST, SECOND)
MEMBERS = ("command-1", "command-2", "command-3")
#: How long nobody may notice that one of three is gone: longer than any lease or permit, seconds.
UNNOTICED_S = 5.0


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    kafka = frozenset({Server.KAFKA})
    with running("majority", vehicles=2, rate_hz=5.0, time_scale=20.0, command_services=3, servers=kafka) as stack:
        yield stack


@pytest.fixture
def operator(stack: RunningStack) -> Operator:
    """Asks all three, as an operator's console does."""
    return Operator(stack.home)


@pytest.fixture
def plant(stack: RunningStack) -> Plant:
    return Plant(stack.places.plant)


def unnoticed(plant: Plant, since_t: float) -> None:
    """Nobody stands for anything but its own mission."""
    for vehicle_id in BOTH:
        plant.wait(vehicle_id, "time passes", lambda line: line.t > since_t + UNNOTICED_S, since_t=since_t)
        wrong = [line for line in plant.lines(vehicle_id, since_t) if not line.permitted and line.cause != line.status]
        assert not wrong, vehicle_id


@pytest.mark.parametrize("fault", [pytest.param("killed", marks=pytest.mark.chaos), "hung"])
def test_nobody_notices_that_one_of_three_is_gone(
    stack: RunningStack, operator: Operator, plant: Plant, fault: str
) -> None:
    resume_all(operator)
    await_driving(plant, *BOTH)
    gone_t = time.monotonic()
    (stack.supervisor.stop if fault == "killed" else stack.hang)("command-3")
    try:
        unnoticed(plant, gone_t)
        told = operator.do("stop", FIRST)
        summary = told[-1]["summary"]
        assert (summary["standstill"], summary["journaledBy"]) == (1, 2)
        assert summary["brakesBy"]
    finally:
        (stack.supervisor.start if fault == "killed" else stack.wake)("command-3")
    stack.await_healthy("command-3", within_s=30)
    operator.release(summary["stopId"])


@pytest.mark.parametrize("fault", ["killed", pytest.param("hung", marks=pytest.mark.chaos)])
def test_without_a_majority_everybody_brakes_and_a_stop_is_not_confirmed(
    stack: RunningStack, operator: Operator, plant: Plant, fault: str
) -> None:
    resume_all(operator)
    await_driving(plant, *BOTH)
    gone_t = time.monotonic()
    for member in ("command-2", "command-3"):
        (stack.supervisor.stop if fault == "killed" else stack.hang)(member)
    lost_t = time.monotonic()
    try:
        for vehicle_id in BOTH:
            braked = plant.wait(vehicle_id, "it brakes", lambda line: line.brake and not line.permitted, since_t=gone_t)
            assert braked.t - lost_t <= BRAKES_WITHIN_S
            plant.wait(vehicle_id, "it stands", lambda line: line.speed_kph == 0, since_t=gone_t)
        told = operator.do("stop", FIRST, "--wait", "2", exit_code=3)
        summary = told[-1]["summary"]
        assert (summary["inScope"], summary["standstill"], summary["journaledBy"]) == (1, 1, 1)
        assert not summary.get("brakesBy")
    finally:
        for member in ("command-2", "command-3"):
            (stack.supervisor.start if fault == "killed" else stack.wake)(member)
    stack.await_healthy("command-2", "command-3", within_s=30)
    stood_t = time.monotonic()
    await_hold(operator, "MOTION_HOLD_LINK_LOST", SECOND)
    plant.wait(SECOND, "time passes", lambda line: line.t > stood_t + UNNOTICED_S, since_t=stood_t)
    for vehicle_id in BOTH:
        assert not [line for line in plant.lines(vehicle_id, stood_t) if line.speed_kph > 0]
    operator.release(summary["stopId"])


def test_every_command_service_that_answers_tells_the_same_of_a_stop(
    stack: RunningStack, operator: Operator, plant: Plant
) -> None:
    resume_all(operator)
    told = operator.do("stop", *BOTH, "--server", stack.address("command-2"))
    stop_id = told[-1]["summary"]["stopId"]
    for member in MEMBERS:
        (state,) = operator.do("stop-status", stop_id, "--server", stack.address(member))
        assert (state["summary"]["standstill"], state["summary"]["journaledBy"]) == (2, 3), member
    operator.release(stop_id)


def test_a_site_is_not_made_smaller_by_an_option(stack: RunningStack) -> None:
    lifecycle.down(stack.home)
    with pytest.raises(StackError, match="a site of 3 command services, not of 1"):
        lifecycle.up(replace(stack.options, command_services=1))
