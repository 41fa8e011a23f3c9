"""What shows the fleet: the fleet service, and the process that keeps the stream jobs running on Flink."""

from deploy.local.options import StackOptions
from deploy.local.places import Places
from deploy.local.probes import HttpProbe
from deploy.local.process import ConfigFile, Directory, Group, Part, Process, joined
from deploy.local.servers.postgres import password_file
from deploy.local.services import address, kafka_bootstrap, service, tls
from deploy.local.toml import Value, toml_text
from deploy.local.tools import Tools

STREAM_JOBS = "stream-jobs"


def fleet_services(options: StackOptions) -> Part:
    """The fleet services; each waits by itself for the stores and topics that it reads."""
    return joined([_fleet_service(options, name) for name in options.fleet_services])


def stream_jobs(options: StackOptions, tools: Tools) -> Part:
    """The keeper, in an environment of its own; Flink itself is one of the servers."""
    if not options.stream_jobs:
        return Part()
    places, ports = Places(options.home), options.ports
    checkpoints, metrics = places.data / "flink" / "checkpoints", ports[f"{STREAM_JOBS}-metrics"]
    config = places.config / f"{STREAM_JOBS}.toml"
    keys: dict[str, Value] = {
        "kafka_bootstrap": kafka_bootstrap(options),
        "flink_address": address(ports["flink"]),
        "checkpoint_dir": checkpoints,
        "metrics_address": address(metrics),
    }
    process = Process(
        name=STREAM_JOBS,
        command=(str(tools.flink_python()), "-m", "flink_jobs", "--config", str(config)),
        group=Group.PICTURE,
        health=HttpProbe(metrics, "/healthz"),
        ports={f"{STREAM_JOBS}-metrics": metrics},
        directory=options.home,
        environment={"PYTHONPATH": str(tools.checkout), "JAVA_HOME": str(tools.java_home())},
        needs_topics=True,
    )
    return Part((process,), (ConfigFile(config, toml_text(keys)),), (Directory(checkpoints),))


def _fleet_service(options: StackOptions, name: str) -> Part:
    places, ports = Places(options.home), options.ports
    keys: dict[str, Value] = {
        "name": name,
        "operator_address": address(ports[name]),
        "metrics_address": address(ports[f"{name}-metrics"]),
        "kafka_bootstrap": kafka_bootstrap(options),
        "redis_address": address(ports["redis"]),
        "jwks": places.certs / "jwks.json",
    }
    postgres: dict[str, Value] = {"port": ports["postgres"], "password_file": password_file(places)}
    text = toml_text(keys, {"postgres": postgres, "tls": tls(places, name)})
    return service(options, name, "fleet_service", text, {name: ports[name]}, Group.PICTURE)
