"""Each process killed and hung while a stop is under way; both gateways at once; one that comes back from the dead."""

import time

import pytest

from tests.chaos.line import GATEWAYS, MEMBERS, Line, say
from tests.chaos.told import stopping

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.mark.parametrize("fault", ["killed", "hung"])
@pytest.mark.parametrize("process", ["command-1", "command-2", "gateway-1", "agents", "plant"])
def test_a_stop_under_way_bites_whatever_breaks(at_work: Line, process: str, fault: str) -> None:
    stack = at_work.stack
    with stopping(stack, "--all", "--wait", "5") as told:
        since_t = told.issued_t
        (stack.kill if fault == "killed" else stack.hang)(process)
        told.end()
        if fault == "hung":
            # A plant that is asleep moves nothing and writes nothing: it is judged from when it wakes.
            since_t = time.monotonic() if process == "plant" else since_t
            stack.wake(process)
    stack.await_healthy(process, within_s=30)
    took_s = at_work.bitten(told, since_t=since_t)
    counts = [told.summary[name] for name in ("standstill", "pending", "unreachable")]
    assert sum(counts) == told.summary["inScope"] == len(at_work.vehicle_ids)
    say(f"{process} {fault} as a stop goes out: all brake in {took_s:.3f} s; told of {counts[0]} that they stand")


@pytest.mark.parametrize("fault", ["killed", "hung"])
def test_without_any_gateway_all_brake_and_wait_for_resume(at_work: Line, fault: str) -> None:
    stack, gone_t = at_work.stack, 0.0
    for gateway in GATEWAYS:
        gone_t = time.monotonic()
        (stack.lose if fault == "killed" else stack.hang)(gateway)
    took_s = at_work.all_braked(gone_t)
    stood_t = time.monotonic()
    for gateway in GATEWAYS:
        (stack.supervisor.start if fault == "killed" else stack.wake)(gateway)
    stack.await_healthy(*GATEWAYS, within_s=30)
    at_work.await_connected()
    at_work.all_stayed(stood_t)
    assert {state["motionHold"] for state in at_work.states().values()} == {"MOTION_HOLD_LINK_LOST"}
    say(f"both gateways {fault}: all brake in {took_s:.3f} s and hold until RESUME")


def test_a_gateway_back_from_the_dead_changes_nothing(at_work: Line) -> None:
    """It still has its sessions, its leases of then, and what it had to write."""
    stack = at_work.stack
    stack.hang("gateway-1")
    try:
        at_work.await_connected("gateway-2")
        at_work.drive()
        with stopping(stack, "--all") as told:
            assert told.end() == 0
        took_s = at_work.bitten(told)
        stood_t = time.monotonic()
    finally:
        stack.wake("gateway-1")
    at_work.all_stayed(stood_t, stays_s=6.0)
    at_work.await_latched(told.stop_id)
    moved_back = {state.get("gateway") for state in at_work.states().values()} - {"gateway-2"}
    assert not moved_back, "the newest sessions are those of gateway-2"
    stack.await_healthy("gateway-1", within_s=30)
    say(f"gateway-1 asleep over a stop (all brake in {took_s:.3f} s) and awake again: nobody moves")


def test_a_rolling_restart_of_everything_moves_nobody_and_loses_no_stop(at_work: Line) -> None:
    stack, begun_t = at_work.stack, time.monotonic()
    with stopping(stack, at_work.vehicle_ids[0]) as one, stopping(stack, "--all") as everybody:
        assert (one.end(), everybody.end()) == (0, 0)
    at_work.bitten(everybody)
    stood_t = time.monotonic()
    for process in (*GATEWAYS, *MEMBERS, "agents"):
        stack.supervisor.stop(process)
        stack.supervisor.start(process)
        stack.await_healthy(process, within_s=30)
    at_work.await_latched(everybody.stop_id)
    at_work.all_stayed(stood_t)
    for told in (one, everybody):
        at_work.await_listed(told.stop_id)
    held = at_work.states()[at_work.vehicle_ids[0]]["latchedStopIds"]
    assert {one.stop_id, everybody.stop_id} <= set(held)
    took_s = time.monotonic() - begun_t
    say(
        f"gateways, command services, agents restarted in turn under two stops, {took_s:.0f} s: nobody moves, both hold"
    )
