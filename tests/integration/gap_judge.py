"""ListGaps, judged by the vehicles' own files and by what Kafka has."""

import asyncio
from collections.abc import Iterable

from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.telemetry.v1.telemetry_pb2 import StatusChange

from tests.integration.fleet_rig import Caller, Site
from tests.support.checker import Identity, ListedGap, wrong_gaps
from tests.support.plant import Plant
from tests.support.topics import identified, records


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


async def wrong_list(site: Site, operator: Caller) -> list[str]:
    """What ListGaps has wrong, by the files of the plant and by Kafka; none where it is right."""
    in_kafka = {
        identity for identity, _ in await asyncio.to_thread(lambda: list(identified(site.stack.kafka_bootstrap)))
    }
    heard = await asyncio.to_thread(heard_of, site, in_kafka)
    generated = [identity for identity, _ in Plant(site.stack.places.plant).readings()]
    return wrong_gaps(generated, in_kafka, await listed(operator), heard)
