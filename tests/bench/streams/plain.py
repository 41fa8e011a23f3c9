"""`python -m tests.bench.streams.plain BOOTSTRAP TOTAL`: the alerts by a loop in Python that keeps nothing.

Consumes, parses, judges and produces; no checkpoint, so what it knew is gone with it. On standard output a line for
every few thousand readings: how many so far; at the end that of the steps.
"""

import sys
from itertools import count

from confluent_kafka import Consumer, Producer, TopicPartition
from haul.telemetry.v1.alert_pb2 import Alert, AlertState
from haul.telemetry.v1.telemetry_pb2 import Reading

from pitwall.kafka_producer import producer_config
from pitwall.kafka_topics import TELEMETRY
from tests.support.alerts import Oracle

#: A topic of its own: nobody mistakes these for alerts.
ALERTS = "bench-plain-alerts"
_AT_ONCE = 1_000
_TOLD_EVERY = 5


def main() -> int:
    bootstrap, total = sys.argv[1], int(sys.argv[2])
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-plain", "enable.auto.commit": False})
    consumer.assign([TopicPartition(TELEMETRY.name, number, 0) for number in range(TELEMETRY.partitions)])
    producer = Producer(producer_config(bootstrap, "bench-plain", 100_000))
    oracle, read, steps = Oracle(), 0, 0
    for round_ in count():
        for message in consumer.consume(_AT_ONCE, timeout=1.0):
            reading = Reading.FromString(message.value() or b"")
            for alert_id, state, rule in oracle.steps(reading):
                alert = Alert(
                    alert_id=alert_id,
                    vehicle_id=reading.vehicle_id,
                    rule=rule,
                    state=AlertState.Value(f"ALERT_STATE_{state}"),
                    boot_epoch=reading.boot_epoch,
                    sequence=reading.sequence,
                    event_time=reading.event_time,
                )
                producer.produce(ALERTS, alert.SerializeToString(), reading.vehicle_id)
                steps += 1
            read += 1
        producer.poll(0)
        if round_ % _TOLD_EVERY == 0 or read == total:
            print(read, flush=True)
        if read == total:
            break
    producer.flush(30)
    consumer.close()
    print(steps, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
