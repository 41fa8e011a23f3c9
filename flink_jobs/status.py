"""GET /healthz and /metrics of the keeper. Flink's own metrics come from Flink's reporter."""

import errno
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: Name after pitwall_stream_job_, kind, meaning, value.
Sample = tuple[str, str, str, float]


@dataclass(frozen=True, slots=True)
class Status:
    """trouble: None where all of the job runs. failed_submissions: those beside them that came to nothing.

    checkpointed_s: seconds since 1970 at which the newest complete checkpoint was; 0: there is none. more: of others.
    """

    trouble: str | None
    submissions: int
    failed_submissions: int
    checkpointed_s: float
    more: tuple[Sample, ...] = ()

    @property
    def health(self) -> bytes:
        detail = self.trouble or "running"
        parts = {"job": {"ok": self.trouble is None, "detail": detail, "required": True}}
        return json.dumps({"healthy": self.trouble is None, "parts": parts}).encode()

    @property
    def metrics(self) -> bytes:
        return "".join(
            f"# HELP pitwall_stream_job_{name} {means}\n# TYPE pitwall_stream_job_{name} {kind}\n"
            f"pitwall_stream_job_{name} {value}\n"
            for name, kind, means, value in (
                ("running", "gauge", "Whether all tasks of the stream job run.", int(self.trouble is None)),
                ("submissions_total", "counter", "Times that the job was handed to the cluster.", self.submissions),
                (
                    "failed_submissions_total",
                    "counter",
                    "Times that the cluster did not take it.",
                    self.failed_submissions,
                ),
                (
                    "checkpoint_timestamp_seconds",
                    "gauge",
                    "When its newest complete checkpoint was; 0: there is none.",
                    self.checkpointed_s,
                ),
                *self.more,
            )
        ).encode()


class PortTaken(Exception):
    """Names the address."""


def serve(address: str, status: Callable[[], Status]) -> ThreadingHTTPServer:
    """Answers from threads of its own until shutdown(). Raises PortTaken."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_GET(self) -> None:
            now = status()
            if self.path == "/healthz":
                code = HTTPStatus.OK if now.trouble is None else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(code, "application/json", now.health)
            elif self.path == "/metrics":
                self._answer(HTTPStatus.OK, "text/plain; version=0.0.4", now.metrics)
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/healthz or /metrics\n")

        def _answer(self, code: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes come every second; they are no news."""

    host, _, port = address.rpartition(":")
    try:
        server = ThreadingHTTPServer((host, int(port)), Handler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTaken(f"metrics_address: another process has {address}; set another one, or stop that") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    return server
