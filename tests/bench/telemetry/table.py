"""The figures on the screen."""

import os
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.figures import figure
from tests.bench.telemetry.bare import Produced
from tests.bench.telemetry.load import Cell


def tell(cell: Cell) -> None:
    """One line, so that whoever waits sees that something happens."""
    print(
        f"{cell.vehicles} vehicles, {cell.batch} in a batch: {cell.per_s:,.0f} readings/s, "
        f"{cell.cpu_s_per_million:.2f} CPU-s/M",
        flush=True,
    )


def show(
    producer: Sequence[tuple[str, Produced]],
    load: Sequence[Cell],
    paced: Sequence[tuple[str, Cell]],
    memory: Mapping[str, float],
) -> None:
    table = Table(
        "",
        "readings/s",
        "CPU-s/M",
        "gateway cores",
        "Kafka cores",
        "clients' cores",
        "RSS MB",
        "ack p50 ms",
        "ack p99 ms",
        title=f"telemetry through one gateway process, {os.cpu_count()} cores",
    )
    for what, one in producer:
        table.add_row(what, f"{one.per_s:,.0f}", f"{one.cpu_s_per_million:.2f}")
    for cell in load:
        table.add_row(f"{cell.vehicles} vehicles, batches of {cell.batch}", *_row(cell))
    for what, cell in paced:
        table.add_row(what, *_row(cell))
    Console(width=150).print(table)
    for what, value in memory.items():
        print(f"{what}: {value:,.1f}")


def _row(cell: Cell) -> list[str]:
    acks = figure("", cell.latencies_s)
    return [
        f"{cell.per_s:,.0f}",
        f"{cell.cpu_s_per_million:.2f}",
        f"{cell.gateway_cores:.2f}",
        f"{cell.kafka_cores:.2f}",
        f"{cell.clients_cores:.2f}",
        f"{cell.resident_mb:.0f}",
        f"{acks.p50_ms:.1f}",
        f"{acks.p99_ms:.1f}",
    ]
