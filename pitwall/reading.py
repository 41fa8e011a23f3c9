"""What a reading says, apart from what happened to it on its way."""

import zlib

from haul.telemetry.v1.telemetry_pb2 import Reading

#: Set on the way, by gateway or agent. Not part of what the vehicle measured.
TRANSPORT_FIELDS = ("received_time", "vehicle_time", "backfilled")


def content_crc32(reading: Reading) -> int:
    """CRC-32 over what the vehicle itself generated: equal at the vehicle and for the record in Kafka.

    `received_time`, `vehicle_time` and `backfilled` are left out. Where the gateway corrected `event_time`,
    `vehicle_time` holds what the vehicle said, and that counts. The serialization is deterministic for one version of
    protobuf; compare within one run, don't store it.
    """
    content = Reading()
    content.CopyFrom(reading)
    if reading.HasField("vehicle_time"):
        content.event_time.CopyFrom(reading.vehicle_time)
    for name in TRANSPORT_FIELDS:
        content.ClearField(name)  # type: ignore[arg-type]  # the stubs want literals; a test checks the names
    return zlib.crc32(content.SerializeToString(deterministic=True))
