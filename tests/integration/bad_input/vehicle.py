"""Speaks as a vehicle does, frame by frame, as badly as a test wants it to."""

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from haul.link.v1 import vehicle_link_service_pb2 as pb
from haul.link.v1.vehicle_link_service_pb2_grpc import VehicleLinkServiceStub
from haul.telemetry.v1 import telemetry_pb2

TIMEOUT_S = 20.0


def now() -> Timestamp:
    return Timestamp(seconds=int(time.time()), nanos=time.time_ns() % 1_000_000_000)


def clock() -> pb.VehicleClock:
    return pb.VehicleClock(wall_time=now(), monotonic_nanos=time.clock_gettime_ns(time.CLOCK_BOOTTIME))


@dataclass
class VehicleStream:
    """One stream. `boot_epoch` is new for each."""

    vehicle_id: str
    channel: grpc.Channel
    boot_epoch: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def __post_init__(self) -> None:
        self._up: queue.SimpleQueue[pb.ConnectRequest | None] = queue.SimpleQueue()
        frames: Iterator[pb.ConnectRequest] = iter(self._up.get, None)
        self._down = VehicleLinkServiceStub(self.channel).Connect(frames, timeout=TIMEOUT_S)

    def send(self, frame: pb.ConnectRequest) -> None:
        self._up.put(frame)

    def end(self) -> None:
        self._up.put(None)
        self._down.cancel()

    def receive(self, kind: str) -> pb.ConnectResponse:
        """The next frame of this kind. Raises grpc.RpcError where the stream ends before."""
        for frame in self._down:
            if frame.WhichOneof("body") == kind:
                return frame
        raise AssertionError(f"the stream ended well without a {kind}")

    def hello(self, vehicle_id: str | None = None) -> pb.ConnectRequest:
        status = pb.StatusReport(
            status=telemetry_pb2.VEHICLE_STATUS_IDLE,
            motion_hold=telemetry_pb2.MOTION_HOLD_BOOT,
            event_time=now(),
        )
        return pb.ConnectRequest(
            heartbeat_number=1,
            hello=pb.Hello(
                vehicle_id=self.vehicle_id if vehicle_id is None else vehicle_id,
                boot_epoch=self.boot_epoch,
                connect_count=1,
                protocol_version=1,
                software_version="bad-input",
                status=status,
                clock=clock(),
                lowest_deceleration_mps2=1.0,
            ),
        )

    def reading(self, sequence: int) -> telemetry_pb2.Reading:
        """A good one."""
        return telemetry_pb2.Reading(
            vehicle_id=self.vehicle_id,
            boot_epoch=self.boot_epoch,
            sequence=sequence,
            event_time=now(),
            monotonic_nanos=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            status=telemetry_pb2.VEHICLE_STATUS_IDLE,
            motion_hold=telemetry_pb2.MOTION_HOLD_BOOT,
            speed_kph=0.0,
        )

    def send_readings(self, *readings: telemetry_pb2.Reading) -> None:
        batch = pb.ReadingBatch(boot_epoch=self.boot_epoch, readings=readings, clock=clock())
        self.send(pb.ConnectRequest(reading_batch=batch))

    def await_acks(self, *sequences: int) -> list[pb.Rejection]:
        """Until all of them are durable somewhere. Returns which were not taken."""
        waiting = set(sequences)
        rejections: list[pb.Rejection] = []
        while waiting:
            ack = self.receive("reading_ack").reading_ack
            assert ack.boot_epoch == self.boot_epoch
            rejections += ack.rejections
            for acked in ack.ranges:
                waiting -= set(range(acked.first_sequence, acked.last_sequence + 1))
        return rejections


@contextmanager
def connected(channel: grpc.Channel, vehicle_id: str) -> Iterator[VehicleStream]:
    """A stream that has been welcomed."""
    stream = VehicleStream(vehicle_id, channel)
    try:
        stream.send(stream.hello())
        stream.receive("welcome")
        yield stream
    finally:
        stream.end()
