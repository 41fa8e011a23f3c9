"""The fleet service against real servers: what is written into Kafka is shown, also after a restart."""

import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial

import grpc
import pytest
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2
from haul.telemetry.v1.telemetry_pb2 import Reading
from prometheus_client.parser import text_string_to_metric_families

from fleet_service.cache import Cache
from fleet_service.live import Live
from fleet_service.live_text import from_text
from tests.integration.fleet_messages import CONNECTED, HAULING, LOADING, LOST, change, reading
from tests.integration.fleet_rig import FleetProcess, Site, caller, database, eventually

FIRST, SECOND = "KOMATSU-930E-001", "KOMATSU-980E-002"


async def test_a_vehicle_is_registered_shown_and_lost(fleet_site: Site, fleet: FleetProcess) -> None:
    fleet_site.changes(change(FIRST, 1, CONNECTED))
    fleet_site.readings(reading(FIRST, 1, speed_kph=30.0, fuel_level_percent=50.0), reading(FIRST, 2, speed_kph=31.0))
    async with caller(fleet) as operator:
        shown = await eventually(
            lambda: operator.vehicle(FIRST),
            lambda v: (v.current_reading.sequence, v.connectivity) == (2, CONNECTED),
            "the second reading, and the link: topics are read side by side",
        )
        assert (shown.model, shown.manufacturer, shown.rated_payload_tons) == ("930E-5", "Komatsu", 290.0)
        assert shown.status == HAULING
        assert (shown.current_reading.speed_kph, shown.current_reading.fuel_level_percent) == (31.0, 50.0)
        assert not shown.current_reading.HasField("payload_tons")
        ages = {name: age.ToNanoseconds() for name, age in shown.quantity_ages.items()}
        assert ages.keys() == {"speed_kph", "fuel_level_percent"}
        assert ages["fuel_level_percent"] > ages["speed_kph"] > 0
        fleet_site.changes(change(FIRST, 2, LOST))
        await eventually(lambda: operator.vehicle(FIRST), lambda v: v.connectivity == LOST, "the loss")

    async def mirrored() -> list[int]:
        live = (await cache.live_texts()).get(FIRST)
        state = from_text(live) if live else Live()
        return [state.sample.sequence if state.sample else 0, state.connectivity]

    cache = Cache(fleet_site.stack.address("redis"))
    await eventually(mirrored, lambda found: found == [2, LOST], "Redis has it too")
    await cache.close()


async def test_a_restart_knows_who_is_away(fleet_site: Site, restarted_fleet: FleetProcess) -> None:
    """Told to end, with Redis emptied meanwhile; killed, with Redis full."""
    fleet_site.changes(change(FIRST, 2, LOST))
    for number, code, emptied in ((signal.SIGTERM, 0, True), (signal.SIGKILL, -9, False)):
        await eventually(partial(stored, fleet_site), lambda live: live.connectivity == LOST, "it is stored")
        assert restarted_fleet.end(number) == code
        if emptied:
            fleet_site.stack.kill("redis")
            fleet_site.stack.await_healthy("redis")
        restarted_fleet.start()
        restarted_fleet.await_healthy()
        async with caller(restarted_fleet) as operator:
            shown = await operator.vehicle(FIRST)
        assert (shown.connectivity, shown.current_reading.sequence) == (LOST, 2)


async def stored(site: Site) -> Live:
    """Of the first vehicle, in PostgreSQL."""
    async with database(site) as connection:
        text = await connection.fetchval("SELECT state FROM vehicle_live WHERE vehicle_id = $1", FIRST)
    return from_text(text) if text else Live()


async def test_poison_is_counted_and_holds_nothing_up(fleet_site: Site, fleet: FleetProcess) -> None:
    before = poisoned(fleet)
    poison: list[Reading | bytes] = [b"\xff\xff", b"", reading("small letters", 1), reading(SECOND, 2**63)]
    for _ in range(250):
        fleet_site.send("vehicle-telemetry", *poison, key=SECOND)
    fleet_site.readings(reading(SECOND, 1))
    async with caller(fleet) as operator:
        await eventually(lambda: operator.vehicle(SECOND), lambda v: v.current_reading.sequence == 1, "the good one")
    assert poisoned(fleet) - before == 1000


def poisoned(fleet: FleetProcess) -> float:
    """Records of vehicle-telemetry."""
    return sum(
        sample.value
        for family in text_string_to_metric_families("\n".join(fleet.metrics()))
        for sample in family.samples
        if sample.name == "pitwall_fleet_records_poison_total" and sample.labels["topic"] == "vehicle-telemetry"
    )


async def test_lists_page_and_filter(fleet_site: Site, fleet: FleetProcess) -> None:
    ids = [f"PAGED-{number:03d}" for number in range(7)]
    fleet_site.readings(*(reading(vehicle_id, 1, status=LOADING) for vehicle_id in ids))
    async with caller(fleet, "viewer") as viewer:
        all_of_them = partial(viewer.vehicles, filter="status = LOADING")
        await eventually(all_of_them, lambda a: len(a.vehicles) == len(ids), "all of them")
        found: list[str] = []
        token = ""
        while True:
            answer = await viewer.vehicles(filter="status = LOADING", page_size=3, page_token=token)
            found += [vehicle.vehicle_id for vehicle in answer.vehicles]
            token = answer.next_page_token
            if not token:
                break
        assert found == ids
        token = (await viewer.vehicles(filter="status = LOADING", page_size=3)).next_page_token
        for fields, named in (
            ({"filter": "status = IDEL"}, "position 10"),
            ({"page_size": -1}, "page_size"),
            ({"page_token": token}, "page_token"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await viewer.vehicles(**fields)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert named in str(refused.value.details())


async def milliseconds(ask: Callable[[], Awaitable[object]]) -> float:
    started_s = time.monotonic()
    await ask()
    return 1000 * (time.monotonic() - started_s)


async def test_statistics_are_counted_and_follow_changes(fleet_site: Site, fleet: FleetProcess) -> None:
    async with caller(fleet) as operator:

        async def counted() -> vehicle_pb2.FleetStatistics:
            answer = await operator.call("GetFleetStatistics", fleet_pb2.GetFleetStatisticsRequest())
            assert isinstance(answer, vehicle_pb2.FleetStatistics)
            return answer

        listed = (await operator.vehicles(page_size=1000)).vehicles
        for what, ask in (("statistics", counted), ("a vehicle", partial(operator.vehicle, SECOND))):
            times = sorted([await milliseconds(ask) for _ in range(100)])
            print(f"{what}, {len(listed)} in the registry: p50 {times[50]:.1f} ms, p99 {times[98]:.1f} ms")
        before = await eventually(counted, lambda s: not s.stale, "all is read, also after a restart just before")
        assert before.total == len(listed)
        assert before.connected == sum(vehicle.connectivity == CONNECTED for vehicle in listed)
        fleet_site.changes(change("KOMATSU-930E-009", 1, CONNECTED))
        after = await eventually(counted, lambda s: s.total == before.total + 1, "one more")
        assert (after.active, after.connected) == (before.active + 1, before.connected + 1)
