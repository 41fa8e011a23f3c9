"""The figures on the screen."""

import os
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Figure
from tests.bench.streams.profile import Spent
from tests.bench.streams.reading import Read
from tests.bench.streams.state import Kept

_LEAST_SHARE = 0.005


def tell(one: Read) -> None:
    """One line, so that whoever waits sees that something happens."""
    print(f"{one.what}: {one.per_s:,.0f} readings/s, {one.cpu_s_per_million:.1f} CPU-s/M", flush=True)


def show(reads: Sequence[Read], spent: Sequence[Spent], latency: Sequence[Figure], kept: Sequence[Kept]) -> None:
    console = Console(width=150)
    title = f"readings from a topic, {os.cpu_count()} cores"
    table = Table("", "readings/s", "CPU-s/M", "CPU-s/M, cold", "cores", "others' cores", "RSS MB", title=title)
    for read in reads:
        numbers = (read.cpu_s_per_million, read.cold_cpu_s_per_million, read.cores, read.others_cores)
        table.add_row(read.what, f"{read.per_s:,.0f}", *(f"{n:.2f}" for n in numbers), f"{read.peak_mb:,.0f}")
    console.print(table)
    for one in latency:
        print(f"{one.what}: {one.count:,}, p50 {one.p50_ms:.1f} ms, p99 {one.p99_ms:.1f} ms, max {one.max_ms:.0f} ms")
    for state in kept:
        each = state.state_bytes / state.vehicles
        print(
            f"{state.vehicles:,} vehicles: {state.state_bytes:,} bytes, {each:,.0f} each; {state.checkpoint_ms:.0f} ms"
        )
    for used in spent:
        for told, shares in (("by thread", used.by_threads), ("in Java", used.by_kind), ("on top", used.tops)):
            console.print(_shares(f"{used.cpu_s:.1f} CPU-s, {told}", shares))


def _shares(title: str, shares: Mapping[str, float]) -> Table:
    table = Table("", "share", title=title)
    for name, share in shares.items():
        if share >= _LEAST_SHARE:
            table.add_row(name, f"{share:.1%}")
    return table
