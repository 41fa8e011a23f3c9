import sys
import tomllib
from configparser import RawConfigParser
from pathlib import Path

import pytest

from deploy.local.options import Server, StackOptions
from deploy.local.process import Group
from deploy.local.renewal import renewal_command
from deploy.local.servers.postgres import password_file
from deploy.local.stack import Stack, describe
from deploy.local.supervisord import MARK, environment_for, supervisord_text
from tests.unit.deploy.machine import machine


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return describe(StackOptions(tmp_path / "home", vehicles=3), machine(tmp_path), first_start=True)


def toml(stack: Stack, name: str) -> dict[str, object]:
    texts = {file.path.name: file.text for file in stack.part.files}
    return tomllib.loads(texts[f"{name}.toml"])


def test_every_process_of_the_picture_is_there_and_the_line_starts_first(stack: Stack) -> None:
    line = ["command-1", "command-2", "command-3", "gateway-1", "gateway-2", "plant", "agents", "renewal"]
    view = ["fleet-1", "stream-jobs"]
    servers = ["kafka", "postgres", "redis", "flink-jobmanager", "flink-taskmanager"]
    assert [process.name for process in stack.processes] == line + view + servers
    assert [process.name for process in stack.processes if process.group is Group.LINE] == line
    assert [process.name for process in stack.processes if process.group is Group.PICTURE] == view


KAFKA_AND_STORES = frozenset({Server.KAFKA, Server.POSTGRES, Server.REDIS})


@pytest.mark.parametrize(
    ("servers", "picture", "expected"),
    [
        (frozenset(Server), True, {"fleet-1", "stream-jobs"}),
        (frozenset(Server), False, set()),
        (KAFKA_AND_STORES, True, {"fleet-1"}),
        (frozenset({Server.KAFKA, Server.FLINK}), True, {"stream-jobs"}),
        (frozenset({Server.POSTGRES, Server.REDIS, Server.FLINK}), True, set()),
        (KAFKA_AND_STORES - {Server.REDIS}, True, set()),
    ],
)
def test_the_picture_runs_where_its_servers_do(
    tmp_path: Path, servers: frozenset[Server], expected: set[str], *, picture: bool
) -> None:
    options = StackOptions(tmp_path / "home", servers=servers, picture=picture)
    stack = describe(options, machine(tmp_path), first_start=True)
    assert {process.name for process in stack.processes if process.group is Group.PICTURE} == expected


def test_only_the_stream_jobs_wait_for_topics_and_the_line_for_nothing(stack: Stack) -> None:
    assert [process.name for process in stack.processes if process.needs_topics] == ["stream-jobs"]
    config = RawConfigParser()
    config.read_string(supervisord_text(stack))
    assert config["program:stream-jobs"]["autostart"] == "false"
    assert config["program:gateway-1"]["autostart"] == config["program:fleet-1"]["autostart"] == "true"


def test_the_fleet_service_and_the_stream_jobs_are_told_where_their_servers_are(stack: Stack) -> None:
    fleet, jobs, places = toml(stack, "fleet-1"), toml(stack, "stream-jobs"), stack.places
    assert fleet["operator_address"] == "127.0.0.1:50053"
    assert fleet["metrics_address"] == "127.0.0.1:9474"
    assert fleet["redis_address"] == "127.0.0.1:16379"
    assert fleet["postgres"] == {"port": 15432, "password_file": str(password_file(places))}
    assert fleet["tls"]["certificate"] == str(places.certs / "fleet-1.pem")  # type: ignore[index]
    assert fleet["kafka_bootstrap"] == jobs["kafka_bootstrap"] == "127.0.0.1:9092"
    assert jobs["flink_address"] == "127.0.0.1:8081"
    assert jobs["checkpoint_dir"] == str(places.data / "flink/checkpoints")


def test_each_fleet_service_has_a_certificate_of_its_own_kind(stack: Stack) -> None:
    command = renewal_command(stack.options)
    assert command[command.index("--fleets") :] == ["--fleets", "fleet-1"]
    assert not {"fleet-1"} & set(command[: command.index("--fleets")])


def test_each_process_of_flink_has_a_port_for_its_metrics(stack: Stack) -> None:
    for name, port in (("flink-jobmanager", 9475), ("flink-taskmanager", 9476)):
        process = stack.process(name)
        assert process.command[-2:] == ("-D", f"metrics.reporter.prom.port={port}")
        assert process.ports[f"{name}-metrics"] == port


def test_no_two_processes_share_a_port(stack: Stack) -> None:
    numbers = [port for process in stack.processes for port in process.ports.values()]
    assert len(numbers) == len(set(numbers)) > len(stack.processes)


def test_agents_know_every_gateway_and_gateways_every_command_service(tmp_path: Path) -> None:
    options = StackOptions(tmp_path / "home", vehicles=1, gateways=2, command_services=3)
    stack = describe(options, machine(tmp_path), first_start=True)
    assert toml(stack, "agents")["gateways"] == ["127.0.0.1:50051", "127.0.0.1:50061"]
    links = ["127.0.0.1:50054", "127.0.0.1:50064", "127.0.0.1:50074"]
    assert toml(stack, "gateway-2")["command_services"] == links
    assert toml(stack, "command-2")["peers"] == {"command-1": links[0], "command-3": links[2]}


def test_the_agents_and_the_plant_meet_at_one_socket(stack: Stack) -> None:
    assert toml(stack, "agents")["vehicle_socket"] == toml(stack, "plant")["vehicle_socket"]


def test_a_large_fleet_is_shared_out_among_processes(tmp_path: Path) -> None:
    stack = describe(StackOptions(tmp_path / "home", vehicles=1_000), machine(tmp_path), first_start=True)
    agents = [toml(stack, name) for name in ("agents", "agents-2", "agents-3", "agents-4")]
    assert [(one.get("fleet_first", 1), one["fleet"]) for one in agents] == [
        (1, 250),
        (251, 250),
        (501, 250),
        (751, 250),
    ]
    assert len({str(one["data_dir"]) for one in agents}) == len({str(one["metrics_address"]) for one in agents}) == 4
    stack = describe(StackOptions(tmp_path / "home", vehicles=251), machine(tmp_path), first_start=True)
    assert toml(stack, "agents-2")["fleet"] == 1


@pytest.mark.parametrize("first_start", [True, False])
def test_only_the_first_start_may_begin_without_a_journal(tmp_path: Path, *, first_start: bool) -> None:
    stack = describe(StackOptions(tmp_path / "home"), machine(tmp_path), first_start=first_start)
    assert toml(stack, "command-1")["first_start"] is first_start


def test_a_stack_of_just_one_server_has_one_process(tmp_path: Path) -> None:
    options = StackOptions(
        tmp_path / "home", vehicles=0, gateways=0, command_services=0, servers=frozenset({Server.KAFKA})
    )
    stack = describe(options, machine(tmp_path), first_start=True)
    assert [process.name for process in stack.processes] == ["kafka"]


def test_supervisord_is_told_of_every_process_and_stops_the_line_then_the_picture_then_the_servers(
    stack: Stack,
) -> None:
    config = RawConfigParser()
    config.read_string(supervisord_text(stack))
    assert {f"program:{process.name}" for process in stack.processes} <= set(config.sections())
    # supervisord stops the highest number first.
    line, view, servers = (config.getint(f"group:{name}", "priority") for name in ("line", "picture", "servers"))
    assert line > view > servers
    assert config["program:postgres"]["stopsignal"] == "INT"
    assert config["program:postgres"]["command"].startswith("nice -n 5 ")
    assert config["program:gateway-1"]["command"].startswith(sys.executable)
    assert config["program:kafka"]["stdout_logfile"] == str(stack.places.logs / "kafka.log")


def test_processes_inherit_settings_but_no_proxy_and_carry_the_mark_of_their_stack() -> None:
    caller = {
        "PATH": "/bin",
        "http_proxy": "http://proxy:1",
        "PITWALL_GATEWAY__PERMIT_TTL_S": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317",
        "PITWALL_HOME": "/h",
    }
    environment = environment_for(Path("/h"), caller)
    assert environment[MARK] == "/h"
    assert environment["PITWALL_GATEWAY__PERMIT_TTL_S"] == "1"
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4317"
    assert not {"http_proxy", "PITWALL_HOME"} & set(environment)


def test_sockets_of_a_deep_home_lie_elsewhere_and_stay_short(tmp_path: Path) -> None:
    deep = StackOptions(Path("/" + "deep/" * 30) / "home")
    sockets = describe(deep, machine(tmp_path), first_start=True).places.sockets
    assert len(str(sockets)) < 70
    other = StackOptions(Path("/" + "deep/" * 30) / "other")
    assert describe(other, machine(tmp_path), first_start=True).places.sockets != sockets
