"""Flink as a session cluster: a job manager and one task manager. Jobs are submitted to it later."""

import re
from pathlib import Path

from deploy.local.errors import ToolMissingError
from deploy.local.options import StackOptions
from deploy.local.places import Places
from deploy.local.probes import FlinkProbe
from deploy.local.process import ConfigFile, Directory, Group, Part, Process
from deploy.local.servers.log4j import console_logging
from deploy.local.tools import Tools

# State per vehicle is small, so it stays on the heap with checkpoints (RocksDB costs 40 % of the speed), and little
# memory is kept for operators that manage their own. Sizes are of whole processes. All of it is on one site, so what
# is gone is noticed in 10 s rather than Flink's 50, and what is back within 2 s rather than 30.
# The job manager's work is short: without the optimizing compiler it starts with 8 CPU-s instead of 14.
_CONFIG = """\
env.java.opts.all: {java_options}
env.java.opts.jobmanager: -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: {rpc}
jobmanager.bind-host: 127.0.0.1
jobmanager.memory.process.size: 800m
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.memory.process.size: 1200m
taskmanager.memory.managed.size: 64m
taskmanager.numberOfTaskSlots: 4
parallelism.default: 1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: {rest}
rest.bind-port: {rest}
heartbeat.interval: 1 s
heartbeat.timeout: 10 s
cluster.registration.max-timeout: 2 s
cluster.registration.error-delay: 1 s
cluster.registration.refused-registration-delay: 1 s
metrics.reporter.prom.factory.class: org.apache.flink.metrics.prometheus.PrometheusReporterFactory
io.tmp.dirs: '{data}/tmp'
web.tmpdir: '{data}/tmp'
state.backend.type: hashmap
execution.checkpointing.dir: 'file://{data}/checkpoints'
execution.checkpointing.savepoint-dir: 'file://{data}/savepoints'
"""


def flink(options: StackOptions, tools: Tools) -> Part:
    """Both processes; they share their configuration."""
    places, ports, flink_home = Places(options.home), options.ports, tools.flink_home()
    data, config = places.data / "flink", places.config / "flink"
    text = _CONFIG.format(
        java_options=_shipped_java_options(flink_home),
        rpc=ports["flink-rpc"],
        rest=ports["flink"],
        data=data,
    )
    environment = {
        "FLINK_CONF_DIR": str(config),
        "FLINK_LOG_DIR": str(places.logs),
        "FLINK_PID_DIR": str(data / "pids"),
        "JAVA_HOME": str(tools.java_home()),
    }

    def process(name: str, script: str, numbers: dict[str, int], health: FlinkProbe) -> Process:
        metrics = ports[f"{name}-metrics"]
        own = ("-D", f"metrics.reporter.prom.port={metrics}")
        command = ("/bin/bash", str(flink_home / "bin" / script), "start-foreground", *own)
        numbers = numbers | {f"{name}-metrics": metrics}
        return Process(name, command, Group.SERVERS, health, numbers, data, environment)

    rest = {"flink": ports["flink"], "flink-rpc": ports["flink-rpc"]}
    return Part(
        processes=(
            process("flink-jobmanager", "jobmanager.sh", rest, FlinkProbe(ports["flink"], 0)),
            process("flink-taskmanager", "taskmanager.sh", {}, FlinkProbe(ports["flink"], 1)),
        ),
        files=(
            ConfigFile(config / "config.yaml", text),
            ConfigFile(config / "log4j-console.properties", console_logging({"org.apache.pekko": "warn"})),
        ),
        directories=(Directory(data), Directory(data / "tmp"), Directory(data / "pids"), Directory(config)),
    )


def _shipped_java_options(flink_home: Path) -> str:
    """The --add-opens that Flink ships with: without them Java 17 refuses."""
    shipped = flink_home / "conf/config.yaml"
    found = re.search(r"^\s+all: (--add-\S.*)$", shipped.read_text(), re.MULTILINE)
    if found is None:
        raise ToolMissingError(f"{shipped} has no env.java.opts.all; reinstall Flink with deploy/local/bootstrap.sh")
    return found[1]
