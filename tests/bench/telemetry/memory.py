"""What the gateway process holds: resident memory with many vehicles, and over time."""

import asyncio
from dataclasses import dataclass

from tests.bench.telemetry.load import Load, Site, names, site
from tests.integration.stacks import RunningStack

VEHICLES, FURTHER = 1_000, 200


@dataclass(frozen=True, slots=True)
class Pace:
    """Of growth: so many vehicles, each a batch of so many readings every so many seconds."""

    vehicles: int = 200
    batch: int = 2
    every_s: float = 0.2


#: Connected and quiet, before memory is read.
SETTLE_S = 5.0
#: Before the first look: caches and windows fill.
WARM_S = 60.0
SAMPLE_S = 2.0
TELL_EVERY_S = 60.0
GROWTH_MINUTES = 3.0


async def of_vehicles(stack: RunningStack) -> dict[str, float]:
    """Vehicles that send heartbeats and now and then a reading."""
    everyone = names(VEHICLES + FURTHER)
    async with site(stack, len(everyone)) as gateway:
        alone_mb = gateway.gateway.resident_bytes() / 1e6
        async with gateway.load(everyone[:VEHICLES], 1, 1.0) as first:
            first.go()
            many_mb = await _settled(gateway)
            async with gateway.load(everyone[VEHICLES:], 1, 1.0) as second:
                second.go()
                more_mb = await _settled(gateway)
    return {
        "no vehicle, MB": alone_mb,
        f"{VEHICLES} vehicles, MB": many_mb,
        "each further vehicle, KB": 1000 * (more_mb - many_mb) / FURTHER,
    }


async def _settled(gateway: Site) -> float:
    await asyncio.sleep(SETTLE_S)
    return gateway.gateway.resident_bytes() / 1e6


async def growth(stack: RunningStack, minutes: float, pace: Pace) -> dict[str, float]:
    """The slope of a line through the samples."""
    everyone = names(pace.vehicles)
    async with (
        site(stack, pace.vehicles) as gateway,
        gateway.load(everyone, pace.batch, pace.every_s) as load,
    ):
        load.go()
        await asyncio.sleep(WARM_S)
        await load.mark()
        samples_mb, acked = list[float](), 0
        while len(samples_mb) * SAMPLE_S < 60 * minutes:
            samples_mb.append(gateway.gateway.resident_bytes() / 1e6)
            if len(samples_mb) * SAMPLE_S % TELL_EVERY_S == 0:
                acked += await _flowing(load)
                print(f"{len(samples_mb) * SAMPLE_S / 60:3.0f} min: {samples_mb[-1]:.1f} MB", flush=True)
            await asyncio.sleep(SAMPLE_S)
        acked += (await load.mark())[0]
    per_hour = 3600 / SAMPLE_S
    return {
        f"over {minutes:g} minutes, readings": acked,
        f"over {minutes:g} minutes, from MB": samples_mb[0],
        f"over {minutes:g} minutes, to MB": samples_mb[-1],
        f"over {minutes:g} minutes, growth in MB an hour": per_hour * slope(samples_mb),
    }


async def _flowing(load: Load) -> int:
    """Readings acknowledged since the last look. RuntimeError for none: streams end where a machine stands still."""
    acked, _ = await load.mark()
    if not acked:
        raise RuntimeError("no reading has been acknowledged for a minute")
    return acked


def slope(samples: list[float]) -> float:
    """Of the line of least squares, by sample."""
    middle, mean = (len(samples) - 1) / 2, sum(samples) / len(samples)
    spread = sum((i - middle) ** 2 for i in range(len(samples)))
    return sum((i - middle) * (sample - mean) for i, sample in enumerate(samples)) / spread
