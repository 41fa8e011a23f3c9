"""The gap ledger at the end of the real line: readings that are taken out of a vehicle's outbox are found missing, and
filled when they are put back. The vehicles' own files, Kafka and the ledger have to agree.
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.telemetry.v1.telemetry_pb2 import StatusChange

from deploy.local.options import Server
from tests.integration.fleet_rig import Caller, Site, caller, eventually, fleet_process
from tests.integration.stacks import running
from tests.support.checker import Identity, ListedGap, wrong_gaps
from tests.support.plant import Plant
from tests.support.topics import identified, records

pytestmark = pytest.mark.alone

VEHICLE = "KOMATSU-930E-001"
#: Readings that have to wait before some of them are taken out, and which: in the middle, so that others tell of them.
WAITING = 8
TAKEN = slice(3, 6)
WITHIN_S = 60.0

Row = tuple[object, ...]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    servers = frozenset({Server.POSTGRES, Server.REDIS, Server.KAFKA})
    options: dict[str, object] = {"vehicles": 2, "rate_hz": 2.0, "gateways": 1, "command_services": 1}
    with running("gap-line", servers=servers, picture=False, **options) as stack:
        yield Site(stack)


class Outbox:
    """The file of the agents."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def waiting(self) -> int:
        """Readings of the vehicle without an ack."""
        return len(
            self._ask("SELECT id FROM reading WHERE vehicle = (SELECT number FROM vehicle WHERE vehicle_id = ?)")
        )

    def take_out(self) -> list[Row]:
        """As a disk may lose them: without a word."""
        rows = self._ask(
            "SELECT * FROM reading WHERE vehicle = (SELECT number FROM vehicle WHERE vehicle_id = ?) ORDER BY sequence"
        )[TAKEN]
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.executemany("DELETE FROM reading WHERE id = ?", [row[:1] for row in rows])
        return rows

    def put_back(self, rows: Iterable[Row]) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.executemany("INSERT INTO reading VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _ask(self, query: str) -> list[Row]:
        with closing(sqlite3.connect(self._path)) as connection:
            return connection.execute(query, (VEHICLE,)).fetchall()


def heard_of(site: Site, in_kafka: Iterable[Identity]) -> dict[tuple[str, int], int]:
    """(vehicle_id, boot_epoch) -> the last sequence that Kafka tells of."""
    last: dict[tuple[str, int], int] = {}
    for message in records(site.stack.kafka_bootstrap, "vehicle-status-change"):
        change = StatusChange.FromString(message.value() or b"")
        key = change.vehicle_id, change.boot_epoch
        last[key] = max(last.get(key, 0), change.last_sequence)
    for vehicle_id, epoch, sequence in in_kafka:
        last[vehicle_id, epoch] = max(last.get((vehicle_id, epoch), 0), sequence)
    return last


async def listed(operator: Caller) -> list[ListedGap]:
    answer = await operator.call("ListGaps", fleet_pb2.ListGapsRequest())
    return [ListedGap(g.vehicle_id, g.boot_epoch, g.first_sequence, g.last_sequence) for g in answer.gaps]


async def wrong(site: Site, operator: Caller) -> list[str]:
    """What the list says, against the files and Kafka."""
    in_kafka = {
        identity for identity, _ in await asyncio.to_thread(lambda: list(identified(site.stack.kafka_bootstrap)))
    }
    heard = await asyncio.to_thread(heard_of, site, in_kafka)
    generated = [identity for identity, _ in Plant(site.stack.places.plant).readings()]
    return wrong_gaps(generated, in_kafka, await listed(operator), heard)


async def test_what_an_outbox_lost_is_missing_until_it_is_put_back(site: Site) -> None:
    stack, outbox = site.stack, Outbox(site.stack.places.data / "agents" / "outbox.sqlite")
    with fleet_process(site) as fleet:
        async with caller(fleet) as operator:
            await eventually(lambda: wrong(site, operator), lambda faults: faults == [], "all there", WITHIN_S)
            stack.hang("gateway-1")
            await eventually(lambda: asyncio.to_thread(outbox.waiting), lambda n: n >= WAITING, "an outage", WITHIN_S)
            await asyncio.to_thread(stack.lose, "agents")
            taken = outbox.take_out()
            stack.wake("gateway-1")
            await asyncio.to_thread(stack.supervisor.start, "agents")
            _, _, epoch, first, *_ = taken[0]
            assert isinstance(epoch, int)
            assert isinstance(first, int)
            gap = ListedGap(VEHICLE, epoch, first, first + len(taken) - 1)
            await eventually(lambda: listed(operator), lambda gaps: gaps == [gap], f"{gap}", WITHIN_S)
            await eventually(lambda: wrong(site, operator), lambda faults: faults == [], "as the files say", WITHIN_S)
            fleet.end()
            fleet.start()
            fleet.await_healthy()
            assert await eventually(lambda: listed(operator), lambda _: True, "an answer") == [gap]
            await asyncio.to_thread(stack.lose, "agents")
            outbox.put_back(taken)
            await asyncio.to_thread(stack.supervisor.start, "agents")
            await eventually(lambda: listed(operator), lambda gaps: gaps == [], "filled", WITHIN_S)
            await eventually(lambda: wrong(site, operator), lambda faults: faults == [], "as the files say", WITHIN_S)
            everything = await operator.call("ListGaps", fleet_pb2.ListGapsRequest(show_filled=True))
            filled = [
                (g.vehicle_id, g.first_sequence, g.last_sequence) for g in everything.gaps if g.boot_epoch == epoch
            ]
            assert (VEHICLE, first, first + len(taken) - 1) in filled
