"""Settings of a gateway, from its TOML file and PITWALL_GATEWAY__* in the environment."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from ingest_gateway.allowance import Rates
from ingest_gateway.limits import (
    GRACE_S,
    MAX_READING_BYTES,
    MAX_READINGS_PER_BATCH,
    MIN_BYTES_PER_S,
)
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
    #: Readings of one vehicle on their way to Kafka, whatever the others bring.
    max_unacked_readings: int = Field(default=200, ge=MAX_READINGS_PER_BATCH, le=100_000)
    #: And on top of it, of one that brings history, while others have left some of what is lent.
    max_lent_readings: int = Field(default=800, ge=0, le=100_000)
    #: Readings of all vehicles on their way to Kafka: the gateway's memory while Kafka is away, some 0.5 KB each.
    #: What the vehicles' own shares leave of it is lent.
    max_readings_in_flight: int = Field(default=250_000, ge=1_000)
    #: What one vehicle may send on the average, with a second's worth in a burst: readings, bytes of all its frames,
    #: and frames, heartbeats included. Far beyond a healthy one that brings history.
    max_readings_per_s: float = Field(default=25_000, ge=1, le=1_000_000)
    max_bytes_per_s: float = Field(default=8_000_000, ge=MIN_BYTES_PER_S, le=1_000_000_000)
    max_frames_per_s: float = Field(default=2_000, ge=1, le=1_000_000)
    tls: TlsSettings

    @property
    def rates(self) -> Rates:
        return Rates(self.max_readings_per_s, self.max_bytes_per_s, self.max_frames_per_s)

    @property
    def reserved_readings(self) -> int:
        """Of max_readings_in_flight: every vehicle's own share, and room for status changes."""
        return self.max_sessions * self.max_unacked_readings + RESERVED_ROOM

    @property
    def lent_pool(self) -> int:
        """What may be lent to all vehicles together, readings."""
        return self.max_readings_in_flight - self.reserved_readings

    @model_validator(mode="after")
    def _site_size(self) -> Self:
        members = self.command_services
        if len(members) not in SITE_SIZES or len(set(members)) < len(members):
            raise ValueError(f'"command_services" must name 1, 3 or 5 different addresses, not {list(members)}')
        return self

    @model_validator(mode="after")
    def _window_within_grace(self) -> Self:
        """What was under way when a Throttle was sent is forgiven: one window, however it is cut into frames."""
        under_way_s = GRACE_S / 2
        each = {"max_readings_per_s": 1, "max_frames_per_s": 1, "max_bytes_per_s": MAX_READING_BYTES}
        for name, size in each.items():
            least = (self.max_unacked_readings + self.max_lent_readings) * size / under_way_s
            if getattr(self, name) < least:
                raise ValueError(
                    f'"{name}" must be at least {least:.0f}, so that max_unacked_readings and max_lent_readings come '
                    f"in {under_way_s:g} s"
                )
        return self

    @model_validator(mode="after")
    def _room_for_all(self) -> Self:
        """Every vehicle's share fits, so that one vehicle's backlog is never at another's cost."""
        if self.lent_pool < 0:
            raise ValueError(
                f'"max_readings_in_flight" must be at least {self.reserved_readings}: max_sessions x '
                f"max_unacked_readings and {RESERVED_ROOM} for status changes"
            )
        return self
