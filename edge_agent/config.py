"""Settings of the agents' process: agent.toml, or PITWALL_AGENT__KEY in the environment."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from edge_agent.fleet import MAX_FLEET, REPLAY_VEHICLE_ID, fleet_ids
from edge_agent.sampling import MAX_RATE_HZ
from pitwall.config import Address, Settings, TlsSettings
from pitwall.wire import InvalidMessage, checked_vehicle_id

#: Days that readings wait for an ack; Kafka's retention is longer.
DEFAULT_MAX_AGE_S = 7 * 86_400.0


class AgentSettings(Settings):
    """What `python -m edge_agent` needs."""

    service: ClassVar[str] = "agent"

    #: The one vehicle of this process; or leave it out and set `fleet`.
    vehicle_id: str | None = None
    #: Simulated vehicles; their ids follow from the number.
    fleet: Annotated[int, Field(ge=0, le=MAX_FLEET)] = 0
    #: The number of the first of them, where several processes share a fleet.
    fleet_first: Annotated[int, Field(ge=1, le=MAX_FLEET)] = 1
    #: Hosts REPLAY-TRUCK-001 too.
    replay: bool = False
    #: Addresses of gateways, tried in turn.
    gateways: Annotated[tuple[Address, ...], Field(min_length=1)]
    #: Folder of outbox, state and latch files.
    data_dir: Path
    #: Folder with <vehicle_id>.pem and <vehicle_id>.key.
    certs_dir: Path
    #: Certificate of the authority that the gateways' certificates come from.
    ca: Path
    #: Unix socket of the vehicle interface.
    vehicle_socket: Path
    #: Folder for <vehicle_id>.readings; empty: they are not written.
    plant_dir: Path | None = None
    #: Readings a second of each vehicle.
    rate_hz: Annotated[float, Field(gt=0, le=MAX_RATE_HZ)] = 1.0
    #: Live readings gather for at most so long, seconds, unless a batch is full before; 0: each goes at once.
    flush_interval_s: Annotated[float, Field(ge=0, le=5)] = 0.2
    #: Makes every leg of the mission so many times shorter.
    time_scale: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    #: Of the missions.
    seed: int = 1
    #: These vehicles take part in drills: an operator may have them brake to see that they do. Without it they refuse.
    drills: bool = False
    #: Bytes of readings that wait for an ack, all vehicles together; beyond, the oldest go.
    outbox_max_bytes: Annotated[int, Field(ge=65_536)] = 512 * 1024 * 1024
    #: Age, seconds, beyond which an unacknowledged reading is given up.
    outbox_max_age_s: Annotated[float, Field(ge=60)] = DEFAULT_MAX_AGE_S
    #: host:port of /healthz and /metrics; none: neither is served.
    metrics_address: Address | None = None

    @field_validator("plant_dir", mode="before")
    @classmethod
    def _empty_is_off(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("vehicle_id")
    @classmethod
    def _is_vehicle_id(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                checked_vehicle_id(value)
            except InvalidMessage as error:
                raise ValueError(error.reason) from error
        return value

    @model_validator(mode="after")
    def _one_or_many(self) -> Self:
        if self.vehicle_id is not None and (self.fleet or self.replay):
            raise ValueError('"vehicle_id" is one vehicle and "fleet" and "replay" are others; leave one side out')
        if self.fleet_first + self.fleet > MAX_FLEET + 1:
            raise ValueError(f'"fleet_first" and "fleet" go beyond number {MAX_FLEET}; make one of them smaller')
        return self

    def vehicle_ids(self, fleet: int | None = None) -> tuple[str, ...]:
        """Those that this process hosts. `fleet`: from the command line, in the place of the file's."""
        if self.vehicle_id is not None and fleet is None:
            return (self.vehicle_id,)
        replay = (REPLAY_VEHICLE_ID,) if self.replay else ()
        return fleet_ids(self.fleet if fleet is None else fleet, self.fleet_first) + replay

    def tls(self, vehicle_id: str) -> TlsSettings:
        return TlsSettings(
            ca=self.ca,
            certificate=self.certs_dir / f"{vehicle_id}.pem",
            key=self.certs_dir / f"{vehicle_id}.key",
        )
