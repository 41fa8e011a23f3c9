"""`python -m tests.bench.returning [VEHICLES]`: how soon a fleet is back whose gateways have all been killed at once.

The vehicles are bare streams (their agents and physics are none of the gateways' business), in two processes, each on
its own connection over mutual TLS. They try as agents do: one gateway after the other, with jittered waits from 0.2 to
2 s, and at most so many of a process at a time. A vehicle is back with its first permit with time in it.
"""

import argparse
import asyncio
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection

import grpc
import uvloop
from haul.link.v1 import vehicle_link_service_pb2 as pb
from haul.link.v1.vehicle_link_service_pb2_grpc import VehicleLinkServiceStub

from deploy.local.options import Server
from edge_agent.limits import OPENING_AT_ONCE
from edge_agent.link import Doors
from pitwall.clock import boottime_s
from pitwall.rpc.channel import jitter_s
from pitwall.rpc.streams import Readable, read
from pitwall.wire import to_seconds
from tests.bench.bare_vehicle import HEARTBEATS_PER_PERMIT, Share, channel, hello, new_epoch, spread
from tests.bench.figures import Figure, figure, publish
from tests.integration.stacks import RunningStack, running
from tests.support.processor import processor_s

VEHICLES = 1_000
SEED = 1
#: They have to be on within, seconds; and how long they are waited for.
WITHIN_S, WAITED_S = 10.0, 60.0
#: Kills of all gateways.
ROUNDS = 3


class Returning:
    """One vehicle, stream after stream. `permitted_s`: CLOCK_BOOTTIME of the first permit of the newest stream."""

    def __init__(self, share: Share, vehicle_id: str, start: int, doors: Doors, news: asyncio.Event) -> None:
        self._share, self._vehicle_id, self._at = share, vehicle_id, start
        self._doors, self._news = doors, news
        self._hello = hello(vehicle_id, new_epoch())
        self.permitted_s = 0.0

    async def run(self) -> None:
        failures = 0
        while True:
            address = self._share.gateways[self._at % len(self._share.gateways)]
            before_s = self.permitted_s
            with suppress(grpc.RpcError):
                await self._stream(address)
            failures = failures + 1 if self.permitted_s == before_s else 1
            self._at += 1
            await asyncio.sleep(jitter_s(failures))

    async def _stream(self, address: str) -> None:
        async with (
            self._doors.through(address) as opened,
            channel(self._share.home, address, self._vehicle_id) as line,
        ):
            call = VehicleLinkServiceStub(line).Connect()
            frames: Readable[pb.ConnectResponse] = call
            self._hello.connect_count += 1
            await call.write(pb.ConnectRequest(hello=self._hello))
            while (frame := await read(frames)) is not None and not frame.HasField("welcome"):
                pass
            opened()
            if frame is None:
                return
            beating = asyncio.create_task(_beat(call, to_seconds(frame.welcome.permit_ttl) / HEARTBEATS_PER_PERMIT))
            try:
                await self._hear(frames)
            finally:
                beating.cancel()

    async def _hear(self, frames: Readable[pb.ConnectResponse]) -> None:
        first = True
        while (frame := await read(frames)) is not None:
            if first and frame.permit.ttl.ToNanoseconds() > 0:
                first, self.permitted_s = False, boottime_s()
                self._news.set()


async def _beat(call: "grpc.aio.StreamStreamCall[pb.ConnectRequest, pb.ConnectResponse]", every_s: float) -> None:
    number = 0
    while True:
        number += 1
        await call.write(pb.ConnectRequest(heartbeat_number=number))
        await asyncio.sleep(every_s)


async def _drive(share: Share, pipe: Connection) -> None:
    """Each question is a moment: how long after it each vehicle has had its first permit, where all have had it."""
    doors, news = Doors(OPENING_AT_ONCE), asyncio.Event()
    vehicles = [Returning(share, v, i, doors, news) for i, v in enumerate(share.vehicle_ids)]
    tasks = [asyncio.create_task(vehicle.run()) for vehicle in vehicles]
    while (since_s := await asyncio.to_thread(pipe.recv)) is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WAITED_S):
                while not all(vehicle.permitted_s > since_s for vehicle in vehicles):
                    news.clear()
                    await news.wait()
        pipe.send([vehicle.permitted_s - since_s for vehicle in vehicles if vehicle.permitted_s > since_s])
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _process(share: Share, pipe: Connection) -> None:
    uvloop.run(_drive(share, pipe))


def measure(stack: RunningStack, count: int) -> tuple[list[Figure], dict[str, float]]:
    names = [f"gateway-{i}" for i in range(1, stack.options.gateways + 1)]
    pipes = spread(stack.home, [stack.address(name) for name in names], count, _process)
    figures, beside = [], dict[str, float]()
    _all_back(pipes, count, boottime_s())
    for round_ in range(1, ROUNDS + 1):
        for name in names:
            stack.kill(name)
        killed_s = boottime_s()
        stack.await_healthy(*names)
        up_s = boottime_s()
        took_s = _all_back(pipes, count, killed_s)
        spent_s = processor_s([stack.pid(name) for name in names])
        figures.append(figure(f"from the kill of all gateways to a permit, round {round_}", took_s))
        beside[f"round {round_}: gateways are up after, s"] = up_s - killed_s
        beside[f"round {round_}: all are on after, s"] = max(took_s)
        beside[f"round {round_}: processor time of the gateways by then, s"] = spent_s
        time.sleep(1.0)
    for pipe in pipes:
        pipe.send(None)
    return figures, beside


def _all_back(pipes: list[Connection], count: int, since_s: float) -> list[float]:
    for pipe in pipes:
        pipe.send(since_s)
    took_s = [s for pipe in pipes for s in pipe.recv()]
    if len(took_s) < count:
        raise RuntimeError(f"{len(took_s)} of {count} vehicles are on after {WAITED_S} s")
    return took_s


def run(vehicles: int = VEHICLES) -> None:
    kafka = frozenset({Server.KAFKA})
    with running("returning", vehicles=0, command_services=3, servers=kafka, picture=False) as stack:
        figures, beside = measure(stack, vehicles)
        publish("returning", figures, seed=SEED, beside=beside)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vehicles", type=int, nargs="?", default=VEHICLES)
    run(parser.parse_args().vehicles)
    return 0


if __name__ == "__main__":
    sys.exit(main())
