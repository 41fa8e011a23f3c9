"""History that tests put on vehicles' disks, as they would have it from an early boot."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from haul.telemetry.v1.telemetry_pb2 import Reading

from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.shipment import Stored
from pitwall.clock import boottime_s
from tests.chaos.line import Line
from tests.support.topics import readings

#: Boots of it, one for each test, before all that vehicles have themselves. Their own files know nothing of these.
OF_LOAD, OF_RATES = 1, 2
BOOTS = frozenset({OF_LOAD, OF_RATES})


@contextmanager
def outbox_of(site: Line) -> Iterator[Outbox]:
    """The readings on the vehicles' disks, with the agents away meanwhile."""
    site.stack.supervisor.stop("agents")
    outbox = Outbox(site.stack.places.data / "agents" / "outbox.sqlite", Bounds(512 << 20, 86_400.0), Moment.now())
    outbox.begin()
    yield outbox
    outbox.commit()
    outbox.close()
    site.stack.supervisor.start("agents")
    site.stack.await_healthy("agents")
    site.await_connected()


def fill(site: Line, outbox: Outbox, vehicle_id: str, boot_epoch: int, count: int) -> None:
    """One reading of the vehicle's own, again and again."""
    reading = next(r for r in readings(site.stack.kafka_bootstrap) if r.vehicle_id == vehicle_id)
    outbox.add(_kept(reading, boot_epoch, sequence) for sequence in range(1, count + 1))


def _kept(reading: Reading, boot_epoch: int, sequence: int) -> NewReading:
    reading.boot_epoch, reading.sequence = boot_epoch, sequence
    for name in ("received_time", "vehicle_time", "backfilled"):
        reading.ClearField(name)
    return NewReading(reading.vehicle_id, Stored(boot_epoch, sequence, reading.SerializeToString()), boottime_s())


def waiting(site: Line) -> float:
    """Readings on the vehicles' disks."""
    address = site.stack.address("agents-metrics")
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(x for x in lines if x.startswith("pitwall_agent_outbox_readings")).split()[-1])
