"""A vehicle that brings more than it may is asked to wait, and waits: nothing is lost, nobody is held back or cut."""

import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.breaking import held_to
from tests.chaos.history import OF_RATES, fill, outbox_of, waiting
from tests.chaos.line import GATEWAYS, Line, say
from tests.support.topics import readings

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

#: Readings a second that a vehicle may bring here, and what it brings.
PER_S, KEPT = 400, 4_000
DRAINS_WITHIN_S = 60.0


def test_a_vehicle_with_more_history_than_it_may_bring_waits_as_it_is_asked(site: Line) -> None:
    stack, vehicle_id = site.stack, site.vehicle_ids[-1]
    with held_to(stack, PER_S):
        with outbox_of(site) as outbox:
            fill(site, outbox, vehicle_id, OF_RATES, KEPT)
        began_s = time.monotonic()
        site.until(lambda: waiting(site) < PER_S, "history has drained", DRAINS_WITHIN_S)
        took_s = time.monotonic() - began_s
        throttles = counted(site, "pitwall_gateway_throttles_total", reason="READINGS_PER_SECOND")
        assert throttles > 0, "it was asked to wait"
        assert counted(site, "pitwall_gateway_events_total", kind="held_back") == 0, "and did"
        assert counted(site, "pitwall_gateway_sessions_closed_total", reason="RATE_EXCEEDED") == 0
        site.until(lambda: brought(site, vehicle_id) == set(range(1, KEPT + 1)), "all of it is in Kafka")
    say(f"{KEPT:,} readings of history at {PER_S} a second: {took_s:.1f} s, asked {throttles:.0f} times to wait")


def brought(site: Line, vehicle_id: str) -> set[int]:
    found = readings(site.stack.kafka_bootstrap)
    return {r.sequence for r in found if (r.vehicle_id, r.boot_epoch) == (vehicle_id, OF_RATES)}


def counted(site: Line, name: str, **labels: str) -> float:
    """By both gateways."""
    return sum(
        sample.value
        for gateway in GATEWAYS
        for family in text_string_to_metric_families(metrics_of(site, gateway))
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def metrics_of(site: Line, gateway: str) -> str:
    address = site.stack.address(f"{gateway}-metrics")
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text
