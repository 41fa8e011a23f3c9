"""Vehicles in a network of their own whose cable is pulled: what was sent meanwhile arrives, and moves nobody."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from haul.command.v1.command_service_pb2 import GetMotionStateRequest, OrderTarget, SendOrderRequest
from haul.command.v1.command_service_pb2_grpc import CommandServiceStub
from haul.command.v1.order_pb2 import Order, Resume

from console.rpc_failure import read_failure
from pitwall.ids import uuid7
from pitwall.rpc.errors import ErrorDetails
from tests.chaos.breaking import Namespace, by_hand, namespace, rewired
from tests.chaos.line import GATEWAYS, Line, say
from tests.chaos.told import stopping
from tests.support.commands import command_service
from tests.support.fault_proxy import FaultProxy

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

#: As long as an order may last, seconds: longer than the vehicles are dark.
EXPIRES_S = 60


@pytest.fixture
def network(site: Line) -> Iterator[Namespace]:
    """Where the agents run. They reach the gateways over the cable alone."""
    stack = site.stack
    with ExitStack() as stays:
        made = stays.enter_context(namespace(*GATEWAYS))
        far = {name: stays.enter_context(FaultProxy(stack.address(name), made.address)) for name in GATEWAYS}
        changes = {stack.address(name): f"{name}:{proxy.address.rpartition(':')[2]}" for name, proxy in far.items()}
        stays.enter_context(rewired(stack, {"agents": changes}))
        stays.enter_context(by_hand(stack, "agents", behind=made.command))
        site.await_connected()
        yield made


def test_after_the_dark_the_stop_comes_first_and_orders_of_then_do_nothing(site: Line, network: Namespace) -> None:
    site.drive()
    stopped, ordered = site.driving()[:2]
    with (
        ThreadPoolExecutor(4) as pool,
        command_service(site.stack.home, site.stack.address("command-1")) as service,
    ):

        def send() -> list[Future[ErrorDetails]]:
            """RESUME to both, as of the state in which the site has them now."""
            etags = {v: service.GetMotionState(GetMotionStateRequest(vehicle_id=v)).etag for v in (stopped, ordered)}
            return [pool.submit(_answer, service, vehicle_id, etag) for vehicle_id, etag in etags.items()]

        dark_t = time.monotonic()
        network.unplug()
        # While the site still takes them for connected, so that these go out; and again when it has seen that they
        # are not.
        sent = send()
        took_s = site.all_braked(dark_t)
        refused = send()
        with stopping(site.stack, stopped, "--wait", "2") as told:
            assert told.end() == 3
        back_t = time.monotonic()
        network.plug_in()
        latched = site.plant.wait(
            stopped, "the stop has hold of it", lambda line: told.stop_id in line.cause, since_t=back_t
        )
        site.await_connected()
        answers = [order.result() for order in (*sent, *refused)]
        assert not any(order.result().may_have_happened for order in refused), answers
    site.all_stayed(back_t, stays_s=5.0)
    told.assert_true(site.plant)
    assert site.states()[ordered]["motionHold"] == "MOTION_HOLD_LINK_LOST"
    assert told.stop_id in site.states()[stopped]["latchedStopIds"]
    say(
        f"dark: all brake in {took_s:.3f} s; back: stopped after {latched.t - back_t:.2f} s, before it could move; "
        f"RESUME sent in the dark: {', '.join(f'{a.code.name} {a.reason}' for a in answers)}"
    )


def _answer(service: CommandServiceStub, vehicle_id: str, etag: str) -> ErrorDetails:
    """Whatever it is, it must not be that the order was carried out."""
    order = Order(request_id=uuid7(), resume=Resume(), expire_after=Duration(seconds=EXPIRES_S))
    request = SendOrderRequest(order=order, targets=[OrderTarget(vehicle_id=vehicle_id, etag=etag)])
    try:
        answer = service.SendOrder(request, timeout=EXPIRES_S + 10)
    except grpc.RpcError as error:
        return read_failure(error, "").details
    raise AssertionError(f"an order sent to a vehicle in the dark was carried out: {answer}")
