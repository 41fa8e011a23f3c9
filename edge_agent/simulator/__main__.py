"""python -m edge_agent.simulator --config plant.toml [--print-schedule [--output table|json] [--horizon-s S]]"""

import argparse
import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from edge_agent.simulator import meters
from edge_agent.simulator.build import build_vehicles
from edge_agent.simulator.config import PlantSettings
from edge_agent.simulator.control import ControlConnection
from edge_agent.simulator.host import PlantHost
from edge_agent.simulator.plant import Plant
from edge_agent.simulator.plant_files import PlantFiles
from edge_agent.simulator.print_schedule import print_schedule
from edge_agent.simulator.replay import InvalidRecording
from edge_agent.simulator.unix_socket import SocketPathTaken, SocketPathTooLong, listen
from pitwall import logs, observability
from pitwall.clock import boottime_s
from pitwall.exits import EXIT_CONFIG, EXIT_FAILED, EXIT_MISSING, EXIT_PORT_TAKEN
from pitwall.rpc.ports import PortTaken

_log = logs.get(__name__)

DEFAULT_HORIZON_S: Final = 3_600.0
#: Descriptors beside one per plant file.
SPARE_DESCRIPTORS: Final = 128

_EXITS: Final[dict[type[Exception], int]] = {
    InvalidRecording: EXIT_MISSING,
    SocketPathTooLong: EXIT_CONFIG,
    SocketPathTaken: EXIT_PORT_TAKEN,
    PortTaken: EXIT_PORT_TAKEN,
    OSError: EXIT_FAILED,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _parser().parse_args(arguments)
    settings = PlantSettings.load(options.config)
    if options.print_schedule:
        print_schedule(settings, options.horizon_s, options.output)
        return 0
    logs.configure("plant", "plant")
    observability.start("plant", "plant")
    try:
        _allow_descriptors(settings.fleet + SPARE_DESCRIPTORS)
        uvloop.run(_serve(settings))
    except tuple(_EXITS) as error:
        print(error, file=sys.stderr)
        return next(code for kind, code in _EXITS.items() if isinstance(error, kind))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge_agent.simulator", description="The plant: simulated vehicles.")
    parser.add_argument("--config", type=Path, required=True, help="plant.toml")
    parser.add_argument("--print-schedule", action="store_true", help="print the faults to come, and end")
    parser.add_argument("--output", choices=("table", "json"), default="table", help="of the schedule")
    parser.add_argument("--horizon-s", type=float, default=DEFAULT_HORIZON_S, help="how far the schedule is printed")
    return parser


def _allow_descriptors(needed: int) -> None:
    """One open file per vehicle. Raises OSError when the hard limit is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (resource.RLIM_INFINITY,) and hard < needed:
        raise OSError(f"{needed} open files are needed and {hard} allowed; raise `ulimit -n` or lower `fleet`")
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


async def _serve(settings: PlantSettings) -> None:
    """Until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    now_s = boottime_s()
    plant = Plant(build_vehicles(settings, now_s), now_s)
    files = PlantFiles(settings.plant_dir, plant.vehicles, settings.plant_files_bytes)
    # All of this lives as long as the process: the collector need not walk it while vehicles drive.
    gc.collect()
    gc.freeze()
    try:
        await _run(settings, plant, files, stopped)
    finally:
        files.close()


async def _run(settings: PlantSettings, plant: Plant, files: PlantFiles, stopped: asyncio.Event) -> None:
    host = PlantHost(plant, files)
    agents = await listen(settings.vehicle_socket, host.link)
    control = await listen(settings.control_socket, lambda: ControlConnection(host))
    meters.show(host, files)
    status = None
    if settings.metrics_address is not None:
        status = observability.serve_status(settings.metrics_address, host.health)
        await status.start()
    host.start()
    _log.info("plant ready", vehicles=len(host.vehicles), seed=settings.seed, time_scale=settings.time_scale)
    try:
        await stopped.wait()
    finally:
        _log.info("plant stopping")
        host.stop()
        agents.close()
        control.close()
        settings.vehicle_socket.unlink(missing_ok=True)
        settings.control_socket.unlink(missing_ok=True)
        if status is not None:
            await status.stop()


if __name__ == "__main__":
    sys.exit(main())
