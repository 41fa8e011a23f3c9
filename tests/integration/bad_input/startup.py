"""Processes that can't start: they say why, and what to do, in their exit code and on the standard error."""

import re
from pathlib import Path

from tests.integration.bad_input import disk
from tests.integration.bad_input.rows import Outcome
from tests.integration.bad_input.site import Ended, Site

_MODULES = {
    "gateway-1": "ingest_gateway",
    "command-1": "command_service",
    "agents": "edge_agent",
    "plant": "edge_agent.simulator",
}


def start(site: Site, given: str) -> Outcome:
    if given == "full disk":
        return disk.run_out(site)
    what, _, detail = given.partition(": ")
    ended = _STARTS[what](site, detail)
    return Outcome(ended.err + ended.out, exit_code=ended.exit_code)


def _unknown_key(site: Site, name: str) -> Ended:
    return _run(site, name, 'metrics_adress = "127.0.0.1:0"\n' + _settings(site, name))


def _taken_port(site: Site, detail: str) -> Ended:
    """Every address but the one is free."""
    name, _, taken = detail.partition(" ")
    text = re.sub(
        r'(?m)^(\w+_address) = "[^"]*"',
        lambda found: found[0] if found[1] == taken else f'{found[1]} = "127.0.0.1:0"',
        _settings(site, name),
    )
    return _run(site, name, _with(text, journal=f'"{site.spoiled / name}.sqlite"', first_start="true"))


def _missing_certificate(site: Site, name: str) -> Ended:
    return _run(site, name, _with(_settings(site, name), certificate=f'"{site.spoiled / "nowhere.pem"}"'))


def _missing_journal(site: Site, _: str) -> Ended:
    journal = f'"{site.spoiled / "lost" / "command-1.sqlite"}"'
    return _run(site, "command-1", _with(_settings(site, "command-1"), journal=journal, first_start="false"))


def _no_data_folder(site: Site, _: str) -> Ended:
    return _run(site, "agents", _with(_settings(site, "agents"), data_dir='"/dev/null/agents"'))


def _missing_java(site: Site, _: str) -> Ended:
    home = site.spoiled / "no-java"
    command = ("-m", "deploy.local", "up", "--home", str(home), "--servers", "kafka")
    return site.python(*command, environment={"JAVA_HOME": "/nowhere"})


def _settings(site: Site, name: str) -> str:
    return (site.stack.places.config / f"{name}.toml").read_text()


def _with(text: str, **values: str) -> str:
    """Settings with some values replaced, written as in TOML."""
    for key, value in values.items():
        text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
    return text


def _run(site: Site, name: str, settings: str) -> Ended:
    path: Path = site.spoiled / f"{name}.toml"
    path.write_text(settings)
    return site.python("-m", _MODULES[name], "--config", str(path))


_STARTS = {
    "unknown key": _unknown_key,
    "taken port": _taken_port,
    "missing certificate": _missing_certificate,
    "missing journal": _missing_journal,
    "no data folder": _no_data_folder,
    "missing Java": _missing_java,
}
