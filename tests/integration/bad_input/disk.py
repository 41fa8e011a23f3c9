"""A vehicle whose agent runs out of disk while it drives: it says so, loses nothing, and a stop still holds."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pitwall import devca
from tests.integration.bad_input.rows import Outcome
from tests.integration.bad_input.site import Site
from tests.support.checker import compare
from tests.support.operator import Operator
from tests.support.plant import Plant
from tests.support.ports import free_port
from tests.support.topics import identified

VEHICLE = "KOMATSU-930E-003"
#: So many are simulated; just the last has an agent.
SIMULATED = 3
#: Enough for latch file, outbox and state, bytes.
DISK_BYTES = 1024 * 1024
#: The latch file's own size, up to which it is overwritten in place, bytes.
LATCH_BYTES = 64 * 1024
WITHIN_S = 60.0


def run_out(site: Site) -> Outcome:
    """The outcome's text is what the agent says of its health."""
    folder = site.spoiled / "disk"
    for name in ("plant", "data"):
        (folder / name).mkdir(parents=True)
    devca.ensure(site.stack.home, vehicles=[VEHICLE])
    operator, plant = Operator(site.stack.home), Plant(folder / "plant")
    with _plant_process(folder), _agent_process(site, folder) as agent:
        _await("the vehicle is connected", lambda: VEHICLE in _connected(operator))
        _await("it is resumed", lambda: operator.ask("order", "RESUME", VEHICLE).exit_code == 0)
        _await("it is under way", lambda: operator.ask("order", "START_ROUTE", VEHICLE).exit_code == 0)
        plant.wait(VEHICLE, "it drives", lambda line: line.speed_kph > 5, timeout_s=WITHIN_S)
        agent.fill_disk()
        _await("the agent says that its disk takes nothing", lambda: not agent.outbox()["ok"])
        told = agent.outbox()["detail"]
        _stop_holds(operator, plant)
        _await_readings(site, plant)
        assert agent.process.poll() is None
    return Outcome(told)


def _stop_holds(operator: Operator, plant: Plant) -> None:
    lines = operator.do("stop", VEHICLE)
    stages = [line for line in lines if line.get("stage") == "STOP_STAGE_STANDSTILL"]
    assert [stage.get("latchedDurably") for stage in stages] == [True]
    assert plant.last(VEHICLE).speed_kph == 0


def _await_readings(site: Site, plant: Plant) -> None:
    through = {(name, epoch): sequence for (name, epoch, sequence), _ in plant.readings()}
    assert through

    def arrived() -> bool:
        in_kafka = [one for one in identified(site.stack.kafka_bootstrap) if one[0][0] == VEHICLE]
        return compare(plant.readings(), in_kafka, through=through).clean

    _await("all readings are in Kafka", arrived)


def _connected(operator: Operator) -> set[str]:
    states = operator.quick().do("motion")
    return {state["vehicleId"] for state in states if state["connectivity"] == "CONNECTIVITY_CONNECTED"}


def _await(what: str, holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end_s, f"not within {WITHIN_S:.0f} s: {what}"
        time.sleep(0.2)


# The processes


@dataclass(frozen=True, slots=True)
class Agent:
    """`small_disk`: its data folder is a file system of its own, of DISK_BYTES."""

    process: subprocess.Popen[bytes]
    data: Path
    metrics_port: int
    small_disk: bool

    def fill_disk(self) -> None:
        if not self.small_disk:
            # The next best without leave to mount: no file grows beyond the latch file's size.
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (LATCH_BYTES, resource.RLIM_INFINITY))
            return
        ballast = Path(f"/proc/{self.process.pid}/root{self.data}/ballast")
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017  it has to come

    def outbox(self) -> dict[str, Any]:
        """The agent's word about its outbox, whatever else is wrong."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/healthz", timeout=5) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read()
        part: dict[str, Any] = json.loads(body)["parts"]["outbox"]
        return part


@contextmanager
def _plant_process(folder: Path) -> Iterator[None]:
    config = folder / "plant.toml"
    config.write_text(
        f'vehicle_socket = "{folder}/v.sock"\ncontrol_socket = "{folder}/c.sock"\nplant_dir = "{folder}/plant"\n'
        f'fleet = {SIMULATED}\nmetrics_address = "127.0.0.1:{free_port()}"\ntime_scale = 20.0\n'
    )
    with _process([sys.executable, "-m", "edge_agent.simulator", "--config", str(config)], folder / "plant.log"):
        _await("the simulator listens", (folder / "v.sock").exists)
        yield


@contextmanager
def _agent_process(site: Site, folder: Path) -> Iterator[Agent]:
    port, data, places = free_port(), folder / "data", site.stack.places
    config = folder / "agent.toml"
    config.write_text(
        f'vehicle_id = "{VEHICLE}"\ngateways = ["{site.stack.address("gateway-1")}"]\ndata_dir = "{data}"\n'
        f'certs_dir = "{places.certs / "vehicles"}"\nca = "{places.certs / "ca.pem"}"\n'
        f'vehicle_socket = "{folder}/v.sock"\nplant_dir = "{folder}/plant"\n'
        f'metrics_address = "127.0.0.1:{port}"\ntime_scale = 20.0\nrate_hz = 5.0\n'
    )
    on_small_disk = _on_small_disk(data)
    command = [*on_small_disk, sys.executable, "-m", "edge_agent", "--config", str(config)]
    with _process(command, folder / "agent.log") as process:
        yield Agent(process, data, port, bool(on_small_disk))


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _on_small_disk(data: Path) -> list[str]:
    """What to put before a command for its data folder to be a small disk. Empty where the kernel gives no leave."""
    mount = f'mount -t tmpfs -o size={DISK_BYTES} tmpfs "{data}" && exec "$@"'
    unshare = shutil.which("unshare")
    spaces = ["--mount"] if os.getuid() == 0 else ["--user", "--map-root-user", "--mount"]
    if unshare is None:
        return []
    before = [unshare, *spaces, "sh", "-c", mount, "sh"]
    tried = subprocess.run([*before, "true"], capture_output=True, check=False)
    return before if tried.returncode == 0 else []
