"""The REST answers of a job manager, from a server that says what it is told."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flink_jobs.cluster import Cluster, ClusterUnreachable, RunningJob

ANSWERS: dict[str, tuple[int, bytes]] = {}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        code, body = ANSWERS.get(self.path, (404, b"not found"))
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    ANSWERS.clear()
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Cluster(f"127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


def test_jobs_are_read_with_their_tasks(cluster: Cluster) -> None:
    jobs = [{"jid": "a", "name": "jobs x", "state": "RUNNING", "tasks": {"running": 7, "total": 8, "failed": 0}}]
    ANSWERS["/jobs/overview"] = (200, json.dumps({"jobs": jobs}).encode())
    assert cluster.jobs() == [RunningJob("a", "jobs x", "RUNNING", 7, 8)]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("org.X: it\n\tat a\nCaused by: org.Y: deeper\n\tat b\nCaused by: org.Z: deepest", "Caused by: org.Z: deepest"),
        ("org.X: alone", "org.X: alone"),
        (None, "Flink names no cause"),
    ],
)
def test_the_cause_of_a_failure_is_the_innermost_one(cluster: Cluster, text: str | None, cause: str) -> None:
    ANSWERS["/jobs/a/exceptions"] = (200, json.dumps({"root-exception": text}).encode())
    assert cluster.cause_of_failure("a") == cause


@pytest.mark.parametrize(("code", "body"), [(503, b"starting"), (200, b"<html>")])
def test_what_is_no_answer_is_said(cluster: Cluster, code: int, body: bytes) -> None:
    ANSWERS["/jobs/overview"] = (code, body)
    with pytest.raises(ClusterUnreachable, match="/jobs/overview"):
        cluster.jobs()


def test_a_job_manager_that_is_away_is_no_error_of_ours() -> None:
    with pytest.raises(ClusterUnreachable, match=r"/jobs/overview: .*refused"):
        Cluster("127.0.0.1:1").jobs()
