"""Where a task manager's time goes: by threads as the kernel counts it, by what Java does as JFR samples it."""

import os
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_S: Final = os.sysconf("SC_CLK_TCK")
_STACK_DEPTH: Final = "48"
#: Threads by how the kernel has their names: the first 15 letters.
THREADS: Final = {
    "reading Kafka": re.compile(r"Source Data Fet"),
    "the source: decoding, time, first exchange": re.compile(r"Source: "),
    "aggregates over each vehicle": re.compile(r"OverAggregate"),
    "windows": re.compile(r"(Global|Local)Window"),
    "sinks": re.compile(r"kafka-producer|vehicle_|dead_"),
    "collecting garbage": re.compile(r"GC Thread|G1 |VM Thread|VM Periodic"),
    "compiling": re.compile(r"C[12] Compiler|Sweeper"),
    "telling metrics": re.compile(r"prometheus|pool-.*-thread|HTTP-Dispatcher|reporter"),
    "checkpoints": re.compile(r"AsyncOperations|jobmanager-io|Checkpoint"),
}
#: Of a stack, from the top down, the first frame that has one of these in its name says what it is about.
KINDS: Final = {
    "protobuf: parsing, making rows": ("com.google.protobuf", "haul.", "flink.formats.protobuf", "GeneratedProtoToRow"),
    "Kafka's client": ("org.apache.kafka", "flink.connector.kafka", "lz4"),
    "our functions": ("pitwall.flink",),
    "state: looking up, storing": ("runtime.state.", "StateMap"),
    "rows in bytes, between tasks": (
        *("BinaryRow", "BinaryWriter", "BinarySegment", "RowDataSerializer", "RecordWriter", "io.network"),
        *("StreamElementSerializer", "StreamTaskNetworkInput", "KeySelector", "MurmurHash", "ArrayDataSerializer"),
        "core.memory",
    ),
    "windows": ("operators.aggregate.window", "operators.window", "tvf", "BytesMap", "BytesHashMap", "WindowBuffer"),
    "aggregates, generated SQL": (
        "runtime.operators.over",
        *("StreamExec", "AggregateHelper", "AggsHandler", "WindowAggs", "WatermarkGenerator", "ProjectionHash"),
        *("BinaryStringDataUtil", "SqlFunctionUtils", "table.data"),
    ),
    "time and watermarks": ("Watermark", "TimerService"),
    "handing rows on": ("org.apache.flink",),
}
_OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Spent:
    """Shares of what was used between begin and end, the largest first."""

    cpu_s: float
    by_threads: Mapping[str, float]
    by_kind: Mapping[str, float]
    #: Methods that were on top of a stack most often.
    tops: Mapping[str, float]


def thread_seconds(pid: int) -> dict[str, float]:
    """CPU-seconds so far by group of threads."""
    found: defaultdict[str, float] = defaultdict(float)
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        except FileNotFoundError:  # it has ended
            continue
        user, system = rest.split()[11:13]
        group = next((group for group, known in THREADS.items() if known.match(name)), _OTHER)
        found[group] += (int(user) + int(system)) / _TICKS_S
    return found


class Recording:
    """Of a Java process by JFR, from now on."""

    def __init__(self, java_home: Path, pid: int, file: Path) -> None:
        self._java_home, self._pid, self._file = java_home, pid, file
        self._jcmd("JFR.start", "name=bench", "settings=profile")
        self._threads = thread_seconds(pid)

    def end(self) -> Spent:
        threads = {name: s - self._threads.get(name, 0.0) for name, s in thread_seconds(self._pid).items()}
        self._jcmd("JFR.stop", "name=bench", f"filename={self._file}")
        command = (str(self._java_home / "bin/jfr"), "print", "--events", "jdk.ExecutionSample")
        depth = ("--stack-depth", _STACK_DEPTH, str(self._file))
        printed = subprocess.run([*command, *depth], capture_output=True, text=True, check=True, timeout=120)
        stacks = list(stacks_of(printed.stdout.splitlines()))
        by_kind, tops = Counter(map(kind_of, stacks)), Counter(stack[0] for stack in stacks if stack)
        return Spent(sum(threads.values()), _shares(threads), _shares(by_kind), dict(list(_shares(tops).items())[:15]))

    def _jcmd(self, *arguments: str) -> None:
        subprocess.run(
            [self._java_home / "bin/jcmd", str(self._pid), *arguments], check=True, capture_output=True, timeout=60
        )


def stacks_of(lines: Iterable[str]) -> Iterator[list[str]]:
    """Methods of each sample, the innermost first."""
    stack: list[str] | None = None
    for line in map(str.strip, lines):
        if line == "stackTrace = [":
            stack = []
        elif line == "]" and stack is not None:
            yield stack
            stack = None
        elif stack is not None and "(" in line:
            stack.append(line.partition("(")[0])


def kind_of(stack: Iterable[str]) -> str:
    for frame in stack:
        for kind, known in KINDS.items():
            if any(part in frame for part in known):
                return kind
    return _OTHER


def _shares(counted: Mapping[str, float]) -> dict[str, float]:
    whole = sum(counted.values()) or 1.0
    return {name: count / whole for name, count in sorted(counted.items(), key=lambda pair: -pair[1])}
