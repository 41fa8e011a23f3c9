"""A line whose agents a test starts, fills and kills by hand, and what it looks at meanwhile."""

import os
import random
import signal
import subprocess
import threading
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from haul.telemetry.v1.telemetry_pb2 import MOTION_HOLD_BOOT, VEHICLE_STATUS_IDLE, Reading

from deploy.local.supervisord import environment_for
from deploy.local.toml import Value, toml_text
from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, NewReading, Outbox
from edge_agent.shipment import Stored
from pitwall.clock import boottime_s
from pitwall.domain.units import QUANTITIES
from pitwall.reading import content_crc32
from tests.chaos.telemetry.judge import Judge
from tests.integration.stacks import RunningStack
from tests.support.plant import Plant
from tests.support.ports import free_port

VEHICLES = 200
GATEWAYS = ("gateway-1", "gateway-2")
RATE_HZ = 10.0
WITHIN_S = 60.0
#: Of history that a test puts on vehicles' disks: from a boot before all others.
OLD_EPOCH = 1
_LOOK_S = 0.05


@dataclass
class Agents:
    """One agents' process and the vehicles in it, with disk and plant files of their own."""

    folder: Path
    vehicle_ids: tuple[str, ...]
    command: Sequence[str]
    environment: Mapping[str, str]
    metrics_address: str
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    starts: int = field(default=0, init=False)

    @property
    def plant(self) -> Plant:
        return Plant(self.folder / "plant")

    def start(self) -> None:
        self.starts += 1
        with (self.folder / "agents.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(self.environment)
            )

    def kill(self) -> None:
        """As kill -9 does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
        self.process = None

    def metric(self, name: str) -> float:
        return metric(self.metrics_address, name)

    def await_connected(self) -> None:
        until(self._connected, f"{len(self.vehicle_ids)} vehicles are connected")

    def _connected(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "agents.log").read_text()[-2000:]
        try:
            return self.metric("pitwall_agent_vehicles_connected") == len(self.vehicle_ids)
        except OSError:  # it does not listen yet
            return False

    def fill(self, count: int, seed: int) -> None:
        """History on the disk of every vehicle, and in its plant file; to be called before the start."""
        rng = random.Random(seed)
        plant = self.folder / "plant"
        plant.mkdir(exist_ok=True)
        (self.folder / "data").mkdir(exist_ok=True)
        outbox = Outbox(self.folder / "data" / "outbox.sqlite", Bounds(1 << 30, 86_400.0), Moment.now())
        for vehicle_id in self.vehicle_ids:
            made = [measured(vehicle_id, sequence, rng) for sequence in range(1, count + 1)]
            lines = (f"{OLD_EPOCH} {reading.sequence} {content_crc32(reading)}\n" for reading in made)
            (plant / f"{vehicle_id}.readings").write_text("".join(lines))
            outbox.begin()
            outbox.add(
                NewReading(vehicle_id, Stored(OLD_EPOCH, r.sequence, r.SerializeToString()), boottime_s()) for r in made
            )
            outbox.commit()
        outbox.close()


def metric(address: str, name: str) -> float:
    """Added up over its labels."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def measured(vehicle_id: str, sequence: int, rng: random.Random) -> Reading:
    made = Reading(vehicle_id=vehicle_id, boot_epoch=OLD_EPOCH, sequence=sequence, monotonic_nanos=sequence * 10**9)
    made.status, made.motion_hold = VEHICLE_STATUS_IDLE, MOTION_HOLD_BOOT
    made.event_time.FromNanoseconds(time.time_ns() - 3600 * 10**9)
    for quantity in QUANTITIES.values():
        setattr(made, quantity.name, rng.uniform(quantity.minimum, quantity.maximum))
    return made


@dataclass(frozen=True, slots=True)
class Yard:
    stack: RunningStack

    @contextmanager
    def agents(
        self, name: str, first: int, count: int, gateways: Sequence[str] = (), rate_hz: float = RATE_HZ
    ) -> Iterator[Agents]:
        """Vehicles `first` and the following; `gateways`: other addresses than the gateways' own. Not started yet."""
        folder = self.stack.places.data / name
        folder.mkdir()
        address = f"127.0.0.1:{free_port()}"
        keys: dict[str, Value] = tomllib.loads((self.stack.places.config / "agents.toml").read_text())
        keys |= {"fleet": count, "fleet_first": first, "rate_hz": rate_hz, "metrics_address": address}
        keys |= {"data_dir": folder / "data", "plant_dir": folder / "plant"}
        keys["gateways"] = list(gateways) or [self.stack.address(gateway) for gateway in GATEWAYS]
        config = folder / "agents.toml"
        config.write_text(toml_text(keys))
        process = self.stack.stack.process("agents")
        command = [str(config) if part.endswith("agents.toml") else part for part in process.command]
        vehicle_ids = self.stack.options.vehicle_ids[first - 1 : first - 1 + count]
        made = Agents(folder, vehicle_ids, command, environment_for(self.stack.home, os.environ), address)
        try:
            yield made
        finally:
            made.kill()

    def judge(self, *agents: Agents) -> Judge:
        """Of these agents' vehicles, from now on."""
        return Judge(self.stack.kafka_bootstrap, [one.plant for one in agents])

    @contextmanager
    def gateway_memory(self) -> Iterator["Memory"]:
        """Watches both gateways, whoever they are, until the end of the block."""
        watch = Memory(self.stack)
        thread = threading.Thread(target=watch.run, name="memory", daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            watch.ended.set()
            thread.join()


class Memory:
    """Resident memory of the gateways. `growth_mb`: from what the larger one had at first to the most seen."""

    _EVERY_S = 0.25

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self.ended = threading.Event()
        self.first_mb = max(map(resident_mb, self._pids()))
        self.most_mb = self.first_mb

    def run(self) -> None:
        while not self.ended.wait(self._EVERY_S):
            for pid in self._pids():
                self.most_mb = max(self.most_mb, resident_mb(pid))

    @property
    def growth_mb(self) -> float:
        return self.most_mb - self.first_mb

    def _pids(self) -> list[int]:
        states = self._stack.supervisor.processes()
        return [state.pid for state in states if state.name in GATEWAYS and state.pid]


def resident_mb(pid: int) -> float:
    """0 for a process that has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def until(holds: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> float:
    """Looks again and again. Returns how long it took, seconds."""
    began_s = time.monotonic()
    while not holds():
        assert time.monotonic() < began_s + within_s, f"not within {within_s:g} s: {what}"
        time.sleep(_LOOK_S)
    return time.monotonic() - began_s
