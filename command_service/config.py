"""Settings of a command service, from its TOML file and PITWALL_COMMAND__* in the environment."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pitwall.config import Address, ServiceSettings, TlsSettings
from pitwall.domain.permit import MAX_TTL_S, MIN_TTL_S, SITE_SIZES, PermitTerms


def _table(peers: object) -> object:
    if not isinstance(peers, dict):
        raise ValueError('write it as a table: {command-2 = "host:port", …}')
    return peers


class CommandSettings(ServiceSettings):
    """Times in seconds."""

    service: ClassVar[str] = "command"

    #: For operators: TLS and bearer tokens.
    operator_address: Address
    #: For gateways and other command services: mutual TLS.
    link_address: Address
    metrics_address: Address
    #: The SQLite file. Its folder is made where it is missing.
    journal: Path
    #: The site starts for the first time: the journal may be made. To be taken out again afterwards.
    first_start: bool = False
    #: The other command services of the site: name and link address of each.
    peers: Annotated[dict[str, Address], BeforeValidator(_table)] = Field(default_factory=dict)
    #: Where vehicle-commands is; empty: it is not filled.
    kafka_bootstrap: str = ""
    #: Public keys of whoever issues tokens.
    jwks: Path
    #: Persons that a release takes.
    approvals: Literal[1, 2] = 2
    #: Both as the site's gateways have them: the bound that operators see is made of them.
    lease_ttl_s: float = Field(default=2.0, ge=MIN_TTL_S, le=MAX_TTL_S)
    permit_ttl_s: float = Field(default=2.0, ge=MIN_TTL_S, le=MAX_TTL_S)
    tls: TlsSettings

    @model_validator(mode="after")
    def _site_size(self) -> Self:
        if len(self.members) not in SITE_SIZES or self.name in self.peers:
            others = " or ".join(str(size - 1) for size in SITE_SIZES)
            raise ValueError(f'"peers" must name {others} other command services, not {sorted(self.peers)}')
        return self

    @property
    def members(self) -> tuple[str, ...]:
        """The command services of the site, whose journals count."""
        return (self.name, *self.peers)

    @property
    def terms(self) -> PermitTerms:
        return PermitTerms(lease_ttl_s=self.lease_ttl_s, permit_ttl_s=self.permit_ttl_s)
