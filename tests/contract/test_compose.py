"""deploy/compose: what can be known of the system without an engine that runs it."""

import re
import shutil
import subprocess
import tomllib

import pytest

from tests.support import compose

SERVICES = compose.services()
STEPS = {"keys", "passwords", "topics", "first-start"}
TOOLS = {"console"}
STOP_PATH = {*compose.COMMANDS, "gateway-1", "gateway-2", "agents"}
OURS = {name for name, service in SERVICES.items() if "build" in service}

#: Every key that the file uses, from the Compose specification: a slip of the pen would be ignored or refused.
SERVICE_KEYS = (
    {"build", "image", "pull_policy", "entrypoint", "command", "environment", "init", "profiles", "restart"}
    | {"configs", "volumes", "tmpfs", "shm_size", "networks", "network_mode", "ports"}
    | {"user", "cap_drop", "security_opt", "read_only", "cpu_shares", "deploy"}
    | {"depends_on", "healthcheck", "stop_grace_period", "logging"}
)
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period", "disable"}


def compose_command() -> list[str] | None:
    """Docker's plugin, or Compose by itself, from version 2 on; None where this machine has neither."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            said = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
            if said.returncode == 0 and not said.stdout.startswith("1."):
                return command
    return None


def test_compose_itself_accepts_the_file() -> None:
    command = compose_command()
    if command is None:
        pytest.skip("no Docker Compose from version 2 on here; the other tests of this file have read it all the same")
    profiles = ["--profile", "console", "--profile", "first-start"]
    done = subprocess.run(
        [*command, "-f", str(compose.FILE), *profiles, "config", "--quiet"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_all_keys_are_of_the_compose_specification() -> None:
    document = compose.document()
    top = {key for key in document if not key.startswith("x-")}
    assert top == {"name", "services", "configs", "volumes", "networks"}
    for name, service in SERVICES.items():
        assert set(service) <= SERVICE_KEYS, name
        assert set(service.get("healthcheck", ())) <= HEALTH_KEYS, name
        assert set(service.get("deploy", {"resources": 0})) == {"resources"}, name


def test_the_whole_system_is_there() -> None:
    ours = {*compose.COMMANDS, "gateway-1", "gateway-2", "fleet-1", "stream-jobs", "plant", "agents", "renewal"}
    theirs = {"kafka-1", "kafka-2", "kafka-3", "flink-jobmanager", "flink-taskmanager-1", "flink-taskmanager-2"}
    theirs |= {"postgres", "redis", "prometheus", "grafana", "kafka-ui"}
    assert set(SERVICES) == ours | theirs | STEPS | TOOLS


def test_kafka_keeps_three_copies_and_goes_on_with_two() -> None:
    nodes = {name: SERVICES[name]["environment"] for name in ("kafka-1", "kafka-2", "kafka-3")}
    for name, environment in nodes.items():
        assert environment["KAFKA_DEFAULT_REPLICATION_FACTOR"] == 3
        assert environment["KAFKA_MIN_INSYNC_REPLICAS"] == 2
        assert environment["KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR"] == 3
        assert f"{environment['KAFKA_NODE_ID']}@{name}:9093" in environment["KAFKA_CONTROLLER_QUORUM_VOTERS"]
        assert environment["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{name}:9092"
    assert len({environment["KAFKA_NODE_ID"] for environment in nodes.values()}) == 3
    assert len({environment["CLUSTER_ID"] for environment in nodes.values()}) == 1
    assert SERVICES["topics"]["command"][-2:] == ["--replication", "3"]


def test_each_task_manager_has_four_slots() -> None:
    flink = (compose.FOLDER / "config/flink/config.yaml").read_text()
    assert re.search(r"^taskmanager\.numberOfTaskSlots: 4$", flink, re.MULTILINE)


def test_java_may_load_the_libraries_that_it_unpacks_into_its_temporary_folder() -> None:
    """Docker mounts one without leave to execute unless told so; zstd's records could not be read then."""
    flink = [service for service in SERVICES.values() if service["image"].startswith("pitwall/flink:")]
    assert len(flink) == 4
    assert all(service["tmpfs"] == ["/tmp:exec,mode=1777"] for service in flink)


# --- who waits for whom ---------------------------------------------------------------------------------------------


def test_the_stop_path_waits_for_its_certificates_and_nobody_else() -> None:
    assert {name: set(SERVICES[name]["depends_on"]) for name in STOP_PATH} == {name: {"keys"} for name in STOP_PATH}
    assert "depends_on" not in SERVICES["keys"]
    assert "depends_on" not in SERVICES["plant"]


def test_the_stop_path_has_no_cpu_quota_and_comes_before_the_rest() -> None:
    for name in STOP_PATH | {"plant"}:
        assert "cpus" not in SERVICES[name]["deploy"]["resources"]["limits"], name
        assert SERVICES[name]["cpu_shares"] > 1_024, name


def test_a_step_is_waited_for_to_its_end_and_a_server_by_its_health() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES, (name, other)
            assert (how["condition"] == "service_completed_successfully") == (other in STEPS), (name, other)
            if how["condition"] == "service_healthy":
                assert has_health(other), (name, other)


def has_health(name: str) -> bool:
    dockerfile = compose.dockerfile(SERVICES[name])
    own = SERVICES[name].get("healthcheck", {})
    return "test" in own or bool(dockerfile and re.search(r"^HEALTHCHECK --", dockerfile.read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", sorted(set(SERVICES) - STEPS - TOOLS))
def test_what_runs_on_is_watched_restarted_and_limited(name: str) -> None:
    service = SERVICES[name]
    assert has_health(name)
    assert service["restart"] == "unless-stopped"
    limits = service["deploy"]["resources"]["limits"]
    assert {"memory", "pids"} <= set(limits)
    assert service["logging"]["options"]["max-size"]


# --- what a container may do ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nothing_has_rights_that_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    # kafka-ui's image has an account of its own, whose number its maintainers don't promise.
    assert name == "kafka-ui" or str(service["user"]).partition(":")[0] not in ("0", "root")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    if name in OURS:
        assert service["read_only"] is True


def test_no_password_is_written_down() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            secret = re.search("PASSWORD|SECRET|TOKEN", key)
            assert not secret or (key.endswith("_FILE") and str(value).startswith("/run/passwords/")), (name, key)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name: str) -> None:
    image, tag = SERVICES[name]["image"].rsplit(":", 1)
    assert re.match(r"v?\d+\.\d+", tag), SERVICES[name]["image"]
    if name in OURS:
        version = tomllib.loads((compose.ROOT / "pyproject.toml").read_text())["project"]["version"]
        assert (image.partition("/")[0], tag) == ("pitwall", version)
        # Else a stranger's image of that name could be pulled.
        assert SERVICES[name]["pull_policy"] == "build"


# --- what is named is there -----------------------------------------------------------------------------------------


def test_every_file_and_folder_that_is_mounted_exists() -> None:
    for name, service in SERVICES.items():
        for target, path in compose.config_files(service).items():
            assert path.is_file(), (name, target)
        for target, source in compose.mounts(service).items():
            if source.startswith("."):
                assert (compose.FOLDER / source).exists(), (name, target, source)


def test_volumes_networks_and_configs_are_all_declared_and_all_used() -> None:
    document = compose.document()
    used = {source for s in SERVICES.values() for source in compose.mounts(s).values() if not source.startswith(".")}
    assert used == set(document["volumes"])
    assert {network for s in SERVICES.values() for network in s.get("networks", ())} == set(document["networks"])
    assert {c["source"] for s in SERVICES.values() for c in s.get("configs", ())} == set(document["configs"])


def test_no_two_services_publish_one_port() -> None:
    published = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == len(set(published))
