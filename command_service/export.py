"""Fills vehicle-commands from the journal: every record, in its order, at least once, whenever Kafka is there.

It reads the journal's file and writes one number back, how far it has come; nothing on the stop path knows of it. The
producer has the gapless guarantee: where Kafka refuses a record, none gets ahead of it, the producer ends, and a new
one goes on behind the last record that was delivered. A record that comes twice is known by its journal_sequence.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from haul.command.v1 import event_pb2
from opentelemetry import metrics

from command_service.journal import Journal
from command_service.store import Reader
from pitwall import logs
from pitwall.clock import boottime_s
from pitwall.instruments import gauge
from pitwall.kafka import Delivery, DeliveryBridge, NoRoom, producer_config
from pitwall.kafka_meters import KafkaMeters
from pitwall.kafka_topics import COMMANDS
from pitwall.rpc.channel import jitter_s

#: Records read and handed over at a time: a millisecond of the event loop.
BATCH: Final = 100
#: How often an idle exporter looks for new records, seconds.
LOOK_S: Final = 0.2
#: How long the end of the process waits for Kafka. The next process goes on from there.
FLUSH_S: Final = 1.0
#: Without a delivery for so long: not healthy.
STALLED_S: Final = 10.0

OnDelivered = Callable[[list[Delivery[int]]], None]
MakeBridge = Callable[[OnDelivered], DeliveryBridge[int]]

_log = logs.get(__name__)


class NotDelivered(Exception):
    """Kafka has refused a record; its producer is of no more use."""


def make_bridge(bootstrap: str, name: str) -> MakeBridge:
    """Producers for vehicle-commands, one after the other."""
    # Whatever it takes: a record that is given up would be a gap, and the journal keeps them all anyway.
    config = producer_config(bootstrap, name) | {"enable.gapless.guarantee": True, "message.timeout.ms": 0}
    return lambda on_delivered: DeliveryBridge(config, on_delivered, max_in_flight=BATCH)


class Exporter:
    """`run` it beside everything else."""

    def __init__(self, journal: Journal, reader: Reader, exported: int, make: MakeBridge, name: str) -> None:
        self._journal, self._reader, self._make, self._name = journal, reader, make, name
        #: The last record delivered.
        self.sequence = exported
        self._progress_s = boottime_s()
        self._trouble = ""
        self._thread = ThreadPoolExecutor(1, "export-reader")
        self._in_flight = 0
        self._meters = KafkaMeters(lambda: self._in_flight)
        meter = metrics.get_meter("command_service.export")
        text = "Journal records not in vehicle-commands yet"
        gauge(meter, "pitwall.export.behind.records", text, lambda: self.behind)

    @property
    def behind(self) -> int:
        return self._journal.sequence - self.sequence

    @property
    def healthy(self) -> bool:
        return not self._trouble and (self.behind == 0 or boottime_s() - self._progress_s < STALLED_S)

    @property
    def detail(self) -> str:
        return self._trouble or f"{self.behind} records behind"

    async def run(self) -> None:
        """Until cancelled. Every failure is tried again for ever."""
        attempt = 0
        while True:
            before = self.sequence
            try:
                await self._produce()
            except (NotDelivered, NoRoom, sqlite3.Error) as error:
                attempt = 1 if self.sequence > before else attempt + 1
                self._trouble = str(error)
                _log.warning("vehicle-commands not filled, trying again", error=str(error), at=self.sequence)
                await asyncio.sleep(jitter_s(attempt))

    async def _produce(self) -> None:
        """With one producer, for as long as it works."""
        batch = _Batch()
        bridge = self._make(batch.delivered)
        try:
            while True:
                rows = await self._read()
                if not rows:
                    self._progress_s = boottime_s()
                    await asyncio.sleep(LOOK_S)
                    continue
                await self._deliver(bridge, batch, rows)
        finally:
            await bridge.close(FLUSH_S)
            # What was delivered meanwhile need not come a second time.
            self._kept(batch.delivered_up_to(self.sequence))

    async def _read(self) -> list[bytes]:
        if self.behind <= 0:
            return []
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._reader.read, self.sequence, BATCH)

    async def _deliver(self, bridge: DeliveryBridge[int], batch: "_Batch", rows: Sequence[bytes]) -> None:
        events = [(event_pb2.CommandEvent.FromString(raw), raw) for raw in rows]
        done = batch.start(event.journal_sequence for event, _ in events)
        for event, raw in events:
            key = event.vehicle_id or self._name
            bridge.produce(COMMANDS.name, key, raw, event.journal_sequence, self._headers(event))
        await self._settled(batch, done, len(events))
        self._kept(batch.delivered_up_to(self.sequence))
        if batch.refused:
            raise NotDelivered(batch.refused)
        self._trouble = ""

    async def _settled(self, batch: "_Batch", done: asyncio.Event, count: int) -> None:
        handed_over_s, self._in_flight = boottime_s(), count
        try:
            await done.wait()
        finally:
            self._in_flight = 0
        self._meters.delivered(batch.delivered_count, boottime_s() - handed_over_s)
        if batch.refused:
            self._meters.failed(batch.refused_by, count - batch.delivered_count)

    def _kept(self, sequence: int) -> None:
        if sequence > self.sequence:
            self.sequence, self._progress_s = sequence, boottime_s()
            self._journal.exported(sequence)

    def _headers(self, event: event_pb2.CommandEvent) -> list[tuple[str, bytes]]:
        return [
            ("ce_type", b"haul.command.v1.CommandEvent"),
            ("ce_id", f"{self._name}:{event.journal_sequence}".encode()),
            ("ce_source", f"spiffe://pitwall.local/command/{self._name}".encode()),
            ("ce_time", event.event_time.ToJsonString().encode()),
            ("content-type", b"application/protobuf"),
        ]


class _Batch:
    """Records on their way, and the reports about them."""

    def __init__(self) -> None:
        self._waiting: set[int] = set()
        self._good: set[int] = set()
        self._done = asyncio.Event()
        self.refused = self.refused_by = ""

    @property
    def delivered_count(self) -> int:
        """Of this batch, so far."""
        return len(self._good)

    def start(self, sequences: Iterable[int]) -> asyncio.Event:
        """The event that is set when there is a report about each."""
        self._waiting, self._good = set(sequences), set()
        self.refused = ""
        self._done.clear()
        return self._done

    def delivered(self, reports: list[Delivery[int]]) -> None:
        for report in reports:
            self._waiting.discard(report.token)
            if report.error is None:
                self._good.add(report.token)
            else:
                self.refused, self.refused_by = report.error.str(), report.error.name()
        if not self._waiting:
            self._done.set()

    def delivered_up_to(self, sequence: int) -> int:
        """The last one of those that were delivered without a gap after `sequence`."""
        while sequence + 1 in self._good:
            sequence += 1
        return sequence
