"""Into Kafka: valid readings to vehicle-telemetry, refused ones and declared losses to dead-letter-topic, status
changes to vehicle-status-change. What has a delivery report is acknowledged, nothing else.

The producer retries for as long as this process lives, so an outage of any length only delays: every record that was
taken is delivered once, in the order of its vehicle. Where delivery fails for good (Kafka refuses the record, or the
producer itself is broken and is made anew), the readings in question are unknown again, their vehicle is throttled,
and at the end of that it offers again what has no ack. A record that Kafka had written in spite of the failure then
comes twice; readers tell it by its identity.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from haul.telemetry.v1.telemetry_pb2 import Reading, StatusChange
from opentelemetry import metrics

from ingest_gateway.dead_letters import MAX_LETTER_BYTES, lost_headers, reading_headers, status_headers
from ingest_gateway.effects import Lost
from ingest_gateway.intake import Intake
from ingest_gateway.record import VehicleRecord
from ingest_gateway.tickets import LetterTicket, LostTicket, ReadingsTicket, StatusTicket, Ticket
from pitwall.clock import boottime_s
from pitwall.kafka import Delivery, DeliveryBridge, NoRoom
from pitwall.kafka_meters import KafkaMeters
from pitwall.kafka_topics import DEAD_LETTER, STATUS_CHANGE, TELEMETRY

#: Room that readings and declared losses leave for status changes, records.
RESERVED_ROOM = 1_000
#: A producer with a fatal error is made anew, but no sooner than this after the one before, seconds.
RENEW_S = 1.0

_log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who wants to know. Called in the event loop."""

    def acks_due(self, vehicle_ids: Iterable[str]) -> None: ...

    def offer_again(self, vehicle_id: str, reason: str) -> None: ...

    def readings_lost(self, count: int) -> None: ...

    def status_settled(self, vehicle_id: str, *, delivered: bool) -> None: ...


class Sink:
    """`open_bridge`: makes a DeliveryBridge that reports to the function it is given."""

    def __init__(
        self,
        name: str,
        open_bridge: Callable[[Callable[[list[Delivery[Ticket]]], None]], DeliveryBridge[Ticket]],
        meter: metrics.Meter | None = None,
    ) -> None:
        self._source = f"ingest_gateway/{name}"
        self._open_bridge = open_bridge
        self._meters = KafkaMeters(lambda: self.in_flight, meter)
        self._generation = 0
        self._bridge = open_bridge(partial(self._on_delivered, 0))
        self._renewed_s = float("-inf")
        self._retired: list[DeliveryBridge[Ticket]] = []
        self._listener: Listener | None = None

    def listen(self, listener: Listener) -> None:
        """To be called once, before anything is handed over."""
        self._listener = listener

    @property
    def in_flight(self) -> int:
        return self._bridge.in_flight + sum(bridge.in_flight for bridge in self._retired)

    @property
    def trouble(self) -> str | None:
        """Why records don't get through, in words; None while they do."""
        return self._bridge.trouble

    @property
    def room(self) -> int:
        self._renew_if_broken()
        return self._bridge.room

    def has_room(self, count: int) -> bool:
        """For so many readings, or declared losses."""
        return self.room - count >= RESERVED_ROOM

    def take(self, intake: Intake, record: VehicleRecord) -> int:
        """Hands a batch over. Returns how many did not fit after all: those are unknown again."""
        key, now_s = record.vehicle_id, boottime_s()
        left_out = self._take_good(intake, record, now_s) if intake.taken else 0
        for letter in intake.refused:
            headers = reading_headers(self._source, record.vehicle_id, intake.boot_epoch, letter)
            ticket = LetterTicket(record, intake.boot_epoch, letter.sequence, now_s)
            if not self._produce(DEAD_LETTER.name, key, letter.record[:MAX_LETTER_BYTES], ticket, headers):
                left_out += 1
                ticket.failed()
        return left_out

    def _take_good(self, intake: Intake, record: VehicleRecord, now_s: float) -> int:
        sequences = [sequence for sequence, _ in intake.taken]
        ticket = ReadingsTicket(record, intake.boot_epoch, sequences, now_s)
        values = [data for _, data in intake.taken]
        taken = self._bridge.produce_all(TELEMETRY.name, record.vehicle_id, values, ticket)
        for sequence in sequences[taken:]:
            ticket.failed(sequence)
        return len(values) - taken

    def lost(self, lost: Lost, record: VehicleRecord) -> bool:
        """False where there is no room: the vehicle says it again."""
        ticket = LostTicket(record, lost.boot_epoch, lost.first, lost.last)
        headers = lost_headers(self._source, record.vehicle_id, lost)
        taken = self._produce(DEAD_LETTER.name, record.vehicle_id, lost.record, ticket, headers)
        if taken:
            record.acks.lose(lost.boot_epoch, lost.first, lost.last)
        return taken

    def status(self, change: StatusChange) -> bool:
        """False where there is no room."""
        ticket = StatusTicket(change.vehicle_id)
        headers = status_headers(self._source, change)
        return self._produce(STATUS_CHANGE.name, change.vehicle_id, change.SerializeToString(), ticket, headers)

    async def close(self, timeout_s: float) -> None:
        """Waits for what is in flight; the rest is never acknowledged, and nothing of a broken producer is."""
        for bridge in self._retired:
            await bridge.close(0)
        await self._bridge.close(timeout_s)

    def _produce(self, topic: str, key: str, value: bytes, ticket: Ticket, headers: list[tuple[str, bytes]]) -> bool:
        try:
            self._bridge.produce(topic, key, value, ticket, headers)
        except NoRoom:
            return False
        return True

    def _on_delivered(self, generation: int, deliveries: list[Delivery[Ticket]]) -> None:
        failed = [delivery for delivery in deliveries if delivery.error is not None]
        for delivery in failed:
            self._fail(delivery)
        self._settle([ticket for ticket, error, _ in deliveries if error is None])
        if generation == self._generation:
            self._renew_if_broken()
        for name, count in Counter(error.name() for _, error, _ in failed if error is not None).items():
            self._meters.failed(name, count)
            _log.warning("%d records not delivered to kafka: %s", count, name)
        self._ask_again(failed)

    def _settle(self, arrived: list[Ticket]) -> None:
        assert self._listener is not None, "listen() comes first"
        due = set[str]()
        count, oldest_s = 0, boottime_s()
        for ticket in arrived:
            match ticket:
                case ReadingsTicket() | LetterTicket():
                    count, oldest_s = count + ticket.arrived(), min(oldest_s, ticket.taken_s)
                    due.add(ticket.record.vehicle_id)
                case LostTicket():
                    self._listener.readings_lost(ticket.arrived())
                    due.add(ticket.record.vehicle_id)
                case StatusTicket():
                    self._listener.status_settled(ticket.vehicle_id, delivered=True)
        if count:
            self._meters.delivered(count, boottime_s() - oldest_s)
        self._listener.acks_due(due)

    def _fail(self, delivery: Delivery[Ticket]) -> None:
        """Before the batch around it is settled, which this one is then no part of."""
        match delivery.token:
            case ReadingsTicket():
                delivery.token.failed(Reading.FromString(delivery.value or b"").sequence)
            case LetterTicket() | LostTicket():
                delivery.token.failed()

    def _ask_again(self, failed: Iterable[Delivery[Ticket]]) -> None:
        """Once there is a producer again that takes what is offered."""
        assert self._listener is not None, "listen() comes first"
        reasons: dict[str, str] = {}  # each vehicle once: of a broken producer all that it held comes at a time
        for ticket, error, _ in failed:
            if isinstance(ticket, StatusTicket):
                self._listener.status_settled(ticket.vehicle_id, delivered=False)
            elif error is not None and ticket.record.vehicle_id not in reasons:
                reasons[ticket.record.vehicle_id] = error.name()
        for vehicle_id, reason in reasons.items():
            self._listener.offer_again(vehicle_id, reason)

    def _renew_if_broken(self) -> None:
        """A producer with a fatal error delivers nothing any more; what it holds comes back as failed."""
        if not self._bridge.broken or boottime_s() - self._renewed_s < RENEW_S:
            return
        self._renewed_s = boottime_s()
        _log.error("the kafka producer is broken and is made anew")
        self._generation += 1
        self._retired = [bridge for bridge in self._retired if bridge.in_flight] + [self._bridge]
        self._bridge = self._open_bridge(partial(self._on_delivered, self._generation))
