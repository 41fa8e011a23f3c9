"""A real gateway process between raw vehicles and command services of ours, everything on real mutual TLS."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from haul.command.v1 import stop_pb2
from haul.link.v1 import gateway_link_service_pb2 as link_pb
from haul.link.v1 import vehicle_link_service_pb2 as pb
from haul.link.v1.gateway_link_service_pb2_grpc import add_GatewayLinkServiceServicer_to_server
from haul.telemetry.v1 import telemetry_pb2

from pitwall import devca, wire
from pitwall.clock import boottime_s
from pitwall.config import TlsSettings
from pitwall.rpc.channel import open_channel
from pitwall.rpc.errors import ErrorDetails, from_rpc_error
from pitwall.rpc.limits import RpcLimits
from pitwall.rpc.server import build_server
from pitwall.tls import channel_credentials, server_credentials

VEHICLE, OTHER = "KOMATSU-930E-001", "KOMATSU-980E-002"
GATEWAY = "gateway-1"
COMMANDS = ("command-1", "command-2", "command-3")
LEASE_TTL_S = 2.0
WITHIN_S = 20.0
#: Nobody listens there.
NOWHERE = "127.0.0.1:9"
_LARGE = RpcLimits(max_receive_bytes=32 * 1024 * 1024, max_send_bytes=32 * 1024 * 1024)


def make_home(path: Path) -> Path:
    """Certificates of a site."""
    devca.ensure(path, vehicles=[VEHICLE, OTHER], gateways=[GATEWAY], commands=COMMANDS)
    return path


def tls(home: Path, name: str) -> TlsSettings:
    certs = home / "certs"
    return TlsSettings(ca=certs / "ca.pem", certificate=certs / f"{name}.pem", key=certs / f"{name}.key")


async def until(holds: Callable[[], bool], news: asyncio.Event, what: str, within_s: float = WITHIN_S) -> None:
    """Waits until it holds, looking again whenever `news` is set."""
    try:
        async with asyncio.timeout(within_s):
            while not holds():
                news.clear()
                await news.wait()
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s: {what}") from None


# A command service


class RawCommand:
    """One command service's port for gateways. Consents to every beat while `consents`; says what it is told to."""

    def __init__(self) -> None:
        self.frames: list[link_pb.AttachRequest] = []
        self.news = asyncio.Event()
        self.consents = True
        self.stops = stop_pb2.StopSet()
        self._contexts: list[Any] = []
        self._exchanges = 0
        self._writing = asyncio.Lock()

    async def Attach(self, _: object, context: Any) -> None:  # noqa: N802  # gRPC's name
        self._contexts.append(context)
        try:
            while (frame := await context.read()) is not grpc.aio.EOF:
                await self._take(frame, context)
        finally:
            self._contexts.remove(context)

    async def _take(self, frame: link_pb.AttachRequest, context: Any) -> None:
        kind = frame.WhichOneof("body")
        if kind == "beat":
            if self.consents:
                lease = link_pb.Lease(beat_number=frame.beat.beat_number, ttl=wire.duration(LEASE_TTL_S))
                await self._write(context, link_pb.AttachResponse(lease=lease))
            return
        if kind == "hello":
            self._exchanges += 1
            push = link_pb.StopSetPush(stop_set=self.stops, exchange_id=self._exchanges)
            await self._write(context, link_pb.AttachResponse(stop_set=push))
        self.frames.append(frame)
        self.news.set()

    async def _write(self, context: Any, frame: link_pb.AttachResponse) -> None:
        async with self._writing:
            await context.write(frame)

    async def say(self, **body: Any) -> None:
        """To every gateway that is attached."""
        for context in self._contexts:
            await self._write(context, link_pb.AttachResponse(**body))

    async def push(self, *stops: stop_pb2.Stop) -> None:
        self._exchanges += 1
        self.stops.stops.extend(stops)
        stop_set = stop_pb2.StopSet(stops=stops)
        await self.say(stop_set=link_pb.StopSetPush(stop_set=stop_set, exchange_id=self._exchanges))

    def of(self, kind: str) -> list[Any]:
        return [getattr(frame, kind) for frame in self.frames if frame.WhichOneof("body") == kind]

    def stages(self, stop_id: str) -> list[int]:
        """What has been reported of a stop."""
        reports = (report for frame in self.of("reports") for report in frame.reports)
        return [one.stage for report in reports for one in report.progress if one.stop_id == stop_id]

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        await until(holds, self.news, what)


@asynccontextmanager
async def serving(home: Path, name: str, address: str = "127.0.0.1:0") -> AsyncIterator[tuple[RawCommand, str]]:
    """(the command service, its address)."""
    command = RawCommand()
    server = build_server(address, partial(server_credentials, tls(home, name), require_client=True), [], _LARGE)
    add_GatewayLinkServiceServicer_to_server(command, server.server)  # type: ignore[arg-type]
    await server.start()
    try:
        yield command, f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)


# The gateway


@dataclass
class GatewayProcess:
    """`python -m ingest_gateway`, with its log in `folder`."""

    folder: Path
    process: subprocess.Popen[bytes] = field(init=False)
    _log_start: int = 0

    def start(self) -> None:
        with (self.folder / "gateway.log").open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ingest_gateway", "--config", str(self.folder / "gateway-1.toml")],
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        """Since the last start."""
        return (self.folder / "gateway.log").read_bytes()[self._log_start :].decode(errors="replace")

    async def address(self) -> str:
        """Of its port for vehicles, as it logs it itself."""
        port = await self._logged(r"serving vehicles on port (\d+)")
        return f"127.0.0.1:{port}"

    async def _logged(self, pattern: str) -> str:
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            if found := re.findall(pattern, self.log):
                return str(found[-1])
            assert self.process.poll() is None, f"the gateway has ended: {self.log}"
            await asyncio.sleep(0.05)
        raise AssertionError(f"not logged: {pattern}: {self.log}")

    async def status(self, path: str) -> tuple[int, str]:
        """GET on its metrics address."""
        port = await self._logged(r"metrics and health on port (\d+)")
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{port}{path}")

    async def metric(self, name: str, **labels: str) -> float:
        """The sum over the samples that have these labels."""
        _, text = await self.status("/metrics")
        lines = [line for line in text.splitlines() if re.match(rf"{name}[ {{]", line)]
        chosen = [line for line in lines if all(f'{key}="{value}"' in line for key, value in labels.items())]
        return sum(float(line.rpartition(" ")[2]) for line in chosen)

    async def parts(self) -> dict[str, Any]:
        _, body = await self.status("/healthz")
        parts: dict[str, Any] = json.loads(body)["parts"]
        return parts

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @contextmanager
    def asleep(self) -> Iterator[None]:
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, WITHIN_S)


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=WITHIN_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@asynccontextmanager
async def gateway(
    home: Path, folder: Path, commands: Iterable[str], kafka: str = NOWHERE, **settings: object
) -> AsyncIterator[GatewayProcess]:
    """Runs until the end of the block, whatever happens in it."""
    chosen: dict[str, object] = {
        "name": GATEWAY,
        "vehicle_address": "127.0.0.1:0",
        "metrics_address": "127.0.0.1:0",
        "command_services": list(commands),
        "kafka_bootstrap": kafka,
    }
    chosen |= settings
    lines = [f"{key} = {json.dumps(value)}" for key, value in chosen.items()]
    paths = tls(home, GATEWAY)
    lines += ["[tls]", f'ca = "{paths.ca}"', f'certificate = "{paths.certificate}"', f'key = "{paths.key}"']
    (folder / "gateway-1.toml").write_text("\n".join(lines))
    running = GatewayProcess(folder)
    running.start()
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


# A vehicle


class RawVehicle:
    """One stream of a vehicle. Frames down are kept as they come, with the time of their arrival."""

    def __init__(self, call: Any, vehicle_id: str, boot_epoch: int, connect_count: int) -> None:
        self._call, self.vehicle_id = call, vehicle_id
        self.boot_epoch, self.connect_count = boot_epoch, connect_count
        self.frames: list[pb.ConnectResponse] = []
        self.arrived_s: list[float] = []
        self.acked = set[int]()
        self.rejections: list[pb.Rejection] = []
        self.news = asyncio.Event()
        self.error: ErrorDetails | None = None
        self.ended = False
        self.heartbeat = 0
        self._writing = asyncio.Lock()

    async def send(self, frame: pb.ConnectRequest) -> None:
        async with self._writing:
            await self._call.write(frame)

    async def hello(self, *stops: stop_pb2.Stop, vehicle_id: str | None = None) -> None:
        said = pb.Hello(
            vehicle_id=vehicle_id or self.vehicle_id,
            boot_epoch=self.boot_epoch,
            connect_count=self.connect_count,
            protocol_version=1,
            software_version="raw",
            stop_set=stop_pb2.StopSet(stops=stops),
            clock=clock(),
            lowest_deceleration_mps2=1.0,
        )
        said.status.status = telemetry_pb2.VEHICLE_STATUS_HAULING
        said.status.motion_hold = telemetry_pb2.MOTION_HOLD_NONE
        await self.send(pb.ConnectRequest(hello=said))

    async def beat(self) -> int:
        self.heartbeat += 1
        await self.send(pb.ConnectRequest(heartbeat_number=self.heartbeat))
        return self.heartbeat

    async def offer(self, readings: Iterable[telemetry_pb2.Reading]) -> None:
        self.heartbeat += 1
        frame = pb.ConnectRequest(heartbeat_number=self.heartbeat)
        frame.reading_batch.boot_epoch = self.boot_epoch
        frame.reading_batch.readings.extend(readings)
        frame.reading_batch.clock.CopyFrom(clock())
        await self.send(frame)

    def reading(self, sequence: int, **fields: Any) -> telemetry_pb2.Reading:
        """A good one, unless told otherwise; made of its sequence, so that a repeat is the same."""
        made = telemetry_pb2.Reading(
            vehicle_id=self.vehicle_id,
            boot_epoch=self.boot_epoch,
            sequence=sequence,
            monotonic_nanos=round(boottime_s() * 1e9),
            status=telemetry_pb2.VEHICLE_STATUS_HAULING,
            motion_hold=telemetry_pb2.MOTION_HOLD_NONE,
            speed_kph=sequence % 60,
        )
        made.event_time.GetCurrentTime()
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    async def read(self) -> None:
        try:
            while (frame := await self._call.read()) is not grpc.aio.EOF:
                self.frames.append(frame)
                self.arrived_s.append(boottime_s())
                self._take_ack(frame.reading_ack)
                self.news.set()
            await self._call.debug_error_string()
        except grpc.aio.AioRpcError as error:
            self.error = from_rpc_error(error)
        self.ended = True
        self.news.set()

    def _take_ack(self, ack: pb.ReadingAck) -> None:
        self.rejections += ack.rejections
        for each in ack.ranges:
            self.acked.update(range(each.first_sequence, each.last_sequence + 1))

    def of(self, kind: str) -> list[Any]:
        return [getattr(frame, kind) for frame in self.frames if frame.WhichOneof("body") == kind]

    @property
    def permits(self) -> list[pb.Permit]:
        return [frame.permit for frame in self.frames if frame.HasField("permit")]

    async def until(self, holds: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
        await until(holds, self.news, what, within_s)

    async def frame(self, kind: str, count: int = 1) -> Any:
        await self.until(lambda: len(self.of(kind)) >= count or self.ended, f"{count} {kind}")
        assert len(self.of(kind)) >= count, f"the stream has ended: {self.error}"
        return self.of(kind)[count - 1]

    async def end(self) -> ErrorDetails:
        """How the gateway ends it."""
        await self.until(lambda: self.ended, "the end of the stream")
        assert self.error is not None, "the stream has ended well"
        return self.error

    async def permit(self) -> pb.Permit:
        """The answer to a heartbeat sent now, asking again as a vehicle does."""
        number = await self.beat()
        try:
            async with asyncio.timeout(WITHIN_S):
                while not any(permit.heartbeat_number >= number for permit in self.permits):
                    await asyncio.sleep(0.1)
                    await self.beat()
        except TimeoutError:
            raise AssertionError(f"no permit; frames: {self.frames[-3:]}") from None
        return next(permit for permit in self.permits if permit.heartbeat_number >= number)

    async def permitted(self) -> pb.Permit:
        """The first permit with time in it."""
        async with asyncio.timeout(WITHIN_S):
            permit = await self.permit()
            while wire.to_seconds(permit.ttl) <= 0:
                permit = await self.permit()
        return permit


def clock() -> pb.VehicleClock:
    read = pb.VehicleClock(monotonic_nanos=round(boottime_s() * 1e9))
    read.wall_time.GetCurrentTime()
    return read


def fleet_stop(stop_id: str) -> stop_pb2.Stop:
    made = stop_pb2.Stop(stop_id=stop_id, reason="test", issued_by="somebody")
    made.scope.fleet.SetInParent()
    made.issued_time.GetCurrentTime()
    return made


@asynccontextmanager
async def vehicle(
    home: Path,
    address: str,
    vehicle_id: str = VEHICLE,
    *,
    boot_epoch: int = 0,
    connect_count: int = 1,
    certificate: str | None = None,
    reads: bool = True,
) -> AsyncIterator[RawVehicle]:
    """A stream; nothing has been said on it yet. `certificate`: another one than the vehicle's own."""
    paths = tls(home, certificate or f"vehicles/{vehicle_id}")
    async with open_channel(address, channel_credentials(paths), _LARGE) as channel:
        call = channel.stream_stream(
            "/haul.link.v1.VehicleLinkService/Connect",
            request_serializer=lambda frame: frame if isinstance(frame, bytes) else frame.SerializeToString(),
            response_deserializer=pb.ConnectResponse.FromString,
        )()
        spoken = RawVehicle(call, vehicle_id, boot_epoch or time.time_ns() // 1_000_000, connect_count)
        reader = asyncio.create_task(spoken.read()) if reads else None
        try:
            yield spoken
        finally:
            call.cancel()
            if reader is not None:
                await asyncio.gather(reader, return_exceptions=True)


@asynccontextmanager
async def welcomed(home: Path, address: str, vehicle_id: str = VEHICLE, **options: Any) -> AsyncIterator[RawVehicle]:
    """A vehicle that has said Hello and has its Welcome."""
    async with vehicle(home, address, vehicle_id, **options) as spoken:
        await spoken.hello()
        await spoken.frame("welcome")
        yield spoken
