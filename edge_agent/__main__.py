"""python -m edge_agent --config agent.toml [--fleet N]"""

import argparse
import asyncio
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from edge_agent.build import NoDisk
from edge_agent.config import AgentSettings
from edge_agent.fleet import MAX_FLEET
from edge_agent.process import AgentProcess
from pitwall import logs, observability
from pitwall.exits import EXIT_CONFIG, EXIT_MISSING, EXIT_PORT_TAKEN
from pitwall.rpc.ports import PortTaken

#: Open files of one vehicle: latch, readings, connection, and one to spare; and of the process beside them.
_DESCRIPTORS_PER_VEHICLE, _DESCRIPTORS = 4, 128


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _parser().parse_args(arguments)
    settings = AgentSettings.load(options.config)
    try:
        vehicle_ids = settings.vehicle_ids(options.fleet)
    except ValueError as error:
        print(f'{options.config}: with --fleet, {error}; make that or "fleet_first" smaller', file=sys.stderr)
        return EXIT_CONFIG
    if not vehicle_ids:
        print(f'{options.config}: no vehicle; set "vehicle_id" or "fleet", or --fleet', file=sys.stderr)
        return EXIT_CONFIG
    name = vehicle_ids[0] if len(vehicle_ids) == 1 else "agents"
    writer = logs.configure("agent", name)
    observability.start("agent", name)
    _allow_descriptors(len(vehicle_ids))
    try:
        uvloop.run(_serve(settings, vehicle_ids))
    except NoDisk as error:
        print(error, file=sys.stderr)
        return EXIT_MISSING
    except PortTaken as error:
        print(error, file=sys.stderr)
        return EXIT_PORT_TAKEN
    finally:
        observability.stop()
        writer.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge_agent", description="The daemon on the vehicle.")
    parser.add_argument("--config", type=Path, required=True, help="agent.toml")
    parser.add_argument("--fleet", type=_fleet, help="hosts so many simulated vehicles, whatever the file says")
    return parser


def _fleet(text: str) -> int:
    if not (text.isdecimal() and int(text) <= MAX_FLEET):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to {MAX_FLEET}")
    return int(text)


def _allow_descriptors(vehicles: int) -> None:
    """As many open files as it takes, as far as the hard limit goes; what doesn't fit then fails by its own name."""
    needed = _DESCRIPTORS + _DESCRIPTORS_PER_VEHICLE * vehicles
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


async def _serve(settings: AgentSettings, vehicle_ids: tuple[str, ...]) -> None:
    """Until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await AgentProcess(settings, vehicle_ids).run(stopping)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A hung disk or peer may hold a thread of the pool; the process has said and written all it had to.
    os._exit(code)
