"""Stops while everything stateful is hung, then dead: Kafka, Redis, PostgreSQL, Flink and the collector of spans."""

import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from haul.command.v1 import command_service_pb2 as api
from haul.command.v1.command_service_pb2_grpc import CommandServiceStub
from haul.command.v1.stop_pb2 import Scope, VehicleList

from pitwall.ids import uuid7
from tests.bench.driving_fleet import DrivingFleet
from tests.integration.picture_rig import picture
from tests.integration.stacks import RunningStack
from tests.support.collector import Collector
from tests.support.commands import command_service
from tests.support.fault_proxy import FaultProxy
from tests.support.picture import await_none
from tests.support.plant import Plant

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

STATEFUL = ("kafka", "redis", "postgres", "flink-jobmanager", "flink-taskmanager")
STOPS = 100
#: p99 from the stop to braking, as a multiple of the healthy figure.
WORSE_BY = 1.5
#: A stop that has no hold of its vehicle by then has not bitten: lease_ttl and a period, seconds.
BITES_WITHIN_S = 2.25
CALL_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Site:
    """A whole stack, whose processes send spans to a collector through a line that can be broken."""

    stack: RunningStack
    line: FaultProxy
    fleet: DrivingFleet
    operator: CommandServiceStub

    def stops(self) -> list[float]:
        """From each stop to the braking of its vehicle by its own log, seconds, ascending."""
        took_s = []
        for _ in range(STOPS):
            vehicle_id, stop_id = self.fleet.driving(), uuid7()
            scope = Scope(vehicles=VehicleList(vehicle_ids=[vehicle_id]))
            request = api.EmergencyStopRequest(stop_id=stop_id, scope=scope, reason="chaos")
            issued_t = time.monotonic()
            call = self.operator.EmergencyStop(request, timeout=CALL_TIMEOUT_S)
            bitten = Plant(self.stack.places.plant).wait(
                vehicle_id,
                "the stop has hold of it",
                lambda line, stop_id=stop_id: line.brake and stop_id in line.cause,  # type: ignore[misc]
                since_t=issued_t,
                timeout_s=BITES_WITHIN_S,
            )
            took_s.append(bitten.t - issued_t)
            call.cancel()
            self.fleet.recover(vehicle_id, stop_id)
        return sorted(took_s)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Collector() as collector, FaultProxy(collector.address) as line, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{line.address}")
        with picture("gone", vehicles=12, rate_hz=5.0, time_scale=10.0, command_services=3) as shown:
            # A stream job that is still starting has both cores to itself: that is no healthy figure.
            await_none(shown.out_of_date, 90)
            shown.await_checkpoint()
            stack = shown.stack
            with command_service(stack.home, stack.address("command-1")) as operator:
                fleet = DrivingFleet(stack, list(stack.options.vehicle_ids))
                yield Site(stack, line, fleet, operator)
                fleet.close()


def test_a_stop_does_not_notice_that_everything_stateful_hangs_or_is_dead(site: Site) -> None:
    healthy = site.stops()
    with hanging(site):
        hung = site.stops()
    site.line.cut()
    for server in STATEFUL:
        site.stack.supervisor.stop(server)
    dead = site.stops()
    for name, took_s in (("healthy", healthy), ("all hung", hung), ("all dead", dead)):
        print(f"\n{name}: {len(took_s)} of {STOPS} stops bite; p50 {1e3 * took_s[STOPS // 2]:.1f} ms, {p99(took_s)}")
    assert p99_s(hung) <= WORSE_BY * p99_s(healthy)
    assert p99_s(dead) <= WORSE_BY * p99_s(healthy)


def p99_s(ascending: list[float]) -> float:
    """By the nearest rank."""
    return ascending[math.ceil(0.99 * len(ascending)) - 1]


def p99(ascending: list[float]) -> str:
    return f"p99 {1e3 * p99_s(ascending):.1f} ms, max {1e3 * ascending[-1]:.1f} ms"


@contextmanager
def hanging(site: Site) -> Iterator[None]:
    """All of them, with the processes that they have started: PostgreSQL has one for each connection."""
    pids = [pid for server in STATEFUL for pid in _family(site.stack.pid(server))]
    site.line.silence()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        site.line.heal()


def _family(pid: int) -> list[int]:
    """It and all that descend from it."""
    children = [
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    ]
    return [pid, *(one for child in children for one in _family(child))]
