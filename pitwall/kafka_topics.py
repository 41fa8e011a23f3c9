"""The topics, and the step that makes them."""

from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from pitwall.kafka_producer import LIBRARY_LOG_LEVEL

#: Of a compacted topic: what is newer than a segment is kept whole, and read whole at each start of a reader.
COMPACTED_SEGMENT_BYTES: Final = 16 * 1024 * 1024
DAY_MS: Final = 24 * 3600 * 1000
#: What a vehicle keeps of readings that nobody acknowledged.
OUTBOX_RETENTION_DAYS: Final = 7
ADMIN_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Topic:
    """`retention_days` by record time. Compacted: each key's last record stays, a deletion for `retention_days`."""

    name: str
    partitions: int
    retention_days: int
    compacted: bool = False

    @property
    def cleanup_policy(self) -> str:
        return "compact" if self.compacted else "delete"


TELEMETRY: Final = Topic("vehicle-telemetry", 3, 14)
ALERTS: Final = Topic("vehicle-alerts", 2, 30)
METRICS: Final = Topic("vehicle-metrics", 2, 30)
STATUS_CHANGE: Final = Topic("vehicle-status-change", 1, 30)
#: As long as a stop is remembered (stop_retention, 90 days).
COMMANDS: Final = Topic("vehicle-commands", 1, 90)
#: Windows that are out and lack readings; from the stream job to its recompute.
LATE_WINDOWS: Final = Topic("late-windows", 1, 14)
DEAD_LETTER: Final = Topic("dead-letter-topic", 1, 30)
#: The whole registry, always.
REGISTRY: Final = Topic("vehicle-registry", 1, 30, compacted=True)

TOPICS: Final = (TELEMETRY, ALERTS, METRICS, STATUS_CHANGE, COMMANDS, LATE_WINDOWS, DEAD_LETTER, REGISTRY)

# A reader that was away as long as a vehicle still finds what the vehicle brings back with it.
assert all(topic.retention_days > OUTBOX_RETENTION_DAYS for topic in TOPICS)


class TopicError(Exception):
    """Names the topic, what is wrong and the mend."""


def ensure_topics(
    bootstrap: str,
    topics: tuple[Topic, ...] = TOPICS,
    *,
    replication: int = 1,
    timeout_s: float = ADMIN_TIMEOUT_S,
) -> list[str]:
    """Creates what is missing and returns those names. Repeat freely. Blocks: for a one-shot process.

    Raises TopicError where Kafka can't be reached, refuses, or has a topic with another number of partitions (more
    would send a vehicle's key elsewhere and break its order) or another cleanup policy (compacted, a topic of readings
    loses all but the last of each vehicle): those are decisions for people.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": LIBRARY_LOG_LEVEL})
    try:
        existing = admin.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise TopicError(f"Kafka at {bootstrap} does not answer: {error.args[0].str()}; start it first") from error
    there = [topic for topic in topics if topic.name in existing]
    for topic in there:
        _check_partitions(topic, len(existing[topic.name].partitions))
    for topic, policy in zip(there, _cleanup_policies(admin, there, timeout_s), strict=True):
        _check_cleanup(topic, policy)
    missing = [topic for topic in topics if topic.name not in existing]
    return [topic.name for topic in missing if _created(admin, topic, replication, timeout_s)]


def _cleanup_policies(admin: AdminClient, topics: list[Topic], timeout_s: float) -> list[str]:
    resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics]
    if not resources:
        return []
    futures = admin.describe_configs(resources, request_timeout=timeout_s)
    try:
        return [str(futures[resource].result(timeout_s)["cleanup.policy"].value) for resource in resources]
    except KafkaException as error:
        raise TopicError(f"Kafka does not say how its topics are kept: {error.args[0].str()}") from error


def _check_cleanup(topic: Topic, policy: str) -> None:
    if policy != topic.cleanup_policy:
        raise TopicError(
            f"{topic.name} has cleanup.policy={policy}, {topic.cleanup_policy} is wanted; set it with kafka-configs.sh "
            f"--alter --topic {topic.name} --add-config cleanup.policy={topic.cleanup_policy}"
        )


def _check_partitions(topic: Topic, partitions: int) -> None:
    if partitions != topic.partitions:
        raise TopicError(
            f"{topic.name} has {partitions} partitions, {topic.partitions} are wanted; "
            "delete it where its records don't matter, or migrate it"
        )


def _created(admin: AdminClient, topic: Topic, replication: int, timeout_s: float) -> bool:
    new = NewTopic(topic.name, topic.partitions, replication, config=topic_config(topic, replication))
    future = admin.create_topics([new], operation_timeout=timeout_s)[topic.name]
    try:
        future.result(timeout_s)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False  # another process was faster
        raise TopicError(f"{topic.name} can't be created: {error.args[0].str()}") from error
    return True


def topic_config(topic: Topic, replication: int) -> dict[str, str]:
    """With three replicas a record is acknowledged when two have it."""
    kept_ms = str(topic.retention_days * DAY_MS)
    kept = {"retention.ms": kept_ms}
    if topic.compacted:
        kept = {"delete.retention.ms": kept_ms, "segment.bytes": str(COMPACTED_SEGMENT_BYTES)}
    return kept | {
        "cleanup.policy": topic.cleanup_policy,
        "min.insync.replicas": str(2 if replication >= 3 else 1),
    }
