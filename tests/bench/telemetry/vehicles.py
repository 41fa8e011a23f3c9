"""Vehicles that offer readings as bare streams, many in one process: a window of unacknowledged ones, acks read."""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop
from haul.link.v1 import vehicle_link_service_pb2 as pb

from pitwall import collector
from pitwall.clock import boottime_s
from pitwall.rpc.streams import Readable, read
from tests.bench.bare_vehicle import channel, hello, new_epoch
from tests.bench.telemetry.frames import Frames, bodies

#: Streams that one process opens at a time.
OPENING = 10
OPEN_WITHIN_S = 90.0
#: Between two heartbeats, a fifth of a permit's life. They ride on readings where there are any.
HEARTBEAT_S = 0.4
#: And before readings begin: often enough not to be taken for gone.
IDLE_HEARTBEAT_S = 2.0
METHOD = "/haul.link.v1.VehicleLinkService/Connect"


@dataclass(frozen=True, slots=True)
class Share:
    """What one process drives. `every_s`: a batch of each vehicle so often; 0: as fast as the window lets it."""

    home: Path
    gateway: str
    vehicle_ids: tuple[str, ...]
    batch: int
    window: int
    every_s: float = 0.0


@dataclass(slots=True)
class Counted:
    """What became of the readings of one process since it was asked last."""

    acked: int = 0
    latencies_s: list[float] = field(default_factory=list)


class Vehicle:
    """One stream."""

    def __init__(self, vehicle_id: str, share: Share, pool: list[bytes], offset: int, counted: Counted) -> None:
        self.vehicle_id, self._share, self._counted = vehicle_id, share, counted
        self._boot_epoch = new_epoch()
        self._frames = Frames(vehicle_id, self._boot_epoch, share.batch, pool, offset) if share.batch else None
        self._sent: deque[float] = deque()  # of batches without an ack
        self._unacked = 0
        self._acked_of_first = 0
        self._room = asyncio.Event()
        self._heartbeat, self._beaten_s = 0, 0.0
        self._call: Any = None

    async def open(self) -> "Readable[bytes]":
        self._channel = channel(self._share.home, self._share.gateway, self.vehicle_id)
        self._call = self._channel.stream_stream(METHOD)()
        await self._call.write(pb.ConnectRequest(hello=hello(self.vehicle_id, self._boot_epoch)).SerializeToString())
        frames: Readable[bytes] = self._call
        while (data := await read(frames)) is not None:
            if pb.ConnectResponse.FromString(data).HasField("welcome"):
                return frames
        raise RuntimeError(f"{self.vehicle_id}: {await self._call.details()}")

    async def hear(self, frames: "Readable[bytes]") -> None:
        while (data := await read(frames)) is not None:
            frame = pb.ConnectResponse.FromString(data)
            body = frame.WhichOneof("body")
            if body == "reading_ack":
                self._acknowledged(frame.reading_ack)
            elif body is not None and body != "stop_set":
                raise RuntimeError(f"{self.vehicle_id}: {frame}")
        raise RuntimeError(f"{self.vehicle_id}: {await self._call.code()} {await self._call.details()}")

    def _acknowledged(self, ack: pb.ReadingAck) -> None:
        """Acks of one vehicle come in the order of its readings, because Kafka keeps it."""
        if ack.rejections:
            raise RuntimeError(f"{self.vehicle_id}: {ack.rejections[0]}")
        now_s = boottime_s()
        count = sum(each.last_sequence - each.first_sequence + 1 for each in ack.ranges)
        self._counted.acked += count
        self._unacked -= count
        self._acked_of_first += count
        while self._acked_of_first >= self._share.batch and self._sent:
            self._acked_of_first -= self._share.batch
            self._counted.latencies_s.append(now_s - self._sent.popleft())
        self._room.set()

    async def offer(self, begin: asyncio.Event, start_after_s: float) -> None:
        """Readings without end; before they are to begin, and where there are none, heartbeats."""
        share = self._share
        while not begin.is_set():
            await self._write_heartbeat()
            with suppress(TimeoutError):
                await asyncio.wait_for(begin.wait(), IDLE_HEARTBEAT_S)
        await asyncio.sleep(start_after_s)
        next_s = boottime_s()
        while True:
            while self._unacked + share.batch > share.window:
                self._room.clear()
                await self._room.wait()
            await self._write()
            if share.every_s:
                next_s += share.every_s
                await asyncio.sleep(next_s - boottime_s())
            elif self._frames is None:
                await asyncio.sleep(HEARTBEAT_S)

    async def _write(self) -> None:
        if self._frames is None:
            await self._write_heartbeat()
            return
        now_s, number = boottime_s(), 0
        if now_s - self._beaten_s >= HEARTBEAT_S:
            self._heartbeat, self._beaten_s = self._heartbeat + 1, now_s
            number = self._heartbeat
        self._unacked += self._share.batch
        self._sent.append(now_s)
        await self._call.write(self._frames.next(number))

    async def _write_heartbeat(self) -> None:
        self._heartbeat += 1
        await self._call.write(pb.ConnectRequest(heartbeat_number=self._heartbeat).SerializeToString())


def run(share: Share, pipe: Connection) -> None:
    """The process. Says how many are connected; on "go" they begin; on "mark" it tells what it has counted since."""
    uvloop.run(_drive(share, pipe))


async def _drive(share: Share, pipe: Connection) -> None:
    counted, pool = Counted(), bodies()
    made = [Vehicle(v, share, pool, 137 * i, counted) for i, v in enumerate(share.vehicle_ids)]
    opening, begin = asyncio.Semaphore(OPENING), asyncio.Event()
    works: list[asyncio.Task[None]] = []

    async def opened(number: int, vehicle: Vehicle) -> None:
        async with opening:
            stream = await vehicle.open()
        works.append(asyncio.create_task(vehicle.hear(stream)))
        start_after_s = (share.every_s or HEARTBEAT_S) * number / len(made)
        works.append(asyncio.create_task(vehicle.offer(begin, start_after_s)))

    async with asyncio.timeout(OPEN_WITHIN_S):
        await asyncio.gather(*(opened(number, vehicle) for number, vehicle in enumerate(made)))
    # What the client's own collector of cycles takes is no latency of the gateway's.
    collector.settle()
    pipe.send(len(made))
    asked = asyncio.create_task(_answer(pipe, counted, begin))
    while not asked.done():
        await asyncio.wait({asked, *works}, return_when=asyncio.FIRST_COMPLETED)
        for work in works:
            if work.done():
                work.result()  # raises: no stream ends before it is asked to
    asked.result()


async def _answer(pipe: Connection, counted: Counted, begin: asyncio.Event) -> None:
    while (word := await asyncio.to_thread(pipe.recv)) != "end":
        if word == "go":
            begin.set()
        else:
            pipe.send((counted.acked, counted.latencies_s))
            counted.acked, counted.latencies_s = 0, []
