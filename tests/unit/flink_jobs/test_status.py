"""What the keeper tells probes."""

import http.client
import json

import pytest

from flink_jobs.status import PortTaken, Status, serve


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def test_it_is_healthy_exactly_while_the_job_runs() -> None:
    now = [Status("being submitted", 0, 0, 0)]
    server = serve("127.0.0.1:0", lambda: now[0])
    try:
        code, body = get(server.server_port, "/healthz")
        assert (code, json.loads(body)["parts"]["job"]["detail"]) == (503, "being submitted")
        now[0] = Status(None, 2, 1, 1_763_000_000.25)
        code, body = get(server.server_port, "/healthz")
        assert (code, json.loads(body)["healthy"]) == (200, True)
        code, body = get(server.server_port, "/metrics")
        assert code == 200
        assert b"\npitwall_stream_job_running 1\n" in body
        assert b"\npitwall_stream_job_submissions_total 2\n" in body
        assert b"\npitwall_stream_job_failed_submissions_total 1\n" in body
        assert b"\npitwall_stream_job_checkpoint_timestamp_seconds 1763000000.25\n" in body
        assert get(server.server_port, "/")[0] == 404
    finally:
        server.shutdown()
        server.server_close()


def test_a_taken_port_is_named() -> None:
    server = serve("127.0.0.1:0", lambda: Status(None, 0, 0, 0))
    try:
        with pytest.raises(PortTaken, match=f":{server.server_port}; set another one"):
            serve(f"127.0.0.1:{server.server_port}", lambda: Status(None, 0, 0, 0))
    finally:
        server.shutdown()
        server.server_close()
