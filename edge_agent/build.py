"""Makes the vehicles of the process from settings and from what their disks remember."""

import sqlite3
import zlib
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_agent.agent import Brought, Make, VehicleAgent
from edge_agent.config import AgentSettings
from edge_agent.effects import LatchRecord
from edge_agent.gateways import GatewayList
from edge_agent.host import Host
from edge_agent.hosted import HostedVehicle
from edge_agent.latch import LatchFile
from edge_agent.latch_boot import open_latch
from edge_agent.link import Doors, Link
from edge_agent.metrics import Counters
from edge_agent.moment import Moment
from edge_agent.outbox import Bounds, newest_epochs
from edge_agent.outbox_commands import Outcome
from edge_agent.outbox_writer import OutboxWriter
from edge_agent.readings_log import ReadingsLog
from edge_agent.state import Remembered, StateStore
from edge_agent.vehicle import VehicleInterface
from pitwall.ids import uuid7
from pitwall.rpc.channel import jitter_s
from pitwall.tls import Identity


class NoDisk(Exception):
    """The data folder can't be used. Names it and the mend.

    Nothing starts then, live telemetry neither: a vehicle that can't write its latch might forget a stop.
    """


def software_version() -> str:
    try:
        return version("pitwall")
    except PackageNotFoundError:
        return "unpacked"


def look(settings: AgentSettings, vehicle_ids: Sequence[str]) -> tuple[StateStore, dict[str, Remembered]]:
    """What the disk remembers of each vehicle. Raises NoDisk."""
    now = Moment.now()
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        store = StateStore(settings.data_dir / "state.sqlite")
    except (OSError, sqlite3.Error) as error:
        raise NoDisk(
            f"data_dir {settings.data_dir}: {error}; make it a folder that this user can write, with room"
        ) from error
    in_outbox = newest_epochs(_outbox_path(settings))
    return store, store.remembered(vehicle_ids, in_outbox, now.s, now.wall.timestamp())


def open_latches(
    settings: AgentSettings, remembered: dict[str, Remembered]
) -> tuple[dict[str, LatchFile], dict[str, LatchRecord]]:
    """The latch file of each vehicle, and what holds it. Raises NoDisk."""
    wall = Moment.now().wall
    files, latches = {}, {}
    for vehicle_id, known in remembered.items():
        path = settings.data_dir / f"{vehicle_id}.latch"
        try:
            opened = open_latch(path, vehicle_id, uri(vehicle_id), wall, seen_before=known.seen_before)
        except OSError as error:
            raise NoDisk(f"{path}: {error}; a vehicle needs 64 KiB there before it may start") from error
        files[vehicle_id], latches[vehicle_id] = opened
    return files, latches


def bring(remembered: dict[str, Remembered], latches: dict[str, LatchRecord]) -> dict[str, Brought]:
    """All that each vehicle brings along from its disk."""
    return {
        vehicle_id: Brought(known.boot_epoch, known.status, known.autonomous, latches[vehicle_id], known.answers)
        for vehicle_id, known in remembered.items()
    }


def outbox_maker(settings: AgentSettings) -> Callable[[Callable[[Outcome], None]], OutboxWriter]:
    path = _outbox_path(settings)
    bounds = Bounds(settings.outbox_max_bytes, settings.outbox_max_age_s)
    log = ReadingsLog(settings.plant_dir)
    return lambda tell: OutboxWriter(path, bounds, log, tell)


def _outbox_path(settings: AgentSettings) -> Path:
    return settings.data_dir / "outbox.sqlite"


def uri(vehicle_id: str) -> str:
    return Identity("vehicle", vehicle_id).uri


class Builder:
    """Puts one vehicle together at a time, once its first sample is there."""

    def __init__(self, settings: AgentSettings, host: Host, brought: dict[str, Brought], counters: Counters) -> None:
        self._settings, self._host, self._brought, self._counters = settings, host, brought, counters
        self._version = software_version()
        self._doors = Doors()

    def build(self, vehicle_id: str, index: int, interface: VehicleInterface) -> Link:
        """The vehicle, started and hosted. Returns what keeps it connected."""
        phase = _spread(index, len(self._brought))
        now = Moment.now()
        agent = VehicleAgent(self._make(vehicle_id, phase), self._brought[vehicle_id], interface.sample, now)
        settings = self._settings
        # By its name and not its place, so that the fleet is spread over the gateways however processes host it.
        gateways = GatewayList(settings.gateways, zlib.crc32(vehicle_id.encode()), jitter_s)
        vehicle = HostedVehicle(
            vehicle_id,
            agent,
            interface,
            self._host,
            self._counters,
            gateways.answered,
            flush_interval_s=settings.flush_interval_s,
        )
        self._host.vehicles[vehicle_id] = vehicle
        pending, lost = self._host.outbox.left_over(vehicle_id)
        for boot_epoch, r in pending:
            vehicle.shipment.on_disk(boot_epoch, r.first, r.last)
        for loss in lost:
            vehicle.reports.lose(loss)
        vehicle.do(agent.start(now))
        interface.on_sample = vehicle.sampled
        interface.on_gone = vehicle.interface_gone
        tls = settings.tls(vehicle_id)
        return Link(vehicle, gateways, tls, self._counters, spread=_place(vehicle_id), doors=self._doors)

    def _make(self, vehicle_id: str, phase: float) -> Make:
        settings = self._settings
        return Make(
            vehicle_id,
            uri(vehicle_id),
            self._version,
            settings.rate_hz,
            settings.seed,
            settings.time_scale,
            phase,
            uuid7,
            settings.drills,
        )


def _place(vehicle_id: str) -> float:
    """A place in 0 up to 1 by its name alone: most vehicles are the only one of their process."""
    return zlib.crc32(vehicle_id.encode()) / 2**32


def _spread(index: int, count: int) -> float:
    """A place in 0 up to 1, neighbours far apart, so that a slice of the control loop has all phases in it."""
    return (index * 0.6180339887) % 1.0 if count > 1 else 0.0
