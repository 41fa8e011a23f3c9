"""A tiny HTTP server for machines: GET /healthz and GET /metrics. No more of HTTP than that takes."""

import asyncio
import errno
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Final

from pitwall.rpc.ports import PortTaken, owner_of

MAX_REQUEST_BYTES: Final = 8 * 1024
#: One more is cut off without a word.
MAX_CONNECTIONS: Final = 32
REQUEST_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Part:
    """How one part of a process is. Where `required` is false the process counts as healthy without it."""

    ok: bool
    detail: str = ""
    required: bool = True


Parts = Mapping[str, Part]
Answer = tuple[HTTPStatus, str, bytes]


def health_answer(parts: Parts) -> Answer:
    """200 where every required part is well, else 503; the body names them all."""
    healthy = all(part.ok for part in parts.values() if part.required)
    body = {"healthy": healthy, "parts": {name: asdict(part) for name, part in parts.items()}}
    status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(body, indent=1).encode()


class HttpStatus:
    """Serves on `address` (host:port). `health` is asked for each request and must be quick."""

    def __init__(
        self, address: str, health: Callable[[], Parts], metrics: Callable[[], Awaitable[tuple[str, bytes]]]
    ) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)
        self._health, self._metrics = health, metrics
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self) -> None:
        """Raises PortTaken; OSError where the address can't be had for another reason."""
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=MAX_REQUEST_BYTES)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortTaken(f"{self._host}:{self._port}", owner_of(self._port)) from error

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                writer.write(_encode(*await self._answer(reader)))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller is gone or too slow, and nothing depends on it
        finally:
            self._open -= 1
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "text/plain", b""
        method, _, rest = head.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        if method != b"GET":
            return HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"GET only\n"
        if path == b"/healthz":
            return health_answer(self._health())
        if path == b"/metrics":
            return HTTPStatus.OK, *await self._metrics()
        return HTTPStatus.NOT_FOUND, "text/plain", b"/healthz or /metrics\n"


def _encode(status: HTTPStatus, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
