"""A real plant and a real agent, each a process, before gateways that a test holds in its hand."""

import asyncio
import json
import resource
import signal
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.toml import toml_text
from pitwall.config import TlsSettings
from tests.integration.edge_agent_gateway import StubGateway
from tests.support.plant import Plant


@dataclass(slots=True)
class Running:
    """A process with its log."""

    process: asyncio.subprocess.Process
    log: Path

    async def end(self, number: signal.Signals) -> int:
        """Sends the signal and waits for the end."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(text) for text in self.log.read_text().splitlines() if text.startswith("{")]


@dataclass(slots=True)
class Rig:
    """`certs` holds gateway-1 and vehicles/<id>."""

    folder: Path
    certs: Path
    gateways: list[StubGateway]
    fleet: int = 1
    keys: dict[str, object] = field(default_factory=dict)
    agent: Running | None = None
    plant_process: Running | None = None
    starts: int = 0

    @property
    def plant(self) -> Plant:
        return Plant(self.folder / "plant")

    def tls(self, name: str = "gateway-1") -> TlsSettings:
        return TlsSettings(
            ca=self.certs / "ca.pem", certificate=self.certs / f"{name}.pem", key=self.certs / f"{name}.key"
        )

    async def start_plant(self) -> None:
        keys = {
            "vehicle_socket": self.folder / "v.sock",
            "control_socket": self.folder / "c.sock",
            "plant_dir": self.folder / "plant",
            "fleet": self.fleet,
            "faults": False,
        }
        self.plant_process = await self._run("plant", "edge_agent.simulator", keys)

    async def start_agent(self, *, file_size_limit: int | None = None) -> Running:
        keys = {
            "fleet": self.fleet,
            "gateways": [gateway.address for gateway in self.gateways],
            "data_dir": self.folder / "data",
            "certs_dir": self.certs / "vehicles",
            "ca": self.certs / "ca.pem",
            "vehicle_socket": self.folder / "v.sock",
            "plant_dir": self.folder / "plant",
        }
        self.starts += 1
        self.agent = await self._run(f"agent-{self.starts}", "edge_agent", keys | self.keys, file_size_limit)
        return self.agent

    async def _run(
        self, name: str, module: str, keys: dict[str, object], file_size_limit: int | None = None
    ) -> Running:
        config, log = self.folder / f"{name}.toml", self.folder / f"{name}.log"
        config.write_text(toml_text(keys))  # type: ignore[arg-type]  # values are what TOML has
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, "--config", str(config), stdout=out, stderr=out
            )
        if file_size_limit is not None:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file_size_limit, file_size_limit))
        return Running(process, log)

    async def end(self) -> None:
        for running in (self.agent, self.plant_process):
            if running is not None and running.process.returncode is None:
                running.process.send_signal(signal.SIGCONT)
                await running.end(signal.SIGKILL)
        for gateway in self.gateways:
            await gateway.stop()


async def get(url: str) -> tuple[int, str]:
    """Status and body."""

    def fetch() -> tuple[int, str]:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()

    return await asyncio.to_thread(fetch)
