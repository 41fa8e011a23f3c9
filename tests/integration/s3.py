"""A real S3 server, Flink's plugin for it, and a Flink with both.

Server and plugin are fetched when they are asked for; where they can't be had, the test is skipped and says so.
"""

import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from deploy.local.servers.flink import flink
from deploy.local.tools import CHECKOUT, Tools
from pitwall.rpc.ports import is_taken
from tests.integration.stacks import RunningStack
from tests.integration.stream_job import await_until

_SERVER: Final = "moto[server]==5.2.5"
_HOST: Final = "127.0.0.1"
_POM: Final = CHECKOUT / "flink_jobs/pom.xml"
BUCKET: Final = "site"


def plugins(folder: Path) -> Path:
    """A folder with Flink's plugin for S3, and with the one for Prometheus that the stack's Flink is set to have."""
    _fetched(["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy@s3"], "Flink's plugin for S3")
    folder.mkdir()
    (folder / "s3-fs-presto").symlink_to(CHECKOUT / "flink_jobs/target/plugins/s3-fs-presto")
    shipped = Tools(os.environ).flink_home() / "plugins/metrics-prometheus"
    (folder / "metrics-prometheus").symlink_to(shipped)
    return folder


@contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """Its URL; it has BUCKET."""
    command = [str(CHECKOUT / ".venv/bin/uv"), "tool", "run", "--from", _SERVER, "moto_server"]
    _fetched([*command, "--help"], "an S3 server")
    with socket.create_server((_HOST, 0)) as free:
        port = free.getsockname()[1]
    with log.open("wb") as out:
        server = subprocess.Popen([*command, "-H", _HOST, "-p", str(port)], stdout=out, stderr=out)
    try:
        await_until("the S3 server listens", lambda: is_taken(_HOST, port), 30, log.read_text)
        url = f"http://{_HOST}:{port}"
        with urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"), timeout=10) as answer:
            assert answer.status == 200
        yield url
    finally:
        server.terminate()
        server.wait(20)


def _fetched(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        pytest.skip(f"{what} can't be had here: {(done.stdout + done.stderr).strip()[-300:]}")


@dataclass
class FlinkOnS3:
    """The stack's Flink, started by hand and set up for S3. environment: the keeper needs it too."""

    stack: RunningStack
    url: str
    plugins: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._part = flink(self.stack.options, Tools(os.environ))

    @property
    def environment(self) -> dict[str, str]:
        return dict(self._part.processes[0].environment) | {"FLINK_PLUGINS_DIR": str(self.plugins)}

    @contextmanager
    def started(self) -> Iterator[None]:
        for directory in self._part.directories:
            directory.path.mkdir(parents=True, exist_ok=True)
        for file in self._part.files:
            own = self._of_s3() if file.path.suffix == ".yaml" else ""
            file.path.write_text(file.text + own)
        try:
            for process in self._part.processes:
                self.start(process.name)
            yield
        finally:
            for name in list(self._running):
                self.kill(name)

    def start(self, name: str) -> None:
        process = next(each for each in self._part.processes if each.name == name)
        with (self.stack.places.logs / f"{name}.log").open("ab") as out:
            self._running[name] = subprocess.Popen(
                process.command, env=os.environ | self.environment, stdout=out, stderr=out, cwd=process.directory
            )

    def kill(self, name: str) -> None:
        """start-foreground becomes Java itself."""
        self._running[name].kill()
        self._running.pop(name).wait(20)

    def _of_s3(self) -> str:
        return (
            f"s3.endpoint: {self.url}\ns3.path.style.access: true\ns3.access-key: site\ns3.secret-key: site\n"
            "presto.s3.ssl.enabled: false\n"
        )
