"""The third-party servers really start, answer, and leave nothing behind; without Pitwall's own processes.

That all four of them do is in test_picture.py, beside all that is Pitwall's.
"""

import os
import shutil
import signal
import socket

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.local import lifecycle
from deploy.local.errors import StackError
from deploy.local.leftovers import leftovers
from deploy.local.options import Server, StackOptions
from deploy.local.procfs import await_end
from tests.integration.conftest import StartStack
from tests.integration.stacks import RunningStack

# Servers may take their two minutes to start on a busy machine; the stack's own error says more than a timeout.
pytestmark = pytest.mark.timeout(300)

SERVERS_ONLY: dict[str, object] = {"vehicles": 0, "gateways": 0, "command_services": 0, "picture": False}
REDIS_ONLY = SERVERS_ONLY | {"servers": frozenset({Server.REDIS})}


def ports_in_use(stack: RunningStack) -> list[int]:
    used = []
    for port in {port for process in stack.stack.processes for port in process.ports.values()}:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                used.append(port)
    return used


def assert_nothing_left(stack: RunningStack) -> None:
    assert leftovers(stack.places) == set()
    assert ports_in_use(stack) == []
    assert not stack.places.supervisor_socket.exists()


def test_kafka_takes_a_record_and_gives_it_back(kafka: RunningStack) -> None:
    topic = "what-goes-in"
    admin = AdminClient({"bootstrap.servers": kafka.kafka_bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(timeout=30)
    producer = Producer({"bootstrap.servers": kafka.kafka_bootstrap, "enable.idempotence": True})
    producer.produce(topic, b"comes out")
    assert producer.flush(30) == 0
    settings = {"bootstrap.servers": kafka.kafka_bootstrap, "group.id": "test", "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.value() == b"comes out"


def test_a_process_that_is_killed_is_started_again(start_stack: StartStack) -> None:
    stack = start_stack(**REDIS_ONLY)
    before = stack.pid("redis")
    stack.kill("redis")
    assert await_end([before], within_s=10)
    stack.await_healthy("redis")
    assert stack.pid("redis") != before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_or_hung_supervisor_leaves_nothing_that_down_does_not_find(
    start_stack: StartStack, how: signal.Signals
) -> None:
    servers = frozenset({Server.REDIS, Server.POSTGRES})
    stack = start_stack(**(SERVERS_ONLY | {"servers": servers}))
    os.kill(stack.supervisor.pid(), how)
    assert leftovers(stack.places)
    lifecycle.down(stack.home)
    assert_nothing_left(stack)


def test_a_stack_whose_home_was_deleted_is_found_and_stopped(start_stack: StartStack) -> None:
    stack = start_stack(**REDIS_ONLY)
    shutil.rmtree(stack.home)
    assert leftovers(stack.places)
    lifecycle.down(stack.home)
    assert_nothing_left(stack)


def test_up_again_with_the_same_options_keeps_the_processes_and_with_others_is_refused(
    start_stack: StartStack,
) -> None:
    stack = start_stack(**REDIS_ONLY)
    pid = stack.pid("redis")
    lifecycle.up(stack.options)
    assert stack.pid("redis") == pid
    others = StackOptions(stack.home, stack.options.ports, seed=2)
    with pytest.raises(StackError, match="make down"):
        lifecycle.up(others)
    assert stack.pid("redis") == pid


def test_a_server_that_cannot_start_fails_up_with_the_end_of_its_log_and_leaves_nothing(
    start_stack: StartStack,
) -> None:
    stack = start_stack(**(SERVERS_ONLY | {"servers": frozenset({Server.POSTGRES})}))
    lifecycle.down(stack.home)
    (version,) = stack.places.postgres.glob("data-*/PG_VERSION")
    version.write_text("9.6")
    with pytest.raises(StackError, match="postgres doesn't stay up") as caught:
        lifecycle.up(stack.options)
    assert "not compatible" in str(caught.value)
    assert_nothing_left(stack)
