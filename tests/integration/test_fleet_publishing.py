"""vehicle-registry on real Kafka and PostgreSQL: its last record of each vehicle says what the registry does, whatever
was hung or killed in between. One topic for the whole site, so it is all of it that is judged.
"""

import asyncio
import time

from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1 import vehicle_pb2
from haul.fleet.v1.registry_pb2 import RegistryEntry

from pitwall.kafka_topics import REGISTRY
from tests.integration.fleet_rig import Caller, FleetProcess, Site, await_true, caller, eventually, fleet_process
from tests.support.topics import records

#: A change while Kafka hangs, seconds: far from any wait for it.
UNHINDERED_S = 3.0
KEPT, CHANGED, GONE, NEW, RACED = (f"LOADER-7{number}" for number in range(5))


def told(site: Site) -> dict[str, RegistryEntry]:
    """By the last record of each key; without those that were deleted."""
    last = {m.key(): m.value() for m in records(site.stack.kafka_bootstrap, REGISTRY.name)}
    return {
        str(key or b"", "utf-8"): RegistryEntry.FromString(value) for key, value in last.items() if value is not None
    }


async def registry(person: Caller) -> dict[str, RegistryEntry]:
    """As callers are shown it."""
    vehicles = (await person.vehicles(page_size=1000)).vehicles
    return {vehicle.vehicle_id: entry_of(vehicle) for vehicle in vehicles}


def entry_of(vehicle: vehicle_pb2.Vehicle) -> RegistryEntry:
    entry = RegistryEntry(vehicle_id=vehicle.vehicle_id, model=vehicle.model, update_time=vehicle.update_time)
    for name in ("rated_payload_tons", "max_payload_tons"):
        if vehicle.HasField(name):
            setattr(entry, name, getattr(vehicle, name))
    limits = [one.max_speed_kph for one in (vehicle, vehicle.safety_envelope) if one.HasField("max_speed_kph")]
    if limits:
        entry.max_speed_kph = min(limits)
    if vehicle.safety_envelope.HasField("zone"):
        entry.zone.CopyFrom(vehicle.safety_envelope.zone)
    return entry


async def equal(site: Site, person: Caller) -> dict[str, RegistryEntry]:
    async def both() -> tuple[dict[str, RegistryEntry], dict[str, RegistryEntry]]:
        return await asyncio.to_thread(told, site), await registry(person)

    found = await eventually(both, lambda both: both[0] == both[1], "the topic says what the registry does")
    topic: dict[str, RegistryEntry] = found[0]
    return topic


async def create(person: Caller, vehicle_id: str, **fields: object) -> None:
    vehicle = vehicle_pb2.Vehicle(vehicle_id=vehicle_id, **fields)  # type: ignore[arg-type]
    await person.call("CreateVehicle", fleet_pb2.CreateVehicleRequest(vehicle=vehicle))


async def update(person: Caller, vehicle_id: str, **fields: object) -> None:
    vehicle = vehicle_pb2.Vehicle(vehicle_id=vehicle_id, **fields)  # type: ignore[arg-type]
    await person.call("UpdateVehicle", fleet_pb2.UpdateVehicleRequest(vehicle=vehicle))


async def delete(person: Caller, vehicle_id: str) -> None:
    await person.call("DeleteVehicle", fleet_pb2.DeleteVehicleRequest(vehicle_id=vehicle_id))


async def change_all(person: Caller) -> None:
    envelope = vehicle_pb2.SafetyEnvelope(max_speed_kph=20)
    envelope.zone.name = "North dump"
    for latitude, longitude in ((-24.0, -70.0), (-24.0, -69.9), (-24.1, -69.9)):
        envelope.zone.corners.add(latitude_degrees=latitude, longitude_degrees=longitude)
    await update(person, CHANGED, rated_payload_tons=120.5, safety_envelope=envelope)
    await update(person, CHANGED, max_speed_kph=45)
    await delete(person, GONE)
    await create(person, NEW, model="WA1200", max_speed_kph=30)


async def test_the_topic_says_what_the_registry_does(fleet_site: Site, restarted_fleet: FleetProcess) -> None:
    fleet, kafka = restarted_fleet, fleet_site.stack
    async with caller(fleet, "maintainer") as person:
        for vehicle_id in (KEPT, CHANGED, GONE, RACED):
            await create(person, vehicle_id, model="L-1")
        assert (await equal(fleet_site, person)).keys() >= {KEPT, CHANGED, GONE, RACED}

        kafka.hang("kafka")
        try:
            began_s = time.monotonic()
            await change_all(person)
            took_s = time.monotonic() - began_s
            await_true(lambda: not fleet.health()["parts"][REGISTRY.name]["ok"], "seen in /healthz")
        finally:
            kafka.wake("kafka")
        print(f"four changes while Kafka hangs: {took_s:.2f} s")
        assert took_s < UNHINDERED_S
        topic = await equal(fleet_site, person)
        assert (GONE in topic, NEW in topic) == (False, True)
        assert (topic[CHANGED].max_speed_kph, topic[CHANGED].zone.name, topic[KEPT].model) == (20, "North dump", "L-1")

        kafka.hang("kafka")
        try:
            await update(person, KEPT, model="L-2")
            await delete(person, NEW)
            await_true(lambda: in_flight(fleet) > 0, "one is handed over, and nobody has answered")
            fleet.end()
            with fleet_process(fleet_site, "fleet-2") as other:
                async with caller(other, "maintainer") as second:
                    # What the dead one has sent is in Kafka's socket: it is written behind this change, or before.
                    await update(second, KEPT, model="L-3")
                    kafka.wake("kafka")
                    topic = await equal(fleet_site, second)
                    assert (topic[KEPT].model, NEW in topic) == ("L-3", False)
                    fleet.start()
                    fleet.await_healthy()
                    async with caller(fleet, "maintainer") as first:
                        for number in range(20):
                            await update((first, second)[number % 2], RACED, model=f"R-{number}")
                        assert (await equal(fleet_site, second))[RACED].model == "R-19"
        finally:
            kafka.wake("kafka")


def in_flight(fleet: FleetProcess) -> float:
    return next(
        float(line.split()[-1]) for line in fleet.metrics() if line.startswith("pitwall_kafka_in_flight_records")
    )
