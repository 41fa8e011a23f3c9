"""One Kafka node that is broker and controller (KRaft)."""

import base64
import hashlib

from deploy.local.options import StackOptions
from deploy.local.places import Places
from deploy.local.probes import KafkaProbe
from deploy.local.process import ConfigFile, Directory, Group, Part, Process
from deploy.local.servers.log4j import console_logging
from deploy.local.tools import Tools

_HEAP = "-Xms256m -Xmx512m"

# Replication 1 and no wait for new group members: there is one node. Topics are made by a step of ours, with their
# partitions and retention, never by whoever writes first.
_SERVER = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
group.initial.rebalance.delay.ms=0
"""

# Formatting gives the directory its cluster id; done once, and here rather than before the start of everything, so that
# the stop path comes up meanwhile.
_START = """\
set -e
kafka() {{
  exec '{java}' {heap} -XX:+ExitOnOutOfMemoryError -Dlog4j2.configurationFile='{logging}' -cp '{classpath}' "$@"
}}
if ! [ -f '{data}/meta.properties' ]; then
  (kafka kafka.tools.StorageTool format --ignore-formatted --cluster-id='{cluster}' --config='{server}')
fi
kafka kafka.Kafka '{server}'
"""


def kafka(options: StackOptions, tools: Tools) -> Part:
    """The broker, its configuration, and its script."""
    places, ports = Places(options.home), options.ports
    data, server = places.data / "kafka", places.config / "kafka.properties"
    script, logging = places.config / "kafka.sh", places.config / "kafka-log4j2.properties"
    start = _START.format(
        java=tools.java_home() / "bin/java",
        heap=_HEAP,
        logging=logging,
        classpath=tools.kafka_classpath(),
        data=data,
        cluster=_cluster_id(places),
        server=server,
    )
    process = Process(
        name="kafka",
        command=("/bin/sh", str(script)),
        group=Group.SERVERS,
        health=KafkaProbe(ports["kafka"]),
        ports={"kafka": ports["kafka"], "kafka-controller": ports["kafka-controller"]},
        directory=data,
    )
    properties = _SERVER.format(port=ports["kafka"], controller=ports["kafka-controller"], data=data)
    return Part(
        processes=(process,),
        files=(
            ConfigFile(server, properties),
            ConfigFile(script, start),
            ConfigFile(logging, console_logging()),
        ),
        directories=(Directory(data),),
    )


def _cluster_id(places: Places) -> str:
    """16 bytes in URL-safe base64, as Kafka wants them; the same again for the same home."""
    return base64.urlsafe_b64encode(hashlib.sha256(places.tag.encode()).digest()[:16]).decode().rstrip("=")
