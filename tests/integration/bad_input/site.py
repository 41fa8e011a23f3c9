"""A small real stack, with everything at hand that is wrong somewhere."""

import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from prometheus_client.parser import text_string_to_metric_families

from pitwall import devca
from tests.integration.bad_input.rows import Counter
from tests.integration.stacks import RunningStack
from tests.support.operator import PITWALL

#: The stack's own vehicle, which nothing bad may touch.
VEHICLE = "KOMATSU-930E-001"
#: Whose certificate the bad input comes with.
STRANGER = "BAD-INPUT-001"
#: How long a count may take to show, seconds.
COUNTED_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    exit_code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Site:
    """`spoiled` is a folder with files that are no good; `files` names what rows refer to in braces."""

    stack: RunningStack
    spoiled: Path
    files: Mapping[str, str]

    @property
    def certs(self) -> Path:
        return self.stack.places.certs

    def fill(self, text: str) -> str:
        return text.format_map(self.files)

    def pitwall(self, *arguments: str) -> Ended:
        environment = {"PITWALL_HOME": str(self.stack.home), "PATH": "/usr/bin:/bin"}
        return run([str(PITWALL), *arguments], environment)

    def python(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
        return run([sys.executable, *arguments], {"PATH": "/usr/bin:/bin", **(environment or {})})

    def count(self, counter: Counter) -> float:
        """Now. 0 where nothing has been counted yet."""
        port = self.stack.options.ports[f"{counter.process}-metrics"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == counter.sample and counter.labels.items() <= sample.labels.items()
        )

    def await_count_above(self, counter: Counter, before: float) -> None:
        end_s = time.monotonic() + COUNTED_WITHIN_S
        while self.count(counter) <= before:
            assert time.monotonic() < end_s, f"{counter} has not grown from {before}"
            time.sleep(0.05)

    def pids(self) -> dict[str, int]:
        return {state.name: state.pid for state in self.stack.supervisor.processes()}


def run(command: list[str], environment: Mapping[str, str]) -> Ended:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(environment), check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


def spoil(stack: RunningStack, folder: Path) -> Site:
    """Makes what is wrong, and what is right but a stranger's."""
    devca.ensure(stack.home, vehicles=[STRANGER])
    devca.ensure(folder / "foreign", vehicles=[STRANGER], commands=["command-1"])
    shutil.copytree(stack.places.certs, folder / "expired" / "certs")
    for old in (folder / "expired" / "certs").rglob("*.pem"):
        if old.name != "ca.pem":
            old.unlink()
    devca.ensure(folder / "expired", vehicles=[STRANGER], now=datetime.now(UTC) - timedelta(days=40))
    (folder / "zone.json").write_text('[{"lat": 1, "lon": 2}, {"lat": 91, "lon": 3}, {"lat": 1, "lon": 4}]')
    (folder / "line.json").write_text('[{"lat": 1, "lon": 2}, {"lat": 1, "lon": 3}]')
    (folder / "expired.token").write_text(_expired_token(stack.places.certs))
    site = Site(stack, folder, {})
    stop_id = _issue_a_stop(site)
    ports = stack.options.ports
    return Site(
        stack,
        folder,
        {
            "bad_zone": str(folder / "zone.json"),
            "line_zone": str(folder / "line.json"),
            "missing": str(folder / "nothing"),
            "expired_token": str(folder / "expired.token"),
            "foreign_token": str(folder / "foreign" / "tokens" / "operator"),
            "foreign_ca": str(folder / "foreign" / "certs" / "ca.pem"),
            "tokens": str(stack.places.tokens),
            "nobody": "localhost:1",
            "vehicle": VEHICLE,
            "stop_id": stop_id,
            "gateway_address": f"127.0.0.1:{ports['gateway-1']}",
            "operator_address": f"127.0.0.1:{ports['command-1']}",
        },
    )


def _expired_token(certs: Path) -> str:
    key = load_pem_private_key((certs / "tokens.key").read_bytes(), None)
    assert isinstance(key, devca.PrivateKey)
    return devca.make_token(key, "operator", ["operator"], now=datetime.now(UTC) - timedelta(days=1))


def _issue_a_stop(site: Site) -> str:
    """Of nobody, for there to be one to name."""
    told = site.pitwall("stop", "GHOST-000", "--wait", "0.5", "--output", "json")
    assert told.exit_code == 3, told
    return told.out.partition('"stopId": "')[2].partition('"')[0]
