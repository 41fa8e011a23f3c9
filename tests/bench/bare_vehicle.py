"""What benchmarks' bare vehicles have in common: streams without an agent or physics behind them, by the process."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
from haul.link.v1 import vehicle_link_service_pb2 as pb
from haul.telemetry.v1.telemetry_pb2 import MOTION_HOLD_BOOT, VEHICLE_STATUS_IDLE

from pitwall import devca
from pitwall.clock import wall_time
from pitwall.config import TlsSettings
from pitwall.rpc.channel import open_channel
from pitwall.rpc.limits import RpcLimits
from pitwall.tls import channel_credentials
from pitwall.wire import timestamp

HEARTBEATS_PER_PERMIT = 5
#: Among which a fleet is divided.
PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Share:
    """The vehicles of one process, and where they connect to."""

    home: Path
    gateways: tuple[str, ...]
    vehicle_ids: tuple[str, ...]


def hello(vehicle_id: str, boot_epoch: int) -> pb.Hello:
    """The first one of this boot, by the clocks of now."""
    now = timestamp(wall_time())
    return pb.Hello(
        vehicle_id=vehicle_id,
        boot_epoch=boot_epoch,
        connect_count=1,
        protocol_version=1,
        status=pb.StatusReport(status=VEHICLE_STATUS_IDLE, motion_hold=MOTION_HOLD_BOOT, event_time=now),
        clock=pb.VehicleClock(wall_time=now, monotonic_nanos=time.clock_gettime_ns(time.CLOCK_BOOTTIME)),
        lowest_deceleration_mps2=1.0,
    )


def new_epoch() -> int:
    return time.time_ns() // 1_000_000


def channel(home: Path, gateway: str, vehicle_id: str) -> grpc.aio.Channel:
    """With the certificate of its own."""
    pair = home / "certs" / "vehicles" / f"{vehicle_id}.pem"
    tls = TlsSettings(ca=home / "certs" / "ca.pem", certificate=pair, key=pair.with_suffix(".key"))
    return open_channel(gateway, channel_credentials(tls), RpcLimits())


def spread(
    home: Path, gateways: Sequence[str], count: int, process: Callable[[Share, Connection], None]
) -> list[Connection]:
    """So many vehicles with certificates, in PROCESSES processes that run `process`. Returns our ends of the pipes."""
    vehicle_ids = [f"BENCH-{number:04d}" for number in range(count)]
    devca.ensure(home, vehicles=vehicle_ids)
    spawn, pipes = multiprocessing.get_context("spawn"), []
    for i in range(PROCESSES):
        ours, theirs = spawn.Pipe()
        share = Share(home, tuple(gateways), tuple(vehicle_ids[i::PROCESSES]))
        spawn.Process(target=process, args=(share, theirs), daemon=True).start()
        pipes.append(ours)
    return pipes
