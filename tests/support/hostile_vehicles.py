"""Vehicles that behave badly, in a process of their own, each kind until it is told to end.

The process has the lowest priority: on the same machine, what it spends must not be taken for what it costs others.
"""

import asyncio
import multiprocessing
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
import uvloop
from haul.link.v1 import vehicle_link_service_pb2 as pb

from ingest_gateway.limits import MAX_FRAME_BYTES
from ingest_gateway.limits import MAX_READINGS_PER_BATCH as BATCH
from tests.fuzz.corpus import corpus
from tests.fuzz.garbage import DATA, DEAF_CALL, Garbler, context_of, frame, message
from tests.fuzz.mutate import Mutator
from tests.integration.gateway_rig import RawVehicle, clock, tls, vehicle, welcomed

NICE = 19
#: Batches of a flood, made before; then they come again.
BATCHES = 1_000
#: How long a deaf vehicle waits to be left, seconds.
DEAF_S = 10.0
#: Between two streams of one vehicle, seconds: twice as many a second are turned away.
PAUSE_S = 0.5
#: Before the next try at a port that takes no connection, seconds.
PORT_CLOSED_S = 0.05
#: To end all streams, and to say what came of them, seconds.
CLOSE_WITHIN_S, TELLS_WITHIN_S = 5.0, 60.0

Came = Counter[str]


class Word(Enum):
    """What is said to them."""

    GO = auto()
    REST = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Attack:
    """Where to, and in whose names; and how many bursts or changed frames a second of all of them, at most."""

    home: Path
    address: str
    vehicle_ids: tuple[str, ...]
    seed: int
    per_s: float = inf


class Pace:
    """Whose turn it is: one after the other at a rate, and nobody's while they rest."""

    def __init__(self) -> None:
        self.going = asyncio.Event()
        self.going.set()
        self._next_s = 0.0

    async def turn(self, per_s: float) -> None:
        await self.going.wait()
        now_s = asyncio.get_running_loop().time()
        # What was missed is not made up for.
        self._next_s = max(self._next_s + 1 / per_s, now_s)
        await asyncio.sleep(self._next_s - now_s)


_PACE = Pace()


#: One stream, or one connection, of the vehicle with this number; counts what came of it.
Kind = Callable[[Attack, int, Came], Awaitable[None]]


async def floods(attack: Attack, number: int, came: Came) -> None:
    """Batches as fast as they go, whatever it is told. The first vehicle alone."""
    if number:
        await asyncio.Event().wait()
    async with welcomed(attack.home, attack.address, attack.vehicle_ids[0]) as it:
        frames = _flood_of(it)
        for batch in count():
            if it.ended:
                break
            await it.send(frames[batch % BATCHES])  # type: ignore[arg-type]  # the rig takes bytes too
            came["batches"] += 1
            came["throttles"] += len(it.of("throttle"))
            it.frames.clear()
        came[how_it_ended(it)] += 1


async def greedy(attack: Attack, number: int, came: Came) -> None:
    """As much as its window takes, without a pause, whatever a Throttle says. The first vehicle alone."""
    if number:
        await asyncio.Event().wait()
    async with welcomed(attack.home, attack.address, attack.vehicle_ids[0]) as it:
        frames = _flood_of(it)
        for sent in range(0, BATCHES * BATCH, BATCH):
            with suppress(AssertionError):  # what was declined is not offered again
                await it.until(lambda so_far=sent: it.ended or so_far - len(it.acked) <= BATCH, "acks", PAUSE_S)  # type: ignore[misc]
            if it.ended:
                break
            await it.send(frames[sent // BATCH])  # type: ignore[arg-type]
            came["batches"] += 1
            came["throttles"] += len(it.of("throttle"))
            it.frames.clear()
        came[how_it_ended(it)] += 1


def _flood_of(it: RawVehicle) -> list[bytes]:
    made = []
    for first in range(1, BATCHES * BATCH, BATCH):
        batch = pb.ConnectRequest()
        batch.reading_batch.boot_epoch = it.boot_epoch
        batch.reading_batch.readings.extend(it.reading(first + n) for n in range(BATCH))
        batch.reading_batch.clock.CopyFrom(clock())
        made.append(batch.SerializeToString())
    return made


async def never_reads(attack: Attack, number: int, came: Came) -> None:
    """Takes nothing: not one byte, by HTTP/2's own flow control; and beats."""
    vehicle_id = attack.vehicle_ids[number]
    paths = tls(attack.home, f"vehicles/{vehicle_id}")
    context = context_of(paths.ca, paths.certificate, paths.key)
    host, port = attack.address.rsplit(":", 1)
    _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="localhost")
    came["streams"] += 1
    try:
        writer.write(DEAF_CALL + frame(DATA, 0, 1, message(good_hello(vehicle_id, came["streams"]))))
        with suppress(TimeoutError):
            async with asyncio.timeout(DEAF_S):
                for beat in count(1):
                    if writer.transport.is_closing():
                        came["left"] += 1
                        return
                    data = pb.ConnectRequest(heartbeat_number=beat).SerializeToString()
                    writer.write(frame(DATA, 0, 1, message(data)))
                    came["heartbeats"] += 1
                    await asyncio.sleep(0.1)
    finally:
        writer.close()


async def oversize(attack: Attack, number: int, came: Came) -> None:
    """A message above the limit."""
    async with vehicle(attack.home, attack.address, attack.vehicle_ids[number]) as it:
        await it.hello()
        await it.send(bytes(MAX_FRAME_BYTES + 1))  # type: ignore[arg-type]
        await it.until(lambda: it.ended, "the end of the stream")
        came[how_it_ended(it)] += 1


async def comes_and_goes(attack: Attack, number: int, came: Came) -> None:
    """Opens a connection, says Hello and drops it, without a pause."""
    if number >= AT_ONCE:
        await asyncio.Event().wait()
    for connect in count(1):
        async with vehicle(attack.home, attack.address, attack.vehicle_ids[number], connect_count=connect) as it:
            await it.hello()
        came["connects"] += 1


#: Of those that make no pause.
AT_ONCE = 2


async def garbage(attack: Attack, number: int, came: Came) -> None:
    """Bytes that are no HTTP/2, no TLS, or nearly, without a pause."""
    if number >= AT_ONCE:
        await asyncio.Event().wait()
    paths = tls(attack.home, f"vehicles/{attack.vehicle_ids[number]}")
    garbler = Garbler(attack.address, paths, attack.seed + number)
    while True:
        await _PACE.turn(attack.per_s)
        how = await asyncio.to_thread(garbler.burst)
        came[how] += 1
        if how == "no connection":  # the port is closed for a moment
            await asyncio.sleep(PORT_CLOSED_S)
        else:
            came["bursts"] += 1


async def changed_frames(attack: Attack, number: int, came: Came) -> None:
    """Frames of a real agent with changes in them, each vehicle from a seed of its own, until its stream ends."""
    await _PACE.going.wait()
    vehicle_id = attack.vehicle_ids[number]
    mutator = _MUTATORS.setdefault(number, Mutator(corpus(), pb.ConnectRequest, attack.seed + number))
    came["streams"] += 1
    async with vehicle(attack.home, attack.address, vehicle_id) as it:
        # Of whatever it declares lost, which may be ranges without end.
        it._take_ack = lambda ack: None  # type: ignore[method-assign]
        first = came["streams"] % 6 == 0
        if not first:
            await it.send(good_hello(vehicle_id, came["streams"]))  # type: ignore[arg-type]
        while not it.ended:
            await _PACE.turn(attack.per_s)
            await it.send(mutator.next(first=first))  # type: ignore[arg-type]
            came["frames"] += 1
            first = False
            await asyncio.sleep(0.005)
        came[how_it_ended(it)] += 1


_MUTATORS: dict[int, Mutator] = {}

KINDS: dict[str, Kind] = {
    "never read": never_reads,
    "flood": floods,
    "bring all that the window takes": greedy,
    "send messages above the limit": oversize,
    "come and go": comes_and_goes,
    "send garbage": garbage,
    "send changed frames": changed_frames,
}


def good_hello(vehicle_id: str, connect_count: int) -> bytes:
    hello = pb.ConnectRequest.FromString(corpus()[0])
    hello.hello.vehicle_id, hello.hello.connect_count = vehicle_id, connect_count
    return hello.SerializeToString()


def how_it_ended(it: RawVehicle) -> str:
    return "ended well" if it.error is None else it.error.reason or it.error.code.name


async def _again(kind: Kind, attack: Attack, number: int, came: Came) -> None:
    while True:
        # A write that meets the end of its stream: whoever behaves badly has to expect that.
        with suppress(grpc.RpcError, grpc.aio.BaseError, OSError, asyncio.InvalidStateError):
            await kind(attack, number, came)
        came["tries"] += 1
        await asyncio.sleep(PAUSE_S)


async def _attack(kind: str, attack: Attack, pipe: Connection) -> None:
    came = Came()
    tasks = [asyncio.create_task(_again(KINDS[kind], attack, n, came)) for n in range(len(attack.vehicle_ids))]
    word = asyncio.create_task(_hear(pipe))
    await asyncio.wait({word, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    failed = [repr(task.exception()) for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=CLOSE_WITHIN_S)  # those that hang end with the process
    pipe.send((failed, dict(came)))


async def _hear(pipe: Connection) -> None:
    """Rests and goes on as it is told, until it is told to end."""
    while (said := await asyncio.to_thread(pipe.recv)) is not Word.END:
        (_PACE.going.set if said is Word.GO else _PACE.going.clear)()


def _process(kind: str, attack: Attack, pipe: Connection) -> None:
    os.nice(NICE)
    uvloop.run(_attack(kind, attack, pipe))


class Hostile:
    """`came`: how much came of it so far, once `tell` has been called."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.came: dict[str, int] = {}

    def rest(self) -> None:
        """Of bursts and changed frames, until it is told to go on."""
        self._pipe.send(Word.REST)

    def go(self) -> None:
        self._pipe.send(Word.GO)

    def tell(self) -> dict[str, int]:
        """Ends it. Raises AssertionError where the attack itself has failed."""
        self._pipe.send(Word.END)
        assert self._pipe.poll(TELLS_WITHIN_S), "the hostile ones don't answer"
        failed, self.came = self._pipe.recv()
        assert not failed, failed
        return self.came


@contextmanager
def hostile(kind: str, attack: Attack) -> Iterator[Hostile]:
    """From now until it is told to end, or to the end of the block."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_process, args=(kind, attack, theirs), daemon=True)
    process.start()
    try:
        yield Hostile(ours)
    finally:
        process.kill()
        process.join()
