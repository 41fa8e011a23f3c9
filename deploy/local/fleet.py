"""What `up` does once the processes run: make Kafka's topics, wait for the vehicles, resume them.

The vehicles are resumed as an operator would: by the real order, from the command line tool.
"""

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
from haul.command.v1.command_service_pb2 import ListMotionStatesRequest
from haul.command.v1.command_service_pb2_grpc import CommandServiceStub
from haul.command.v1.order_pb2 import MotionState
from haul.telemetry.v1.telemetry_pb2 import CONNECTIVITY_CONNECTED, MOTION_HOLD_BOOT, MOTION_HOLD_LINK_LOST

from deploy.local.errors import StackError
from deploy.local.services import kafka_bootstrap
from deploy.local.stack import Stack
from deploy.local.supervisord import log_file
from pitwall.kafka_topics import TopicError, ensure_topics
from pitwall.words import some

CONNECTED_WITHIN_S = 60.0
RESUMED_WITHIN_S = 30.0
_CALL_TIMEOUT_S = 5.0
_POLL_S = 0.2
_RESUMABLE = (MOTION_HOLD_BOOT, MOTION_HOLD_LINK_LOST)
_PAGE_SIZE = 1_000
_LAST_LINES = 12


def make_topics(stack: Stack) -> None:
    """Those that are missing."""
    try:
        ensure_topics(kafka_bootstrap(stack.options))
    except TopicError as error:
        raise StackError(f"Kafka's topics could not be made: {error}") from error


def resume(stack: Stack) -> None:
    """Waits until each vehicle is connected, then ends the holds of those that may be resumed.

    A vehicle that is stopped stays so: only a release by two people ends that. On a machine that is busy starting, an
    order can come too late for the heartbeat that it names; it then did nothing, and is given again.
    """
    wanted = set(stack.options.vehicle_ids)
    with _command_service(stack) as service:
        _await_connected(stack, service, wanted)
        deadline = time.monotonic() + RESUMED_WITHIN_S
        while held := sorted(_held(_motion_states(service)) & wanted):
            done = _run(stack, "resume", _resume_command(stack, held))
            if time.monotonic() > deadline:
                raise StackError(f"not resumed after {RESUMED_WITHIN_S:.0f} s: {some(held)}. {_end(done)}")


def _await_connected(stack: Stack, service: CommandServiceStub, wanted: set[str]) -> None:
    deadline = time.monotonic() + CONNECTED_WITHIN_S
    while missing := wanted - _connected(_motion_states(service)):
        if time.monotonic() > deadline:
            raise StackError(
                f"not connected after {CONNECTED_WITHIN_S:.0f} s: {some(sorted(missing))}; "
                f"look at {log_file(stack.places, 'agents')}"
            )
        time.sleep(_POLL_S)


def _connected(states: Iterable[MotionState]) -> set[str]:
    return {state.vehicle_id for state in states if state.connectivity == CONNECTIVITY_CONNECTED}


def _held(states: Iterable[MotionState]) -> set[str]:
    return {state.vehicle_id for state in states if state.motion_hold in _RESUMABLE}


def _resume_command(stack: Stack, vehicle_ids: Sequence[str]) -> list[str]:
    """By name: the site may remember vehicles that an earlier, larger stack had."""
    places, pitwall = stack.places, str(Path(sys.executable).with_name("pitwall"))
    where = ["--server", _server(stack), "--ca", str(places.certs / "ca.pem")]
    return [pitwall, "order", "RESUME", *vehicle_ids, *where, "--token-file", str(places.tokens / "operator")]


def _motion_states(service: CommandServiceStub) -> list[MotionState]:
    states: list[MotionState] = []
    request = ListMotionStatesRequest(page_size=_PAGE_SIZE)
    while True:
        answer = service.ListMotionStates(request, timeout=_CALL_TIMEOUT_S, wait_for_ready=True)
        states += answer.motion_states
        if not answer.next_page_token:
            return states
        request.page_token = answer.next_page_token


@contextmanager
def _command_service(stack: Stack) -> Iterator[CommandServiceStub]:
    token = (stack.places.tokens / "operator").read_text().strip()
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials((stack.places.certs / "ca.pem").read_bytes()),
        grpc.access_token_call_credentials(token),
    )
    with grpc.secure_channel(_server(stack), credentials) as channel:
        yield CommandServiceStub(channel)


def _server(stack: Stack) -> str:
    return f"localhost:{stack.options.ports['command-1']}"


def _run(stack: Stack, step: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs one step to its end with its output in a log of its own."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=stack.places.home)
    log_file(stack.places, step).write_text(result.stdout + result.stderr)
    return result


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return "Its last words:\n" + "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
