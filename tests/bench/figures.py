"""Figures with where they come from: machine, versions, seed."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. Milliseconds; `count` samples."""

    what: str
    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


def figure(what: str, seconds: Sequence[float]) -> Figure:
    """Percentiles by the nearest rank. At least one sample."""
    ordered = sorted(seconds)

    def rank(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return Figure(what, len(ordered), rank(0.50), rank(0.99), round(1000 * ordered[-1], 3))


def publish(name: str, figures: Sequence[Figure], *, seed: int, beside: Mapping[str, float] | None = None) -> None:
    """A table on the screen and JSON in bench/ of PITWALL_HOME. `beside`: what is no time, by name and unit."""
    table = Table("", "count", "p50 ms", "p99 ms", "max ms", title=f"{name}, {os.cpu_count()} cores, seed {seed}")
    for row in figures:
        table.add_row(row.what, f"{row.count:,}", f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}", f"{row.max_ms:.2f}")
    Console().print(table)
    for what, value in (beside or {}).items():
        print(f"{what}: {value:,.1f}")
    packages = ("grpcio", "protobuf", "confluent-kafka", "uvloop")
    write(name, seed, packages, figures=[asdict(row) for row in figures], beside=dict(beside or {}))


def write(name: str, seed: int, packages: Sequence[str], **told: object) -> None:
    """JSON in bench/ of PITWALL_HOME."""
    folder = Path(os.environ.get("PITWALL_HOME") or ".pitwall").absolute() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    whence = {
        "name": name,
        "time": now.isoformat(),
        "seed": seed,
        "machine": {"cores": os.cpu_count(), "machine": platform.machine(), "kernel": platform.release()},
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
    }
    (folder / f"{name}-{now:%Y%m%dT%H%M%SZ}.json").write_text(json.dumps(whence | told, indent=2) + "\n")
