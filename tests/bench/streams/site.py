"""Kafka and Flink of its own, with one job on it at a time."""

import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from deploy.local.options import Server
from deploy.local.tools import CHECKOUT, Tools
from pitwall.kafka_topics import TELEMETRY, TOPICS, ensure_topics
from tests.integration.stacks import RunningStack, running
from tests.integration.stream_job import await_until, get

CHECKPOINT_INTERVAL_S = 5.0
TASK_MANAGER = "flink-taskmanager"
_SUBMITS_WITHIN_S = 120.0
_RUNS_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Site:
    """Of these a run takes one: what is started on it is all that the task manager does."""

    stack: RunningStack

    @property
    def bootstrap(self) -> str:
        return self.stack.kafka_bootstrap

    def skip(self, name: str) -> None:
        """The job of that name will begin with what comes from now on."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": name, "enable.auto.commit": False})
        partitions = [TopicPartition(TELEMETRY.name, number) for number in range(TELEMETRY.partitions)]
        for partition in partitions:
            partition.offset = consumer.get_watermark_offsets(partition, timeout=10)[1]
        consumer.commit(offsets=partitions, asynchronous=False)
        consumer.close()

    @contextmanager
    def job(self, name: str, *command: str, idle_timeout_s: float = 30.0) -> Iterator["RunningJob"]:
        """`command`: a module that prints the id of the job that it has submitted, and what goes before its settings.

        On a new task manager, so that none has another's classes and garbage. `name` is the consumer group as well:
        each reads the topic from its beginning.
        """
        self.stack.supervisor.stop(TASK_MANAGER)
        self.stack.supervisor.start(TASK_MANAGER)
        self.stack.await_healthy(TASK_MANAGER)
        config = self.stack.places.config / f"{name}.toml"
        config.write_text(
            f'name = "{name}"\nkafka_bootstrap = "{self.bootstrap}"\nflink_address = "{self.stack.address("flink")}"\n'
            f'checkpoint_dir = "{self.stack.places.data}/flink/checkpoints"\n'
            f"checkpoint_interval_s = {CHECKPOINT_INTERVAL_S}\nidle_timeout_s = {idle_timeout_s}\n"
        )
        job = RunningJob(self.stack, _submitted([*command, str(config)], self.stack.places.logs / f"{name}.log"))
        try:
            yield job
        finally:
            job.cancel()


def _submitted(command: list[str], log: Path) -> str:
    environment = os.environ | {"PYTHONPATH": f"{CHECKOUT}", "JAVA_HOME": str(Tools(os.environ).java_home())}
    python = CHECKOUT / "flink_jobs/.venv/bin/python"
    with log.open("ab") as complaints:
        done = subprocess.run(
            [str(python), "-m", *command],
            env=environment,
            cwd=log.parent,
            timeout=_SUBMITS_WITHIN_S,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise RuntimeError(f"{command} failed: {log.read_text()[-2_000:]}")
    return done.stdout.split()[-1]


@dataclass(frozen=True, slots=True)
class RunningJob:
    stack: RunningStack
    job_id: str

    def rest(self, path: str) -> dict[str, object]:
        """An answer of the job manager about this job."""
        status, body = get(self.stack.address("flink"), f"/jobs/{self.job_id}{path}")
        if status != http.client.OK:
            raise RuntimeError(f"the job manager answers {path} with {status}: {body[:500]!r}")
        answer: dict[str, object] = json.loads(body)
        return answer

    def metrics(self, name: str) -> list[tuple[str, float]]:
        """(labels, value) of Flink's metric in the task manager, of each operator that has it."""
        text = get(self.stack.address("flink-taskmanager-metrics"), "/metrics")[1].decode()
        found = [line.rpartition(" ") for line in text.splitlines() if line.startswith(f"flink_taskmanager_{name}{{")]
        return [(labels, float(value)) for labels, _, value in found]

    @property
    def readings_read(self) -> int:
        """Records that the source has handed on."""
        found = self.metrics("job_task_operator_numRecordsOut")
        return int(sum(value for labels, value in found if 'operator_name="Source:_readings' in labels))

    @property
    def pid(self) -> int:
        return self.stack.pid(TASK_MANAGER)

    def cancel(self) -> None:
        connection = http.client.HTTPConnection(self.stack.address("flink"), timeout=10)
        connection.request("PATCH", f"/jobs/{self.job_id}?mode=cancel")
        connection.getresponse().read()
        connection.close()
        await_until("the job is cancelled", lambda: self.rest("")["state"] == "CANCELED", _RUNS_WITHIN_S, lambda: "")


@contextmanager
def site(name: str) -> Iterator[Site]:
    nothing: dict[str, object] = {"vehicles": 0, "gateways": 0, "command_services": 0, "picture": False}
    with running(name, servers=frozenset({Server.KAFKA, Server.FLINK}), **nothing) as stack:
        ensure_topics(stack.kafka_bootstrap, TOPICS)
        yield Site(stack)
