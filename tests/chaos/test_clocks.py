"""Wall clocks that are an hour off, each another way: nothing about a stop goes by them."""

import glob
from contextlib import ExitStack

import pytest

from tests.chaos.breaking import by_hand
from tests.chaos.line import Line, say
from tests.chaos.told import stopping
from tests.integration.driving import BRAKES_WITHIN_S

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

#: command-1 is right, so that it takes tokens: one whose clock is behind finds them not valid yet.
CLOCKS = {"command-2": "+1h", "command-3": "-1h", "gateway-1": "+1h", "agents": "-1h"}
#: Kafka's client waits for moments that the library does not fake, so behind the time it spins and starves the process.
#: That is the library's fault and not a clock's: whoever is behind the time does without Kafka.
WITHOUT_KAFKA = {"PITWALL_COMMAND__KAFKA_BOOTSTRAP": ""}
#: Of the Debian package libfaketime.
LIBRARY = "/usr/lib/*/faketime/libfaketime.so.1"


def test_with_clocks_an_hour_off_a_stop_bites(site: Line) -> None:
    found = glob.glob(LIBRARY)
    assert found, "libfaketime is missing: apt-get install libfaketime"
    with ExitStack() as wrong:
        for process, offset in CLOCKS.items():
            # Monotonic clocks are no part of it: a step of a wall clock leaves them alone.
            faked = {"LD_PRELOAD": found[0], "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            faked |= WITHOUT_KAFKA if process == "command-3" else {}
            wrong.enter_context(by_hand(site.stack, process, environment=faked))
        site.await_connected()
        site.drive()
        with stopping(site.stack, "--all") as told:
            assert told.end() == 0
        took_s = site.all_braked(told.issued_t, BRAKES_WITHIN_S)
        told.assert_true(site.plant)
        site.await_latched(told.stop_id)
        assert told.summary["journaledBy"] == 3
    say(f"wall clocks ± 1 h: all brake in {took_s:.3f} s")
