"""deploy/compose/compose.yaml as the tests ask it: services, mounts, and the settings files that they get."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/compose"
FILE = FOLDER / "compose.yaml"
#: The command services of the site.
COMMANDS = ("command-1", "command-2", "command-3")
#: Where a settings file is within each container of ours; the step that makes journals has several.
SETTINGS = "/etc/pitwall/config.toml"
_ADDRESS = re.compile(r"[a-z0-9.-]+:\d+")

Service = dict[str, Any]


@cache
def document() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return parsed


def services() -> dict[str, Service]:
    found: dict[str, Service] = document()["services"]
    return found


def mounts(service: Service) -> dict[str, str]:
    """Path in the container -> the volume, or the path beside compose.yaml."""
    split = (text.split(":") for text in service.get("volumes", ()))
    return {parts[1]: parts[0] for parts in split}


def config_files(service: Service) -> dict[str, Path]:
    """Path in the container -> file in the checkout."""
    named = document()["configs"]
    return {config["target"]: FOLDER / named[config["source"]]["file"] for config in service.get("configs", ())}


def settings_files() -> dict[str, Path]:
    """Service -> its TOML file, for each that has one."""
    found = {name: config_files(service).get(SETTINGS) for name, service in services().items()}
    return {name: path for name, path in found.items() if path is not None}


def settings(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def texts(value: object) -> Iterator[str]:
    """Every text within settings, lists at commas too, as Kafka writes them."""
    if isinstance(value, str):
        yield from value.split(",")
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)


def addresses(value: object) -> set[tuple[str, int]]:
    """Every host:port within settings."""
    split = (text.rpartition(":") for text in texts(value) if _ADDRESS.fullmatch(text))
    return {(host, int(port)) for host, _, port in split}


def dockerfile(service: Service) -> Path | None:
    """What the service is built from; None where its image comes ready made."""
    build = service.get("build")
    return ROOT / build["dockerfile"] if build else None
