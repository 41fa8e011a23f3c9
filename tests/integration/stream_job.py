"""A real Flink cluster with the stream job on it, a real Kafka beside it, and how to talk to both."""

import http.client
import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from haul.fleet.v1.registry_pb2 import RegistryEntry
from haul.telemetry.v1.telemetry_pb2 import Reading

from deploy.local.health import tail as last_lines
from deploy.local.options import Server
from deploy.local.tools import CHECKOUT, Tools
from pitwall.kafka_topics import REGISTRY, TELEMETRY, TOPICS, Topic, ensure_topics
from tests.integration.stacks import RunningStack, running
from tests.integration.stream_sweeps import BEGIN_S, reading

#: Of a machine that does other things as well; alone it takes about 20 s.
STARTS_WITHIN_S = 120.0
#: For records to come out of the job that runs. They take less than a second, windows a checkpoint more.
RECORDS_WITHIN_S = 60.0
KEEPER_LOG = "stream-jobs.log"
QUICK = "checkpoint_interval_s = 1\n"
#: Options of a stack with servers alone.
NOTHING_ELSE: dict[str, object] = {"vehicles": 0, "gateways": 0, "command_services": 0, "picture": False}
_POLL_S = 0.1
_RECORDS_TOLD = 12


def get(address: str, path: str) -> tuple[int, bytes]:
    """Status and body; 0 and the error where nobody answers."""
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()
    finally:
        connection.close()


def await_until(what: str, holds: Callable[[], bool], within_s: float, tell: Callable[[], object]) -> None:
    """For what no event tells: Flink's and the keeper's states are only there to be asked for."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not after {within_s:g} s: {what}; {tell()}")
        time.sleep(_POLL_S)


@dataclass
class StreamJob:
    """The job that runs, and a producer of telemetry."""

    stack: RunningStack
    metrics_address: str
    producer: Producer
    config: Path
    keeper: subprocess.Popen[bytes]
    #: Of the keeper, beside ours.
    environment: Mapping[str, str]
    #: Where the keeper's version is.
    code: Path = CHECKOUT
    _tails: dict[str, "Tail"] = field(default_factory=dict)
    _registered: int = 0

    @property
    def bootstrap(self) -> str:
        return self.stack.kafka_bootstrap

    def send(self, reading: Reading, partition: int | None = None) -> None:
        self.send_raw(reading.vehicle_id.encode(), reading.SerializeToString(), partition)

    def send_raw(
        self, key: bytes | None, value: bytes | None, partition: int | None = None, *, topic: Topic = TELEMETRY
    ) -> None:
        if partition is None:
            self.producer.produce(topic.name, value, key)
        else:
            self.producer.produce(topic.name, value, key, partition)

    def register(self, entries: Iterable[RegistryEntry]) -> None:
        """And waits until the job goes by them: by the last one a vehicle is overloaded that would be none without."""
        self._registered += 1
        last = RegistryEntry(vehicle_id=f"REGISTERED-{self._registered}", rated_payload_tons=1)
        for entry in (*entries, last):
            self.send_raw(entry.vehicle_id.encode(), entry.SerializeToString(), topic=REGISTRY)
        sequences = itertools.count(1)

        def known(records: list[Message]) -> bool:
            self.send(reading(last.vehicle_id, next(sequences), BEGIN_S, {"payload_tons": 100.0}))
            self.flush()
            return any(record.key() == last.vehicle_id.encode() for record in records)

        self.tail("vehicle-alerts").until("the registry is known", known)

    def send_all(self, readings: Iterable[Reading], partition: int) -> None:
        """And waits until Kafka has them."""
        for each in readings:
            self.send(each, partition)
        self.flush()

    def flush(self) -> None:
        assert self.producer.flush(30) == 0

    def tail(self, topic: str) -> "Tail":
        """One per topic: what has been read is kept."""
        if topic not in self._tails:
            self._tails[topic] = Tail(self.bootstrap, topic, self.told)
        return self._tails[topic]

    def flink(self, path: str) -> dict[str, object]:
        """An answer of the job manager."""
        status, body = get(self.stack.address("flink"), path)
        assert status == http.client.OK, (path, status, body)
        answer: dict[str, object] = json.loads(body)
        return answer

    def told(self) -> str:
        """What the keeper and Flink say, for whoever asks why something hasn't come."""
        health = get(self.metrics_address, "/healthz")
        jobs = get(self.stack.address("flink"), "/jobs/overview")
        log = last_lines(self.stack.places.logs / KEEPER_LOG)
        return f"the keeper's health: {health}\nFlink's jobs: {jobs}\nthe keeper's log ends:\n{log}"

    def job_ids(self) -> list[str]:
        """Of those that run, but for a recompute. Flink remembers what it ran before, too."""
        return [job["jid"] for job in self._running()]

    def _running(self) -> list[dict[str, str]]:
        jobs: object = self.flink("/jobs/overview")["jobs"]
        assert isinstance(jobs, list)
        return [job for job in jobs if job["state"] == "RUNNING" and "recompute" not in job["name"]]

    def failures(self) -> object:
        """Of the job's tasks, since it was submitted; each made it restart."""
        history: object = self.flink(f"/jobs/{self.job_ids()[0]}/exceptions")["exceptionHistory"]
        assert isinstance(history, Mapping)
        return history["entries"]

    def flink_metric(self, name: str) -> float:
        """Of the stream job's operators, added up, as Flink's Prometheus reporter has it."""
        lines = get(self.stack.address("flink-taskmanager-metrics"), "/metrics")[1].decode().splitlines()
        start = f"flink_taskmanager_job_task_operator_{name}{{"
        found = [line for line in lines if line.startswith(start) and "recompute" not in line]
        assert found, f"Flink reports no {name}"
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def submissions(self) -> int:
        return int(self.keeper_metric("submissions_total"))

    def keeper_metric(self, name: str) -> float:
        text = get(self.metrics_address, "/metrics")[1].decode()
        start = f"pitwall_stream_job_{name} "
        return float(next(line.removeprefix(start) for line in text.splitlines() if line.startswith(start)))

    def recompute(self, begin_s: int, end_s: int) -> tuple[int, dict[str, object]]:
        """By the command: its exit code, and the last it says."""
        done = self.run_by_hand(CHECKOUT, "recompute", "--from", str(begin_s), "--to", str(end_s))
        answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return done.returncode, answer

    def log(self) -> list[dict[str, object]]:
        """What the keepers have said, a line each; what Java has said in between is left out."""
        lines = (self.stack.places.logs / KEEPER_LOG).read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"timestamp"')]

    def version(self) -> str:
        """Of the job that runs; empty where none does."""
        return " ".join(job["name"].rpartition(" ")[2] for job in self._running())

    def deploy(self, code: Path) -> None:
        """Ends the keeper, where it hasn't ended, and starts that of another version, as people who upgrade do."""
        if self.keeper.poll() is None:
            self.keeper.terminate()
            assert self.keeper.wait(20) == 0
        self.code = code
        self.keeper = _start_keeper(self.config, self.stack.places.logs / KEEPER_LOG, code, self.environment)

    def run_by_hand(self, code: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """python -m flink_jobs, of that version: Python looks for code where it is started before it looks there."""
        command, environment = _command(self.config, code, self.environment)
        return subprocess.run(
            [*command, *arguments],
            env=environment,
            cwd=self.config.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=STARTS_WITHIN_S,
        )

    def await_running(self, within_s: float = STARTS_WITHIN_S) -> None:
        def running() -> bool:
            return get(self.metrics_address, "/healthz")[0] == http.client.OK

        await_until("the job runs", running, within_s, self.told)

    def await_checkpoint(self, within_s: float = RECORDS_WITHIN_S) -> None:
        """One that began after now."""
        since_ms = time.time() * 1000

        def done() -> bool:
            answer: object = self.flink(f"/jobs/{self.job_ids()[0]}/checkpoints")["latest"]
            assert isinstance(answer, Mapping)
            completed = answer["completed"]
            return completed is not None and completed["trigger_timestamp"] > since_ms

        await_until("a checkpoint", done, within_s, self.told)


class Tail:
    """All records of a topic from its beginning, as readers of committed records see them."""

    def __init__(self, bootstrap: str, topic: str, tell: Callable[[], str]) -> None:
        settings = {"bootstrap.servers": bootstrap, "group.id": "test", "enable.auto.commit": False}
        self._consumer = Consumer(settings | {"isolation.level": "read_committed"})
        partitions = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        self._consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        self._topic, self._tell = topic, tell
        self.records: list[Message] = []

    def until(
        self, what: str, holds: Callable[[list[Message]], bool], within_s: float = RECORDS_WITHIN_S
    ) -> list[Message]:
        """What there is once it holds. AssertionError with the last records when it doesn't in time."""
        deadline = time.monotonic() + within_s
        while not holds(self.records):
            for message in self._consumer.consume(1000, timeout=0.2):
                assert message.error() is None, message.error()
                self.records.append(message)
            if time.monotonic() > deadline:
                raise AssertionError(f"{self._topic}: not after {within_s:g} s: {what}; {self._seen()}\n{self._tell()}")
        return self.records

    def read(self) -> list[Message]:
        """What has come since, at once."""
        came = self._consumer.consume(1000, timeout=0)
        assert all(message.error() is None for message in came), came
        self.records += came
        return came

    def _seen(self) -> str:
        last = "\n".join(_shown(message) for message in self.records[-_RECORDS_TOLD:])
        return f"{len(self.records)} records, the last of them:\n{last}"

    def close(self) -> None:
        self._consumer.close()


def _shown(message: Message) -> str:
    """Where and when it was written, and which event it is."""
    event = dict(message.headers() or []).get("ce_id")
    return (
        f"  {message.partition()}:{message.offset()} at {message.timestamp()[1]}: key {message.key()!r}, id {event!r}"
    )


@contextmanager
def stream_job(**settings: float) -> Iterator[StreamJob]:
    """Kafka and Flink of its own, and the keeper as a child, in its own environment as in production.

    settings: as flink_jobs.settings has them.
    """
    with running("streams", servers=frozenset({Server.KAFKA, Server.FLINK}), **NOTHING_ELSE) as stack:
        text = "".join(f"{key} = {value}\n" for key, value in settings.items())
        with kept(stack, f'checkpoint_dir = "{stack.places.data}/flink/checkpoints"\n{text}') as job:
            yield job


@contextmanager
def kept(
    stack: RunningStack, settings: str, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[StreamJob]:
    """The job on this stack's Flink. settings: TOML, beside the addresses."""
    ensure_topics(stack.kafka_bootstrap, TOPICS)
    config, metrics_address = stack.places.config / "stream-jobs.toml", stack.address("stream-jobs-metrics")
    config.write_text(
        f'kafka_bootstrap = "{stack.kafka_bootstrap}"\n'
        f'flink_address = "{stack.address("flink")}"\n'
        f'metrics_address = "{metrics_address}"\n'
        f"{'' if 'checkpoint_interval_s' in settings else QUICK}{settings}"
    )
    producer = Producer({"bootstrap.servers": stack.kafka_bootstrap, "enable.idempotence": True, "linger.ms": 5})
    keeper = _start_keeper(config, stack.places.logs / KEEPER_LOG, CHECKOUT, environment)
    job = StreamJob(stack, metrics_address, producer, config, keeper, environment)
    try:
        job.await_running()
        yield job
    finally:
        for tail in job._tails.values():
            tail.close()
        producer.close()
        job.keeper.terminate()
        assert job.keeper.wait(20) == 0


def _start_keeper(config: Path, log: Path, code: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command, whole = _command(config, code, environment)
    with log.open("ab") as out:
        return subprocess.Popen(command, env=whole, stdout=out, stderr=out, cwd=config.parent)


def _command(config: Path, code: Path, environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    own = {"PYTHONPATH": str(code), "JAVA_HOME": str(Tools(os.environ).java_home())}
    whole = os.environ | own | dict(environment)
    python = CHECKOUT / "flink_jobs/.venv/bin/python"
    return [str(python), "-m", "flink_jobs", "--config", str(config)], whole
