"""Which site the console talks to, and as whom: addresses, certificate authority, token. All of it has a default."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from console.failures import ConsoleError, UsageProblem

HOME_VARIABLE = "PITWALL_HOME"
SERVER_VARIABLE = "PITWALL_SERVER"
FLEET_SERVER_VARIABLE = "PITWALL_FLEET_SERVER"
CA_VARIABLE = "PITWALL_CA"
TOKEN_FILE_VARIABLE = "PITWALL_TOKEN_FILE"  # noqa: S105  the name of a variable

DEFAULT_HOME = Path(".pitwall")
#: The first command service of a site; a local stack's configuration names the others.
DEFAULT_SERVERS = ("localhost:50052",)
DEFAULT_FLEET_SERVERS = ("localhost:50053",)
MAX_TOKEN_BYTES = 16_384


class Output(StrEnum):
    table = "table"
    json = "json"


@dataclass(frozen=True, slots=True)
class Site:
    """Where to ask and as whom. `home` is the folder of the local stack, also where there is none.

    `servers` are command services, `fleet_servers` fleet services.
    """

    home: Path
    servers: tuple[str, ...]
    fleet_servers: tuple[str, ...]
    ca: Path
    token_file: Path
    output: Output = Output.table

    @property
    def json(self) -> bool:
        return self.output is Output.json

    def ca_bytes(self) -> bytes:
        """The certificate authority's certificate. Raises ConsoleError where it can't be read."""
        return _read(self.ca, "certificate authority", "--ca")

    def token(self) -> str:
        """The bearer token. Raises ConsoleError where there is none that could be sent."""
        text = _read(self.token_file, "token", "--token-file")[: MAX_TOKEN_BYTES + 1].decode("ascii", "replace").strip()
        if not text or len(text) > MAX_TOKEN_BYTES or not all("!" <= character <= "~" for character in text):
            raise ConsoleError(
                f"{self.token_file} holds no token: a token is one line of letters, digits and dots",
                fix=f"make tokens anew with `make up`, or name another file with --token-file ({self._tokens()})",
                reason="TOKEN_UNREADABLE",
            )
        return text

    def _tokens(self) -> str:
        return f"there may be some in {self.home / 'tokens'}"


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """What the command line says; None and () where it says nothing."""

    servers: tuple[str, ...] = ()
    fleet_servers: tuple[str, ...] = ()
    ca: Path | None = None
    token_file: Path | None = None
    output: Output = Output.table


def find_site(options: SiteOptions, role: str = "operator", environment: Mapping[str, str] = os.environ) -> Site:
    """The site by flag, else by environment, else by the local stack's folder. `role` picks the default token."""
    home = Path(environment.get(HOME_VARIABLE) or DEFAULT_HOME)
    named = options.servers or (environment.get(SERVER_VARIABLE, ""),)
    named_fleet = options.fleet_servers or (environment.get(FLEET_SERVER_VARIABLE, ""),)
    return Site(
        home=home,
        servers=_addresses(named) or _configured_servers(home, "command-*") or DEFAULT_SERVERS,
        fleet_servers=_addresses(named_fleet) or _configured_servers(home, "fleet-*") or DEFAULT_FLEET_SERVERS,
        ca=options.ca or _path(environment, CA_VARIABLE) or home / "certs" / "ca.pem",
        token_file=options.token_file or _path(environment, TOKEN_FILE_VARIABLE) or home / "tokens" / role,
        output=options.output,
    )


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name)
    return Path(text) if text else None


def _addresses(named: Iterable[str]) -> tuple[str, ...]:
    """Splits at commas, keeps the order, drops repeats."""
    addresses = [part.strip() for text in named for part in text.split(",") if part.strip()]
    for address in addresses:
        _check_address(address)
    return tuple(dict.fromkeys(addresses))


def _check_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise UsageProblem(
            f"server address {address!r}: not HOST:PORT",
            fix=f"write it as localhost:50052, in --server or ${SERVER_VARIABLE}",
        )


def _configured_servers(home: Path, names: str) -> tuple[str, ...]:
    """Operator addresses of the services of these names that the local stack in `home` runs."""
    found = (read_toml(path).get("operator_address") for path in sorted((home / "config").glob(f"{names}.toml")))
    return tuple(dialled(address) for address in found if isinstance(address, str))


def read_toml(path: Path) -> dict[str, object]:
    """The settings in a file, empty where it can't be read: `pitwall doctor` says so, a stop goes on without."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def dialled(address: str) -> str:
    """An address to connect to, from one to listen on."""
    host, _, port = address.rpartition(":")
    return f"localhost:{port}" if host in ("0.0.0.0", "[::]", "") else address  # noqa: S104  compared, not bound


def _read(path: Path, what: str, flag: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConsoleError(
            f"no {what}: {path}: {error.strerror}",
            fix=f"start the local stack with `make up`, set {HOME_VARIABLE} to its folder, or name a file with {flag}",
            reason="FILE_UNREADABLE",
        ) from error
