"""`python -m tests.bench.staying_permitted [VEHICLES]`: what the gateways spend on vehicles that only stay permitted.

The vehicles are bare streams that send a heartbeat every fifth of their permit's life, in processes of their own: what
agents and physics cost beside them is none of the gateways' business, and a thousand of those don't fit on two cores.
"""

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
import uvloop
from haul.link.v1 import vehicle_link_service_pb2 as pb
from haul.link.v1.vehicle_link_service_pb2_grpc import VehicleLinkServiceStub

from deploy.local.options import Server
from pitwall.clock import boottime_s
from pitwall.rpc.streams import Readable, read
from pitwall.wire import to_seconds
from tests.bench.bare_vehicle import HEARTBEATS_PER_PERMIT, Share, channel, hello, new_epoch, spread
from tests.bench.figures import Figure, figure, publish
from tests.integration.stacks import RunningStack, running
from tests.support.processor import processor_s

VEHICLES = 1_000
SEED = 1
#: Streams that one process opens at a time.
OPENING = 10
#: All are there within, seconds.
OPEN_WITHIN_S = 60.0
SETTLE_S = 3.0
MEASURED_S = 20.0


@dataclass(slots=True)
class Vehicle:
    """One bare stream. `left_s`: what was left of the permit before, whenever a new one came."""

    vehicle_id: str
    gateway: str
    left_s: list[float]
    until_s: float = 0.0

    async def run(self, home: Path, opening: asyncio.Semaphore, opened: asyncio.Event) -> None:
        await opening.acquire()
        async with channel(home, self.gateway, self.vehicle_id) as line:
            call = VehicleLinkServiceStub(line).Connect()
            frames: Readable[pb.ConnectResponse] = call
            await call.write(pb.ConnectRequest(hello=hello(self.vehicle_id, new_epoch())))
            while (frame := await read(frames)) is not None and not frame.HasField("welcome"):
                pass
            assert frame is not None, f"{self.vehicle_id}: {await call.details()}"
            opened.set()
            opening.release()
            sent: dict[int, float] = {}
            hears = asyncio.create_task(self._hear(frames, sent))
            await self._beat(call, sent, to_seconds(frame.welcome.permit_ttl) / HEARTBEATS_PER_PERMIT)
            await hears

    async def _beat(
        self, call: "grpc.aio.StreamStreamCall[pb.ConnectRequest, pb.ConnectResponse]", sent: dict[int, float], s: float
    ) -> None:
        number = 0
        while True:
            number += 1
            sent[number] = boottime_s()
            sent.pop(number - 2 * HEARTBEATS_PER_PERMIT, None)
            await call.write(pb.ConnectRequest(heartbeat_number=number))
            await asyncio.sleep(s)

    async def _hear(self, frames: Readable[pb.ConnectResponse], sent: dict[int, float]) -> None:
        while (frame := await read(frames)) is not None:
            if frame.HasField("permit") and frame.permit.ttl.ToNanoseconds() > 0:
                if self.until_s:
                    self.left_s.append(self.until_s - boottime_s())
                self.until_s = sent[frame.permit.heartbeat_number] + to_seconds(frame.permit.ttl)


async def _drive(share: Share, pipe: Connection) -> None:
    """Says when all are there; on a word, what was left of permits from then on; then ends."""
    opening = asyncio.Semaphore(OPENING)
    vehicles = [Vehicle(v, share.gateways[i % len(share.gateways)], []) for i, v in enumerate(share.vehicle_ids)]
    opened = [asyncio.Event() for _ in vehicles]
    tasks = [asyncio.create_task(v.run(share.home, opening, o)) for v, o in zip(vehicles, opened, strict=True)]
    everybody = asyncio.create_task(_all(opened))
    await asyncio.wait({everybody, *tasks}, timeout=OPEN_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()
    pipe.send(sum(o.is_set() for o in opened))
    await asyncio.to_thread(pipe.recv)
    for vehicle in vehicles:
        vehicle.left_s.clear()
    await asyncio.to_thread(pipe.recv)
    pipe.send([s for vehicle in vehicles for s in vehicle.left_s])
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _all(opened: list[asyncio.Event]) -> None:
    for one in opened:
        await one.wait()


def _process(share: Share, pipe: Connection) -> None:
    uvloop.run(_drive(share, pipe))


def measure(stack: RunningStack, count: int) -> tuple[list[Figure], dict[str, float]]:
    """What was left of each permit when the next one came, and the gateways' share of a core."""
    gateways = [stack.address(f"gateway-{i}") for i in range(1, stack.options.gateways + 1)]
    pipes = spread(stack.home, gateways, count, _process)
    connected = sum(pipe.recv() for pipe in pipes)
    if connected < count:
        raise RuntimeError(f"{connected} of {count} vehicles are connected after {OPEN_WITHIN_S} s")
    time.sleep(SETTLE_S)
    pids = [stack.pid(process.name) for process in stack.stack.processes if process.name.startswith("gateway-")]
    for pipe in pipes:
        pipe.send("begin")
    before_s, began_s = processor_s(pids), time.monotonic()
    time.sleep(MEASURED_S)
    percent = 100 * (processor_s(pids) - before_s) / (time.monotonic() - began_s)
    for pipe in pipes:
        pipe.send("end")
    left_s = [s for pipe in pipes for s in pipe.recv()]
    figures = [figure("left of a permit when the next one came", left_s)]
    return figures, {
        "least that was left of a permit, ms": 1000 * min(left_s),
        f"processor time of {len(gateways)} gateways for {count} vehicles, % of a core": percent,
    }


def run(vehicles: int = VEHICLES) -> None:
    kafka = frozenset({Server.KAFKA})
    with running("permitted", vehicles=0, command_services=3, servers=kafka, picture=False) as stack:
        figures, beside = measure(stack, vehicles)
        publish("staying-permitted", figures, seed=SEED, beside=beside)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vehicles", type=int, nargs="?", default=VEHICLES)
    run(parser.parse_args().vehicles)
    return 0


if __name__ == "__main__":
    sys.exit(main())
