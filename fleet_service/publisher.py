"""Keeps vehicle-registry saying what the registry says, in the background: no call waits for it.

It reads the whole topic and compares, as `publication` has it. While Kafka or PostgreSQL is away the vehicles whose
entries have changed wait, each once; what is sent then is their row as it is by then.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry import metrics

from fleet_service import tables
from fleet_service.fleet import Fleet
from fleet_service.intake import Intake, Keyed, Start, consumer_config, keyed_value
from fleet_service.publication import Publication
from fleet_service.sender import MAX_BATCH, Sender, make_bridge
from fleet_service.store import FAILED, Store
from pitwall import logs
from pitwall.clock import monotonic_s
from pitwall.instruments import gauge, total
from pitwall.kafka_topics import REGISTRY
from pitwall.rpc.channel import jitter_s

#: How often it is looked whether an entry has changed, seconds.
LOOK_S: Final = 0.1

_log = logs.get(__name__)


class NotDelivered(Exception):
    """Kafka has refused records; its text says why."""


class Publisher:
    """`run` it. `name`: of this service."""

    def __init__(self, fleet: Fleet, store: Store, kafka_bootstrap: str, name: str) -> None:
        self._fleet, self._store = fleet, store
        self.publication = Publication()
        client_id = f"{name}-registry"
        self.intake = Intake(consumer_config(kafka_bootstrap, client_id), REGISTRY, self._hear, keyed_value)
        self._sender = Sender(make_bridge(kafka_bootstrap, client_id), name)
        self._next_offset = 0
        self._failure: str | None = None
        self._oldest_since_s: float | None = None

    @property
    def trouble(self) -> str | None:
        """In words; None while what changes gets into the topic."""
        return self.intake.trouble or self._failure or self._sender.trouble

    @property
    def detail(self) -> str:
        """For people."""
        return self.trouble or f"{self.publication.waiting} entries wait"

    async def run(self) -> None:
        """Until cancelled, or by a defect the topic is not read any more."""
        self.intake.open(Start({}))
        async with asyncio.TaskGroup() as group:
            group.create_task(self.intake.end())
            group.create_task(self._publish())

    async def close(self) -> None:
        await asyncio.gather(self.intake.close(), self._sender.close())

    async def _hear(self, records: Sequence[Keyed], offsets: Mapping[tuple[str, int], int]) -> None:
        now_s, (next_offset,) = monotonic_s(), offsets.values()
        if next_offset < self._next_offset:
            self.publication.made_anew(now_s)
        self._next_offset = next_offset
        for key, value in records:
            self.publication.heard(key, value, now_s)

    async def _publish(self) -> None:
        attempt = 0
        while True:
            self._look()
            try:
                busy = await self._send_some()
            except (NotDelivered, *FAILED) as error:
                attempt += 1
                if self._failure is None:
                    _log.warning("vehicle-registry not filled, trying again", error=repr(error))
                self._failure = str(error)
                await asyncio.sleep(jitter_s(attempt))
            else:
                attempt, self._failure = 0, None
                await asyncio.sleep(0 if busy else LOOK_S)

    def _look(self) -> None:
        """Rows are read behind this: a change that comes later is looked at the next time."""
        self.publication.doubt(self._fleet.take_renewed(), monotonic_s())
        self._oldest_since_s = self.publication.oldest_since_s

    async def _send_some(self) -> bool:
        """False where there was nothing to do."""
        if not self.intake.caught_up.is_set():
            return False  # what the topic says is not known yet
        vehicle_ids = self.publication.take(monotonic_s(), MAX_BATCH)
        if not vehicle_ids:
            return False
        async with self._store.connection() as connection:
            rows = {entry.vehicle_id: entry for entry in await tables.entries(connection, vehicle_ids)}
        records = self.publication.compare(vehicle_ids, rows, monotonic_s())
        refused = await self._sender.send(records) if records else {}
        if refused:
            self.publication.not_delivered(list(refused))
            raise NotDelivered(
                f"Kafka refuses {len(refused)} of {len(records)} records: {next(iter(refused.values()))}"
            )
        return True

    def measure(self, meter: metrics.Meter) -> None:
        """To be called once."""
        publication = self.publication
        text = "Vehicles of which vehicle-registry may not say what the registry does"
        gauge(meter, "pitwall.fleet.registry.waiting.vehicles", text, lambda: publication.waiting)
        gauge(meter, "pitwall.fleet.registry.oldest", "For how long the first of them waits", self._oldest_s, "s")
        text = "Records in vehicle-registry that are no vehicle's, or beyond the most that are remembered"
        total(meter, "pitwall.fleet.registry.foreign.records", text, lambda: publication.foreign)

    def _oldest_s(self) -> float:
        since_s = self._oldest_since_s
        return 0.0 if since_s is None else monotonic_s() - since_s
