"""One story from end to end, on real processes, judged by what the vehicle itself wrote."""

import time
from collections.abc import Iterator

import grpc
import pytest
from haul.command.v1.command_service_pb2 import OrderTarget, SendOrderRequest
from haul.command.v1.order_pb2 import Order, StartRoute

from pitwall.ids import uuid7
from tests.integration.driving import LOOK_EVERY_S
from tests.integration.stacks import RunningStack, running
from tests.support.commands import command_service
from tests.support.operator import Json, Operator
from tests.support.plant import Plant

pytestmark = pytest.mark.alone

VEHICLE, OTHER = "KOMATSU-930E-001", "KOMATSU-980E-002"
#: From the stop to braking on an idle system, seconds.
BRAKES_WITHIN_S = 0.1
#: From the shell to the request on its way, seconds.
STARTS_WITHIN_S = 0.5
#: How long a killed process may take to be back, seconds.
BACK_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with running("story", vehicles=3, time_scale=20.0, servers=frozenset()) as stack:
        yield stack


@pytest.fixture(scope="module")
def operator(stack: RunningStack) -> Operator:
    return Operator(stack.home)


@pytest.fixture(scope="module")
def plant(stack: RunningStack) -> Plant:
    return Plant(stack.places.plant)


def await_driving(plant: Plant, vehicle_id: str) -> None:
    plant.wait(vehicle_id, "it drives", lambda line: line.speed_kph > 5, since_t=time.monotonic(), timeout_s=60)


def assert_stood_since(plant: Plant, vehicle_id: str, since_t: float) -> None:
    moved = [line for line in plant.lines(vehicle_id, since_t) if line.speed_kph > 0 or not line.brake]
    assert not moved, f"it moved or let go of the brake: {moved[0]}"


def order_with(stack: RunningStack, etag: str) -> grpc.RpcError:
    """START_ROUTE with an etag seen earlier; has to fail."""
    request = SendOrderRequest(
        order=Order(request_id=uuid7(), start_route=StartRoute()),
        targets=[OrderTarget(vehicle_id=VEHICLE, etag=etag)],
    )
    with command_service(stack.home, stack.address("command-1")) as service, pytest.raises(grpc.RpcError) as refused:
        service.SendOrder(request, timeout=15)
    return refused.value


def await_latched(operator: Operator, vehicle_id: str, stop_id: str, within_s: float = 15.0) -> None:
    """The site knows again, from the vehicle's own word, that this stop has hold of it."""
    deadline = time.monotonic() + within_s
    while not _holds(state := operator.motion_state(vehicle_id), stop_id):
        assert time.monotonic() < deadline, f"not latched after {within_s} s: {state}"
        time.sleep(LOOK_EVERY_S)


def _holds(state: Json, stop_id: str) -> bool:
    """Of a vehicle without a link the site shows what was last heard."""
    return state["connectivity"] == "CONNECTIVITY_CONNECTED" and stop_id in state.get("latchedStopIds", [])


def resume_where_held(operator: Operator, vehicle_id: str) -> None:
    """After a reboot it waits for RESUME, too."""
    if operator.motion_state(vehicle_id)["motionHold"] != "MOTION_HOLD_NONE":
        operator.do("order", "RESUME", vehicle_id)


def test_a_vehicle_is_stopped_stays_stopped_and_is_released_by_two(
    stack: RunningStack, operator: Operator, plant: Plant
) -> None:
    await_driving(plant, VEHICLE)
    seen_before = operator.motion_state(VEHICLE)["etag"]

    # Stopped: it brakes at once, and "standstill" is said after it stands.
    told = operator.do("stop", VEHICLE, "--reason", "person on the haul road")
    issued_t = float(told[0]["issuedMonotonic"])
    braked = plant.wait(VEHICLE, "it brakes", lambda line: line.brake, since_t=issued_t)
    assert braked.t - issued_t <= BRAKES_WITHIN_S
    summary = told[-1]["summary"]
    assert (summary["inScope"], summary["standstill"]) == (1, 1), summary
    assert plant.last(VEHICLE).speed_kph == 0
    stood_t = time.monotonic()

    # Whatever is killed, it stays where it is.
    for process in ("agents", "gateway-1", "gateway-2", "command-1"):
        stack.kill(process)
        stack.await_healthy(process, within_s=BACK_WITHIN_S)
    await_latched(operator, VEHICLE, summary["stopId"])
    assert summary["stopId"] in [stop["stop"]["stopId"] for stop in operator.do("stops")]

    # An order from before the stop does nothing.
    assert order_with(stack, seen_before).code() is grpc.StatusCode.ABORTED

    # One person is not enough to release it.
    release = operator.as_("supervisor").do("release", summary["stopId"], "--reason", "area is clear")[0]["release"]
    alone = operator.as_("supervisor").ask("approve", release["releaseId"])
    assert alone.exit_code == 1
    assert_stood_since(plant, VEHICLE, stood_t)

    # Two are. It stands in MAINTENANCE, and moves by two orders.
    operator.as_("supervisor-2").do("approve", release["releaseId"])
    plant.wait(VEHICLE, "it is in MAINTENANCE", lambda line: line.status == "MAINTENANCE", since_t=stood_t)
    resume_where_held(operator, VEHICLE)
    operator.as_("supervisor").do("order", "SET_STATUS", VEHICLE, "--status", "IDLE")
    assert_stood_since(plant, VEHICLE, stood_t)
    operator.do("order", "START_ROUTE", VEHICLE)
    await_driving(plant, VEHICLE)


def test_all_stop_adds_up_and_is_true(stack: RunningStack, operator: Operator, plant: Plant) -> None:
    told = operator.do("stop", "--all", "--reason", "blast")
    summary = told[-1]["summary"]
    assert summary["inScope"] == len(stack.options.vehicle_ids)
    assert summary["standstill"] + summary["pending"] + summary["unreachable"] == summary["inScope"]
    assert summary["standstill"] == summary["inScope"]
    for vehicle_id in stack.options.vehicle_ids:
        assert plant.last(vehicle_id).speed_kph == 0
    operator.release(summary["stopId"])


def test_a_stop_is_on_its_way_half_a_second_after_the_return_key(operator: Operator) -> None:
    """The best of three, because this machine may have other things to do. Of a vehicle that there isn't."""
    took_s = []
    for _ in range(3):
        typed_t = time.monotonic()
        issued_t = float(operator.ask("stop", "GHOST-001", "--wait", "0").lines[0]["issuedMonotonic"])
        took_s.append(issued_t - typed_t)
    assert min(took_s) < STARTS_WITHIN_S
