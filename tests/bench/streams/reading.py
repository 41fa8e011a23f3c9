"""How fast a process reads what lies in the topic, and what that costs it."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.processor import processor_s

#: Each look has the task manager write down all of its metrics, which costs it some milliseconds.
_LOOK_S = 2.0
#: Of the readings: what is read before is left out, as long as the JVM still compiles what it does.
_WARM_FROM = 1 / 3


@dataclass(frozen=True, slots=True)
class Look:
    """At one moment: readings read so far, CPU-seconds of the process and of the whole machine so far."""

    at_s: float
    readings: int
    process_s: float
    machine_s: float


@dataclass(frozen=True, slots=True)
class Read:
    """From the first look that found a third of the readings read to the last that found some left.

    others_cores: what else was at work on this machine, Kafka among it. peak_mb: of resident memory since its start.
    cold_cpu_s_per_million: of what was read before.
    """

    what: str
    readings: int
    per_s: float
    cpu_s_per_million: float
    cores: float
    others_cores: float
    peak_mb: float
    cold_cpu_s_per_million: float


def await_readings(what: str, total: int, count: Callable[[], int], within_s: float) -> Iterator[int]:
    """Looks every two seconds until `total` are read, and tells how many are."""
    deadline = time.monotonic() + within_s
    while (found := count()) < total:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: {found:,} of {total:,} readings after {within_s:g} s")
        yield found
        time.sleep(_LOOK_S)
    yield found


def read(what: str, total: int, count: Callable[[], int], pids: Callable[[], Sequence[int]], within_s: float) -> Read:
    """pids: the process, and those that it has started."""
    looks, peak_mb = list[Look](), 0.0
    for found in await_readings(what, total, count, within_s):
        ours = pids()
        looks.append(Look(time.monotonic(), found, processor_s(ours), _machine_s()))
        peak_mb = max(peak_mb, sum(map(_peak_mb, ours)))
    return between(what, looks, total, peak_mb)


def between(what: str, looks: Sequence[Look], total: int, peak_mb: float) -> Read:
    begun = [look for look in looks if 0 < look.readings < total]
    warm = [look for look in begun if look.readings >= total * _WARM_FROM]
    if len(warm) < 2:
        raise RuntimeError(f"{what}: read within a few seconds; give it more readings")
    first, last = warm[0], warm[-1]
    readings, took_s = last.readings - first.readings, last.at_s - first.at_s
    process_s, machine_s = last.process_s - first.process_s, last.machine_s - first.machine_s
    return Read(
        what,
        readings,
        readings / took_s,
        _cost(first, last),
        process_s / took_s,
        (machine_s - process_s) / took_s,
        peak_mb,
        _cost(begun[0], first),
    )


def _cost(begin: Look, end: Look) -> float:
    """CPU-seconds of the process for a million readings; 0 where there were none."""
    readings = end.readings - begin.readings
    return 1e6 * (end.process_s - begin.process_s) / readings if readings else 0.0


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def _machine_s() -> float:
    """User, nice, system and interrupts of all processors."""
    user, nice, system, _, _, hard, soft = Path("/proc/stat").read_text(encoding="ascii").split()[1:8]
    return sum(map(int, (user, nice, system, hard, soft))) / os.sysconf("SC_CLK_TCK")
