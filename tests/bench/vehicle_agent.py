"""What the agent of one vehicle costs its computer: processor, memory, disk, and how fast a backlog drains.

A real agent before a real plant, gateway and Kafka, ten readings a second; then with seven days at 1 Hz on its disk.
"""

import argparse
import sys
import time
import urllib.request
from pathlib import Path

from haul.telemetry.v1.telemetry_pb2 import Reading

from deploy.local.options import Server
from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.shipment import Stored
from pitwall.clock import boottime_s
from tests.bench.figures import write
from tests.integration.stacks import RunningStack, running
from tests.support.processor import processor_s
from tests.support.topics import readings

SEED = 1
PACKAGES = ("grpcio", "protobuf", "uvloop")
RATE_HZ = 10.0
#: After the start, seconds.
SETTLE_S = 5.0
MEASURED_S = 60.0
#: Seven days at 1 Hz.
KEPT = 7 * 86_400
#: Readings put on the disk in one transaction: ten minutes'.
AT_ONCE = 600
#: Of the gateway in the second run of the backlog, for one vehicle: what the agent itself is capable of.
WIDE_WINDOW = 2_000
WIDE_SESSIONS = 100
DRAINS_WITHIN_S = 300.0
LOOK_S = 0.05


def cost(stack: RunningStack, measured_s: float = MEASURED_S) -> dict[str, float]:
    """While it drives and sends ten readings a second."""
    pid = stack.pid("agents")
    time.sleep(SETTLE_S)
    before_s, began_s = processor_s([pid]), time.monotonic()
    time.sleep(measured_s)
    percent = 100 * (processor_s([pid]) - before_s) / (time.monotonic() - began_s)
    return {
        f"agent at {RATE_HZ:g} Hz, % of a core": percent,
        f"agent at {RATE_HZ:g} Hz, resident MB": resident_mb(pid),
    }


def resident_mb(pid: int) -> float:
    """The most that it has had so far."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1000


def fill(stack: RunningStack, count: int) -> float:
    """Puts history of an earlier boot on the disk, while the agent is away. Returns megabytes of the files."""
    made = next(reading for reading in readings(stack.kafka_bootstrap) if reading.HasField("speed_kph"))
    for name in ("received_time", "vehicle_time", "backfilled"):
        made.ClearField(name)
    path = stack.places.data / "agents" / "outbox.sqlite"
    outbox = Outbox(path, Bounds(512 << 20, 8 * 86_400.0), Moment.now())
    made.boot_epoch -= 1 + count * 1000
    for first in range(1, count + 1, AT_ONCE):
        outbox.begin()
        outbox.add(kept(made, sequence) for sequence in range(first, min(first + AT_ONCE, count + 1)))
        outbox.commit()
    size = sum(file.stat().st_size for file in path.parent.glob("outbox.sqlite*")) / 1e6
    outbox.close()
    return size


def kept(reading: Reading, sequence: int) -> NewReading:
    reading.sequence = sequence
    return NewReading(
        reading.vehicle_id, Stored(reading.boot_epoch, sequence, reading.SerializeToString()), boottime_s()
    )


def drained(stack: RunningStack, count: int) -> dict[str, float]:
    """From the first acknowledged reading of the backlog to the last."""
    pid = stack.pid("agents")
    while waiting(stack) > 0.98 * count:
        time.sleep(LOOK_S)
    first, began_s, before_s = waiting(stack), time.monotonic(), processor_s([pid])
    while (left := waiting(stack)) > 0.02 * count:
        if time.monotonic() - began_s > DRAINS_WITHIN_S:
            raise RuntimeError(f"{left:.0f} of {count} readings wait after {DRAINS_WITHIN_S} s")
        time.sleep(LOOK_S)
    took_s, spent_s = time.monotonic() - began_s, processor_s([pid]) - before_s
    return {"readings/s": (first - left) / took_s, "CPU-s per million readings": 1e6 * spent_s / (first - left)}


def waiting(stack: RunningStack) -> float:
    """Readings on the vehicle's disk."""
    with urllib.request.urlopen(f"http://{stack.address('agents-metrics')}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith("pitwall_agent_outbox_readings")).split()[-1])


def backlog(stack: RunningStack, window: str) -> dict[str, float]:
    """Seven days of history, from the disk to Kafka."""
    stack.supervisor.stop("agents")
    size_mb = fill(stack, KEPT)
    stack.supervisor.start("agents")
    stack.await_healthy("agents")
    found = drained(stack, KEPT)
    told = {f"backlog with a window of {window}, {what}": value for what, value in found.items()}
    return {"seven days at 1 Hz on disk, MB": size_mb} | told


def widen(stack: RunningStack) -> None:
    """A gateway of few vehicles may give each of them a larger window; and here it holds none of them to a rate."""
    config = stack.places.config / "gateway-1.toml"
    wide = f"max_unacked_readings = {WIDE_WINDOW}\nmax_sessions = {WIDE_SESSIONS}\n"
    wide += "max_readings_per_s = 1_000_000\nmax_bytes_per_s = 1_000_000_000\nmax_frames_per_s = 1_000_000\n"
    config.write_text(wide + config.read_text())
    stack.kill("gateway-1")
    stack.await_healthy("gateway-1")


def run() -> None:
    kafka = frozenset({Server.KAFKA})
    fleet: dict[str, object] = {"vehicles": 1, "rate_hz": RATE_HZ, "gateways": 1, "command_services": 1, "seed": SEED}
    with running("bench-agent", **fleet, servers=kafka, picture=False, plant_readings=False) as stack:
        beside = cost(stack)
        beside |= backlog(stack, "200 and what is lent")
        widen(stack)
        beside |= backlog(stack, f"{WIDE_WINDOW:,}")
    for what, value in beside.items():
        print(f"{what}: {value:,.1f}")
    write("vehicle-agent", SEED, PACKAGES, figures=beside)


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
