"""Healthy vehicles in a process of their own, that measure how long their readings take to be acknowledged."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop
from haul.link.v1 import vehicle_link_service_pb2 as pb

from pitwall.clock import boottime_s
from tests.integration.gateway_rig import RawVehicle, welcomed

#: A batch of each, readings, and how often one goes, seconds.
BATCH = 5
EVERY_S = 0.1
#: All are welcomed within, seconds.
OPEN_WITHIN_S = 30.0
#: The latest that a process says what it has measured, seconds.
TELLS_WITHIN_S = 10.0


@dataclass(slots=True)
class Measured:
    """`took_s`: of each batch, from its writing to its ack. `owed_s`: how old the oldest one is that has none."""

    took_s: list[float] = field(default_factory=list)
    owed_s: float = 0.0


class GoodVehicle:
    """One of them. `spoken` is welcomed."""

    def __init__(self, spoken: RawVehicle) -> None:
        self._spoken = spoken
        self._sequence = 0
        self._sent_s: dict[int, float] = {}
        self.took_s: list[float] = []
        take = spoken._take_ack

        def take_and_time(ack: pb.ReadingAck) -> None:
            take(ack)
            spoken.frames.clear()
            self._acked(ack)

        spoken._take_ack = take_and_time  # type: ignore[method-assign]

    async def drive(self) -> None:
        while True:
            first, self._sequence = self._sequence + 1, self._sequence + BATCH
            self._sent_s[self._sequence] = boottime_s()
            await self._spoken.offer(self._spoken.reading(s) for s in range(first, first + BATCH))
            await asyncio.sleep(EVERY_S)

    def _acked(self, ack: pb.ReadingAck) -> None:
        now_s = boottime_s()
        for each in ack.ranges:
            for last in [s for s in self._sent_s if each.first_sequence <= s <= each.last_sequence]:
                self.took_s.append(now_s - self._sent_s.pop(last))

    @property
    def owed_s(self) -> float:
        return max((boottime_s() - sent_s for sent_s in self._sent_s.values()), default=0.0)


async def _drive(home: Path, address: str, vehicle_ids: list[str], pipe: Connection) -> None:
    tasks: list[asyncio.Task[None]] = []
    vehicles: list[GoodVehicle] = []
    all_there = asyncio.Event()

    async def one(vehicle_id: str, phase: float) -> None:
        async with welcomed(home, address, vehicle_id) as spoken:
            good = GoodVehicle(spoken)
            vehicles.append(good)
            if len(vehicles) == len(vehicle_ids):
                all_there.set()
            await asyncio.sleep(phase * EVERY_S)
            await good.drive()

    for index, vehicle_id in enumerate(vehicle_ids):
        tasks.append(asyncio.create_task(one(vehicle_id, index / len(vehicle_ids))))
    with suppress(TimeoutError):
        async with asyncio.timeout(OPEN_WITHIN_S):
            await all_there.wait()
    pipe.send(len(vehicles))
    while await asyncio.to_thread(pipe.recv):
        for vehicle in vehicles:
            vehicle.took_s.clear()
        await asyncio.to_thread(pipe.recv)
        ended = [repr(task.exception()) for task in tasks if task.done()]
        took_s = [s for vehicle in vehicles for s in vehicle.took_s]
        pipe.send((ended, Measured(took_s, max(vehicle.owed_s for vehicle in vehicles))))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _process(home: Path, address: str, vehicle_ids: list[str], pipe: Connection) -> None:
    uvloop.run(_drive(home, address, vehicle_ids, pipe))


class Others:
    """What the test holds of them."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    @contextmanager
    def measuring(self) -> Iterator[Measured]:
        """Filled at the end of the block. Raises AssertionError where one of them has lost its stream."""
        measured = Measured()
        self._pipe.send(True)
        yield measured
        self._pipe.send(True)
        assert self._pipe.poll(TELLS_WITHIN_S), "the vehicles don't answer"
        ended, told = self._pipe.recv()
        assert not ended, f"streams of healthy vehicles have ended: {ended}"
        measured.took_s, measured.owed_s = told.took_s, told.owed_s


@contextmanager
def good_vehicles(home: Path, address: str, vehicle_ids: list[str]) -> Iterator[Others]:
    """Driving from now to the end of the block. Their certificates are in `home`."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_process, args=(home, address, vehicle_ids, theirs), daemon=True)
    process.start()
    try:
        assert ours.poll(2 * OPEN_WITHIN_S), "the vehicles' process says nothing"
        opened = ours.recv()
        assert opened == len(vehicle_ids), f"{opened} of {len(vehicle_ids)} vehicles are welcomed"
        yield Others(ours)
    finally:
        ours.send(False)
        process.join(TELLS_WITHIN_S)
        process.kill()
