"""Settings of the plant process: plant.toml, or PITWALL_PLANT__KEY in the environment."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from edge_agent.fleet import MAX_FLEET
from edge_agent.simulator.plant_files import DEFAULT_BUDGET_BYTES, SMALLEST_FILE_BYTES
from pitwall.config import Address, Settings


class PlantSettings(Settings):
    """What `python -m edge_agent.simulator` needs."""

    service: ClassVar[str] = "plant"

    #: Where agents connect, a unix socket.
    vehicle_socket: Path
    #: Where `pitwall sim` connects, a unix socket.
    control_socket: Path
    #: Folder of the plant files.
    plant_dir: Path
    #: Simulated vehicles; their ids follow from the number.
    fleet: Annotated[int, Field(ge=0, le=MAX_FLEET)] = 0
    #: A recording to play as REPLAY-TRUCK-001; none: no such vehicle.
    replay: Path | None = None
    #: Of roads, trucks and faults. The agent's mission has a seed of its own; use the same.
    seed: int = 1
    #: Makes every duration of the mission so many times shorter. Physics is not scaled.
    time_scale: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    #: Whether faults follow their schedule. Off, they come by hand alone.
    faults: bool = True
    #: Bytes on disk that all plant files together may take.
    plant_files_bytes: Annotated[int, Field(ge=SMALLEST_FILE_BYTES)] = DEFAULT_BUDGET_BYTES
    #: host:port of /healthz and /metrics; none: neither is served.
    metrics_address: Address | None = None
