"""The whole fleet stopped while a fifth of it sends history as fast as the gateways take it."""

import time

import pytest

from pitwall.domain.sequence import SequenceRange
from tests.chaos.history import OF_LOAD, fill, outbox_of, waiting
from tests.chaos.line import Line, say
from tests.chaos.told import stopping

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

SHARE = 0.2
#: Readings that each of them has kept from an earlier boot: two days' at 1 Hz, which outlasts the stop.
KEPT = 200_000
#: Of every vehicle, seconds: an eighth of what it may take on a bad day.
BRAKES_WITHIN_S = 0.25


def test_all_stop_while_a_fifth_of_the_fleet_backfills(site: Line) -> None:
    stack = site.stack
    away = site.vehicle_ids[: round(SHARE * len(site.vehicle_ids))]
    with outbox_of(site) as outbox:
        for vehicle_id in away:
            fill(site, outbox, vehicle_id, OF_LOAD, KEPT)
    site.drive()
    before = (time.monotonic(), waiting(site))
    with stopping(stack, "--all") as told:
        assert told.end() == 0
    after = (time.monotonic(), waiting(site))
    assert after[1] > 0, "history was still on its way"
    assert after[1] < before[1], "history was on its way"
    took_s = site.bitten(told, BRAKES_WITHIN_S)
    assert not [line for _, line in told.lines if line.get("overdue")]
    rate = (before[1] - after[1]) / (after[0] - before[0])
    with outbox_of(site) as outbox:
        for vehicle_id in away:
            outbox.remove(vehicle_id, OF_LOAD, [SequenceRange(1, KEPT)])
    say(f"all-stop beside {rate:,.0f} readings/s of history of {len(away)} vehicles: all brake in {took_s:.3f} s")
