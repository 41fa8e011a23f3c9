"""A fleet service whose servers are gone or hang: answers, marked old, or a clear no in time; and soon right again.

Each fault is brought on while the service is in use; every method is asked in the moment when it begins, when it is
known, and when it is over.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from haul.fleet.v1 import fleet_service_pb2 as pb
from haul.fleet.v1.vehicle_pb2 import Vehicle

from deploy.local.supervisor import SupervisorError
from pitwall.rpc.errors import from_rpc_error
from tests.integration.fleet_messages import CLEARED, RAISED, alert, change, reading
from tests.integration.fleet_messages import LOST as LINK_LOST
from tests.integration.fleet_rig import Caller, FleetProcess, Site, caller, eventually
from tests.integration.stacks import RunningStack

VEHICLE = "KOMATSU-980E-402"
SPARE = "SPARE-TRUCK-402"
#: What a caller waits by default, seconds; and what he may have to wait for a server that begins to hang: two waits of
#: 2 s each, on a machine that has others to serve.
DEADLINE_S, ONSET_S = 10.0, 8.0
#: Once it is known that a server is away, nobody waits for it.
KNOWN_S = 3.0
#: After a server is back, seconds.
RECOVERS_S = 10.0
#: Until a fault is seen: Kafka's is by the silence of a connection.
NOTICED_S = 15.0


@dataclass(frozen=True)
class Fault:
    """`marked`: lists say that they may be old. `refused`: what needs the database is refused. `quick`: one of those
    that show most; the others wait for `make chaos`.
    """

    server: str
    kind: str
    marked: bool = False
    refused: bool = False
    quick: bool = False

    def __str__(self) -> str:
        return f"{self.server} {self.kind}"


FAULTS = [
    Fault("redis", "killed"),
    Fault("redis", "hung", quick=True),
    Fault("postgres", "killed", marked=True, refused=True, quick=True),
    Fault("postgres", "hung", marked=True, refused=True),
    Fault("kafka", "killed", marked=True),
    Fault("kafka", "hung", marked=True, quick=True),
]


@contextmanager
def broken(site: Site, fault: Fault) -> Iterator[None]:
    """The server is healthy when this is left, and what is in it is there again."""
    stack = site.stack
    processes = _with_children(stack.pid(fault.server))
    if fault.kind == "killed":
        _signal(processes, signal.SIGKILL)
        _keep_away(stack, fault.server)
    else:
        _signal(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        if fault.kind == "killed":
            stack.supervisor.start(fault.server)
        else:
            _signal(processes, signal.SIGCONT)
        stack.await_healthy(fault.server)


def _with_children(pid: int) -> list[int]:
    """PostgreSQL's children do its work."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *map(int, children)]


def _keep_away(stack: RunningStack, server: str) -> None:
    """The supervisor has seen its end and would start it again."""
    end_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            return stack.supervisor.stop(server)
        except SupervisorError:  # between its end and its next start there is nothing to stop
            assert time.monotonic() < end_s
            time.sleep(0.05)


def _signal(pids: list[int], number: int) -> None:
    """PostgreSQL's children end with it, by themselves, and may be gone already."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@dataclass(frozen=True)
class Answer:
    """How one call ended: empty where it was answered, else the reason; and how long that took."""

    reason: str
    took_s: float


async def answer(call: Awaitable[object]) -> Answer:
    began_s = time.monotonic()
    try:
        await call
    except grpc.aio.AioRpcError as error:
        reason = from_rpc_error(error).reason or error.code().name
        return Answer(f"{error.code().name} {reason}", time.monotonic() - began_s)
    return Answer("", time.monotonic() - began_s)


async def first(person: Caller, method: str, request: object) -> None:
    """Of a stream."""
    stream = person.stream(method, request)  # type: ignore[arg-type]  # the method's request
    async with asyncio.timeout(DEADLINE_S):
        assert await stream.read() is not grpc.aio.EOF
    stream.cancel()


Ask = Callable[[Caller], Awaitable[object]]


def plain(method: str, request: object) -> Ask:
    return lambda person: person.call(method, request, DEADLINE_S)  # type: ignore[arg-type]  # the method's request


#: What is known in memory.
LIVE: dict[str, Ask] = {
    "ListVehicles": plain("ListVehicles", pb.ListVehiclesRequest()),
    "GetVehicle": plain("GetVehicle", pb.GetVehicleRequest(vehicle_id=VEHICLE)),
    "GetFleetStatistics": plain("GetFleetStatistics", pb.GetFleetStatisticsRequest()),
    "WatchFleet": lambda person: first(person, "WatchFleet", pb.WatchFleetRequest()),
    "WatchAlerts": lambda person: first(person, "WatchAlerts", pb.WatchAlertsRequest()),
}
#: What only the database knows, or has to note.
STORED: dict[str, Ask] = {
    "ListAlerts": plain("ListAlerts", pb.ListAlertsRequest()),
    "ListVehicleMetrics": plain("ListVehicleMetrics", pb.ListVehicleMetricsRequest(vehicle_id=VEHICLE)),
    "AcknowledgeAlert": plain("AcknowledgeAlert", pb.AcknowledgeAlertRequest(alert_id=f"{VEHICLE}.LOW_FUEL.1.1")),
    "CreateVehicle": plain(
        "CreateVehicle", pb.CreateVehicleRequest(vehicle=Vehicle(vehicle_id=SPARE), request_id="always the same")
    ),
    "UpdateVehicle": plain("UpdateVehicle", pb.UpdateVehicleRequest(vehicle=Vehicle(vehicle_id=VEHICLE, model="X"))),
    "DeleteVehicle": plain("DeleteVehicle", pb.DeleteVehicleRequest(vehicle_id=VEHICLE, etag='"999999"')),
}
#: An etag that lost its race is an answer: the entry was looked at.
ANSWERED = {"DeleteVehicle": "ABORTED ETAG_MISMATCH"}
REFUSED = "UNAVAILABLE DATABASE_UNAVAILABLE"


async def ask_all(person: Caller) -> dict[str, Answer]:
    asks = LIVE | STORED
    return dict(zip(asks, await asyncio.gather(*(answer(ask(person)) for ask in asks.values())), strict=True))


def judge(fault: Fault, answers: dict[str, Answer], within_s: float, *, or_answered: bool = False) -> None:
    """`or_answered`: in the first moment the server may still have had time to."""
    for method, told in answers.items():
        good = ANSWERED.get(method, "")
        allowed = {good} if not (fault.refused and method in STORED) else {REFUSED, good} if or_answered else {REFUSED}
        assert told.reason in allowed, (fault, method, told)
        assert told.took_s < within_s, (fault, method, told)


@pytest.mark.parametrize(
    "fault", [pytest.param(each, id=str(each), marks=[] if each.quick else [pytest.mark.chaos]) for each in FAULTS]
)
async def test_without_one_of_its_servers(fleet_site: Site, fleet: FleetProcess, fault: Fault) -> None:
    number = FAULTS.index(fault) + 1
    fleet_site.changes(change(VEHICLE, number, LINK_LOST))
    fleet_site.readings(reading(VEHICLE, 10 * number))
    fleet_site.alerts(alert(VEHICLE, "LOW_FUEL", RAISED, 1, 1), alert(VEHICLE, "OVERHEATING", RAISED, number, number))
    async with caller(fleet, "supervisor") as person:
        await right(person, number, 10 * number)
        await eventually(lambda: STORED["UpdateVehicle"](person), bool, "it is entered")
        with broken(fleet_site, fault):
            onset = await ask_all(person)
            await eventually(lambda: person.vehicles(), lambda a: a.stale == fault.marked, "marked", NOTICED_S)
            await eventually(lambda: health(fleet, fault), lambda ok: not ok, "in /healthz", NOTICED_S)
            known = await ask_all(person)
            assert fleet.health()["healthy"]
            if fault.server != "kafka":
                fleet_site.readings(reading(VEHICLE, 10 * number + 1))
                fleet_site.alerts(alert(VEHICLE, "OVERHEATING", CLEARED, number + 1, number))
                await eventually(
                    lambda: person.vehicle(VEHICLE),
                    lambda v: (v.current_reading.sequence, v.open_alert_count) == (10 * number + 1, 1),
                    "what has happened meanwhile",
                )
        back_s = time.monotonic()
        if fault.server == "kafka":
            fleet_site.readings(reading(VEHICLE, 10 * number + 1))
            fleet_site.alerts(alert(VEHICLE, "OVERHEATING", CLEARED, number + 1, number))
        await right(person, number + 1, 10 * number + 1, RECOVERS_S)
        back_s = time.monotonic() - back_s
        judge(Fault(fault.server, "over"), await ask_all(person), ONSET_S)
    slowest = [max(answers.values(), key=lambda a: a.took_s).took_s for answers in (onset, known)]
    print(f"{fault}: slowest {slowest[0]:.2f} s at first, {slowest[1]:.2f} s once known; right {back_s:.1f} s after")
    judge(fault, onset, ONSET_S, or_answered=True)
    judge(fault, known, KNOWN_S)


async def right(person: Caller, alert_step: int, sequence: int, within_s: float = 30.0) -> None:
    """Everything is answered with the newest, and nothing is marked old."""

    async def shown() -> tuple[object, ...]:
        vehicles = await person.vehicles(page_size=1000)
        vehicle = next(v for v in vehicles.vehicles if v.vehicle_id == VEHICLE)
        asked = pb.ListAlertsRequest(filter=f"vehicle_id = {VEHICLE} AND rule = OVERHEATING", page_size=1)
        (newest,) = (await person.call("ListAlerts", asked)).alerts
        statistics = await person.call("GetFleetStatistics", pb.GetFleetStatisticsRequest())
        return vehicles.stale, statistics.stale, vehicle.current_reading.sequence, newest.alert.sequence

    wanted = (False, False, sequence, alert_step)
    await eventually(shown, lambda found: found == wanted, f"right: {wanted}", within_s)


async def health(fleet: FleetProcess, fault: Fault) -> bool:
    name = {"postgres": "postgresql", "kafka": "vehicle-telemetry"}.get(fault.server, fault.server)
    ok: bool = (await asyncio.to_thread(fleet.health))["parts"][name]["ok"]
    return ok
