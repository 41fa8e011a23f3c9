"""Settings of a gateway, from its TOML file and PITWALL_GATEWAY__* in the environment."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from ingest_gateway.limits import MAX_READINGS_PER_BATCH
from ingest_gateway.sink import RESERVED_ROOM
from pitwall.config import Address, ServiceSettings, TlsSettings
from pitwall.domain.permit import MAX_TTL_S, MIN_TTL_S, SITE_SIZES


class GatewaySettings(ServiceSettings):
    """`command_services`: host:port of every one of the site. Times in seconds."""

    service: ClassVar[str] = "gateway"

    vehicle_address: Address
    metrics_address: Address
    command_services: tuple[Address, ...]
    kafka_bootstrap: str
    lease_ttl_s: float = Field(default=2.0, ge=MIN_TTL_S, le=MAX_TTL_S)
    permit_ttl_s: float = Field(default=2.0, ge=MIN_TTL_S, le=MAX_TTL_S)
    #: Vehicles connected at a time; one more is sent to another gateway.
    max_sessions: int = Field(default=1_000, ge=1, le=10_000)
    #: Readings of one vehicle on their way to Kafka.
    max_unacked_readings: int = Field(default=200, ge=MAX_READINGS_PER_BATCH, le=100_000)
    #: Readings of all vehicles on their way to Kafka: the gateway's memory while Kafka is away, some 0.5 KB each.
    max_readings_in_flight: int = Field(default=210_000, ge=1_000)
    tls: TlsSettings

    @model_validator(mode="after")
    def _site_size(self) -> Self:
        members = self.command_services
        if len(members) not in SITE_SIZES or len(set(members)) < len(members):
            raise ValueError(f'"command_services" must name 1, 3 or 5 different addresses, not {list(members)}')
        return self

    @model_validator(mode="after")
    def _room_for_all(self) -> Self:
        """Every vehicle's window fits, so that one vehicle's backlog is never at another's cost."""
        needed = self.max_sessions * self.max_unacked_readings + RESERVED_ROOM
        if self.max_readings_in_flight < needed:
            raise ValueError(
                f'"max_readings_in_flight" must be at least {needed}: max_sessions x max_unacked_readings '
                f"and {RESERVED_ROOM} for status changes"
            )
        return self
