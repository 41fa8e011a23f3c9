"""Settings of a fleet service, from its TOML file and PITWALL_FLEET__* in the environment."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from pitwall.config import Address, Section, ServiceSettings, TlsSettings


class PostgresSettings(Section):
    """Where the registry, alerts and figures are kept."""

    host: str = "127.0.0.1"
    port: int = Field(gt=0, lt=65_536)
    user: str = "pitwall"
    database: str = "pitwall"
    #: A file that holds the password and nothing else; read anew for each connection.
    password_file: Path


class FleetSettings(ServiceSettings):
    """All of it."""

    service: ClassVar[str] = "fleet"

    #: For operators: TLS and bearer tokens.
    operator_address: Address
    metrics_address: Address
    kafka_bootstrap: str = Field(min_length=1)
    #: Redis: live state and caches.
    redis_address: Address
    #: Public keys of whoever issues tokens.
    jwks: Path
    postgres: PostgresSettings
    tls: TlsSettings
