"""What a machine gets that asks a process how it is."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from pitwall import status_http
from pitwall.rpc.ports import PortTaken
from pitwall.status_http import HttpStatus, Part


@dataclass
class Rig:
    parts: dict[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.status = HttpStatus("127.0.0.1:0", lambda: self.parts, self._metrics)

    async def _metrics(self) -> tuple[str, bytes]:
        return "text/plain; version=0.0.4", b"readings_total 7\n"

    async def send(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.status.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer

    async def get(self, path: str) -> tuple[int, bytes]:
        answer = await self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.status.start()
    yield rig
    await rig.status.stop()


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        pytest.param({}, 200, id="nothing to say is well"),
        pytest.param({"link": Part(True)}, 200, id="all is well"),
        pytest.param({"link": Part(True), "kafka": Part(False, "away", required=False)}, 200, id="well without it"),
        pytest.param({"link": Part(False, "no majority"), "kafka": Part(True)}, 503, id="a required part is not"),
    ],
)
async def test_health_is_that_of_the_required_parts(rig: Rig, parts: dict[str, Part], code: int) -> None:
    rig.parts = parts
    status, body = await rig.get("/healthz")
    assert status == code
    answer = json.loads(body)
    assert answer["healthy"] is (code == 200)
    assert answer["parts"] == {
        name: {"ok": part.ok, "detail": part.detail, "required": part.required} for name, part in parts.items()
    }


async def test_metrics_are_served_as_prometheus_wants_them(rig: Rig) -> None:
    assert await rig.get("/metrics?x=1") == (200, b"readings_total 7\n")


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"GET /other HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /healthz HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"405"),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 9_000 + b"\r\n\r\n", b"431"),
    ],
)
async def test_any_other_request_is_answered_with_its_error(rig: Rig, request_bytes: bytes, code: bytes) -> None:
    assert (await rig.send(request_bytes)).split()[1] == code


async def test_who_says_nothing_is_dropped(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_http, "REQUEST_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.status.port)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_who_hangs_up_early_disturbs_nobody(rig: Rig) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", rig.status.port)
    writer.write(b"GET /heal")
    writer.close()
    assert (await rig.get("/healthz"))[0] == 200


async def test_more_connections_than_the_limit_are_cut_off(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_http, "MAX_CONNECTIONS", 1)
    _, idle = await asyncio.open_connection("127.0.0.1", rig.status.port)
    with pytest.raises((ConnectionError, IndexError)):
        await rig.get("/healthz")
    idle.close()


async def test_a_taken_port_names_its_owner(rig: Rig) -> None:
    with pytest.raises(PortTaken, match="pid "):
        await HttpStatus(f"127.0.0.1:{rig.status.port}", dict, rig._metrics).start()


async def test_an_address_of_another_computer_is_not_a_taken_port() -> None:
    with pytest.raises(OSError, match="assign") as raised:
        await HttpStatus("192.0.2.1:9464", dict, Rig()._metrics).start()
    assert not isinstance(raised.value, PortTaken)
