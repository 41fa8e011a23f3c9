"""`pitwall doctor` finds each fault, names it, and says what to do; a part that is well gets one line."""

import http.server
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from haul.fleet.v1 import vehicle_pb2
from haul.telemetry.v1 import telemetry_pb2

from console import check_fleet
from console.check_files import check_certificates, check_clock, check_disk, check_tokens
from console.check_fleet import check_fleet_services
from console.check_processes import check_processes
from console.check_services import CALL_TIMEOUT_S, check_command_services, check_vehicles
from console.check_stores import check_flink, check_kafka, check_postgres, check_redis, check_stores
from console.checks import Finding, State
from console.site import DEFAULT_FLEET_SERVERS, Site, SiteOptions, find_site
from pitwall import devca
from pitwall.rpc.errors import Unauthenticated
from tests.unit.console.conftest import NOBODY
from tests.unit.console.fake_fleet import FakeFleet, ServedFleet, serve_fleet
from tests.unit.console.fake_site import Pitwall, Served, motion

NOW = datetime.now(UTC)
VEHICLE = "KOMATSU-930E-001"


@pytest.fixture
def site(home: Path, tmp_path: Path) -> Site:
    """A copy that a test may spoil."""
    copy = tmp_path / "home"
    shutil.copytree(home, copy)
    return find_site(SiteOptions(), environment={"PITWALL_HOME": str(copy)})


def states(findings: Iterator[Finding]) -> set[State]:
    return {finding.state for finding in findings}


def wrongs(findings: Iterator[Finding]) -> list[Finding]:
    found = [finding for finding in findings if finding.state is State.WRONG]
    assert all(finding.fix for finding in found), "every fault says what to do"
    return found


# Files


def test_a_new_site_is_well(site: Site) -> None:
    assert states(check_certificates(site, NOW)) == {State.OK}
    assert states(check_tokens(site)) == {State.OK}
    assert states(check_clock(NOW)) == {State.OK}


def test_a_missing_authority_is_found(site: Site) -> None:
    site.ca.unlink()
    [finding] = wrongs(check_certificates(site, NOW))
    assert str(site.ca) in finding.text


@pytest.mark.parametrize("days", [31, 29])
def test_certificates_that_end_are_found(site: Site, days: int) -> None:
    later = NOW + timedelta(days=days)
    found = list(check_certificates(site, later))
    if days > 30:
        assert len(wrongs(iter(found))) == 3
        assert all("expired" in finding.text for finding in wrongs(iter(found)))
    else:
        assert found[-1].state is State.NOTE


def test_a_certificate_of_another_site_is_found(site: Site, tmp_path: Path) -> None:
    devca.ensure(tmp_path / "other", commands=["command-1"])
    shutil.copy(tmp_path / "other" / "certs" / "command-1.pem", site.home / "certs" / "command-1.pem")
    [finding] = wrongs(check_certificates(site, NOW))
    assert "command-1.pem is not signed by" in finding.text


def test_a_key_of_another_certificate_is_found(site: Site) -> None:
    certs = site.home / "certs"
    shutil.copy(certs / "command-2.key", certs / "command-1.key")
    [finding] = wrongs(check_certificates(site, NOW))
    assert f"{certs / 'command-1.key'} is not the key of {certs / 'command-1.pem'}" == finding.text


@pytest.mark.parametrize(
    ("content", "named"),
    [("", "holds no token"), ("a.b.c", "holds no token"), (None, "there is no"), ("expired", "has expired")],
)
def test_a_token_that_won_t_do_is_found(site: Site, content: str | None, named: str) -> None:
    path = site.home / "tokens" / "operator"
    if content is None:
        path.unlink()
    elif content == "expired":
        path.write_text(_token(site, NOW - timedelta(days=1)))
    else:
        path.write_text(content)
    [finding] = wrongs(check_tokens(site))
    assert named in finding.text
    assert str(path) in finding.text


def test_a_token_of_another_site_is_found(site: Site, tmp_path: Path) -> None:
    devca.ensure(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "tokens" / "viewer", site.home / "tokens" / "viewer")
    [finding] = wrongs(check_tokens(site))
    assert "TOKEN_FOREIGN" in finding.text


def _token(site: Site, made: datetime) -> str:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key((site.home / "certs" / "tokens.key").read_bytes(), None)
    assert isinstance(key, devca.PrivateKey)
    return devca.make_token(key, "olga", ["operator"], now=made)


def test_a_clock_in_the_past_is_found() -> None:
    [finding] = wrongs(check_clock(datetime(1970, 1, 1, tzinfo=UTC)))
    assert "1970" in finding.text


@pytest.mark.parametrize(("free_gib", "state"), [(0.5, State.WRONG), (2, State.NOTE), (50, State.OK)])
def test_a_full_disk_is_found(site: Site, monkeypatch: pytest.MonkeyPatch, free_gib: float, state: State) -> None:
    usage = shutil.disk_usage(site.home)._replace(free=int(free_gib * 1024**3))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert states(check_disk(site.home / "not" / "yet" / "there")) == {state}


# Our processes


def at(site: Site, *addresses: str) -> Site:
    return replace(site, servers=addresses)


def test_a_command_service_that_serves_is_well(site: Site, served: Served) -> None:
    [finding] = check_command_services(at(site, served.address))
    assert finding.state is not State.WRONG
    assert "answers in" in finding.text


def test_a_dead_and_a_hung_command_service_are_told_apart(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as dead, socket.create_server(("127.0.0.1", 0)) as hung:
        addresses = [f"localhost:{listener.getsockname()[1]}" for listener in (dead, hung)]
        dead.close()
        first, second = wrongs(check_command_services(at(site, *addresses)))
    assert "nothing listens" in first.text
    assert "then says nothing" in second.text


def test_a_command_service_that_refuses_the_token_is_found(site: Site, served: Served) -> None:
    served.service.fails = Unauthenticated("TOKEN_FOREIGN", "signed by nobody I know")
    [finding] = wrongs(check_command_services(at(site, served.address)))
    assert "signed by nobody I know [TOKEN_FOREIGN]" in finding.text
    assert "--token-file" in finding.fix


def test_vehicles_without_a_link_are_found(site: Site, served: Served) -> None:
    served.service.motion_states = [motion(VEHICLE)]
    assert states(check_vehicles(at(site, served.address))) == {State.OK}
    served.service.motion_states.append(motion("LOST-1", connectivity=telemetry_pb2.CONNECTIVITY_LOST))
    [finding] = wrongs(check_vehicles(at(site, served.address)))
    assert "1 of 2 have no link: LOST-1" in finding.text


@contextmanager
def http_server(status: int, body: object) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            """The screen is the test's."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def configure(site: Site, name: str, text: str) -> None:
    path = site.home / "config" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


KAFKA_AWAY = {"parts": {"kafka": {"ok": False, "detail": "no broker", "required": False}, "line": {"ok": True}}}


@pytest.mark.parametrize(
    ("status", "body", "state", "named"),
    [
        (200, {"parts": {"line": {"ok": True}}}, State.OK, "well"),
        (200, KAFKA_AWAY, State.NOTE, "kafka: no broker"),
        (503, KAFKA_AWAY, State.WRONG, "kafka: no broker"),
        (500, "what?", State.WRONG, "what?"),
    ],
)
def test_a_process_is_as_well_as_it_says(site: Site, status: int, body: object, state: State, named: str) -> None:
    with http_server(status, body) as port:
        configure(site, "gateway-1.toml", f'metrics_address = "127.0.0.1:{port}"')
        [finding] = check_processes(site)
    assert finding.part == "process gateway-1"
    assert finding.state is state
    assert named in finding.text


def test_a_process_that_is_away_is_found_with_its_log(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    configure(site, "agents.toml", f'metrics_address = "127.0.0.1:{port}"')
    [finding] = wrongs(check_processes(site))
    assert str(site.home / "logs" / "agents.log") in finding.fix


def test_a_damaged_configuration_is_found(site: Site) -> None:
    configure(site, "agents.toml", "= nothing")
    [finding] = wrongs(check_processes(site))
    assert "agents.toml" in finding.text


# Servers


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that says one thing to whoever speaks first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "state"), [(b"+PONG\r\n", State.OK), (b"-NOAUTH who?\r\n", State.OK), (b"HTTP/1.1 400\r\n", State.WRONG)]
)
def test_redis_is_known_by_its_answer(site: Site, answer: bytes, state: State) -> None:
    with answering(answer) as port:
        configure(site, "redis.conf", f"bind 127.0.0.1\nport {port}\n")
        assert check_redis(site).state is state


@pytest.mark.parametrize(("answer", "state"), [(b"N", State.OK), (b"S", State.OK), (b"+PONG", State.WRONG)])
def test_postgres_is_known_by_its_answer(site: Site, tmp_path: Path, answer: bytes, state: State) -> None:
    script = tmp_path / "postgres.sh"
    configure(site, "supervisord.conf", f"[program:postgres]\ncommand=/bin/sh {script}\n")
    with answering(answer) as port:
        script.write_text(f"exec postgres -c listen_addresses=127.0.0.1 -c port={port} -c fsync=on")
        assert check_postgres(site).state is state


@pytest.mark.parametrize(
    ("managers", "jobs", "keeps_one", "state", "named"),
    [
        (1, 1, True, State.OK, "1 jobs run"),
        (1, 0, False, State.OK, "0 jobs run"),
        (1, 0, True, State.WRONG, "runs no job; no alert is raised"),
        (0, 0, True, State.WRONG, "has no task manager"),
    ],
)
def test_flink_needs_a_task_manager_and_the_job_that_the_stack_keeps(
    site: Site, managers: int, jobs: int, keeps_one: bool, state: State, named: str
) -> None:
    if keeps_one:
        configure(site, "stream-jobs.toml", "")
    with http_server(200, {"taskmanagers": managers, "slots-total": 4 * managers, "jobs-running": jobs}) as port:
        configure(site, "flink/config.yaml", f"rest.address: 127.0.0.1\nrest.port: {port}\n")
        finding = check_flink(site)
    assert finding.state is state
    assert named in finding.text
    assert not finding.fix or ".log" in finding.fix


# The fleet service


def at_fleet(site: Site, *addresses: str) -> Site:
    return replace(site, fleet_servers=addresses)


def test_a_fleet_service_that_answers_is_well(
    site: Site, served_fleet: ServedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_fleet, "SLOW_S", CALL_TIMEOUT_S)  # else a busy machine were a note
    served_fleet.service.statistics = vehicle_pb2.FleetStatistics(total=12)
    [finding] = check_fleet_services(at_fleet(site, served_fleet.address))
    assert finding.state is State.OK
    assert "12 vehicles" in finding.text


def test_a_fleet_service_that_is_cut_off_is_found(site: Site, served_fleet: ServedFleet) -> None:
    served_fleet.service.statistics = vehicle_pb2.FleetStatistics(total=12, stale=True)
    [finding] = wrongs(check_fleet_services(at_fleet(site, served_fleet.address)))
    assert "cut off from a source" in finding.text


def test_a_dead_and_a_foreign_fleet_service_are_told_apart(site: Site, tmp_path: Path) -> None:
    devca.ensure(tmp_path / "other", commands=["command-1"])
    foreign = serve_fleet(FakeFleet(), tmp_path / "other" / "certs")
    dead, stranger = wrongs(check_fleet_services(at_fleet(site, NOBODY, foreign.address)))
    foreign.stop()
    assert "nothing listens on localhost:1" in dead.text
    assert "stops and releases go on without it" in dead.text
    assert "is not trusted here" in stranger.text
    assert "fleet-1.log" in dead.fix


def test_a_fleet_service_that_refuses_the_token_is_found(site: Site, served_fleet: ServedFleet) -> None:
    served_fleet.service.fails = Unauthenticated("TOKEN_FOREIGN", "signed by nobody I know")
    [finding] = wrongs(check_fleet_services(at_fleet(site, served_fleet.address)))
    assert "[TOKEN_FOREIGN]" in finding.text


def test_a_stack_without_a_fleet_service_is_no_fault(site: Site) -> None:
    configure(site, "gateway-1.toml", "")
    [finding] = check_fleet_services(at_fleet(site, *DEFAULT_FLEET_SERVERS))
    assert finding.state is State.NOTE
    assert "runs none" in finding.text


@pytest.mark.parametrize(("behind", "state"), [(0, State.OK), (1_000, State.OK), (1_001, State.NOTE)])
def test_how_far_a_fleet_service_is_behind_is_told(
    site: Site, served_fleet: ServedFleet, behind: int, state: State
) -> None:
    parts = {
        "registry": {"ok": True, "detail": "12 vehicles"},
        "vehicle-telemetry": {"ok": True, "detail": f"{behind} records behind"},
    }
    with http_server(200, {"parts": parts}) as port:
        configure(site, "fleet-1.toml", f'metrics_address = "127.0.0.1:{port}"')
        _, lag = check_fleet_services(at_fleet(site, served_fleet.address))
    assert (lag.part, lag.state) == ("lag of fleet-1", state)
    assert f"{behind:,}" in lag.text


@pytest.mark.parametrize(
    ("part", "log"),
    [("postgresql", "postgres"), ("redis", "redis"), ("vehicle-alerts", "kafka"), ("job", "flink-jobmanager")],
)
def test_a_part_that_is_away_names_the_log_to_read(site: Site, part: str, log: str) -> None:
    with http_server(200, {"parts": {part: {"ok": False, "detail": "refused"}}}) as port:
        configure(site, "fleet-1.toml", f'metrics_address = "127.0.0.1:{port}"')
        [finding] = check_processes(site)
    assert finding.state is State.NOTE
    assert f"{part}: refused" in finding.text
    assert str(site.home / "logs" / f"{log}.log") in finding.fix
    assert str(site.home / "logs" / "fleet-1.log") in finding.fix


def test_a_server_that_is_away_is_found_and_stops_still_work(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    configure(site, "redis.conf", f"port {port}\n")
    configure(site, "gateway-1.toml", f'kafka_bootstrap = "127.0.0.1:{port}"')
    for finding in wrongs(iter([check_redis(site), check_kafka(site)])):
        assert "stops work without it" in finding.text
        assert str(port) in finding.part


def test_only_the_servers_of_the_stack_are_asked(site: Site) -> None:
    configure(site, "supervisord.conf", "[program:gateway-1]\ncommand=x\n")
    assert list(check_stores(site)) == []


# All of it


def test_a_fault_is_exit_code_1_and_each_finding_is_a_line(
    pitwall: Pitwall, site: Site, served: Served, served_fleet: ServedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITWALL_HOME", str(site.home))
    configure(site, "supervisord.conf", "[program:gateway-1]\ncommand=x\n")
    well = pitwall("doctor", "--output", "json")
    assert well.code == 0, well
    assert {"clock", "authority", "certificates", "disk"} <= {line["part"] for line in well.lines}
    (site.home / "tokens" / "viewer").write_text("spoiled")
    ill = pitwall("doctor", "--output", "json")
    assert ill.code == 1
    [fault] = [line for line in ill.lines if line["state"] == "WRONG"]
    assert fault["part"] == "token viewer"
    assert fault["fix"]
    assert "1 found something wrong" in pitwall("doctor").out.splitlines()[-1]
