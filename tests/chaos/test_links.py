"""Links that are cut, or stay open and carry nothing: of one command service, and of vehicles."""

import time
from collections.abc import Iterator

import pytest

from tests.chaos.breaking import Links, behind_proxies
from tests.chaos.line import GATEWAYS, Line, say
from tests.chaos.told import stopping

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wired(site: Line) -> Iterator[Links]:
    with behind_proxies(site.stack) as links:
        yield links


@pytest.fixture
def links(wired: Links, at_work: Line) -> Iterator[Links]:
    yield wired
    wired.heal()


def test_a_stop_through_a_command_service_without_gateways_bites_everywhere(at_work: Line, links: Links) -> None:
    """And it hears by its peers that all stand: what they hear themselves they tell whoever can't."""
    links.to_gateways.cut()
    server = ("--server", at_work.stack.address("command-1"))
    with stopping(at_work.stack, "--all", *server) as told:
        assert told.end() == 0
    took_s = at_work.all_braked(told.issued_t)
    told.assert_true(at_work.plant)
    assert told.summary["journaledBy"] == 3
    assert told.summary["brakesBy"]
    assert told.summary["standstill"] == len(at_work.vehicle_ids)
    stood_s = max(t for t, line in told.lines if line.get("stage") == "STOP_STAGE_STANDSTILL") - told.issued_t
    # Of vehicles that its peers hear no more it says nothing good; nor, once the stop is released, anything old.
    for gateway in GATEWAYS:
        at_work.stack.hang(gateway)
    try:
        at_work.until(lambda: sums(at_work, told.stop_id, *server) == (0, 0, len(at_work.vehicle_ids)), "all are away")
    finally:
        for gateway in GATEWAYS:
            at_work.stack.wake(gateway)
    at_work.until(lambda: sums(at_work, told.stop_id, *server) == (len(at_work.vehicle_ids), 0, 0), "all stand again")
    at_work.operator.release(told.stop_id)
    at_work.until(lambda: sums(at_work, told.stop_id, *server) == (0, 0, 0), "all have let go, and it has heard that")
    say(
        f"command-1 without gateways: its stop bites everywhere in {took_s:.3f} s, and it has heard that all stand "
        f"after {stood_s:.1f} s, by its peers"
    )


def sums(site: Line, stop_id: str, *server: str) -> tuple[int, int, int]:
    """Standstill, pending, unreachable."""
    summary = site.operator.ask("stop-status", stop_id, *server).lines[0]["summary"]
    return summary.get("standstill", 0), summary.get("pending", 0), summary.get("unreachable", 0)


def test_a_command_service_without_anybody_says_not_confirmed_and_no_bound(at_work: Line, links: Links) -> None:
    """The two others give leases and know of nothing: vehicles drive on, and it must not say otherwise."""
    for proxy in (links.to_gateways, *links.to_peers):
        proxy.silence()
    with stopping(at_work.stack, "--all", "--wait", "6", "--server", at_work.stack.address("command-1")) as told:
        assert told.end() == 3
    assert at_work.driving(), "nobody has told them"
    told.assert_true(at_work.plant)
    assert (told.summary["journaledBy"], told.summary["standstill"]) == (1, 0)
    assert not told.summary["brakesBy"]
    assert not [line for _, line in told.lines if "brakesByTime" in line or "standsByTime" in line]
    healed_t = time.monotonic()
    links.heal()
    at_work.until(lambda: not at_work.driving(), "it reaches everybody once the links are whole")
    at_work.bitten(told, within_s=time.monotonic() - told.issued_t)
    took_s = time.monotonic() - healed_t
    say(f"command-1 cut off from all: not confirmed, no bound; all stand {took_s:.0f} s after the links are whole")


def test_behind_half_open_links_vehicles_brake_and_hold_until_resume(at_work: Line, links: Links) -> None:
    silent_t = time.monotonic()
    for proxy in links.to_vehicles:
        proxy.silence()
    took_s = at_work.all_braked(silent_t)
    stood_t = time.monotonic()
    links.heal()
    at_work.await_connected()
    at_work.all_stayed(stood_t)
    assert {state["motionHold"] for state in at_work.states().values()} == {"MOTION_HOLD_LINK_LOST"}
    at_work.drive()
    say(f"half-open links: all brake in {took_s:.3f} s and hold until RESUME")
