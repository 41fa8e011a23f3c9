"""Drills on three command services: what the vehicle says of its brakes is what its own plant file says."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.integration.driving import resume_all
from tests.integration.stacks import RunningStack, running
from tests.support.operator import Json, Operator
from tests.support.plant import Plant, PlantLine

# The first test waits for the stack too, whose own error says more than a timeout.
pytestmark = pytest.mark.timeout(300)

#: What a sample and a line of the plant file may be apart, seconds and km/h.
APART_S, APART_KPH = 0.2, 2.0
#: lease_ttl and one control period, with 1 % for clock rates.
BRAKES_WITHIN_S = 2.121
WITHIN_S = 90.0
#: Of a busy machine.
HEARD_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    """Legs of a quarter of their length: long enough to brake from, short enough to wait for. Vehicles enough that one
    of them soon does what a test waits for.
    """
    with running("drill", vehicles=9, gateways=1, time_scale=4.0, command_services=3, servers=frozenset()) as stack:
        yield stack


@pytest.fixture
def operator(stack: RunningStack) -> Operator:
    return Operator(stack.home)


@pytest.fixture
def plant(stack: RunningStack) -> Plant:
    return Plant(stack.places.plant)


def await_one(plant: Plant, what: str, holds: Callable[[PlantLine, PlantLine], bool]) -> str:
    """The first vehicle for which it holds: of its line before, and its line now."""
    end_s = time.monotonic() + WITHIN_S
    before: dict[str, PlantLine] = {}
    while time.monotonic() < end_s:
        for vehicle_id in plant.vehicle_ids():
            line = plant.last(vehicle_id)
            if vehicle_id in before and holds(before[vehicle_id], line):
                return vehicle_id
            before[vehicle_id] = line
        time.sleep(0.2)
    raise AssertionError(f"no vehicle that {what}: {before}")


def await_gathering_speed(plant: Plant) -> str:
    """It has most of its leg before it, and doesn't come to stand by itself meanwhile."""
    return await_one(plant, "gathers speed", lambda was, now: now.permitted and 12 < was.speed_kph < now.speed_kph)


def brakes_and_stands(plant: Plant, vehicle_id: str, since_t: float) -> tuple[PlantLine, PlantLine]:
    braked = plant.wait(vehicle_id, "it brakes", lambda line: line.brake, since_t=since_t)
    return braked, plant.wait(vehicle_id, "it stands", lambda line: line.speed_kph == 0, since_t=braked.t)


def seconds(reaction: Json, name: str) -> float:
    return float(reaction[name].removesuffix("s"))


def assert_as_the_plant_says(reaction: Json, braked: PlantLine, stood: PlantLine) -> None:
    assert reaction["verdict"] == "DRILL_VERDICT_PASSED"
    assert reaction["speedKph"] == pytest.approx(braked.speed_kph, abs=APART_KPH)
    took_s = seconds(reaction, "standstillAfter") - seconds(reaction, "brakingAfter")
    assert took_s == pytest.approx(stood.t - braked.t, abs=APART_S)
    assert seconds(reaction, "brakingBound") == pytest.approx(BRAKES_WITHIN_S)
    assert seconds(reaction, "standstillBound") > BRAKES_WITHIN_S


def assert_stood_since(plant: Plant, vehicle_id: str, since_t: float) -> None:
    moved = [line for line in plant.lines(vehicle_id, since_t) if line.speed_kph > 0 or line.permitted]
    assert not moved, f"it moved or was permitted to: {moved[0]}"


def evidence(operator: Operator, request_id: str, *server: str) -> Json:
    """The one record of the drill. Whoever was not asked for it hears of it from the vehicle, a moment later."""
    end_s = time.monotonic() + HEARD_WITHIN_S
    while True:
        events = [e for e in operator.quick().do("drills", *server) if e["order"]["order"]["requestId"] == request_id]
        if events or time.monotonic() > end_s:
            assert len(events) == 1, f"{server or 'all'}: {len(events)} records of it"
            return events[0]
        time.sleep(0.2)


def test_who_gets_no_permits_brakes_in_time_and_holds_until_it_is_resumed(
    stack: RunningStack, operator: Operator, plant: Plant
) -> None:
    driving = await_gathering_speed(plant)
    began_t = time.monotonic()
    asked = ("--server", stack.address("command-2"))
    told, summary = operator.do("drill", "--kind", "link-loss", driving, "--reason", "monthly", *asked)
    assert (summary["drill"]["passed"], told["vehicleId"]) == (1, driving)
    braked, stood = brakes_and_stands(plant, driving, began_t)
    assert_as_the_plant_says(told["reaction"], braked, stood)
    assert braked.t - began_t >= seconds(told["reaction"], "brakingAfter"), "the drill began before it was asked for"
    assert operator.motion_state(driving)["motionHold"] == "MOTION_HOLD_LINK_LOST"
    assert_stood_since(plant, driving, stood.t)
    # What is evidence stands in the journal, also after the process that wrote it was killed.
    evidence(operator, told["requestId"], *asked)
    stack.kill("command-2")
    stack.await_healthy("command-2")
    kept = evidence(operator, told["requestId"])
    assert kept["order"]["outcomes"][0]["reaction"] == told["reaction"]
    assert kept["order"]["order"]["linkLossDrill"] == {"reason": "monthly"}
    assert kept["order"]["order"]["issuedBy"] == "operator"
    # All three heard what the vehicle said, and each of them has it to show; of all it is one measurement.
    for member in ("command-1", "command-2", "command-3"):
        here = evidence(operator, told["requestId"], "--server", stack.address(member))
        assert (here["commandService"], here["order"]["outcomes"][0]["reaction"]) == (member, told["reaction"])
    resume_all(operator)
    plant.wait(driving, "it moves again", lambda line: line.permitted, since_t=stood.t)


def test_a_drill_of_a_stop_is_a_stop_that_two_people_release(operator: Operator, plant: Plant) -> None:
    driving = await_gathering_speed(plant)
    began_t = time.monotonic()
    lines = operator.do("drill", "--kind", "stop", driving, "--reason", "monthly")
    [told] = [line for line in lines if "reaction" in line]
    braked, stood = brakes_and_stands(plant, driving, began_t)
    assert_as_the_plant_says(told["reaction"], braked, stood)
    assert seconds(told["reaction"], "brakingAfter") < APART_S
    stop_id = lines[-1]["drill"]["stopId"]
    [stop] = [stop["stop"] for stop in operator.do("stops") if stop["stop"]["stopId"] == stop_id]
    assert (stop["reason"], stop["scope"]["vehicles"]["vehicleIds"]) == ("drill: monthly", [driving])
    assert evidence(operator, told["requestId"])["order"]["order"]["stopDrill"]["stopId"] == stop_id
    # Whoever holds still already is not drilled, and is not thought to have passed.
    again = operator.ask("drill", "--kind", "link-loss", driving)
    assert (again.exit_code, "HELD" in again.stderr) == (1, True)
    assert_stood_since(plant, driving, stood.t)
    operator.release(stop_id)
    plant.wait(driving, "it is in MAINTENANCE", lambda line: line.status == "MAINTENANCE", since_t=stood.t)
    assert_stood_since(plant, driving, stood.t)


def test_who_stands_shows_nothing_and_is_left_alone(operator: Operator, plant: Plant) -> None:
    standing = await_one(plant, "has just come to stand", just_stands)
    for kind in ("stop", "link-loss"):
        answer = operator.ask("drill", "--kind", kind, standing)
        assert answer.exit_code == 1
        assert "not moving: nothing measured" in answer.stderr
    assert operator.motion_state(standing)["motionHold"] == "MOTION_HOLD_NONE"


def just_stands(was: PlantLine, now: PlantLine) -> bool:
    """At the dump or at home, or in place at the shovel: for some seconds more."""
    came = was.status != now.status and now.status in ("DUMPING", "IDLE")
    in_place = was.status == now.status == "LOADING" and was.speed_kph > 0  # it creeps up to there, once it is LOADING
    return now.speed_kph == 0 and (came or in_place)
