"""One gateway process, and vehicles in processes of their own that load it."""

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from pitwall import devca
from pitwall.clock import monotonic_s
from tests.bench.telemetry.vehicles import Share, run
from tests.integration.gateway_rig import GATEWAY, GatewayProcess, gateway
from tests.integration.stacks import RunningStack
from tests.support.processor import processor_s

CLIENT_PROCESSES = 2
#: Readings of all vehicles together without an ack, in as far as each has two batches: enough to keep everything busy,
#: and no queue of many seconds.
IN_FLIGHT = 10_000
#: Of each vehicle at the gateway, as usual, or what it takes to have IN_FLIGHT of a few.
SMALLEST_WINDOW = 200


@dataclass(frozen=True, slots=True)
class Cell:
    """What one measurement saw. Rates by the second, CPU in seconds per million readings."""

    vehicles: int
    batch: int
    readings: int
    per_s: float
    cpu_s_per_million: float
    gateway_cores: float
    kafka_cores: float
    clients_cores: float
    resident_mb: float
    latencies_s: list[float]


class Load:
    """Vehicles connected to a gateway."""

    def __init__(
        self, site: "Site", pipes: Sequence[Connection], pids: Sequence[int], share: Share, count: int
    ) -> None:
        self._site, self._pipes, self._pids, self._share, self._count = site, pipes, pids, share, count

    def go(self) -> None:
        for pipe in self._pipes:
            pipe.send("go")

    async def mark(self) -> tuple[int, list[float]]:
        """Readings acknowledged since the last mark, and how long each batch of them took."""
        for pipe in self._pipes:
            pipe.send("mark")
        told = [await asyncio.to_thread(pipe.recv) for pipe in self._pipes]
        return sum(acked for acked, _ in told), [s for _, some in told for s in some]

    async def measure(self, settle_s: float, seconds: float) -> Cell:
        await asyncio.sleep(settle_s)
        site = self._site
        await self.mark()
        began_s = monotonic_s()
        groups = ([site.gateway.process.pid], [site.kafka_pid], self._pids)
        before = [processor_s(group) for group in groups]
        await asyncio.sleep(seconds)
        spent = [processor_s(group) - s for group, s in zip(groups, before, strict=True)]
        took_s = monotonic_s() - began_s
        acked, latencies_s = await self.mark()
        return Cell(
            vehicles=self._count,
            batch=self._share.batch,
            readings=acked,
            per_s=acked / took_s,
            cpu_s_per_million=1e6 * spent[0] / acked if acked else 0.0,
            gateway_cores=spent[0] / took_s,
            kafka_cores=spent[1] / took_s,
            clients_cores=spent[2] / took_s,
            resident_mb=site.gateway.resident_bytes() / 1e6,
            latencies_s=latencies_s,
        )


@dataclass
class Site:
    """A gateway process of its own in a running stack that has Kafka and a command service."""

    home: Path
    gateway: GatewayProcess
    address: str
    kafka_pid: int
    window: int

    @asynccontextmanager
    async def load(self, vehicle_ids: Sequence[str], batch: int, every_s: float = 0.0) -> AsyncIterator[Load]:
        """Connected, and not offering anything yet. `batch` 0: heartbeats alone."""
        spawn = multiprocessing.get_context("spawn")
        window = self.window if every_s else min(self.window, max(2 * batch, IN_FLIGHT // len(vehicle_ids)))
        processes, pipes = [], []
        for i in range(min(CLIENT_PROCESSES, len(vehicle_ids))):
            ours, theirs = spawn.Pipe()
            ids = tuple(vehicle_ids[i::CLIENT_PROCESSES])
            share = Share(self.home, self.address, ids, batch, window, every_s)
            process = spawn.Process(target=run, args=(share, theirs), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        try:
            for pipe in pipes:
                await asyncio.to_thread(pipe.recv)
            yield Load(self, pipes, [p.pid or 0 for p in processes], share, len(vehicle_ids))
            for pipe in pipes:
                pipe.send("end")
        finally:
            for process in processes:
                process.join(5)
                process.kill()


@asynccontextmanager
async def site(stack: RunningStack, vehicles: int, **settings: object) -> AsyncIterator[Site]:
    """`vehicles`: how many there will be at most."""
    devca.ensure(stack.home, vehicles=names(vehicles), gateways=[GATEWAY])
    window = max(SMALLEST_WINDOW, IN_FLIGHT // vehicles)
    chosen: dict[str, object] = {
        "max_sessions": vehicles,
        "max_unacked_readings": window,
        "max_readings_in_flight": max(210_000, vehicles * window + 1_000),
        # A few vehicles stand for many: none of them is to be held to the rate of one.
        "max_readings_per_s": 1_000_000,
        "max_frames_per_s": 1_000_000,
        "max_bytes_per_s": 1_000_000_000,
    } | settings
    with TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        commands = [stack.address("command-1-link")]
        async with gateway(stack.home, Path(folder), commands, stack.kafka_bootstrap, **chosen) as process:
            address = await process.address()
            yield Site(stack.home, process, address, stack.pid("kafka"), window)


def names(count: int) -> list[str]:
    return [f"BENCH-{number:04d}" for number in range(count)]
