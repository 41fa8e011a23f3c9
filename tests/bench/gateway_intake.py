"""What one reading costs the gateway: `python -m tests.bench.gateway_intake [--kafka HOST:PORT]`.

Prints microseconds of this process's CPU per reading, for batches of several sizes: from the bytes of a frame to the
record for Kafka, and with --kafka on to the ack (producer threads included; topics must be there).
"""

import argparse
import asyncio
import time
from collections.abc import Iterable
from functools import partial

from haul.link.v1.vehicle_link_service_pb2 import ConnectRequest
from haul.telemetry.v1.telemetry_pb2 import Reading

from ingest_gateway.effects import Readings
from ingest_gateway.moment import Moment
from ingest_gateway.record import VehicleRecord
from ingest_gateway.session import Session
from ingest_gateway.sink import Sink
from ingest_gateway.terms import Terms
from pitwall.clock import boottime_s
from pitwall.domain.units import QUANTITIES
from pitwall.kafka import DeliveryBridge, producer_config

VEHICLE = "KOMATSU-930E-001"
EPOCH = 1_760_000_000_000
READINGS = 100_000
#: All of them at once, so that nothing waits for room.
IN_FLIGHT = 2 * READINGS


def reading(sequence: int) -> Reading:
    """One with every quantity known."""
    made = Reading(vehicle_id=VEHICLE, boot_epoch=EPOCH, sequence=sequence, monotonic_nanos=round(boottime_s() * 1e9))
    made.status, made.sub_status, made.motion_hold = 4, 4, 1  # type: ignore[assignment]
    made.event_time.FromNanoseconds(time.time_ns())
    for quantity in QUANTITIES.values():
        setattr(made, quantity.name, min(quantity.maximum, 33.3))
    return made


def frames(batch: int) -> list[bytes]:
    made = []
    for first in range(1, READINGS + 1, batch):
        frame = ConnectRequest(heartbeat_number=first)
        frame.reading_batch.boot_epoch = EPOCH
        frame.reading_batch.readings.extend(reading(first + i) for i in range(batch))
        frame.reading_batch.clock.wall_time.FromNanoseconds(time.time_ns())
        frame.reading_batch.clock.monotonic_nanos = round(boottime_s() * 1e9)
        made.append(frame.SerializeToString())
    return made


def now() -> Moment:
    return Moment(boottime_s(), time.time_ns())


def opened() -> Session:
    terms = Terms("bench", 2.0, READINGS)
    session = Session("bench", VehicleRecord(VEHICLE), terms, lambda _: True, now())
    hello = ConnectRequest()
    said = hello.hello
    said.vehicle_id, said.boot_epoch, said.connect_count, said.protocol_version = VEHICLE, EPOCH, 1, 1
    said.status.status, said.status.motion_hold = 1, 1  # type: ignore[assignment]
    said.clock.wall_time.FromNanoseconds(time.time_ns())
    said.clock.monotonic_nanos = round(boottime_s() * 1e9)
    session.feed(hello, now())
    return session


def microseconds_per_reading(started_s: float) -> float:
    return (time.process_time() - started_s) * 1e6 / READINGS


def intake(batch: int) -> float:
    session, made = opened(), frames(batch)
    started_s = time.process_time()
    for data in made:
        session.feed(ConnectRequest.FromString(data), now())
    return microseconds_per_reading(started_s)


class Waiter:
    """Counts as the hub would, and nothing more."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.done = asyncio.Event()
        self.acked = 0

    def acks_due(self, vehicle_ids: Iterable[str]) -> None:
        while (ack := self._session.record.acks.next_ack()) is not None:
            self.acked += sum(map(len, ack.ranges))
        if self.acked == READINGS:
            self.done.set()

    def offer_again(self, vehicle_id: str, reason: str) -> None:
        raise AssertionError(f"Kafka refuses: {reason}")

    def readings_lost(self, count: int) -> None:
        raise AssertionError("nothing is lost here")

    def status_settled(self, vehicle_id: str, *, delivered: bool) -> None:
        raise AssertionError("no status here")


async def through_kafka(batch: int, bootstrap: str) -> float:
    session, made = opened(), frames(batch)
    config = producer_config(bootstrap, "bench", IN_FLIGHT)
    sink = Sink("bench", partial(DeliveryBridge, config, max_in_flight=IN_FLIGHT))
    waiter = Waiter(session)
    sink.listen(waiter)
    started_s = time.process_time()
    for data in made:
        for effect in session.feed(ConnectRequest.FromString(data), now()):
            if isinstance(effect, Readings):
                assert sink.take(effect.intake, session.record) == 0
        await asyncio.sleep(0)
    await asyncio.wait_for(waiter.done.wait(), 60)
    cost = microseconds_per_reading(started_s)
    await sink.close(5)
    return cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", help="host:port of a broker with the topics")
    options = parser.parse_args()
    print("batch  intake us/reading" + ("  to Kafka and back us/reading" if options.kafka else ""))
    for batch in (100, 10, 1):
        row = f"{batch:5}  {intake(batch):17.2f}"
        if options.kafka:
            row += f"  {asyncio.run(through_kafka(batch, options.kafka)):29.2f}"
        print(row)


if __name__ == "__main__":
    main()
