"""Links that are cut, or stay open and carry nothing: of one command service, and of vehicles."""

import time
from collections.abc import Iterator

import pytest

from tests.chaos.breaking import Links, behind_proxies
from tests.chaos.line import Line, say
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
    links.to_gateways.cut()
    with stopping(at_work.stack, "--all", "--wait", "6", "--server", at_work.stack.address("command-1")) as told:
        assert told.end() == 3, "it hears of no vehicle"
    took_s = at_work.all_braked(told.issued_t)
    told.assert_true(at_work.plant)
    assert told.summary["journaledBy"] == 3
    assert told.summary["brakesBy"]
    assert told.summary["standstill"] == 0
    links.heal()
    at_work.bitten(told)
    say(f"command-1 without gateways: its stop bites everywhere in {took_s:.3f} s, by its peers")


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
