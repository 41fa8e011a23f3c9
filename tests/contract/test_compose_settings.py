"""The settings files of deploy/compose: each is taken by the process that reads it, and what they name is there."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from cryptography import x509
from haul.command.v1 import event_pb2
from haul.fleet.v1 import registry_pb2
from haul.telemetry.v1 import alert_pb2, metrics_pb2, telemetry_pb2

from command_service.config import CommandSettings
from command_service.store import Store
from deploy.local.options import StackOptions
from deploy.local.servers.flink import flink
from deploy.local.stack import describe
from edge_agent.config import AgentSettings
from edge_agent.fleet import fleet_ids
from edge_agent.simulator.config import PlantSettings
from fleet_service.config import FleetSettings
from flink_jobs.settings import Settings as StreamJobsSettings
from ingest_gateway.config import GatewaySettings
from pitwall import devca
from pitwall.exits import EXIT_CONFIG
from pitwall.kafka_topics import DEAD_LETTER, LATE_WINDOWS, TOPICS
from tests.support import compose
from tests.unit.deploy.machine import machine

SERVICES, FILES = compose.services(), compose.settings_files()
READ: dict[str, Callable[[Path], object]] = {
    **dict.fromkeys(compose.COMMANDS, CommandSettings.read),
    "gateway-1": GatewaySettings.read,
    "gateway-2": GatewaySettings.read,
    "topics": GatewaySettings.read,
    "fleet-1": FleetSettings.read,
    "agents": AgentSettings.read,
    "plant": PlantSettings.read,
    "stream-jobs": lambda path: StreamJobsSettings.load(path, {}),
}
#: Servers that are not ours listen where their makers have them listen.
THEIRS = {"postgres": 5432, "redis": 6379, "flink-jobmanager": 8081, "kafka-1": 9092, "kafka-2": 9092, "kafka-3": 9092}


@pytest.mark.parametrize("name", sorted(READ))
def test_each_process_takes_its_file(name: str) -> None:
    READ[name](FILES[name])


def test_no_file_is_left_out() -> None:
    assert set(FILES) == set(READ)


def test_the_keys_are_those_that_the_local_stack_writes(tmp_path: Path) -> None:
    """So that a key that is new there is not forgotten here."""
    local = describe(StackOptions(tmp_path / "home"), machine(tmp_path), first_start=False)
    written = {file.path.stem: tomllib.loads(file.text) for file in local.part.files if file.path.suffix == ".toml"}
    for name in sorted(set(FILES) - {"topics"}):
        ours = compose.settings(FILES[name])
        # The local stack's server is where the default says.
        assert key_paths(ours) - {"postgres.host"} == key_paths(written[name]), name


def key_paths(table: dict[str, Any], above: str = "") -> set[str]:
    paths: set[str] = set()
    for key, value in table.items():
        paths |= key_paths(value, f"{above}{key}.") if isinstance(value, dict) else {above + key}
    return paths


def test_flink_is_set_as_in_the_local_stack_but_for_places(tmp_path: Path) -> None:
    part = flink(StackOptions(tmp_path / "home"), machine(tmp_path))
    (local,) = [yaml.safe_load(file.text) for file in part.files if file.path.name == "config.yaml"]
    ours = yaml.safe_load((compose.FOLDER / "config/flink/config.yaml").read_text())
    # A task manager names itself by its address here, and nobody waits for a quick start of the job manager.
    assert set(local) - set(ours) == {"taskmanager.host", "env.java.opts.jobmanager"}
    assert set(ours) <= set(local)
    places = (
        "address",
        "bind-address",
        "bind-host",
        "dir",
        "dirs",
        "port",
        "bind-port",
        "all",
        "savepoint-dir",
        "tmpdir",
    )
    same = {key for key in ours if key.rpartition(".")[2] not in places}
    assert len(same) >= 10
    assert {key: ours[key] for key in same} == {key: local[key] for key in same}


# --- hosts and ports ------------------------------------------------------------------------------------------------


def listening(name: str) -> set[int]:
    ours = compose.addresses(compose.settings(FILES[name])) if name in FILES else set()
    return {port for host, port in ours if host == "0.0.0.0"} | {THEIRS[n] for n in THEIRS if n == name}


@pytest.mark.parametrize("name", sorted(FILES))
def test_whom_a_process_dials_is_a_service_that_listens_there_on_a_network_of_both(name: str) -> None:
    dialled = {(host, port) for host, port in compose.addresses(compose.settings(FILES[name])) if host != "0.0.0.0"}
    for host, port in dialled:
        assert port in listening(host), f"{host}:{port}"
        if "networks" in SERVICES[name]:
            assert set(SERVICES[name]["networks"]) & set(SERVICES[host]["networks"]), (name, host)


def test_the_database_is_dialled_where_it_is() -> None:
    postgres = compose.settings(FILES["fleet-1"])["postgres"]
    assert postgres["port"] == THEIRS[postgres["host"]]


def test_ports_are_published_where_something_listens() -> None:
    pages = {"prometheus": {9090}, "grafana": {3000}, "kafka-ui": {8080}}
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert int(port.split(":")[2]) in listening(name) | pages.get(name, set()), (name, port)


# --- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(FILES) - {"topics"}))
def test_every_path_is_on_a_volume_of_the_container(name: str) -> None:
    mounted = list(compose.mounts(SERVICES[name]))
    paths = [text for text in compose.texts(compose.settings(FILES[name])) if text.startswith("/")]
    if name in READ and name != "stream-jobs":
        assert paths
    for path in paths:
        assert any(Path(path).is_relative_to(folder) for folder in mounted), (name, path)


def test_the_keys_that_are_named_are_made_and_name_their_host(tmp_path: Path) -> None:
    """Runs the step `keys` into another folder."""
    command = [text.replace("/var/lib/pitwall", str(tmp_path)) for text in SERVICES["keys"]["command"]]
    assert devca.main(command) == 0
    for name in (*compose.COMMANDS, "gateway-1", "gateway-2", "fleet-1"):
        settings = compose.settings(FILES[name])
        for path in settings["tls"].values():
            assert made(tmp_path, path).is_file(), path
        certificate = x509.load_pem_x509_certificate(made(tmp_path, settings["tls"]["certificate"]).read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert name in names.get_values_for_type(x509.DNSName)
    for name in compose.COMMANDS:
        assert made(tmp_path, compose.settings(FILES[name])["jwks"]).is_file()


def test_each_simulated_vehicle_has_its_certificate(tmp_path: Path) -> None:
    agents, plant = compose.settings(FILES["agents"]), compose.settings(FILES["plant"])
    assert (agents["fleet"], agents["seed"], agents["vehicle_socket"]) == (
        plant["fleet"],
        plant["seed"],
        plant["vehicle_socket"],
    )
    command = SERVICES["keys"]["command"]
    assert tuple(command[command.index("--vehicles") + 1 :]) == tuple(fleet_ids(agents["fleet"]))
    assert SERVICES["renewal"]["command"] == command


def made(home: Path, path: str) -> Path:
    return home / Path(path).relative_to("/var/lib/pitwall")


# --- three command services -----------------------------------------------------------------------------------------


def command(name: str) -> dict[str, Any]:
    return compose.settings(FILES[name])


def dialled(name: str, key: str) -> str:
    """Where others find this command service."""
    return f"{name}:{command(name)[key].rpartition(':')[2]}"


def test_each_command_service_has_the_two_others_for_peers() -> None:
    links = {name: dialled(name, "link_address") for name in compose.COMMANDS}
    for name in compose.COMMANDS:
        assert command(name)["name"] == name
        assert command(name)["peers"] == {peer: link for peer, link in links.items() if peer != name}


@pytest.mark.parametrize("gateway", ["gateway-1", "gateway-2"])
def test_a_gateway_counts_the_leases_of_all_three(gateway: str) -> None:
    links = [dialled(name, "link_address") for name in compose.COMMANDS]
    assert compose.settings(FILES[gateway])["command_services"] == links


def test_people_ask_all_three() -> None:
    addresses = [dialled(name, "operator_address") for name in compose.COMMANDS]
    assert SERVICES["console"]["environment"]["PITWALL_SERVER"].split(",") == addresses
    published = [SERVICES[name]["ports"] for name in compose.COMMANDS]
    assert published == [["127.0.0.1:50052:50052"], ["127.0.0.1:50062:50062"], ["127.0.0.1:50072:50072"]]


def test_each_journal_is_on_a_volume_of_its_own() -> None:
    for name in compose.COMMANDS:
        folder = str(Path(command(name)["journal"]).parent)
        assert compose.mounts(SERVICES[name])[folder] == name
        assert compose.mounts(SERVICES["first-start"])[folder] == name
        # Made in the image for whoever runs there: a new volume takes the owner of what it is mounted on.
        dockerfile = compose.dockerfile(SERVICES[name])
        assert dockerfile is not None
        assert f'"{folder}"' in dockerfile.read_text()


def first_start(home: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Runs the step's program as the container would, with its folders below `home`."""
    step = SERVICES["first-start"]
    for target, source in compose.config_files(step).items():
        below(home, target).parent.mkdir(parents=True, exist_ok=True)
        below(home, target).write_text(source.read_text().replace("/var/lib", f"{home}/var/lib"))
    program = [text.replace("$$", "$") for text in step["entrypoint"]]
    program = [text.replace("/var/lib", f"{home}/var/lib").replace("/etc", f"{home}/etc") for text in program]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [*program, *(names or step["command"])],
        env={**os.environ, "PATH": path},
        cwd=compose.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def below(home: Path, path: str) -> Path:
    return home / path.lstrip("/")


def journal(home: Path, name: str) -> Path:
    return below(home, command(name)["journal"])


def test_first_start_makes_the_journal_of_each_for_a_site_that_has_nothing_to_forget(tmp_path: Path) -> None:
    done = first_start(tmp_path)
    assert done.returncode == 0, done.stderr
    for name in compose.COMMANDS:
        with closing(Store.open(journal(tmp_path, name), name, first_start=False)) as store:
            assert store.complete


def test_first_start_makes_nothing_where_one_of_them_has_been_started(tmp_path: Path) -> None:
    """A journal that it made would be taken for one that has never confirmed anything."""
    assert first_start(tmp_path, "command-1", "command-3").returncode == 0
    done = first_start(tmp_path)
    assert done.returncode == EXIT_CONFIG
    assert "command-1 has been started before" in done.stderr
    assert not journal(tmp_path, "command-2").exists()
    assert first_start(tmp_path, "command-2").returncode == 0


# --- what people look at --------------------------------------------------------------------------------------------


def test_the_kafka_page_shows_each_topic_as_what_is_in_it() -> None:
    (cluster,) = yaml.safe_load((compose.FOLDER / "config/kafka-ui.yaml").read_text())["kafka"]["clusters"]
    assert cluster["readOnly"] is True
    shown = cluster["serde"][0]["properties"]["protobufMessageNameByTopic"]
    as_they_are = {DEAD_LETTER.name, LATE_WINDOWS.name}  # what nobody can decode, and JSON
    assert set(shown) == {topic.name for topic in TOPICS} - as_they_are
    messages = {
        message.full_name
        for module in (telemetry_pb2, alert_pb2, metrics_pb2, event_pb2, registry_pb2)
        for message in module.DESCRIPTOR.message_types_by_name.values()
    }
    assert set(shown.values()) <= messages


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_module_that_is_started_exists(name: str) -> None:
    # A shell's program is one word of several.
    texts = [str(word) for key in ("entrypoint", "command") for word in SERVICES[name].get(key, ())]
    words = " ".join(texts).split()
    modules = [words[i + 1] for i, word in enumerate(words) if word == "-m"]
    for module in modules:
        assert find_spec(module) is not None, module
