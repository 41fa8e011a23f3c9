"""The fleet service at the end of the real line: what the vehicles' own files say is what it shows."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from haul.command.v1 import command_service_pb2 as command_pb2
from haul.command.v1.stop_pb2 import Scope, VehicleList
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2
from haul.telemetry.v1.telemetry_pb2 import Reading, VehicleStatus

from deploy.local.options import Server
from pitwall.domain.units import QUANTITIES
from pitwall.ids import uuid7
from tests.integration.fleet_messages import CONNECTED, LOST
from tests.integration.fleet_rig import Caller, Site, caller, eventually, fleet_process
from tests.integration.gap_judge import wrong_list
from tests.integration.stacks import running
from tests.support.commands import command_service
from tests.support.plant import Plant

pytestmark = pytest.mark.alone

VEHICLES = ["KOMATSU-930E-001", "KOMATSU-930E-003", "KOMATSU-980E-002"]
#: From the loss of the link to LOST, and how old what is shown may be, seconds.
LOST_WITHIN_S = 3.0
YOUNGER_THAN_S = 3.0
CALL_S = 30.0


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    servers = frozenset({Server.POSTGRES, Server.REDIS, Server.KAFKA})
    with running("fleet-line", vehicles=3, gateways=1, command_services=1, servers=servers, picture=False) as stack:
        yield Site(stack)


async def shown(operator: Caller) -> dict[str, vehicle_pb2.Vehicle]:
    return {vehicle.vehicle_id: vehicle for vehicle in (await operator.vehicles()).vehicles}


def young(vehicles: dict[str, vehicle_pb2.Vehicle], status_of: dict[str, str | None]) -> bool:
    """All there, connected, with every quantity young, in the status of the plant's last line."""
    return sorted(vehicles) == VEHICLES and all(
        vehicle.connectivity == CONNECTED
        and vehicle.quantity_ages.keys() == QUANTITIES.keys()
        and all(age.ToMilliseconds() < 1000 * YOUNGER_THAN_S for age in vehicle.quantity_ages.values())
        and VehicleStatus.Name(vehicle.status) == f"VEHICLE_STATUS_{status_of[vehicle_id]}"
        for vehicle_id, vehicle in vehicles.items()
    )


async def test_what_is_shown_is_what_the_vehicles_are(site: Site) -> None:
    plant = Plant(site.stack.places.plant)

    def status_of() -> dict[str, str | None]:
        return {vehicle_id: plant.last(vehicle_id).status for vehicle_id in VEHICLES}

    with fleet_process(site) as fleet:
        async with caller(fleet) as operator:
            await eventually(lambda: shown(operator), lambda v: young(v, status_of()), "all vehicles")
            await watched(operator)
            stop_id = await stopped(site, operator)
            fleet.end()
            killed_s = time.monotonic()
            fleet.start()
            await eventually(lambda: shown(operator), lambda v: young(v, status_of()), "all vehicles again")
            print(f"all shown again {time.monotonic() - killed_s:.1f} s after kill -9")
            await released(site, operator, stop_id)
            site.stack.hang("agents")
            hung_s = time.monotonic()
            try:
                await eventually(
                    lambda: shown(operator), lambda v: all(x.connectivity == LOST for x in v.values()), "all lost"
                )
            finally:
                site.stack.wake("agents")
            print(f"all LOST {time.monotonic() - hung_s:.2f} s after the agents froze")
            assert time.monotonic() - hung_s < LOST_WITHIN_S
            await eventually(lambda: shown(operator), lambda v: young(v, status_of()), "all vehicles back")
            # Of what came late over all that, nothing may be listed as missing; and of what is missing, all.
            await eventually(lambda: wrong_list(site, operator), lambda faults: faults == [], "the gaps of the files")


async def stopped(site: Site, operator: Caller) -> str:
    """A stop of the first vehicle, shown when it stands; the others are under none."""
    stop_id = uuid7()
    scope = Scope(vehicles=VehicleList(vehicle_ids=VEHICLES[:1]))
    request = command_pb2.EmergencyStopRequest(stop_id=stop_id, scope=scope, reason="a test")
    with command_service(site.stack.home, site.stack.address("command-1")) as commands:
        await asyncio.to_thread(lambda: list(commands.EmergencyStop(request, timeout=CALL_S)))
    await eventually(lambda: stops(operator), lambda found: found == [[stop_id], [], []], "the stop")
    return stop_id


async def released(site: Site, operator: Caller, stop_id: str) -> None:
    """The stop is shown, whatever happened since; and no more once the vehicle has let go."""
    assert await stops(operator) == [[stop_id], [], []]
    release = command_pb2.RequestReleaseRequest(release_id=uuid7(), stop_ids=[stop_id], reason="over")
    approval = command_pb2.ApproveReleaseRequest(release_id=release.release_id)
    home, address = site.stack.home, site.stack.address("command-1")
    with command_service(home, address) as asking, command_service(home, address, "supervisor") as approving:
        await asyncio.to_thread(asking.RequestRelease, release, timeout=CALL_S)
        await asyncio.to_thread(approving.ApproveRelease, approval, timeout=CALL_S)
    await eventually(lambda: stops(operator), lambda found: found == [[], [], []], "the release")


async def stops(operator: Caller) -> list[list[str]]:
    return [list(vehicle.active_stop_ids) for vehicle in (await operator.vehicles()).vehicles]


async def watched(operator: Caller) -> None:
    """Each reading within half a second of its sampling, at a watcher."""
    stream = operator.stream("WatchFleet", fleet_pb2.WatchFleetRequest())
    latencies: dict[tuple[str, int], float] = {}
    snapshot: set[tuple[str, int]] = set()
    async with asyncio.timeout(20):
        while len(latencies) < 10 * len(VEHICLES):
            news = await stream.read()
            for vehicle in news.vehicles:
                # A vehicle also comes when something else of it has changed: each reading counts when it is new.
                reading = vehicle.current_reading
                latencies.setdefault((vehicle.vehicle_id, reading.sequence), age_s(reading))
            snapshot = snapshot or set(latencies)
    stream.cancel()
    ages = sorted(age for identity, age in latencies.items() if identity not in snapshot)
    median_s = ages[len(ages) // 2]
    print(f"sampled to watched: half within {1000 * median_s:.0f} ms, the last {1000 * ages[-1]:.0f} ms")
    assert median_s < 0.5


def age_s(reading: Reading) -> float:
    return time.time() - reading.event_time.ToNanoseconds() / 1e9
