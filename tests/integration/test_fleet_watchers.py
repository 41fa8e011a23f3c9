"""Watchers of a real fleet service: everything first, then what changes; and nobody waits for one that is slow."""

import asyncio
import time
from functools import partial

from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2

from tests.integration.fleet_messages import DUMPING, IDLE, reading
from tests.integration.fleet_rig import WITHIN_S, FleetProcess, Site, caller, database, eventually

SECOND = "KOMATSU-980E-202"


async def test_a_watcher_sees_the_fleet_and_then_changes(fleet_site: Site, fleet: FleetProcess) -> None:
    fleet_site.readings(reading(SECOND, 10, status=DUMPING))
    async with caller(fleet) as operator:
        await eventually(lambda: operator.vehicle(SECOND), lambda v: v.current_reading.sequence >= 10, "it")
        # Its entry is shown anew once it is stored, which is no news of the vehicle.
        await eventually(partial(is_entered, fleet_site), bool, "it is entered")
        stream = operator.stream(
            "WatchFleet", fleet_pb2.WatchFleetRequest(filter="model = 980E-5 AND status = DUMPING")
        )
        first = await stream.read()
        assert [vehicle.vehicle_id for vehicle in first.vehicles] == [SECOND]
        assert first.snapshot_complete
        sent_s = time.monotonic()
        fleet_site.readings(reading(SECOND, 11, status=DUMPING, speed_kph=5.0))
        news = await asyncio.wait_for(stream.read(), WITHIN_S)
        print(f"reading seen by a watcher {1000 * (time.monotonic() - sent_s):.0f} ms after it was produced")
        assert [vehicle.current_reading.sequence for vehicle in news.vehicles] == [11]
        fleet_site.readings(reading(SECOND, 12, status=IDLE))
        news = await asyncio.wait_for(stream.read(), WITHIN_S)
        assert (list(news.vehicles), list(news.removed_vehicle_ids)) == ([], [SECOND])
        stream.cancel()


async def is_entered(site: Site) -> bool:
    """Its first entry is in PostgreSQL."""
    async with database(site) as connection:
        return bool(await connection.fetchval("SELECT count(*) FROM vehicles WHERE vehicle_id = $1", SECOND))


def has_sequence(sequence: int, vehicle: vehicle_pb2.Vehicle) -> bool:
    return vehicle.current_reading.sequence == sequence


async def test_a_watcher_that_does_not_read_holds_nobody_up(fleet_site: Site, fleet: FleetProcess) -> None:
    async with caller(fleet) as idle, caller(fleet) as operator:
        deaf = [idle.stream("WatchFleet", fleet_pb2.WatchFleetRequest()) for _ in range(20)]
        for stream in deaf:
            await stream.read()
        before_kb = fleet.memory_kb()
        for sequence in range(1, 6):
            # Some 400 KB for each watcher at each turn: far beyond what the transport takes without anybody reading.
            fleet_site.readings(*(reading(f"MANY-{n:03d}", sequence, speed_kph=float(sequence)) for n in range(500)))
            await eventually(
                lambda: operator.vehicle("MANY-499"),
                partial(has_sequence, sequence),
                "what everybody else sees",
            )
        print(f"{(fleet.memory_kb() - before_kb) / 1024:.0f} MB for {len(deaf)} watchers that don't read")
        assert fleet.memory_kb() - before_kb < 150 * 1024
        for stream in deaf:
            stream.cancel()
