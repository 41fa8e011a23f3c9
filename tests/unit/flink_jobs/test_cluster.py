"""The REST answers of a job manager, from a server that says what it is told."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flink_jobs import cluster as module
from flink_jobs.cluster import Cluster, ClusterUnreachable, NotStopped, RunningJob

ANSWERS: dict[str, tuple[int, bytes]] = {}
#: What comes after the first answer of a path, in turn; the last one stays.
THEN: dict[str, list[bytes]] = {}
ASKED: list[tuple[str, str, bytes]] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ASKED.append((self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length", 0)))))
        code, body = ANSWERS.get(self.path, (404, b"not found"))
        if THEN.get(self.path):
            ANSWERS[self.path] = (code, THEN[self.path].pop(0))
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    for kept in (ANSWERS, THEN, ASKED):
        kept.clear()
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
    ("texts", "cause"),
    [
        (
            ["org.X: it\n\tat a\nCaused by: org.Y: deeper\n\tat b\nCaused by: org.Z: deepest"],
            "Caused by: org.Z: deepest",
        ),
        (["org.X: alone"], "org.X: alone"),
        (["org.X: before", "org.Y: last"], "org.Y: last"),
        ([], "Flink names no cause"),
    ],
)
def test_the_cause_of_a_failure_is_the_innermost_one_of_the_last(
    cluster: Cluster, texts: list[str], cause: str
) -> None:
    entries = [{"timestamp": at, "stacktrace": text} for at, text in enumerate(texts)]
    ANSWERS["/jobs/a/exceptions"] = (200, json.dumps({"exceptionHistory": {"entries": entries}}).encode())
    assert cluster.cause_of_failure("a") == cause


@pytest.mark.parametrize(("code", "body"), [(503, b"starting"), (200, b"<html>")])
def test_what_is_no_answer_is_said(cluster: Cluster, code: int, body: bytes) -> None:
    ANSWERS["/jobs/overview"] = (code, body)
    with pytest.raises(ClusterUnreachable, match="/jobs/overview"):
        cluster.jobs()


def test_a_job_manager_that_is_away_is_no_error_of_ours() -> None:
    with pytest.raises(ClusterUnreachable, match=r"/jobs/overview: .*refused"):
        Cluster("127.0.0.1:1").jobs()


def overview(state: str) -> bytes:
    jobs = [{"jid": "a", "name": "jobs x", "state": state, "tasks": {"running": 8, "total": 8}}]
    return json.dumps({"jobs": jobs}).encode()


def savepoint(status: str, operation: object = None) -> bytes:
    return json.dumps({"status": {"id": status}, "operation": operation}).encode()


def test_a_job_is_stopped_with_a_savepoint_and_has_ended_then(cluster: Cluster) -> None:
    ANSWERS["/jobs/a/stop"] = (202, b'{"request-id": "t"}')
    ANSWERS["/jobs/a/savepoints/t"] = (200, savepoint("IN_PROGRESS"))
    THEN["/jobs/a/savepoints/t"] = [savepoint("COMPLETED", {"location": "file:/data/savepoint-1"})]
    ANSWERS["/jobs/overview"] = (200, overview("RUNNING"))
    THEN["/jobs/overview"] = [overview("FINISHED")]
    assert cluster.stop("a", "file:///data") == "file:/data/savepoint-1"
    assert cluster.jobs()[0].state == "FINISHED"
    method, path, body = ASKED[0]
    assert (method, path) == ("POST", "/jobs/a/stop")
    assert json.loads(body) == {"targetDirectory": "file:///data", "drain": False, "formatType": "CANONICAL"}


def test_a_job_that_makes_no_savepoint_is_not_stopped(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ANSWERS["/jobs/a/stop"] = (202, b'{"request-id": "t"}')
    failed = savepoint("COMPLETED", {"failure-cause": {"class": "CheckpointException"}})
    ANSWERS["/jobs/a/savepoints/t"] = (200, failed)
    with pytest.raises(NotStopped, match="CheckpointException"):
        cluster.stop("a", "file:///data")
    monkeypatch.setattr(module, "STOP_WITHIN_S", 0.2)
    ANSWERS["/jobs/a/savepoints/t"] = (200, savepoint("IN_PROGRESS"))
    with pytest.raises(NotStopped, match=r"no savepoint within 0\.2 s"):
        cluster.stop("a", "file:///data")
    ANSWERS["/jobs/a/stop"] = (409, b"not all tasks run")
    with pytest.raises(NotStopped, match="not all tasks run"):
        cluster.stop("a", "file:///data")


def test_a_job_is_cancelled_and_has_ended_then(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ANSWERS["/jobs/a?mode=cancel"] = (202, b"{}")
    ANSWERS["/jobs/overview"] = (200, overview("CANCELLING"))
    THEN["/jobs/overview"] = [overview("CANCELED")]
    cluster.cancel("a")
    assert ASKED[0][:2] == ("PATCH", "/jobs/a?mode=cancel")
    ANSWERS["/jobs/overview"] = (200, overview("CANCELLING"))
    monkeypatch.setattr(module, "STOP_WITHIN_S", 0.2)
    with pytest.raises(ClusterUnreachable, match="job a doesn't end"):
        cluster.cancel("a")


@pytest.mark.parametrize(
    ("latest", "at_s"),
    [
        ({"completed": {"latest_ack_timestamp": 1_500}}, 1.5),
        ({"completed": {"latest_ack_timestamp": 1_500}, "restored": {"restore_timestamp": 9_000}}, 1.5),
        ({"completed": None, "restored": {"restore_timestamp": 9_000}}, 0),
        ({"completed": None}, 0),
        ({}, 0),
    ],
)
def test_the_time_of_the_newest_checkpoint(cluster: Cluster, latest: object, at_s: float) -> None:
    ANSWERS["/jobs/a/checkpoints"] = (200, json.dumps({"latest": latest}).encode())
    assert cluster.checkpointed_s("a") == at_s


def test_free_slots_are_those_of_all_task_managers(cluster: Cluster) -> None:
    ANSWERS["/overview"] = (200, b'{"taskmanagers": 2, "slots-total": 8, "slots-available": 5}')
    assert cluster.free_slots() == 5
