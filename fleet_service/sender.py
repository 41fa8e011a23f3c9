"""Records of vehicle-registry on their way into Kafka: a batch at a time, each with its own delivery report."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from fleet_service.publication import Record
from pitwall.clock import monotonic_s, wall_time
from pitwall.kafka import Delivery, DeliveryBridge, Headers, producer_config
from pitwall.kafka_meters import KafkaMeters
from pitwall.kafka_topics import REGISTRY
from pitwall.wire import timestamp

#: Records of one batch, and so the most that are in flight.
MAX_BATCH: Final = 100
#: How long the end of the process waits for Kafka. The next process compares again.
FLUSH_S: Final = 1.0

OnDelivered = Callable[[list[Delivery[str]]], None]
MakeBridge = Callable[[OnDelivered], DeliveryBridge[str]]


def make_bridge(bootstrap: str, client_id: str) -> MakeBridge:
    """Producers for vehicle-registry, one after the other."""
    config = producer_config(bootstrap, client_id, MAX_BATCH)
    return lambda on_delivered: DeliveryBridge(config, on_delivered, max_in_flight=MAX_BATCH)


class Sender:
    """`name`: of this service. For one caller at a time."""

    def __init__(self, make: MakeBridge, name: str) -> None:
        self._make, self._name = make, name
        self._bridge: DeliveryBridge[str] | None = None
        self._open: set[str] = set()
        self._refused: dict[str, str] = {}
        self._done = asyncio.Event()
        self._meters = KafkaMeters(lambda: len(self._open))

    @property
    def trouble(self) -> str | None:
        """Why what was handed over does not get through, in words."""
        return self._bridge.trouble if self._bridge is not None and self._open else None

    async def send(self, records: Sequence[Record]) -> dict[str, str]:
        """Returns when Kafka has said something of each, however long that takes: vehicle -> why it was refused."""
        if self._bridge is not None and self._bridge.broken:
            await self.close(0)
        self._bridge = self._bridge or self._make(self._delivered)
        self._open, self._refused = {record.vehicle_id for record in records}, {}
        self._done.clear()
        sent_s = monotonic_s()
        for record in records:
            headers = self._headers(record)
            self._bridge.produce(REGISTRY.name, record.vehicle_id, record.value, record.vehicle_id, headers)
        await self._done.wait()
        self._meters.delivered(len(records) - len(self._refused), monotonic_s() - sent_s)
        if self._refused:
            await self.close(0)  # it may be broken for good
        return self._refused

    async def close(self, timeout_s: float = FLUSH_S) -> None:
        """The next batch gets a new producer."""
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            await bridge.close(timeout_s)

    def _delivered(self, reports: list[Delivery[str]]) -> None:
        for report in reports:
            self._open.discard(report.token)
            if report.error is not None:
                self._refused[report.token] = report.error.str()
                self._meters.failed(report.error.name(), 1)
        if not self._open:
            self._done.set()

    def _headers(self, record: Record) -> Headers:
        return [
            ("ce_type", b"haul.fleet.v1.RegistryEntry"),
            ("ce_id", f"{record.vehicle_id}:{record.revision}".encode()),
            ("ce_source", f"spiffe://pitwall.local/fleet/{self._name}".encode()),
            ("ce_time", timestamp(wall_time()).ToJsonString().encode()),
            ("content-type", b"application/protobuf"),
        ]
