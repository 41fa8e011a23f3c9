"""Settings: one TOML file, each key also from the environment as PITWALL_STREAM_JOBS__KEY, nothing unknown accepted.

The same manners as pitwall.config, which needs more than this environment has.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Final

from flink_jobs.late_sql import ANNOUNCED_AGAIN_S
from flink_jobs.tables_sql import TRANSACTION_TIMEOUT_S, Kafka

ENVIRONMENT_PREFIX: Final = "PITWALL_STREAM_JOBS__"
_HIGHEST_PORT: Final = 65_535
_S3: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]+/[^\s?#]*[^\s?#/]/?")


class InvalidSettings(ValueError):
    """What is wrong in which file, and the mend."""


@dataclass(frozen=True, slots=True)
class Settings:
    """kafka_bootstrap, flink_address (job manager's REST), metrics_address: host:port.

    checkpoint_dir: an absolute folder, or s3://bucket/prefix; all of Flink's processes and this one must be able to
    read and write it. local_dir: an absolute folder on this machine, for the plan; checkpoint_dir, where that is one.

    name: consumer group, prefix of transactions and name of the job; two jobs on one Kafka need two. restart_attempts:
    failures within restart_window_s after which the job is given up. idle_timeout_s, patience_s: see tables_sql.Kafka.
    mend_quiet_s, mend_longest_s: windows that late readings belong to are recomputed once nothing was late for so long,
    and at the latest after that.
    """

    kafka_bootstrap: str
    checkpoint_dir: str
    flink_address: str = "127.0.0.1:8081"
    metrics_address: str = "127.0.0.1:9473"
    name: str = "pitwall-stream-jobs"
    parallelism: int = 1
    checkpoint_interval_s: float = 3.0
    restart_attempts: int = 5
    restart_window_s: float = 180.0
    restart_delay_s: float = 1.0
    idle_timeout_s: float = 5.0
    patience_s: float = 20.0
    local_dir: str = ""
    mend_quiet_s: float = 60.0
    mend_longest_s: float = 600.0

    def __post_init__(self) -> None:
        for key in ("flink_address", "metrics_address"):
            _check_address(key, getattr(self, key))
        for address in self.kafka_bootstrap.split(","):
            _check_address("kafka_bootstrap", address)
        _check_folders(self.checkpoint_dir, self.local_dir)
        if not self.name:
            raise InvalidSettings("name: must not be empty")
        _check_range("parallelism", self.parallelism, 1, 128)
        _check_range("checkpoint_interval_s", self.checkpoint_interval_s, 0.5, TRANSACTION_TIMEOUT_S / 10)
        _check_range("restart_attempts", self.restart_attempts, 1, 100)
        _check_range("restart_window_s", self.restart_window_s, 1, 86_400)
        _check_range("restart_delay_s", self.restart_delay_s, 0.1, 600)
        _check_range("idle_timeout_s", self.idle_timeout_s, 0.5, 3_600)
        _check_range("patience_s", self.patience_s, 0.5, 3_600)
        _check_range("mend_quiet_s", self.mend_quiet_s, ANNOUNCED_AGAIN_S, 3_600)
        _check_range("mend_longest_s", self.mend_longest_s, self.mend_quiet_s, 86_400)

    @property
    def checkpoint_url(self) -> str:
        """As Flink has it, without a slash at its end."""
        if _S3.fullmatch(self.checkpoint_dir):
            return self.checkpoint_dir.rstrip("/")
        return Path(self.checkpoint_dir).as_uri()

    @property
    def local_folder(self) -> Path:
        return Path(self.local_dir or self.checkpoint_dir)

    @property
    def kafka(self) -> Kafka:
        return Kafka(self.kafka_bootstrap, self.name, self.idle_timeout_s, self.patience_s)

    @classmethod
    def load(cls, path: Path, environment: Mapping[str, str]) -> "Settings":
        """Raises InvalidSettings, which names the file."""
        try:
            given: dict[str, object] = dict(tomllib.loads(path.read_text()))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise InvalidSettings(f"{path}: {error}") from error
        for variable, text in environment.items():
            if variable.startswith(ENVIRONMENT_PREFIX):
                given[variable.removeprefix(ENVIRONMENT_PREFIX).lower()] = text
        try:
            return cls(**_typed(given))  # type: ignore[arg-type]
        except InvalidSettings as error:
            raise InvalidSettings(f"{path}: {error}") from None


_TYPES: Final[Mapping[str, type]] = {
    field.name: field.type for field in fields(Settings) if isinstance(field.type, type)
}
_REQUIRED: Final = [field.name for field in fields(Settings) if field.default is MISSING]


def _typed(given: Mapping[str, object]) -> dict[str, str | int | float]:
    for key in given:
        if key not in _TYPES:
            near = difflib.get_close_matches(key, _TYPES, 1)
            raise InvalidSettings(f'unknown key "{key}"' + (f'; did you mean "{near[0]}"?' if near else ""))
    for key in _REQUIRED:
        if key not in given:
            raise InvalidSettings(f"{key}: is missing")
    return {key: _converted(key, value) for key, value in given.items()}


def _converted(key: str, value: object) -> str | int | float:
    """Numbers may be text, as they are in the environment; a whole number stays one where a float is wanted too."""
    wanted = _TYPES[key]
    convertible = {str: str, int: str | int, float: str | int | float}[wanted]
    if isinstance(value, bool) or not isinstance(value, convertible):
        raise InvalidSettings(f"{key}: {value!r} is no {_WORDS[wanted]}")
    try:
        return wanted(value)  # type: ignore[no-any-return]
    except ValueError:
        raise InvalidSettings(f"{key}: {value!r} is no {_WORDS[wanted]}") from None


_WORDS: Final[Mapping[type, str]] = {str: "text", int: "whole number", float: "number"}


def _check_folders(checkpoint_dir: str, local_dir: str) -> None:
    is_url = "://" in checkpoint_dir
    if is_url and not _S3.fullmatch(checkpoint_dir):
        raise InvalidSettings(f"checkpoint_dir: {checkpoint_dir!r} must be s3://bucket/prefix, or an absolute path")
    if not is_url and not Path(checkpoint_dir).is_absolute():
        raise InvalidSettings(f"checkpoint_dir: {checkpoint_dir!r} must be an absolute path, or s3://bucket/prefix")
    if is_url and not local_dir:
        raise InvalidSettings(
            "local_dir: is missing; with checkpoint_dir in S3 the plan needs a folder on this machine"
        )
    if local_dir and not Path(local_dir).is_absolute():
        raise InvalidSettings(f"local_dir: {local_dir!r} must be an absolute path")


def _check_address(key: str, text: str) -> None:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) <= _HIGHEST_PORT):
        raise InvalidSettings(f'{key}: {text!r} must be host:port, for example "127.0.0.1:9092"')


def _check_range(key: str, value: float, least: float, most: float) -> None:
    if not (least <= value <= most and math.isfinite(value)):
        raise InvalidSettings(f"{key}: {value:g} is not within {least:g} to {most:g}")
