"""A real fleet service as a process, on real PostgreSQL, Redis and Kafka, with operators on real TLS in front of it."""

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from confluent_kafka import Producer
from google.protobuf.message import Message
from haul.command.v1 import event_pb2
from haul.fleet.v1 import fleet_service_pb2 as fleet_pb2
from haul.fleet.v1.fleet_service_pb2_grpc import FleetServiceStub
from haul.telemetry.v1 import alert_pb2, metrics_pb2, telemetry_pb2

from deploy.local.servers.postgres import password_file
from deploy.local.toml import Value, toml_text
from pitwall import devca
from pitwall.kafka import ensure_topics
from pitwall.kafka_producer import LIBRARY_LOG_LEVEL
from pitwall.kafka_topics import ALERTS, COMMANDS, METRICS, STATUS_CHANGE, TELEMETRY
from pitwall.rpc.channel import open_channel
from pitwall.tls import operator_credentials
from tests.integration.stacks import RunningStack

WITHIN_S = 30.0
CERTIFICATE = "fleet-9"
#: Whose ports the services of the tests have: those of processes that these stacks don't start.
_PLACES = {"fleet-1": "fleet-1", "fleet-2": "command-2", "fleet-3": "command-3"}


@dataclass
class Site:
    """Servers, and what vehicles and stream jobs would write into Kafka."""

    stack: RunningStack
    producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        devca.ensure(self.stack.home, fleets=[CERTIFICATE])
        ensure_topics(self.stack.kafka_bootstrap)
        config = {"bootstrap.servers": self.stack.kafka_bootstrap, "linger.ms": 0, "enable.idempotence": True}
        config["log_level"] = LIBRARY_LOG_LEVEL
        self.producer = Producer(config)

    def send(self, topic: str, *messages: Message | bytes, key: str = "") -> None:
        """Durable when this returns."""
        for message in messages:
            data = message if isinstance(message, bytes) else message.SerializeToString()
            self.producer.produce(topic, data, key or getattr(message, "vehicle_id", "poison"))
        assert self.producer.flush(WITHIN_S) == 0

    def readings(self, *readings: telemetry_pb2.Reading | bytes) -> None:
        self.send(TELEMETRY.name, *readings)

    def changes(self, *changes: telemetry_pb2.StatusChange) -> None:
        self.send(STATUS_CHANGE.name, *changes)

    def alerts(self, *alerts: alert_pb2.Alert) -> None:
        self.send(ALERTS.name, *alerts)

    def windows(self, *windows: metrics_pb2.VehicleMetrics) -> None:
        self.send(METRICS.name, *windows)

    def commands(self, *events: event_pb2.CommandEvent) -> None:
        self.send(COMMANDS.name, *events, key="command-1")

    def token(self, role: str) -> str:
        return (self.stack.home / "tokens" / role).read_text(encoding="utf-8").strip()


@dataclass
class FleetProcess:
    """`python -m fleet_service`; killed and started at will, at the same address."""

    site: Site
    name: str = "fleet-1"
    process: subprocess.Popen[bytes] | None = None

    @property
    def ports(self) -> tuple[int, int]:
        """Operators', status: of the stack's own block, where no fleet service and few command services run."""
        place, numbers = _PLACES[self.name], self.site.stack.options.ports
        return numbers[place], numbers[f"{place}-metrics"]

    @property
    def address(self) -> str:
        return f"localhost:{self.ports[0]}"

    @property
    def operator_address(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def log(self) -> Path:
        return self.site.stack.places.logs / f"{self.name}.log"

    def settings(self) -> str:
        stack = self.site.stack
        certs = stack.places.certs
        keys: dict[str, Value] = {
            "name": self.name,
            "operator_address": self.operator_address,
            "metrics_address": f"127.0.0.1:{self.ports[1]}",
            "kafka_bootstrap": stack.kafka_bootstrap,
            "redis_address": stack.address("redis"),
            "jwks": certs / "jwks.json",
        }
        postgres: dict[str, Value] = {
            "port": stack.options.ports["postgres"],
            "password_file": password_file(stack.places),
        }
        own: dict[str, Value] = {"certificate": certs / f"{CERTIFICATE}.pem", "key": certs / f"{CERTIFICATE}.key"}
        return toml_text(keys, {"postgres": postgres, "tls": {"ca": certs / "ca.pem"} | own})

    def start(self, settings: str = "") -> None:
        config = self.site.stack.places.config / f"{self.name}.toml"
        config.write_text(settings or self.settings(), encoding="utf-8")
        command = [sys.executable, "-m", "fleet_service", "--config", str(config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def end(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)

    def health(self) -> Mapping[str, Any]:
        """Empty while it doesn't answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[1]}/healthz", timeout=5) as answer:
                found: Mapping[str, Any] = json.load(answer)
                return found
        except OSError:
            return {}

    def metrics(self) -> list[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[1]}/metrics", timeout=5) as answer:
            text: bytes = answer.read()
        return text.decode().splitlines()

    def memory_kb(self) -> int:
        """Resident."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def await_healthy(self) -> None:
        await_true(lambda: self.health().get("healthy", False), f"healthy; see {self.log.read_text()[-3000:]}")


@contextmanager
def fleet_process(site: Site, name: str = "fleet-1") -> Iterator[FleetProcess]:
    fleet = FleetProcess(site, name)
    fleet.start()
    try:
        fleet.await_healthy()
        yield fleet
    finally:
        if fleet.process is not None and fleet.process.poll() is None:
            fleet.end()


@dataclass(frozen=True)
class Caller:
    """One person's calls."""

    stub: Any
    token: str

    async def call(self, method: str, request: Message, timeout_s: float = 5.0) -> Any:
        return await getattr(self.stub, method)(request, metadata=self._metadata, timeout=timeout_s)

    def stream(self, method: str, request: Message) -> Any:
        return getattr(self.stub, method)(request, metadata=self._metadata)

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)

    async def vehicle(self, vehicle_id: str) -> Any:
        return await self.call("GetVehicle", fleet_pb2.GetVehicleRequest(vehicle_id=vehicle_id))

    async def vehicles(self, **fields: Any) -> Any:
        return await self.call("ListVehicles", fleet_pb2.ListVehiclesRequest(**fields))


@asynccontextmanager
async def caller(fleet: FleetProcess, role: str = "operator") -> AsyncIterator[Caller]:
    ca = fleet.site.stack.places.certs / "ca.pem"
    channel = open_channel(fleet.address, operator_credentials(ca))
    try:
        yield Caller(FleetServiceStub(channel), fleet.site.token(role))
    finally:
        await channel.close()


async def eventually(
    ask: Callable[[], Any], holds: Callable[[Any], bool], what: str, within_s: float = WITHIN_S
) -> Any:
    """The answer for which it holds. An error counts as an answer that doesn't."""
    end_s = time.monotonic() + within_s
    while True:
        try:
            answer: Any = await ask()
        except Exception as error:  # noqa: BLE001 - shown below
            answer = error
        if not isinstance(answer, Exception) and holds(answer):
            return answer
        assert time.monotonic() < end_s, f"not within {within_s} s: {what}; the last: {answer!r}"
        await asyncio.sleep(0.05)


def await_true(holds: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    end_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end_s, f"not within {within_s} s: {what}"
        time.sleep(0.1)


@asynccontextmanager
async def database(site: Site) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """What is really in the tables."""
    password = password_file(site.stack.places).read_text(encoding="utf-8").strip()
    port = site.stack.options.ports["postgres"]
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user="pitwall", database="pitwall", password=password
    )
    try:
        yield connection
    finally:
        await connection.close()
