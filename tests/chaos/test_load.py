"""The whole fleet stopped while a fifth of it sends history as fast as the gateways take it."""

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from haul.telemetry.v1.telemetry_pb2 import Reading

from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.shipment import Stored
from pitwall.domain.sequence import SequenceRange
from tests.chaos.line import Line, say
from tests.chaos.told import stopping
from tests.support.topics import readings

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
        fill(site, outbox, away)
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
            outbox.remove(vehicle_id, 1, [SequenceRange(1, KEPT)])
    say(f"all-stop beside {rate:,.0f} readings/s of history of {len(away)} vehicles: all brake in {took_s:.3f} s")


@contextmanager
def outbox_of(site: Line) -> Iterator[Outbox]:
    """The readings on the vehicles' disks, with the agents away meanwhile."""
    site.stack.supervisor.stop("agents")
    outbox = Outbox(site.stack.places.data / "agents" / "outbox.sqlite", Bounds(512 << 20, 86_400.0))
    outbox.begin()
    yield outbox
    outbox.commit()
    outbox.close()
    site.stack.supervisor.start("agents")
    site.stack.await_healthy("agents")
    site.await_connected()


def fill(site: Line, outbox: Outbox, vehicle_ids: tuple[str, ...]) -> None:
    """History as these vehicles would have it from a boot before all others: one reading of theirs, again and again."""
    for vehicle_id in vehicle_ids:
        reading = next(r for r in readings(site.stack.kafka_bootstrap) if r.vehicle_id == vehicle_id)
        outbox.add(kept(reading, sequence) for sequence in range(1, KEPT + 1))


def kept(reading: Reading, sequence: int) -> NewReading:
    reading.boot_epoch, reading.sequence = 1, sequence
    for name in ("received_time", "vehicle_time", "backfilled"):
        reading.ClearField(name)
    return NewReading(reading.vehicle_id, Stored(1, sequence, reading.SerializeToString()), time.time())


def waiting(site: Line) -> float:
    """Readings on the vehicles' disks."""
    address = site.stack.address("agents-metrics")
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(x for x in lines if x.startswith("pitwall_agent_outbox_readings")).split()[-1])
