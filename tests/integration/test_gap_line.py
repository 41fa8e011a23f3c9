"""The gap ledger at the end of the real line: readings that are taken out of a vehicle's outbox are found missing, and
filled when they are put back. The vehicles' own files, Kafka and the ledger have to agree.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.options import Server
from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.shipment import Stored, Wanted
from pitwall.clock import boottime_s
from pitwall.domain.sequence import SequenceRange
from tests.chaos.telemetry.yard import metric
from tests.integration.fleet_rig import Site, caller, eventually, fleet_process
from tests.integration.gap_judge import listed, wrong_list
from tests.integration.stacks import RunningStack, running
from tests.support.checker import ListedGap

pytestmark = [pytest.mark.alone, pytest.mark.chaos]

VEHICLE = "KOMATSU-930E-001"
VEHICLES = 2
#: Readings that have to wait before some of them are taken out, and which: in the middle, so that others tell of them.
WAITING = 8 * VEHICLES
TAKEN = slice(3, 6)
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    servers = frozenset({Server.POSTGRES, Server.REDIS, Server.KAFKA})
    options: dict[str, object] = {"vehicles": VEHICLES, "rate_hz": 2.0, "gateways": 1, "command_services": 1}
    with running("gap-line", servers=servers, picture=False, **options) as stack:
        yield Site(stack)


class Disk:
    """The agents' outbox, while they are away."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _open(self) -> Iterator[Outbox]:
        outbox = Outbox(self._path, Bounds(1 << 30, 86_400.0), Moment.now())
        outbox.begin()
        yield outbox
        outbox.commit()
        outbox.close()

    def take_out(self) -> list[Stored]:
        """As a disk may lose them: without a word."""
        with self._open() as outbox:
            epoch, waiting = max(outbox.pending(VEHICLE), key=lambda one: one[0])
            taken = outbox.fetch(VEHICLE, Wanted(epoch, waiting.first, waiting.last))[TAKEN]
            outbox.remove(VEHICLE, epoch, [SequenceRange(taken[0].sequence, taken[-1].sequence)])
        return taken

    def put_back(self, taken: Iterable[Stored]) -> None:
        with self._open() as outbox:
            outbox.add(NewReading(VEHICLE, stored, boottime_s()) for stored in taken)


async def waiting(stack: RunningStack) -> float:
    """Readings on both vehicles' disks."""
    return await asyncio.to_thread(metric, stack.address("agents-metrics"), "pitwall_agent_outbox_readings")


async def test_what_an_outbox_lost_is_missing_until_it_is_put_back(site: Site) -> None:
    stack, disk = site.stack, Disk(site.stack.places.data / "agents" / "outbox.sqlite")
    with fleet_process(site) as fleet:
        async with caller(fleet) as operator:
            await eventually(lambda: wrong_list(site, operator), lambda faults: faults == [], "all there", WITHIN_S)
            stack.hang("gateway-1")
            await eventually(lambda: waiting(stack), lambda count: count >= WAITING, "an outage", WITHIN_S)
            await asyncio.to_thread(stack.lose, "agents")
            taken = disk.take_out()
            stack.wake("gateway-1")
            await asyncio.to_thread(stack.supervisor.start, "agents")
            first, last = taken[0], taken[-1]
            gap = ListedGap(VEHICLE, first.boot_epoch, first.sequence, last.sequence)
            await eventually(lambda: listed(operator), lambda gaps: gaps == [gap], f"{gap}", WITHIN_S)
            await eventually(
                lambda: wrong_list(site, operator), lambda faults: faults == [], "as the files say", WITHIN_S
            )
            fleet.end()
            fleet.start()
            fleet.await_healthy()
            await eventually(lambda: listed(operator), lambda gaps: gaps == [gap], "the same behind a kill")
            await asyncio.to_thread(stack.lose, "agents")
            disk.put_back(taken)
            await asyncio.to_thread(stack.supervisor.start, "agents")
            await eventually(lambda: listed(operator), lambda gaps: gaps == [], "filled", WITHIN_S)
            await eventually(
                lambda: wrong_list(site, operator), lambda faults: faults == [], "as the files say", WITHIN_S
            )
