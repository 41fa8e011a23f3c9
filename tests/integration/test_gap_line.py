"""The gap ledger at the end of the real line: readings that are taken out of a vehicle's outbox are found missing, and
filled when they are put back. The vehicles' own files, Kafka and the ledger have to agree.
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deploy.local.options import Server
from tests.integration.fleet_rig import Site, caller, eventually, fleet_process
from tests.integration.gap_judge import listed, wrong_list
from tests.integration.stacks import running
from tests.support.checker import ListedGap

pytestmark = [pytest.mark.alone, pytest.mark.chaos]

VEHICLE = "KOMATSU-930E-001"
#: Readings that have to wait before some of them are taken out, and which: in the middle, so that others tell of them.
WAITING = 8
TAKEN = slice(3, 6)
WITHIN_S = 60.0

Row = dict[str, Any]


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

    def rows(self) -> list[Row]:
        """Readings of the vehicle without an ack."""
        query = (
            "SELECT * FROM reading WHERE vehicle = (SELECT number FROM vehicle WHERE vehicle_id = ?) ORDER BY sequence"
        )
        with closing(sqlite3.connect(self._path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, (VEHICLE,))]

    def take_out(self) -> list[Row]:
        """As a disk may lose them: without a word."""
        rows = self.rows()[TAKEN]
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.executemany("DELETE FROM reading WHERE id = :id", rows)
        return rows

    def put_back(self, rows: Iterable[Row]) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            for row in rows:
                places = ", ".join(f":{name}" for name in row)
                connection.execute(f"INSERT INTO reading ({', '.join(row)}) VALUES ({places})", row)


async def test_what_an_outbox_lost_is_missing_until_it_is_put_back(site: Site) -> None:
    stack, outbox = site.stack, Outbox(site.stack.places.data / "agents" / "outbox.sqlite")
    with fleet_process(site) as fleet:
        async with caller(fleet) as operator:
            await eventually(lambda: wrong_list(site, operator), lambda faults: faults == [], "all there", WITHIN_S)
            stack.hang("gateway-1")
            await eventually(lambda: asyncio.to_thread(outbox.rows), lambda r: len(r) >= WAITING, "an outage", WITHIN_S)
            await asyncio.to_thread(stack.lose, "agents")
            taken = outbox.take_out()
            stack.wake("gateway-1")
            await asyncio.to_thread(stack.supervisor.start, "agents")
            first, last = taken[0], taken[-1]
            gap = ListedGap(VEHICLE, first["boot_epoch"], first["sequence"], last["sequence"])
            await eventually(lambda: listed(operator), lambda gaps: gaps == [gap], f"{gap}", WITHIN_S)
            await eventually(
                lambda: wrong_list(site, operator), lambda faults: faults == [], "as the files say", WITHIN_S
            )
            fleet.end()
            fleet.start()
            fleet.await_healthy()
            await eventually(lambda: listed(operator), lambda gaps: gaps == [gap], "the same behind a kill")
            await asyncio.to_thread(stack.lose, "agents")
            outbox.put_back(taken)
            await asyncio.to_thread(stack.supervisor.start, "agents")
            await eventually(lambda: listed(operator), lambda gaps: gaps == [], "filled", WITHIN_S)
            await eventually(
                lambda: wrong_list(site, operator), lambda faults: faults == [], "as the files say", WITHIN_S
            )
