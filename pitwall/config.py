"""Settings of a process: one TOML file, each key also from the environment, nothing unknown accepted.

A subclass of Settings names its `service`; the key `vehicle_address` of service "gateway" is then also read from
PITWALL_GATEWAY__VEHICLE_ADDRESS, which wins over the file, and `ca` in [tls] from PITWALL_GATEWAY__TLS__CA.
Lists are JSON in the environment.
"""

import difflib
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from pitwall.exits import EXIT_CONFIG


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 65_536):
        raise ValueError('write it as host:port, for example "127.0.0.1:50051"')
    return text


#: host:port, port 0 to 65535.
Address = Annotated[str, AfterValidator(_address)]


class InvalidSettings(ValueError):
    """What is wrong in which file, and the mend; one line each."""


class Section(BaseModel):
    """A table within the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsSettings(Section):
    """The certificate with which this process shows itself, and the authority that it believes."""

    ca: Path
    certificate: Path
    key: Path


class Settings(BaseSettings):
    """Base of every process's settings. Frozen; unknown keys are errors in the file and in the environment."""

    #: Names the environment variables: PITWALL_<SERVICE>__KEY.
    service: ClassVar[str]

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_nested_delimiter="__")

    @classmethod
    def env_prefix(cls) -> str:
        return f"PITWALL_{cls.service.upper()}__"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which comes in as init arguments."""
        env = EnvSettingsSource(settings_cls, env_prefix=cls.env_prefix(), env_nested_delimiter="__")
        return env, init_settings

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises InvalidSettings."""
        _refuse_unknown_environment(cls, os.environ)
        try:
            return cls(**_toml(path))
        except ValidationError as error:
            raise InvalidSettings("\n".join(_explain(cls, path, e) for e in error.errors())) from error
        except SettingsError as error:
            raise InvalidSettings(f"environment: {error}; lists and tables are written as JSON there") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """For `main`: prints what is wrong and exits with EXIT_CONFIG."""
        try:
            return cls.read(path)
        except InvalidSettings as error:
            _refuse(error)


class ServiceSettings(Settings):
    """Of a service, which has a name among others of its kind."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")


def _refuse(error: InvalidSettings) -> NoReturn:
    print(error, file=sys.stderr)
    raise SystemExit(EXIT_CONFIG)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidSettings(
            f"{path}: can't be read ({error.strerror}); name an existing file with --config"
        ) from error
    except ValueError as error:
        raise InvalidSettings(f"{path}: no valid TOML: {error}") from error


def _refuse_unknown_environment(cls: type[Settings], environment: Mapping[str, str]) -> None:
    prefix = cls.env_prefix()
    for name in environment:
        if name.upper().startswith(prefix):
            key = name[len(prefix) :].split("__")[0].lower()
            if key not in cls.model_fields:
                raise InvalidSettings(f"environment {name}: {_unknown(key, list(cls.model_fields))}")


def _unknown(key: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    mend = f'did you mean "{near[0]}"?' if near else f"valid keys: {', '.join(sorted(valid))}"
    return f'unknown key "{key}"; {mend}'


def _explain(cls: type[Settings], path: Path, error: ErrorDetails) -> str:
    location = error["loc"]
    where = ".".join(str(part) for part in location)
    source = _source(cls, path, location)
    if error["type"] == "extra_forbidden":
        table = f" in [{'.'.join(str(part) for part in location[:-1])}]" if location[:-1] else ""
        return f"{source}{table}: {_unknown(str(location[-1]), _valid_keys(cls, location[:-1]))}"
    if error["type"] == "missing":
        return f'{path}: "{where}" is missing; add it, or set {_variable(cls, location)}'
    reason = error["msg"].removeprefix("Value error, ")
    # A rule over several fields has no location; its own words name them.
    return f'{source}: "{where}" = {error["input"]!r}: {reason}' if where else f"{path}: {reason}"


def _source(cls: type[Settings], path: Path, location: tuple[int | str, ...]) -> str:
    """Where the value came from: the environment wins over the file."""
    set_by = {name.upper() for name in os.environ}
    for length in range(len(location), 0, -1):
        if _variable(cls, location[:length]) in set_by:
            return f"environment {_variable(cls, location[:length])}"
    return str(path)


def _variable(cls: type[Settings], location: tuple[int | str, ...]) -> str:
    return cls.env_prefix() + "__".join(str(part) for part in location).upper()


def _valid_keys(cls: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        field = cls.model_fields.get(str(part))
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        cls = annotation
    return list(cls.model_fields)
